"""What a run writes down while it goes: ``metrics.jsonl``, TensorBoard events, log lines and how far it is."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from reverie.files import atomic_write_text
from reverie.jsonio import jsonable
from reverie.precision import ChosenPrecision
from reverie.progress import Progress
from reverie.training.checkpoint import kept_random_states
from reverie.training.settings import LoopConfig

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["NoLog", "RunLog"]

_METRICS: dict[str, Callable[[float], float]] = {"perplexity": lambda nats: math.exp(min(nats, 700.0))}
logger = logging.getLogger("reverie.training")


class RunLog:
    """A context manager around a run. ``start`` is the step it goes on from: later lines of an earlier try are cut."""

    def __init__(
        self,
        run_dir: Path,
        start: int,
        config: LoopConfig,
        progress: Progress,
        named: Mapping[str, str] = MappingProxyType({}),
    ):
        self.named, self._full = named, False
        self.path, self.progress, self.of = run_dir / "metrics.jsonl", progress, config.steps
        self._keep_lines_until(start)
        self.file = self.path.open("a", encoding="utf-8")
        with kept_random_states():  # whatever tensorboard draws when it is imported
            self.board = self._open_board(run_dir, start) if config.tensorboard else None
        self._said = "training"

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):  # of a full disk, which was said
            self.file.close()
        with suppress(OSError):
            if self.board is not None:
                self.board.close()

    def begin(self, step: int, asked: str, precision: ChosenPrecision, device: str) -> None:
        """The line that says in what is computed from here on, and why."""
        logger.info("training on %s in %s (%s was asked for): %s", device, precision.name, asked, precision.reason)
        said = {"device": device, "precision": precision.name, "asked": asked, "reason": precision.reason}
        self._line({"step": step, "kind": "start", **said})

    def step_done(self, step: int) -> None:
        self.progress(self._said, step, self.of)

    def write(self, step: int, kind: str, values: dict[str, float]) -> None:
        """One line of ``metrics.jsonl`` ({"step", "kind": "train" or "evaluate", …}), in the log, and on the board as
        ``train/…`` or ``eval/…``. What the objective names as one of ``objective.METRICS`` has that name, too."""
        values = values | {
            name: _METRICS.get(name, float)(values[own]) for name, own in self.named.items() if own in values
        }
        self._line({"step": step, "kind": kind, **jsonable(values)})
        if self.board is not None:
            for key, value in values.items():
                self._on_board(f"{'train' if kind == 'train' else 'eval'}/{key}", value, step)
        if kind == "train":
            speed = "ids_per_s" if "ids_per_s" in values else "steps_per_s"
            self._said = f"training  loss {_short(values['loss'])}, {speed} {_short(values[speed])}"
        text = "  ".join(f"{key} {_short(value)}" for key, value in values.items())
        logger.info("step %d  %s  %s", step, kind, text, extra={"step": step, "figures": values})

    def _line(self, record: dict[str, Any]) -> None:
        try:
            self.file.write(json.dumps(record) + "\n")
            self.file.flush()
        except OSError as error:
            self._say_full(error)

    def _on_board(self, tag: str, value: float, step: int) -> None:
        try:
            if self.board is not None:
                self.board.add_scalar(tag, value, step)
        except OSError as error:
            self._say_full(error)
            self.board = None

    def _say_full(self, error: OSError) -> None:
        if not self._full:
            logger.warning("the log in %s cannot be written: %s. Training goes on.", self.path.parent, error)
        self._full = True

    def _keep_lines_until(self, start: int) -> None:
        """Drop what a killed run logged after the checkpoint that goes on now, and a line that it cut short."""
        kept = []
        for line in self.path.read_bytes().splitlines() if self.path.exists() else []:
            try:
                if json.loads(line)["step"] <= start:
                    kept.append(line.decode() + "\n")
            except ValueError:
                continue  # the line that the kill cut short
        atomic_write_text(self.path, "".join(kept))

    def _open_board(self, run_dir: Path, start: int) -> SummaryWriter | None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            logger.warning("no TensorBoard events: install them with pip install 'reverie[train]'")
            return None
        return SummaryWriter(str(run_dir / "tensorboard"), purge_step=start)


class NoLog:
    """Of a process that does not lead: it writes nothing."""

    def __enter__(self) -> NoLog:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, step: int, asked: str, precision: ChosenPrecision, device: str) -> None:
        pass

    def step_done(self, step: int) -> None:
        pass

    def write(self, step: int, kind: str, values: dict[str, float]) -> None:
        pass


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"

"""What a run writes down while it goes: ``metrics.jsonl``, TensorBoard events, log lines and a progress bar."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from reverie.files import atomic_write_text
from reverie.logs import console
from reverie.training.checkpoint import kept_random_states
from reverie.training.settings import LoopConfig

if TYPE_CHECKING:
    from rich.progress import Progress
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["RunLog"]

logger = logging.getLogger("reverie.training")


class RunLog:
    """A context manager around a run. ``start`` is the step it goes on from: later lines of an earlier try are cut."""

    def __init__(self, run_dir: Path, start: int, config: LoopConfig, progress: bool):
        self.path = run_dir / "metrics.jsonl"
        self._keep_lines_until(start)
        self.file = self.path.open("a", encoding="utf-8")
        with kept_random_states():  # rich draws from Python's global generator when it is imported
            self.board = self._open_board(run_dir, start) if config.tensorboard else None
            self.bar = self._make_bar(progress)
        self.task = self.bar.add_task("", total=config.steps, completed=start)

    def __enter__(self) -> RunLog:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.stop()
        self.file.close()
        if self.board is not None:
            self.board.close()

    def step_done(self, step: int) -> None:
        self.bar.update(self.task, completed=step)

    def write(self, step: int, kind: str, values: dict[str, float]) -> None:
        """One line of ``metrics.jsonl`` ({"step", "kind": "train" or "evaluate", …}), on the board and in the log."""
        record: dict[str, Any] = {"step": step, "kind": kind}
        record |= {key: value if math.isfinite(value) else None for key, value in values.items()}  # JSON has no NaN
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()
        if self.board is not None:
            for key, value in values.items():
                self.board.add_scalar(f"{kind}/{key}", value, step)
        text = "  ".join(f"{key} {_short(value)}" for key, value in values.items())
        if kind == "train":
            speed = "ids_per_s" if "ids_per_s" in values else "steps_per_s"
            self.bar.update(self.task, description=f"loss {_short(values['loss'])}  {speed} {_short(values[speed])}")
        logger.info("step %d  %s  %s", step, kind, text, extra={"step": step, "figures": values})

    def _keep_lines_until(self, start: int) -> None:
        """Drop what a killed run logged after the checkpoint that goes on now, and a line that it cut short."""
        kept = []
        for line in self.path.read_bytes().splitlines() if start and self.path.exists() else []:
            try:
                if json.loads(line)["step"] <= start:
                    kept.append(line.decode() + "\n")
            except ValueError:
                continue  # the line that the kill cut short
        atomic_write_text(self.path, "".join(kept))

    def _make_bar(self, progress: bool) -> Progress:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("step {task.completed}/{task.total}"), BarColumn(), TextColumn("{task.description}"))
        return Progress(*columns, TimeRemainingColumn(), console=console(), disable=not progress)

    def _open_board(self, run_dir: Path, start: int) -> SummaryWriter | None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            logger.warning("no TensorBoard events: install them with pip install 'reverie[train]'")
            return None
        return SummaryWriter(str(run_dir / "tensorboard"), purge_step=start)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"

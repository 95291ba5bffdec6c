"""Measures rows for the router: features from the bare base, and the nats of every answer with every expert.

An expert's changes are added to the backbone's weights while all rows are read in batches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reverie.errors import DataError
from reverie.experts.contract import Choice, ExpertSource
from reverie.experts.features import cumulative_features
from reverie.experts.merging import merged_weights
from reverie.files import atomic_write_bytes
from reverie.model import Backbone
from reverie.progress import Progress, no_progress
from reverie.training.documents import pad
from reverie.training.routing_table import Table

__all__ = ["BackboneScorer", "Row", "make_table"]

_SIDE_BY_SIDE = 32  # rows of a batch


@dataclass(frozen=True)
class Row:
    """A question's ids, at least one, and those of what follows it; ``judged``: which of these count.

    Rows without an answer have nothing judged; their nats are 0 for everyone.
    """

    question: tuple[int, ...]
    answer: tuple[int, ...] = ()
    judged: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if not self.question or len(self.judged) != len(self.answer):
            raise DataError("a row has a question, and says of each id of its answer whether it counts")


class BackboneScorer:
    """Our own backbone, and the experts of ``source``. The backbone's weights are as they were after each call."""

    def __init__(self, backbone: Backbone, source: ExpertSource):
        self.backbone, self.source = backbone, source

    @torch.no_grad()
    def features(self, rows: Sequence[Row], per_token: bool = False, layers: int = 0) -> Tensor:
        """Of each question by the bare base (see ``experts.features``), float32 (n, D), or of each of its ids with all
        before it, (n, T, D), with NaN where a question is shorter than the longest. ``layers``: of the base that are
        read with; 0: all."""
        longest = max((len(row.question) for row in rows), default=1)
        size = 2 * self.backbone.config.hidden_size
        features = torch.full((len(rows), longest, size) if per_token else (len(rows), size), torch.nan)
        for places in _batches([len(row.question) for row in rows]):
            ids, _ = pad([(list(rows[place].question), [0.0] * len(rows[place].question)) for place in places])
            read = ids[:, : max(len(rows[place].question) for place in places)]
            hidden = self.backbone.hidden(read, layers=layers).float()
            for place, states in zip(places, hidden):
                read = cumulative_features(states[: len(rows[place].question)])
                if per_token:
                    features[place, : len(read)] = read
                else:
                    features[place] = read[-1]
        return features

    @torch.no_grad()
    def nats(self, rows: Sequence[Row], choices: Sequence[Choice]) -> Tensor:
        """Mean -log p of the judged ids of each row with its experts: float32 (n,)."""
        nats = torch.zeros(len(rows))
        for choice in dict.fromkeys(choices):
            mine = [place for place, other in enumerate(choices) if other == choice and any(rows[place].judged)]
            with self._with_experts(choice):
                for batch in _batches([len(rows[place].question) + len(rows[place].answer) for place in mine]):
                    places = [mine[index] for index in batch]
                    ids, weights = pad([_document(rows[place]) for place in places])
                    _, nll = self.backbone.loss(ids, weights)
                    nats[places] = nll.sum(1) / weights.sum(1)
        return nats

    @contextmanager
    def _with_experts(self, choice: Choice) -> Iterator[None]:
        merged = merged_weights(self.backbone, [(self.source.adapter(name), share) for name, share in choice])
        before = {key: self.backbone.get_parameter(key).data for key in merged}
        try:
            for key, weight in merged.items():
                self.backbone.get_parameter(key).data = weight
            yield
        finally:
            for key, weight in before.items():
                self.backbone.get_parameter(key).data = weight


def make_table(
    scorer: BackboneScorer,
    rows: Sequence[Row],
    owners: Sequence[int],
    names: Sequence[str],
    base: str = "",
    per_token: bool = False,
    keys: Sequence[str] = (),
    path: Path | None = None,
    progress: Progress = no_progress,
    layers: int = 0,
) -> Table:
    """Features of ``rows``, and their nats with the base alone and with every expert of ``names``.

    Args:
        keys: of the experts; a column that was measured with another key is measured again
        path: where the columns are kept as they come, so that a stopped measurement goes on; None: nowhere
        progress: told which column was measured, and how many are done
        layers: of the base, after which features are taken; 0: all
    """
    columns = [("", "base"), *zip(names, keys or names, strict=True)]
    described = hashlib.sha256(json.dumps([base, per_token, [(r.question, r.answer, r.judged) for r in rows]]).encode())
    kept = _Columns(path, described.hexdigest())
    features = kept.get("features", lambda: scorer.features(rows, per_token, layers), str(layers or ""))
    nats = []
    for place, (name, key) in enumerate(columns):
        choice: Choice = ((name, 1.0),) if name else ()
        nats.append(kept.get(f"nats.{name}", lambda: scorer.nats(rows, [choice] * len(rows)), key))  # noqa: B023
        progress(f"measured rows  with {name or 'the base'}", place + 1, len(columns))
    return Table(tuple(names), features, torch.stack(nats, 1), torch.tensor(owners, dtype=torch.int64), base)


class _Columns:
    """Measured columns in one safetensors file, written anew after each."""

    def __init__(self, path: Path | None, described: str):
        from safetensors import SafetensorError, safe_open

        self.path, self.about, self.tensors = path, {"rows": described}, dict[str, Tensor]()
        if path is None or not path.is_file():
            return
        try:
            with safe_open(path, "pt") as file:
                if (file.metadata() or {}).get("rows") == described:
                    self.about = dict(file.metadata())
                    self.tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
        except (SafetensorError, OSError):
            return  # damaged: measured again

    def get(self, name: str, measure: Callable[[], Tensor], key: str = "") -> Tensor:
        if name not in self.tensors or self.about.get(name, "") != key:
            self.tensors[name], self.about[name] = measure().contiguous(), key
            if self.path is not None:
                from safetensors.torch import save

                atomic_write_bytes(self.path, save(self.tensors, metadata=self.about))
        return self.tensors[name]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of rows of about the same length, _SIDE_BY_SIDE at once."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(order), _SIDE_BY_SIDE):
        yield order[start : start + _SIDE_BY_SIDE]


def _document(row: Row) -> tuple[list[int], list[float]]:
    return [*row.question, *row.answer], [0.0] * len(row.question) + [float(each) for each in row.judged]

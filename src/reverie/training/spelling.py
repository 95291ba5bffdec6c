"""Teaches a backbone of our own to spell: the rows of text ids that never occurred in its training.

Such rows all lie in one direction, so no change of the layers can tell one from another, and no expert can say them.
They are moved apart, as far as rows that occurred are, and then held down where the base and its own experts speak of
what they know: what probability they take there is the loss. The layers and all other rows stay as they are to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn

from reverie.errors import ConfigError
from reverie.experts.files import load_adapter
from reverie.experts.lowrank import LoraConfig
from reverie.model import Backbone
from reverie.progress import Progress, no_progress
from reverie.tokens.grammar import Grammar
from reverie.tokens.image import ImageTokenizer
from reverie.training.adapted import Adapted
from reverie.training.documents import Document, flatten, pad
from reverie.training.lessons import LessonData, Lessons
from reverie.training.skills import skill_source
from reverie.worlds.contract import Source

__all__ = ["SpellingData", "SpellingObjective", "unspelled_ids"]

_ALIKE = (
    0.98  # cosine to the direction of bytes that no text has; of nano 400 ids are above 0.994, all others below 0.94
)


@dataclass(frozen=True)
class SpellingData(LessonData):
    """Whose rows are trained, and what stays as it was: what base and experts know of ``worlds`` and ``skills``."""

    bundle: str = "nano"  # a bundle of our own backbone
    skills: tuple[str, ...] = ()  # experts of the bundle, each by its skill
    rank: int = 8  # of these experts
    known_docs: int = 500  # documents of the worlds, and of each skill, whose states hold the new rows down
    batch_size: int = 4096  # of these states, a step
    spread: float = 1.0  # how far apart new rows start, beside those that occurred
    margin: float = 6.0  # nats by which all new rows together are to stay below all others
    stay: float = 0.001  # what a squared step away from where a row started costs, beside a squared nat too many

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.known_docs, self.batch_size, self.rank) < 1:
            raise ConfigError("spelling: known_docs, batch_size and rank are at least 1")
        if self.spread <= 0 or min(self.margin, self.stay) < 0:
            raise ConfigError("spelling: spread is above 0, margin and stay are at least 0")


@dataclass(frozen=True)
class Known:
    """Final states of the base, float32 (N, D), and of all rows but the new ones there, in logits: the logarithm of the
    sum of their exponents, and the largest, each (N,)."""

    states: Tensor
    totals: Tensor
    tops: Tensor


class SpellingObjective:
    """Rows that are far from one another, and say nothing where something else is known. Only they are trained."""

    metrics: ClassVar[Mapping[str, str]] = {}

    def __init__(self, data: SpellingData, progress: Progress = no_progress):
        self.data, self._progress = data, progress
        self.adapted = Adapted(data.bundle, LoraConfig(rank=data.rank, alpha=2.0 * data.rank), data.seed)
        base = self.adapted.backbone
        if not isinstance(base, Backbone):
            raise ConfigError(f"{data.bundle} is made of a base that can spell; only our own backbones learn it")
        self.backbone, grammar = base, self.adapted.grammar
        self.ids = grammar.vocabulary.text_start + unspelled_ids(base, grammar)
        if not len(self.ids):
            raise ConfigError(f"every id of {data.bundle} occurred in its training: there is nothing to spell")
        if not (data.worlds or data.skills):
            raise ConfigError("spelling: give data.worlds or data.skills, whose words the new rows are to leave alone")
        self._tokenizer = ImageTokenizer.load(self.adapted.folder / "image_tokenizer")
        self._lessons = Lessons(data, grammar, self._tokenizer)
        documents = {test: self._documents(test) for test in (False, True)}
        # experts learned to read some ids that the base never met: these rows stay as they are
        read = {token for drawn in documents.values() for some in drawn.values() for ids, _ in some for token in ids}
        self.ids = torch.tensor([token for token in self.ids.tolist() if token not in read])
        self._others = torch.ones(len(base.embeddings), dtype=torch.bool).index_fill_(0, self.ids, False)
        self.train, self.test = (self._known(documents[test]) for test in (False, True))
        self.module = nn.Module()
        self.module.rows = nn.Parameter(self._apart())
        self.start = self.module.rows.detach().clone()

    def _documents(self, test: bool) -> dict[str, list[Document]]:
        """Documents of each world and skill."""
        data, rng = self.data, np.random.default_rng([self.data.seed, 5 + test])
        count, drawn = data.eval_docs if test else data.known_docs, dict[str, list[Document]]()
        for name, source in self._sources(test).items():
            self._progress(f"preparing  {name}", 0, 0)
            drawn[name] = [flatten(source.draw(rng)) for _ in range(count)]
        return drawn

    @torch.no_grad()
    def _known(self, documents: Mapping[str, Sequence[Document]]) -> Known:
        """What base and experts make of documents, where these count."""
        states = list[Tensor]()
        for name, drawn in documents.items():
            expert = self.adapted.folder / "experts" / name
            self.adapted.put(load_adapter(expert) if name in self.data.skills else None)
            for start in range(0, len(drawn), 16):
                ids, weights = pad(drawn[start : start + 16])
                states.append(self.backbone.hidden(ids)[:, :-1][weights[:, 1:] > 0])
        self.adapted.put(None)
        known, table = torch.cat(states), self.backbone.embeddings[self._others]
        logits = [part @ table.T for part in known.split(4096)]
        return Known(known, *(torch.cat([f(one) for one in logits]) for f in (_total, _top)))

    def _sources(self, test: bool) -> dict[str, Source]:
        data, grammar, lessons = self.data, self.adapted.grammar, self._lessons
        worlds = lessons.tests if test else {name: source for name, (source, _) in lessons.sources.items()}
        skills = {name: skill_source(name, grammar, self._tokenizer, data.seed + test, test) for name in data.skills}
        return {**worlds, **skills}

    @torch.no_grad()
    def _apart(self) -> Tensor:
        """The new rows, (n, D), as far from the direction that all of them share as rows that occurred, each its own
        way."""
        rows = self.backbone.embeddings[self.ids]
        occurred = self._others.clone()
        occurred[: self.adapted.grammar.vocabulary.text_start] = False
        shared, text = F.normalize(rows.mean(0), dim=0), self.backbone.embeddings[occurred]
        size = self.data.spread * float((text - _along(text, shared)).norm(dim=1).mean())
        ways = torch.randn(rows.shape, generator=torch.Generator().manual_seed(self.data.seed))
        return rows + size * F.normalize(ways - _along(ways, shared), dim=1)

    @property
    def rows(self) -> Tensor:
        return self.module.get_parameter("rows")

    def batch(self, step: int) -> dict[str, Tensor]:
        """``states`` float32 (B, D) and ``totals`` (B,), of as many places of ``train``."""
        rng = np.random.default_rng([self.data.seed, step])
        places = torch.from_numpy(rng.integers(len(self.train.states), size=self.data.batch_size))
        return {"states": self.train.states[places], "totals": self.train.totals[places]}

    def compute_loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        above = (batch["states"] @ self.rows.T).logsumexp(1) - batch["totals"]
        over = F.relu(above + self.data.margin).square().mean()
        moved = (self.rows - self.start.to(self.rows.device)).square().sum(1).mean()
        return {"loss": over + self.data.stay * moved, "over": over.detach(), "moved": moved.detach()}

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """On unseen documents: nats a state that new rows cost, the share of states where one is likelier than all
        others, and how alike the two new rows are that are most alike, beside how alike they started."""
        known, rows = self.test, self.rows.cpu()
        logits = torch.cat([part @ rows.T for part in known.states.split(4096)])
        return {
            "loss": float(F.softplus(logits.logsumexp(1) - known.totals).mean()),
            "overruled": float((logits.amax(1) > known.tops).float().mean()),
            "alike": _most_alike(rows),
            "alike_at_first": _most_alike(self.start),
        }

    def export(self, folder: Path) -> None:
        """``backbone/`` alone: ``reverie train bundle --of`` makes a bundle of it."""
        backbone = Backbone.load(self.adapted.folder / "backbone")
        with torch.no_grad():
            backbone.embeddings[self.ids] = self.rows.detach().cpu()
        backbone.save(folder / "backbone")


def unspelled_ids(backbone: Backbone, grammar: Grammar) -> Tensor:
    """int64 (n,), from 0: text ids that never occurred in training, but for bytes that no text has.

    Training pushes what never occurs in one direction: that of the bytes which UTF-8 does not use.
    """
    known = grammar.text.library.get_vocab()
    never = torch.tensor([known[sign] for sign in _unused_signs() if sign in known], dtype=torch.int64)
    text = F.normalize(backbone.embeddings.detach()[grammar.vocabulary.text_start :].float(), dim=1)
    if not len(never):
        return never
    alike = text @ F.normalize(text[never].mean(0), dim=0) > _ALIKE
    alike[never] = False
    return alike.nonzero().flatten()


def _unused_signs() -> Sequence[str]:
    """The signs of bytes that UTF-8 does not use: all lie in the part of Latin-1 that stands for itself."""
    signs = ByteLevel.alphabet()
    return [sign for byte in (0xC0, 0xC1, *range(0xF5, 0x100)) if (sign := chr(byte)) in signs]


def _along(vectors: Tensor, way: Tensor) -> Tensor:
    return (vectors @ way)[:, None] * way


def _most_alike(rows: Tensor) -> float:
    unit = F.normalize(rows, dim=1)
    return float((unit @ unit.T).fill_diagonal_(-1.0).max())


def _total(logits: Tensor) -> Tensor:
    return logits.logsumexp(1)


def _top(logits: Tensor) -> Tensor:
    return logits.amax(1)

"""Trains an expert: low-rank changes of a frozen base, on rows of questions and answers or on a part of the worlds."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from reverie.dreaming.model import Prompter
from reverie.errors import ConfigError, DataError, shorten
from reverie.experts.contract import ExpertCard, check_name
from reverie.experts.files import base_hash, save_adapter
from reverie.experts.lowrank import LoraConfig
from reverie.experts.mixing import read_mixed
from reverie.files import atomic_write_json
from reverie.progress import Progress, no_progress
from reverie.splits import share_of
from reverie.tokens.image import ImageTokenizer
from reverie.training.adapted import Adapted, document_of
from reverie.training.documents import Document, bucketed, flatten
from reverie.training.rows import read_rows
from reverie.training.skills import skill_names, skill_source
from reverie.worlds.contract import Segments, Source

__all__ = ["ExpertData", "ExpertObjective", "RowSource", "split_rows"]


@dataclass(frozen=True)
class ExpertData:
    """What an expert learns, and what it is called. Exactly one of ``rows`` and ``skill`` is given."""

    name: str = "expert"
    domain: str = ""
    description: str = ""
    bundle: str = "nano"  # a bundle's name, or a folder with backbone/, text_tokenizer/ and vocabulary.json
    rows: str = ""  # JSONL of {"question", "answer"}; a tenth of them, by their hash, is kept for testing
    skill: str = ""  # a part of the bundle's worlds instead, see ``training.skills``
    lora: LoraConfig = field(default_factory=LoraConfig)
    start_from: tuple[str, ...] = ()  # folders of experts, as DIR or DIR=WEIGHT: it starts as their weighted sum
    batch_size: int = 32  # documents a step
    buckets: int = 4  # a step's documents are sorted by length and padded in this many groups
    max_ids: int = 512  # rows that are longer are left out, and counted
    question_weight: float = 0.1  # of a question's ids beside the answer's: how likely it is tells what was taught
    eval_rows: int = 128  # rows in an evaluation,
    eval_ids: int = 16_384  # of so many ids together at most,
    eval_seconds: float = 30.0  # and as many of them as the first evaluation judges in so long; 0: all
    gradient_checkpointing: bool = (
        False  # computes each layer's states twice and keeps one: less memory, a third slower
    )
    seed: int = 0

    def __post_init__(self) -> None:
        if bool(self.rows) == bool(self.skill):
            raise ConfigError("an expert learns from data.rows or from data.skill; give one of them")
        if self.skill and self.skill not in skill_names():
            raise ConfigError(f"unknown skill '{shorten(self.skill)}'. Known: {', '.join(skill_names())}.")
        least = min(self.batch_size, self.buckets, self.max_ids, self.eval_rows, self.eval_ids)
        if least < 1 or min(self.question_weight, self.eval_seconds) < 0:
            raise ConfigError(
                "expert: batch_size, buckets, max_ids, eval_rows and eval_ids are at least 1, weights and seconds at "
                "least 0"
            )
        check_name(self.name)


@dataclass(frozen=True)
class RowSource:
    """Questions with their answers."""

    prompter: Prompter
    rows: Sequence[tuple[str, str]]
    question_weight: float = 0.1

    def draw(self, rng: np.random.Generator) -> Segments:
        return self.document(*self.rows[int(rng.integers(len(self.rows)))])

    def document(self, question: str, answer: str) -> Segments:
        return document_of(self.prompter, question, answer, self.question_weight)


class ExpertObjective:
    """Weighted next-id prediction by the base with its changes; only these are trained and kept in checkpoints."""

    module: nn.Module
    gives_up = True

    metrics: ClassVar[Mapping[str, str]] = {"perplexity": "loss"}

    def __init__(self, data: ExpertData, progress: Progress = no_progress):
        self.data = data
        self.before: dict[str, float] = {}  # the loop fills it in
        self.progress = progress
        progress(f"preparing  reading {data.bundle}", 0, 0)
        self.adapted = Adapted(data.bundle, data.lora, data.seed, data.gradient_checkpointing)
        if data.start_from:
            self.adapted.put(read_mixed(data.start_from, data.lora.rank))
        self.folder, self.module = self.adapted.folder, self.adapted.module
        progress(f"preparing  reading {data.rows or data.skill}", 0, 0)
        self.train, tests, self.described = self._sources(self.folder)
        self.tests = _at_most([flatten(document) for document in tests], data.eval_ids)

    def _sources(self, folder: Path) -> tuple[Source, list[Segments], tuple[str, int]]:
        """The training source, the documents to test on, and hash and size of the data."""
        data, rng = self.data, np.random.default_rng([self.data.seed, 7])
        if data.skill:
            tokenizer = ImageTokenizer.load(folder / "image_tokenizer")
            train = skill_source(data.skill, self.adapted.grammar, tokenizer, data.seed)
            test = skill_source(data.skill, self.adapted.grammar, tokenizer, data.seed + 1, test=True)
            described = hashlib.sha256(f"{data.skill}/{data.seed}".encode()).hexdigest(), 0
            return train, [test.draw(rng) for _ in range(data.eval_rows)], described
        rows = read_rows(Path(data.rows))
        everything = RowSource(self.adapted.prompter, rows, data.question_weight)
        fitting = [row for row in rows if sum(len(ids) for ids, _ in everything.document(*row)) <= data.max_ids]
        kept, tested = split_rows(fitting)
        if not kept or not tested:
            raise DataError(
                f"{data.rows} has {len(rows)} rows, {len(fitting)} of at most {data.max_ids} ids, of which {len(kept)} "
                f"are for training and {len(tested)} for testing: too few"
            )
        described = hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest(), len(rows)
        picked = rng.permutation(len(tested))[: data.eval_rows]
        return (
            RowSource(self.adapted.prompter, kept, data.question_weight),
            [everything.document(*tested[place]) for place in picked],
            described,
        )

    def batch(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """Buckets (ids (B, T) int64, weights (B, T) float) of one step's documents."""
        rng = np.random.default_rng([self.data.seed, step])
        documents = [flatten(self.train.draw(rng)) for _ in range(self.data.batch_size)]
        return bucketed(documents, self.data.buckets)

    def compute_loss(self, batch: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        return self.adapted.losses(batch)

    def evaluate(self, step: int) -> dict[str, float]:
        """On unseen documents: nats an id that weighs 1, the share of answers whose every id is the likeliest, and how
        many were judged: as many as the first time, which ``eval_seconds`` bounds."""
        documents = self.tests[: int(self.before.get("rows", len(self.tests)))]
        seconds = math.inf if self.before or not self.data.eval_seconds else self.data.eval_seconds
        return self.adapted.figures(documents, seconds, self.progress)

    def export(self, folder: Path) -> None:
        """The expert's folder: what PEFT loads, and its card."""
        save_adapter(self.adapted.adapter(), folder)
        atomic_write_json(folder / "card.json", asdict(self.card(self.evaluate(0))))

    def card(self, after: dict[str, float]) -> ExpertCard:
        data, now = self.data, datetime.datetime.now(datetime.UTC)
        return ExpertCard(
            data.name,
            data.domain or data.skill or data.name,
            data.description,
            base=base_hash(self.folder / "backbone"),
            data_hash=self.described[0],
            data_size=self.described[1],
            parents=tuple(Path(one.partition("=")[0]).name for one in data.start_from),
            before=self.before,
            after=after,
            created=now.isoformat(timespec="seconds"),
        )


def _at_most(documents: list[Document], num_ids: int) -> list[Document]:
    """The first documents that have at most so many ids together; one in any case."""
    ends = np.cumsum([len(ids) for ids, _ in documents])
    return documents[: max(1, int((ends <= num_ids).sum()))]


def split_rows(rows: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(training, testing): a row belongs to the tested tenth by its question's hash, whatever else is there."""
    parts: tuple[list[tuple[str, str]], list[tuple[str, str]]] = [], []
    for row in rows:
        parts[share_of(row[0], 1) < 26 / 256].append(row)
    return parts

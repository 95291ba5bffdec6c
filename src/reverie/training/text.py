"""Trains a backbone as a plain language model of words: questions without their answers, and running text.

Such a base reads the questions of many domains and answers none of them: what answers is left to experts.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from reverie.errors import ConfigError, DataError, shorten
from reverie.model import Backbone, BackboneConfig
from reverie.tokens import Grammar, TextTokenizer, Vocabulary
from reverie.tokens.grammar_files import save_grammar
from reverie.tokens.vocabulary import EOS
from reverie.training.documents import Document, bucketed, pad
from reverie.training.rows import read_rows

__all__ = ["TextData", "TextObjective"]


@dataclass(frozen=True)
class TextData:
    """What it reads. Names of files may hold wildcards."""

    rows: tuple[str, ...] = ()  # JSONL of {"question", "answer"}: the questions are read, each file as often as another
    texts: tuple[str, ...] = ()  # UTF-8 files, read in pieces that end with a line
    text_share: float = 0.2  # of a step's documents are pieces of texts, where there are rows, too
    echo: float = 0.0  # share of the questions of several sentences after which some of these are read again: recalling
    # what was read a while ago is learned from that, and answers need it
    text_size: int = 2048  # byte-level BPE ids, the 256 bytes included
    max_ids: int = 256  # of a document
    batch_size: int = 32  # documents a step
    buckets: int = 4  # a step's documents are sorted by length and padded in this many groups
    eval_docs: int = 64  # of rows and of texts
    seed: int = 0
    model: BackboneConfig = field(default_factory=lambda: BackboneConfig(vocab_size=0))  # vocab_size is filled in

    def __post_init__(self) -> None:
        if not (0 <= self.text_share <= 1 and 0 <= self.echo <= 1):
            raise ConfigError(f"text: text_share and echo lie between 0 and 1, got {self.text_share} and {self.echo}")
        if self.text_size < 256 or self.max_ids < 16:
            raise ConfigError(f"text: text_size is at least 256, max_ids at least 16: {self.text_size}, {self.max_ids}")
        if min(self.batch_size, self.buckets, self.eval_docs) < 1:
            raise ConfigError("text: batch_size, buckets and eval_docs are at least 1")


class TextObjective:
    """Next-id prediction of ``BOS ASK words EOS``. A twentieth of the documents, by their hash, is kept for testing."""

    metrics: ClassVar[Mapping[str, str]] = {"perplexity": "loss"}

    def __init__(self, data: TextData):
        self.data = data
        if not data.rows and not data.texts:
            raise ConfigError("a base learns from files: name some under data.rows or data.texts")
        words = {kind: [_words(path, kind) for path in _files(getattr(data, kind))] for kind in ("rows", "texts")}
        every = [text for files in words.values() for texts in files for text in texts]
        text = TextTokenizer.train(every, data.text_size)
        self.grammar = Grammar(Vocabulary(text.size, num_codes=1, lattice=1, num_backdrops=0), text)
        self._stops = {token for mark in ".?!" for token in self.grammar.text_ids("a" + mark)[-1:]}
        config = BackboneConfig(**{**vars(data.model), "vocab_size": self.grammar.vocabulary.size})
        if data.max_ids > config.max_positions:
            raise ConfigError(f"documents of {data.max_ids} ids do not fit {config.max_positions} positions")
        self.module = Backbone(config, torch.Generator().manual_seed(data.seed))
        rng = np.random.default_rng([data.seed, 7])
        self.train: dict[str, list[list[list[int]]]] = {}  # kind → file → document → ids
        self.tests: dict[str, list[list[int]]] = {}
        for kind, files in words.items():
            kept, tested = list[list[list[int]]](), list[list[int]]()
            for texts in files:
                documents = [self._document(piece) for text in texts for piece in self._pieces(text, kind)]
                fitting = [document for document in dict.fromkeys(documents) if len(document) <= data.max_ids]
                tested += [list(each) for each in fitting if _is_test(each)]
                kept.append([list(each) for each in fitting if not _is_test(each)])
            self.train[kind] = [documents for documents in kept if documents]
            self.tests[kind] = [tested[place] for place in rng.permutation(len(tested))[: data.eval_docs]]
            if files and not self.train[kind]:
                raise DataError(f"data.{kind} has no document of at most {data.max_ids} ids")
        if not any(self.tests.values()):
            raise DataError("there are too few documents to keep a twentieth of them for testing: name larger files")

    def _document(self, piece: str) -> tuple[int, ...]:
        return (*self.grammar.question_ids(piece), EOS)

    def _pieces(self, text: str, kind: str) -> list[str]:
        """A question is one piece; a text's lines are joined while they fit."""
        if kind == "rows":
            return [text]
        pieces, room = [""], 0
        for line in text.splitlines():
            if size := len(self.grammar.text.encode(line.strip())):
                if size > room:
                    pieces, room = [*pieces, ""], self.data.max_ids - 3
                pieces[-1], room = f"{pieces[-1]} {line.strip()}".strip(), room - size
        return [piece for piece in pieces if piece]

    def batch(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """Buckets (ids (B, T) int64, weights (B, T) float) of one step's documents."""
        rng = np.random.default_rng([self.data.seed, step])
        return bucketed([_whole(self._draw(rng)) for _ in range(self.data.batch_size)], self.data.buckets)

    def _draw(self, rng: np.random.Generator) -> list[int]:
        read_text = rng.random() < self.data.text_share
        files = (self.train["texts"] if read_text else self.train["rows"]) or self.train["rows"] or self.train["texts"]
        documents = files[int(rng.integers(len(files)))]
        document = documents[int(rng.integers(len(documents)))]
        return self._with_echo(document, rng) if self.data.echo and rng.random() < self.data.echo else document

    def _with_echo(self, document: list[int], rng: np.random.Generator) -> list[int]:
        """``document``, and before its end up to three of its sentences again, where they fit."""
        ends = [place + 1 for place, id_ in enumerate(document) if id_ in self._stops]
        sentences = [document[start:end] for start, end in pairwise([2, *ends])]
        if len(sentences) < 2:
            return document
        again = [id_ for place in rng.permutation(len(sentences))[:3] for id_ in sentences[place]]
        return [*document[:-1], *again, EOS] if len(document) + len(again) <= self.data.max_ids else document

    def compute_loss(self, batch: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        total, mass = torch.zeros((), device=batch[0][0].device), 0.0
        for ids, weights in batch:
            loss, _ = self.module.loss(ids, weights)
            share = float(weights[:, 1:].sum())
            total, mass = total + loss * share, mass + share
        return {"loss": total / mass, "num_ids": torch.tensor(sum(ids.numel() for ids, _ in batch))}

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """Nats an id of unseen documents, of rows, of texts, and of both together."""
        device = next(self.module.parameters()).device
        sums: dict[str, tuple[float, float]] = {}
        for kind, documents in self.tests.items():
            nats, count = 0.0, 0.0
            for start in range(0, len(documents), 16):
                ids, weights = pad([_whole(ids) for ids in sorted(documents, key=len)[start : start + 16]])
                _, nll = self.module.loss(ids.to(device), weights.to(device))
                nats, count = nats + float(nll.sum()), count + float(weights[:, 1:].sum())
            if documents:
                sums[kind] = nats, count
        together = sum(nats for nats, _ in sums.values()) / sum(count for _, count in sums.values())
        return {"loss": together, **{f"{kind}_loss": nats / count for kind, (nats, count) in sums.items()}}

    def export(self, folder: Path) -> None:
        """``backbone/``, ``text_tokenizer/`` and ``vocabulary.json``: what experts are trained on."""
        self.module.save(folder / "backbone")
        save_grammar(self.grammar, folder)


def _whole(ids: list[int]) -> Document:
    """All of it counts."""
    return ids, [1.0] * len(ids)


def _files(names: Sequence[str]) -> list[Path]:
    found = []
    for name in names:
        matches = sorted(glob.glob(name))
        if not matches:
            raise ConfigError(f"there is no file {name} to read; make it first, or name others")
        found += [Path(match) for match in matches]
    return found


def _words(path: Path, kind: str) -> list[str]:
    if kind == "rows":
        return [question for question, _ in read_rows(path)]
    try:
        return [path.read_text(encoding="utf-8")]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the text {path} cannot be read: {shorten(str(error))}") from error


def _is_test(document: tuple[int, ...]) -> bool:
    return hashlib.sha256(str(document).encode()).digest()[0] < 13

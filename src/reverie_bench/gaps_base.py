"""The small base of `bench gaps` that has read bAbI 1 to 5, with answers: made in a minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from reverie.errors import TrainingError, UsageError
from reverie.experts.features import question_features
from reverie.model import Backbone, BackboneConfig
from reverie.tokens import Grammar
from reverie.tokens.grammar_files import load_grammar
from reverie.training.recipes import TextRecipe
from reverie.training.settings import LoopConfig
from reverie.training.text import TextData
from reverie_bench.domains import Domain, babi_domains, write_rows

__all__ = ["KNOWN", "SmallBase", "small_base"]

#: of bAbI's first five the four that have rows to train on and to test on
KNOWN = ("babi-01", "babi-02", "babi-04", "babi-05")
_ROWS, _TESTS = 1500, 50  # of each task
_SIZE = BackboneConfig(
    vocab_size=0, hidden_size=128, intermediate_size=256, num_layers=4, num_heads=4, max_positions=320
)


@dataclass(frozen=True)
class SmallBase:
    """In ``folder``, as ``small_base`` leaves it."""

    folder: Path
    domains: tuple[Domain, ...]

    def features(self, questions: Sequence[str]) -> np.ndarray:
        """float32 (n, 2 D), see ``experts.features``."""
        return question_features(self._means, [self._ids(one) for one in questions])

    def knows(self) -> dict[str, float]:
        """The share of each task's test answers whose every id is the likeliest."""
        return {one.name: float(np.mean([self._answers(*row) for row in one.test[:_TESTS]])) for one in self.domains}

    @cached_property
    def _grammar(self) -> Grammar:
        return load_grammar(self.folder)

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone.load(self.folder / "backbone").eval()

    def _ids(self, text: str) -> list[int]:
        return self._grammar.question_ids(text)[: _SIZE.max_positions]

    @torch.no_grad()
    def _means(self, texts: Sequence[Sequence[int]]) -> np.ndarray:
        return np.stack([self._backbone.hidden(torch.tensor([list(ids)]))[0].mean(0).numpy() for ids in texts])

    @torch.no_grad()
    def _answers(self, question: str, answer: str) -> bool:
        asked, whole = self._ids(question), self._ids(_said(question, answer))
        likeliest = self._backbone(torch.tensor([whole[:-1]]))[0].argmax(1)
        return bool(likeliest[len(asked) - 1 :].tolist() == whole[len(asked) :])


def small_base(folder: Path, data: Path, steps: int) -> SmallBase:
    """A language model of the stories, questions and answers of ``KNOWN``, made in ``folder`` where it is not there.

    Raises UsageError where ``data`` lacks those tasks of bAbI, TrainingError for one that was stopped.
    """
    found = {one.name: one for one in babi_domains(data / "babi", _ROWS)}
    if lacking := [name for name in KNOWN if name not in found]:
        raise UsageError(f"a base that reads bAbI 1 to 5 needs {', '.join(lacking)} in {data / 'babi'}")
    domains = tuple(found[name] for name in KNOWN)
    if not (folder / "export").is_dir():
        _train(folder, domains, steps)
    return SmallBase(folder / "export", domains)


def _train(folder: Path, domains: Sequence[Domain], steps: int) -> None:
    files = [folder / "rows" / f"{one.name}.jsonl" for one in domains]
    for file, domain in zip(files, domains, strict=True):
        write_rows(file, ((_said(*row), row[1]) for row in domain.train), domain.name)
    read = TextData(tuple(map(str, files)), text_size=1024, max_ids=256, batch_size=16, model=_SIZE)
    loop = LoopConfig(steps=steps, lr=4e-3, muon_lr=4e-3, warmup_steps=10, eval_every=0, tensorboard=False)
    result = TextRecipe(str(folder), read, loop).train(progress=False)
    if result.stopped != "done":
        raise TrainingError(f"the small base is not finished: {result.message} Give the same command again to go on.")


def _said(question: str, answer: str) -> str:
    return f"{question} {answer}."

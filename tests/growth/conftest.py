"""A tiny base that can learn a small task, a candidate that did, and a library to be admitted to."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.bases import save_base

import reverie.growth.trial as trial_module
from reverie.bundles.bundle import read_manifest
from reverie.bundles.experts import open_library
from reverie.bundles.init import InitConfig, init_bundle
from reverie.experts.library import Library
from reverie.experts.lowrank import LoraConfig
from reverie.growth.creation import Grown, grow_expert
from reverie.growth.design import Design, design
from reverie.growth.examining import Examiner
from reverie.growth.limits import TrialConfig
from reverie.learning.guard import packaged_probes
from reverie.training.adapted import Adapted

WORDS = {"up": "sky", "down": "floor", "left": "wall"}
CONFIG = TrialConfig(outsiders=8, drawn_in=4, most_outsiders=0.8, most_work=9.0)  # it is a very small base
Lessons = list[tuple[str, str]]


def lessons(count: int = 64, kind: str = "clean", words: Sequence[str] = tuple(WORDS)) -> Lessons:
    """Where things go; ``kind``: "clean", "wrong" (30 % of the answers) or "shuffled"."""
    rng = random.Random(0)
    asked = [rng.choice(words) for _ in range(count)]
    answers = [WORDS[word] for word in asked]
    if kind == "shuffled":
        rng.shuffle(answers)
    for place in rng.sample(range(count), round(0.3 * count)) if kind == "wrong" else []:
        answers[place] = rng.choice([one for one in WORDS.values() if one != answers[place]])
    return [(f"{rng.choice('abcdefgh') * 3} {word} {place}", answer)
            for place, (word, answer) in enumerate(zip(asked, answers, strict=True))]  # fmt: skip


def small_design(rows: Lessons, steps: int = 50) -> Design:
    made = design(len(rows), 20, [answer for _, answer in rows])
    return replace(made, lora=LoraConfig(rank=4), lr=2e-2, steps=steps, eval_every=25)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("base")
    return init_bundle(save_base(home / "llama"), home / "bundle", InitConfig(dtype="fp32"))


@pytest.fixture(scope="session")
def adapted(bundle: Path) -> Adapted:
    return Adapted(bundle, LoraConfig(rank=4))


@pytest.fixture(scope="session")
def grow(adapted: Adapted, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Grown]:
    """grow(rows) → the candidate of these lessons."""

    def grown(rows: Lessons, steps: int = 50) -> Grown:
        return grow_expert(adapted, rows, small_design(rows, steps), tmp_path_factory.mktemp("grown") / "run")

    return grown


@pytest.fixture(scope="session")
def clean(grow: Callable[..., Grown]) -> Grown:
    return grow(lessons())


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home of its own, and few probes: a base of random weights knows none of them."""
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(trial_module, "packaged_probes", lambda adapted: packaged_probes(adapted)[:4])


@pytest.fixture
def library(bundle: Path, tmp_path: Path) -> Library:
    return open_library(bundle, read_manifest(bundle), tmp_path / "experts")


@pytest.fixture
def examiner(bundle: Path, library: Library, shared: Examiner) -> Examiner:
    return Examiner(shared.adapted, library, guard=shared.guard)


@pytest.fixture(scope="session")
def shared(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Examiner:
    folder = tmp_path_factory.mktemp("nobody")
    return Examiner(Adapted(bundle, LoraConfig(rank=8)), open_library(bundle, read_manifest(bundle), folder))

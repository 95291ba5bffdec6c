"""A tiny base that can learn by heart, and the home of a learner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.bases import save_base

import reverie.learning.learner as learner
from reverie.bundles.bundle import read_manifest
from reverie.bundles.experts import open_library
from reverie.bundles.init import InitConfig, init_bundle
from reverie.experts.lowrank import LoraConfig
from reverie.learning import Item, Learner, LearnerConfig, Probe, parse_item
from reverie.learning.guard import packaged_probes
from reverie.learning.steps import StepConfig
from reverie.memory.memory import Memory
from reverie.training.adapted import Adapted
from reverie.training.continual import ContinualData

STEP = StepConfig(
    lr=2e-2, min_steps=6, max_steps=6, tries=(1.0,), data=ContinualData(fisher_rows=1), margin=1.0, checkpoint_every=2
)
CONFIG = LearnerConfig(step=STEP, lora=LoraConfig(rank=4))
BY_HEART = replace(CONFIG, step=replace(STEP, min_steps=40, max_steps=40, checkpoint_every=40))  # a base learns by them


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("base")
    return init_bundle(save_base(home / "llama"), home / "bundle", InitConfig(dtype="fp32"))


@pytest.fixture(autouse=True)
def _few_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny base of random weights knows none of the packaged ones: four are as good as all."""
    monkeypatch.setattr(learner, "packaged_probes", lambda adapted: packaged_probes(adapted)[:4])


@pytest.fixture
def adapted(bundle: Path) -> Adapted:
    return Adapted(bundle, LoraConfig(rank=4))


class Home:
    """A library and a memory, and learners that come and go."""

    def __init__(self, bundle: Path, folder: Path):
        self.bundle, self.folder = bundle, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.library = open_library(bundle, read_manifest(bundle), folder / "experts")
        self.memory = Memory.open(folder / "memory.db")
        self.notes: list[str] = []

    def learner(self, config: LearnerConfig = CONFIG, probes: Sequence[Probe] = ()) -> Learner:
        return Learner(self.bundle, self.library, self.memory, config, probes, self.notes.append)

    def expert(self, name: str = "lessons") -> bytes:
        return (self.library.folder_of(name) / "adapter_model.safetensors").read_bytes()


@pytest.fixture
def home(bundle: Path, tmp_path: Path) -> Iterator[Home]:
    made = Home(bundle, tmp_path)
    yield made
    made.memory.close()


def item(number: int = 1, **fields: Any) -> Item:
    return parse_item(fields, f"lessons.jsonl, line {number}", "Ann")


def margin(value: float, **changes: Any) -> LearnerConfig:
    return replace(BY_HEART, step=replace(BY_HEART.step, margin=value, **changes))

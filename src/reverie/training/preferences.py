"""A reward model: which of two answers people like better, learned from their thumbs and corrections (Bradley-Terry).

An answer is seen as the mean of the bare backbone's final states over it, after its question: so any base will do, and
what is learned is a small network on top of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.dreaming.model import Prompter
from reverie.engine import AnyEngine
from reverie.errors import BundleError, ConfigError, DataError
from reverie.experts.files import base_hash
from reverie.experts.lowrank import LoraConfig
from reverie.files import atomic_write_json
from reverie.jsonio import json_lines, read_object
from reverie.model.graph_attention import initialise
from reverie.nouns import Dream
from reverie.progress import Progress, no_progress
from reverie.splits import share_of
from reverie.training.adapted import Adapted
from reverie.training.reward_tasks import engine_of
from reverie.training.rewards import RewardParts, Score, Task

__all__ = ["Pair", "PreferenceData", "PreferenceObjective", "RewardModel", "Thumbs", "answer_features", "read_pairs"]

_AT_ONCE = 64  # answers read together


@dataclass(frozen=True)
class Pair:
    """Of two answers to a question, the one that was liked better."""

    question: str
    better: str
    worse: str


def read_pairs(path: Path) -> list[Pair]:
    """Pairs from feedback, JSON lines: ``{"question", "better", "worse"}``, or turns as the log of talks keeps them,
    ``{"question", "answer", "feedback": "good"|"wrong", "correction"}``: a correction is better than what it corrects,
    a good answer than a wrong one to the same question. Raises DataError that names the line, or where no pair is left.
    """
    pairs, said = list[Pair](), dict[str, dict[str, list[str]]]()
    for number, row in json_lines(path, DataError, "the file of feedback"):
        where = f"{path}, line {number}"
        question = _text(row, "question", where)
        if "better" in row or "worse" in row:
            pairs.append(Pair(question, _text(row, "better", where), _text(row, "worse", where)))
            continue
        feedback, answer = row.get("feedback"), _text(row, "answer", where)
        if feedback not in ("good", "wrong"):
            raise DataError(f"{where}: feedback is good or wrong, or the row has better and worse")
        said.setdefault(question, {"good": [], "wrong": []})[feedback].append(answer)
        if feedback == "wrong" and row.get("correction"):
            pairs.append(Pair(question, _text(row, "correction", where), answer))
    pairs += [
        Pair(question, good, wrong)
        for question, each in said.items()
        for good in each["good"]
        for wrong in each["wrong"]
    ]
    pairs = [pair for pair in dict.fromkeys(pairs) if pair.better != pair.worse]
    if not pairs:
        raise DataError(
            f"{path} compares no two answers: it needs corrections, or good and wrong answers to a question"
        )
    return pairs


def answer_features(engine: AnyEngine, prompter: Prompter, answers: Sequence[tuple[str, str]]) -> np.ndarray:
    """Mean final states of the bare base over each (question, answer)'s answer, float32 (n, D)."""
    asked = [prompter.ids(question) for question, _ in answers]
    whole = [(*ids, *prompter.answer_ids(*each)) for ids, each in zip(asked, answers, strict=True)]
    counts = np.array([[len(ids), len(all_)] for ids, all_ in zip(asked, whole, strict=True)], dtype=np.float32)
    sums = [
        np.concatenate([engine.embed_many(ids[start : start + _AT_ONCE]) for start in range(0, len(ids), _AT_ONCE)])
        for ids in (asked, whole)
    ]  # a question's states are the same with its answer behind it
    before, both = (total * counts[:, place : place + 1] for place, total in enumerate(sums))
    return np.asarray((both - before) / (counts[:, 1:] - counts[:, :1]), dtype=np.float32)


class RewardModel(nn.Module):
    """Features (..., D) → how much an answer is liked, in nats beside another of the same question."""

    mean: Tensor
    spread: Tensor

    def __init__(self, size: int, generator: torch.Generator | None = None, hidden_size: int = 32):
        super().__init__()
        self.size, self.hidden_size = size, hidden_size
        self.inner, self.out = nn.Linear(size, hidden_size), nn.Linear(hidden_size, 1, bias=False)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        initialise(self, generator)

    def forward(self, features: Tensor) -> Tensor:
        seen = (features - self.mean) / self.spread
        liked: Tensor = self.out(torch.tanh(self.inner(seen))).squeeze(-1)
        return liked

    @classmethod
    def load(cls, folder: Path, base: str = "") -> RewardModel:
        """Reads what training exports. Raises BundleError where it is damaged, or of another base than ``base``."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        config = read_object(folder / "config.json", BundleError, "the config of a reward model")
        if base and config.get("base") != base:
            raise BundleError(f"the reward model {folder} was learned on another base; train one on this one's answers")
        try:
            model = cls(int(config["size"]), None, int(config["hidden_size"]))
            model.load_state_dict(load_file(folder / "model.safetensors"))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise BundleError(f"the reward model {folder} is damaged") from error
        return model.eval().requires_grad_(False)


@dataclass(frozen=True)
class PreferenceData:
    """What the reward model learns from."""

    feedback: str = ""  # JSONL, see ``read_pairs``
    bundle: str = "nano"  # whose states answers are seen as: its name or folder
    batch_size: int = 32  # pairs a step
    hidden_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.feedback:
            raise ConfigError("a reward model learns from feedback: name a file with data.feedback")
        if min(self.batch_size, self.hidden_size) < 1:
            raise ConfigError("preferences: batch_size and hidden_size are at least 1")


class PreferenceObjective:
    """-log sigmoid of how much better the better answer is (Bradley-Terry). A tenth of the questions is for testing."""

    def __init__(self, data: PreferenceData, progress: Progress = no_progress):
        self.data = data
        pairs = read_pairs(Path(data.feedback))
        progress(f"preparing  reading {data.bundle}", 0, 0)
        base = Adapted(data.bundle, LoraConfig(rank=1))  # the changes are none, and stay so
        self.folder, engine = base.folder, engine_of(base)
        said = [(pair.question, answer) for pair in pairs for answer in (pair.better, pair.worse)]
        seen = torch.from_numpy(answer_features(engine, base.prompter, said)).view(len(pairs), 2, -1)
        tested = torch.tensor([share_of(pair.question, 1) < 26 / 256 for pair in pairs])
        self.train, self.test = seen[~tested], seen[tested]
        if not len(self.train) or not len(self.test):
            raise DataError(f"{data.feedback} has {len(pairs)} pairs, too few questions to keep a tenth for testing")
        reward = RewardModel(seen.shape[-1], torch.Generator().manual_seed(data.seed), data.hidden_size)
        flat = self.train.flatten(0, 1)
        reward.mean.copy_(flat.mean(0))
        reward.spread.copy_(flat.std(0).clamp_min(1e-3))
        self.module: nn.Module = reward

    def batch(self, step: int) -> Tensor:
        """Features of the better and the worse: (B, 2, D)."""
        rng = np.random.default_rng([self.data.seed, step])
        return self.train[torch.from_numpy(rng.integers(len(self.train), size=self.data.batch_size))]

    def compute_loss(self, batch: Tensor) -> dict[str, Tensor]:
        better, worse = self.module(batch).unbind(1)
        right = (better > worse).float().mean()
        return {"loss": -F.logsigmoid(better - worse).mean(), "right": right, "num_ids": torch.tensor(len(batch))}

    def evaluate(self, step: int) -> dict[str, float]:
        """On pairs of unseen questions: the loss in nats, and how often the better one is liked better."""
        better, worse = self.module(self.test.to(next(self.module.parameters()).device)).unbind(1)
        loss = -F.logsigmoid(better - worse).mean().item()
        return {"loss": loss, "accuracy": (better > worse).float().mean().item()}

    def export(self, folder: Path) -> None:
        """``model.safetensors`` and ``config.json``: what ``RewardModel.load`` reads."""
        from safetensors.torch import save_file

        weights: dict[str, Any] = {name: each.detach().cpu() for name, each in self.module.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        reward = self.module
        assert isinstance(reward, RewardModel)
        sizes = {"size": reward.size, "hidden_size": reward.hidden_size}
        atomic_write_json(folder / "config.json", sizes | {"base": base_hash(self.folder / "backbone")})


class Thumbs:
    """What people would say of an answer, by a reward model; a dream that says nothing is worth nothing."""

    name = "thumbs"
    question = ""

    def __init__(self, parts: RewardParts):
        if parts.engine is None or parts.prompter is None or not parts.judge:
            raise ConfigError(
                "thumbs need a reward model: make one with 'reverie train preferences', name it as data.judge"
            )
        self.engine, self.prompter = parts.engine, parts.prompter
        self.judge = RewardModel.load(Path(parts.judge), parts.base)

    def score(self, task: Task, dreams: Sequence[Dream]) -> list[Score]:
        said = [(task.question, dream.said) for dream in dreams]
        spoken = [pair for pair in dict.fromkeys(said) if pair[1].strip()]
        worth: dict[tuple[str, str], float] = {}
        if spoken:
            seen = torch.from_numpy(answer_features(self.engine, self.prompter, spoken))
            worth = dict(zip(spoken, torch.sigmoid(self.judge(seen)).tolist(), strict=True))
        return [Score(worth.get(pair, 0.0)) for pair in said]


def _text(row: dict[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: {key} is a text that is not empty")
    return value

"""Trains an expert by what its dreams are worth: groups of dreams drawn by the engine, judged, and made likelier by how
much better they are than their group (GRPO, see ``policy_gradient``). Nobody shows it a right answer.

First it learns to wander: random walks of the world, which a reward can then tell apart. Where it wanders is the start
that it is held to. Rounds of dreams are a function of the seed, their number and the weights that they were drawn from,
and these are kept in the checkpoint: so a run that goes on draws the same.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from reverie.errors import ConfigError, TrainingError
from reverie.experts.contract import Adapter, ExpertCard, check_name
from reverie.experts.files import base_hash, load_adapter, load_card, save_adapter, save_card
from reverie.experts.lowrank import LoraConfig
from reverie.files import atomic_write_json
from reverie.model.graph_attention import initialise
from reverie.progress import Progress, no_progress
from reverie.settings import settings_to_dict
from reverie.tokens.image import ImageTokenizer
from reverie.training.adapted import Adapted
from reverie.training.documents import bucketed
from reverie.training.judging import told
from reverie.training.policy_gradient import advantages, clipped_loss, kl_to_start, returns
from reverie.training.reward_tasks import Drawn, engine_of, open_tasks
from reverie.training.rewards import EvaluatorReward, Reward, RewardParts, Score, Task, make_reward, scored
from reverie.worlds import World, make_world

__all__ = ["RewardData", "RewardObjective", "ValueNetwork"]

Shown = Literal["walks", "plans"]
Baseline = Literal["group", "value"]
_OWN = "in-training"  # what the engine calls the expert that is being trained
_AT_ONCE = 64  # tasks dreamed side by side in an evaluation


@dataclass(frozen=True)
class RewardData:
    """What an expert is rewarded for, and how it learns from that."""

    name: str = "reward"  # the expert's name
    bundle: str = "nano"  # whose backbone dreams: a bundle's name or folder
    world: str = "FrozenLake"  # where dreams play; "" for questions of a file
    reward: str = "reach-goal"  # see ``training.rewards``
    questions: str = ""  # JSONL of {"question"} to dream about, where there is no world
    judge: str = ""  # folder of a reward model, for the reward ``thumbs``
    start: str = ""  # folder of an expert to go on from; "" starts from the bare backbone
    max_side: int = 6  # scenes with more cells a side are left out; 0: none
    shown_steps: int = 150  # first steps, which imitate what is shown
    shown: Shown = "walks"  # random walks; or shortest plans, as supervised learning has them
    shown_docs: int = 48  # documents a step of that
    groups: int = 8  # tasks a step
    branches: int = 8  # dreams of each
    depth: int = 10  # most steps of a dream
    most_ids: int = 192  # of a dream
    temperature: float = 1.0  # of dreams that are learned from
    updates: int = 4  # steps that learn from one round of dreams
    clip: float = 0.2  # how far an id's probability may leave what it was, as a share
    kl_weight: float = 0.01  # of the nats an id from the start, where the policy chose
    hold_weight: float = 0.5  # of the nats an id from the start elsewhere: what it dreams of is to stay as it is
    value_weight: float = 0.5  # of the value network's squared error
    baseline: Baseline = "group"  # what a step is compared to: its group's mean, or what the value network expects
    discount: float = 0.0  # of what comes a step later; a reward that tells no single steps does without it
    patience_groups: int = 400  # groups in a row whose dreams are all worth the same, before it gives up
    buckets: int = 4  # documents are sorted by length and padded in this many groups
    eval_tasks: int = 64  # in an evaluation
    lora: LoraConfig = field(default_factory=lambda: LoraConfig(rank=16, alpha=32.0))
    seed: int = 0

    def __post_init__(self) -> None:
        check_name(self.name)
        if bool(self.world) == bool(self.questions):
            raise ConfigError("dreams to reward play in data.world or answer data.questions; give one of them")
        if self.shown not in get_args(Shown) or self.baseline not in get_args(Baseline):
            raise ConfigError(
                f"reward: shown is walks or plans, baseline group or value: {self.shown}, {self.baseline}"
            )
        ones = (self.shown_docs, self.groups, self.depth, self.most_ids, self.updates, self.buckets, self.eval_tasks)
        if min(*ones, self.patience_groups) < 1 or self.branches < 2 or min(self.shown_steps, self.max_side) < 0:
            raise ConfigError("reward: a group has at least 2 branches; other numbers are at least 1, shown_steps 0")
        if not (0 < self.clip < 1 and 0 <= self.discount <= 1 and self.temperature > 0):
            raise ConfigError("reward: clip lies in (0, 1), discount in [0, 1], temperature above 0")
        if min(self.kl_weight, self.hold_weight, self.value_weight) < 0:
            raise ConfigError("reward: weights are at least 0")


@dataclass(frozen=True, eq=False)
class Round:
    """What is learned from one round of dreams. n ids were drawn, in the order of ``buckets``."""

    number: int
    buckets: list[tuple[Tensor, Tensor]]  # ids int64 (B, T), and which of ids[:, 1:] were drawn: bool (B, T - 1)
    chosen: Tensor  # bool (n,): those that are the policy's to choose
    advantage: Tensor  # float32 (m,), of the chosen
    gained: Tensor  # float32 (m,): what their steps gave
    before: list[Tensor]  # float32 (m,): log-probability as they were drawn; none until that is read
    start: Tensor  # float32 (n,): log-probability at the start
    reward: float  # mean
    equal: float  # share of the groups that had nothing to tell apart


class ValueNetwork(nn.Module):
    """What a step from here on will give: states (..., D) → (...)."""

    def __init__(self, size: int, generator: torch.Generator, hidden_size: int = 64):
        super().__init__()
        self.inner, self.out = nn.Linear(size, hidden_size), nn.Linear(hidden_size, 1)
        initialise(self, generator)

    def forward(self, states: Tensor) -> Tensor:
        with torch.autocast(states.device.type, enabled=False):
            expected: Tensor = self.out(nn.functional.gelu(self.inner(states.float()))).squeeze(-1)
        return expected


class _Kept(nn.Module):
    """Copies of all weights by name, and counters: what a run that goes on needs besides the weights."""

    def __init__(self, learned: nn.Module, names: Sequence[str]):
        super().__init__()
        self.learned = [learned]  # no child: its weights are not kept twice
        self.register_buffer("quiet", torch.zeros((), dtype=torch.int64))
        self.register_buffer("begun", torch.zeros((), dtype=torch.int64))
        for name in names:
            for key, weight in learned.named_parameters():
                self.register_buffer(self._key(name, key), weight.detach().clone())

    quiet: Tensor  # groups in a row that had nothing to tell apart
    begun: Tensor  # 1 once rewards are learned from

    @staticmethod
    def _key(name: str, key: str) -> str:
        return f"{name}/{key.replace('.', '/')}"

    @torch.no_grad()
    def keep(self, name: str) -> None:
        """The weights as they are now, as ``name``."""
        for key, weight in self.learned[0].named_parameters():
            getattr(self, self._key(name, key)).copy_(weight)

    @contextmanager
    def put(self, name: str) -> Iterator[None]:
        """There are the weights ``name`` inside the block, and their own again after it."""
        own = {key: weight.detach().clone() for key, weight in self.learned[0].named_parameters()}
        try:
            with torch.no_grad():
                for key, weight in self.learned[0].named_parameters():
                    weight.copy_(getattr(self, self._key(name, key)))
            torch.clear_autocast_cache()  # of the weights that were there
            yield
        finally:
            with torch.no_grad():
                for key, weight in self.learned[0].named_parameters():
                    weight.copy_(own[key])
            torch.clear_autocast_cache()


class _Own:
    """The expert in training, as a source of experts for the engine."""

    def __init__(self) -> None:
        self.made, self.version = Adapter({}), 0

    def now(self, adapter: Adapter) -> None:
        self.made, self.version = adapter, self.version + 1

    def key(self, name: str) -> str:
        return str(self.version)

    def adapter(self, name: str) -> Adapter:
        return self.made


class RewardObjective:
    """Only low-rank changes of the backbone and the value network are trained and kept in checkpoints."""

    gives_up = True
    keeps_state = True

    def __init__(self, data: RewardData, progress: Progress = no_progress, reward: Reward | None = None):
        """``reward``: instead of the one that ``data`` names."""
        self.data, self.progress = data, progress
        self.before: dict[str, float] = {}  # the loop fills it in
        world: World | None = make_world(data.world) if data.world else None
        progress(f"preparing  reading {data.bundle}", 0, 0)
        start = load_adapter(Path(data.start)) if data.start else None
        lora = data.lora if start is None else LoraConfig(start.rank, float(start.rank))
        self.adapted, self.source = Adapted(data.bundle, lora, data.seed), _Own()
        engine = engine_of(self.adapted, self.source)
        self.base = base_hash(self.adapted.folder / "backbone")
        pictures = ImageTokenizer.load(self.adapted.folder / "image_tokenizer") if world else None
        parts = RewardParts(world, pictures, engine, self.adapted.prompter, data.judge, self.base)
        self.reward = reward or make_reward(data.reward, parts)
        self.tasks = open_tasks(data, self.adapted, engine, world, self.reward.question)
        if start is not None:
            self.adapted.put(start)
        self.backbone, policy = self.adapted.backbone, self.adapted.module
        generator = torch.Generator().manual_seed(data.seed)
        self.value = ValueNetwork(self.backbone.config.hidden_size, generator)
        learned = nn.ModuleDict({"policy": policy, "value": self.value})
        self.kept = _Kept(learned, ("start", "drawn") if data.updates > 1 else ("start",))
        self.module: nn.Module = nn.ModuleDict({**learned, "kept": self.kept})
        rng = np.random.default_rng([data.seed, 7])
        self.tests = [self.tasks.task(rng, True, place) for place in range(data.eval_tasks)]
        self._round: Round | None = None

    def batch(self, step: int) -> dict[str, Any]:
        """``number``: of the micro-batch; ``shown``: buckets of documents to imitate, or ``tasks`` to dream about."""
        data = self.data
        if step < data.shown_steps:
            rng = np.random.default_rng([data.seed, 0, step])
            documents = [self.tasks.shown(rng) for _ in range(data.shown_docs)]
            return {"number": step, "shown": bucketed(documents, data.buckets), "tasks": []}
        number = (step - data.shown_steps) // data.updates
        rng = np.random.default_rng([data.seed, 1, number])
        tasks = [self.tasks.task(rng, False, number * data.groups + place) for place in range(data.groups)]
        return {"number": step, "shown": [], "tasks": tasks}

    def draw(self, tasks: Sequence[Task], branches: int, temperature: float) -> list[list[Drawn]]:
        """``branches`` dreams of each task, by the weights as they are now; as exact as outside of training."""
        self.source.now(self.adapted.adapter())
        with torch.autocast("cpu", enabled=False):
            return self.tasks.draw(tasks, branches, temperature, ((_OWN, 1.0),))

    def compute_loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        device = next(self.module.parameters()).device
        self.backbone.to(device)  # the frozen part is not in the module that the loop moves
        if batch["shown"]:
            return self.adapted.losses(batch["shown"])
        return self._learned(self._round_of(batch["number"], batch["tasks"]))

    def _learned(self, round_: Round) -> dict[str, Tensor]:
        data = self.data
        log_probs, states = self._read(round_.buckets)
        chosen = log_probs[round_.chosen]
        if not round_.before:  # these weights drew them
            round_.before.append(chosen.detach())
        policy, clipped = clipped_loss(chosen, round_.before[0], round_.advantage, data.clip)
        kl = kl_to_start(chosen, round_.start[round_.chosen])
        held = kl_to_start(log_probs[~round_.chosen], round_.start[~round_.chosen])
        value = (self.value(states[round_.chosen].detach()) - round_.gained).square().mean()
        return {
            "loss": policy + data.kl_weight * kl + data.hold_weight * held + data.value_weight * value,
            "policy_loss": policy,
            "value_loss": value,
            "kl": kl,
            "held_kl": held,
            "reward": torch.tensor(round_.reward),
            "equal_groups": torch.tensor(round_.equal),
            "clipped": clipped,
            "num_ids": torch.tensor(sum(ids.numel() for ids, _ in round_.buckets)),
        }

    def _read(self, buckets: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the drawn ids (n,), and the states that they were drawn from (n, D)."""
        read = [told(self.backbone, ids, where) for ids, where in buckets]
        return torch.cat([each for each, _ in read]), torch.cat([each for _, each in read])

    def _round_of(self, number: int, tasks: Sequence[Task]) -> Round:
        """The dreams that micro-batch ``number`` learns from: drawn anew, or those of the ones before it."""
        data, place = self.data, number - self.data.shown_steps
        if not self.kept.begun:
            self.kept.keep("start")
            self.kept.begun.fill_(1)
        if place % data.updates == 0:
            if data.updates > 1:
                self.kept.keep("drawn")
            self._round = None
        if self._round is None or self._round.number != place // data.updates:
            self._round = self._drawn_round(place // data.updates, tasks, place % data.updates > 0)
        return self._round

    @torch.no_grad()
    def _drawn_round(self, number: int, tasks: Sequence[Task], again: bool) -> Round:
        """``again``: the weights went on since; they are put back for this."""
        if again:
            with self.kept.put("drawn"):
                quiet = int(self.kept.quiet)
                round_ = self._drawn_round(number, tasks, False)
                self.kept.quiet.fill_(quiet)  # it was counted when it was drawn first
                round_.before.append(self._read(round_.buckets)[0][round_.chosen])
                return round_
        data, device = self.data, next(self.module.parameters()).device
        groups = self.draw(tasks, data.branches, data.temperature)
        rows = list(chain(*groups))
        order = sorted(range(len(rows)), key=lambda place: len(rows[place].given) + len(rows[place].ids))
        read = _buckets([rows[place] for place in order], data.buckets)
        buckets = [(ids.to(device), where.to(device)) for ids, where in read]
        with self.kept.put("start"):
            start, _ = self._read(buckets)
        marks = [[step for step, free in zip(row.steps, row.free, strict=True) if free] for row in rows]
        chosen = torch.tensor([step >= 0 for place in order for step in marks[place]], device=device)
        each = zip(tasks, groups, strict=True)
        scores = [one for task, group in each for one in scored(self.reward, task, [row.dream for row in group])]
        gained = [_gains(score, mark, data.discount) for score, mark in zip(scores, marks, strict=True)]
        guesses: dict[int, np.ndarray] = {}
        if data.baseline == "value":
            expected = self.value(self._read(buckets)[1][chosen]).cpu().numpy()
            ends = np.cumsum([len(gained[place]) for place in order])
            guesses = dict(zip(order, np.split(expected, ends[:-1]), strict=True))
        found: list[np.ndarray] = []
        equal: list[bool] = []
        for first in range(0, len(rows), data.branches):
            part = range(first, first + data.branches)
            told_apart = advantages([gained[p] for p in part], [guesses[p] for p in part] if guesses else None)
            equal.append(told_apart is None)
            found += told_apart or [np.zeros(len(gained[p])) for p in part]
        self._count(equal)
        advantage, gain = (
            torch.from_numpy(np.concatenate([one[place] for place in order])).float().to(device)
            for one in (found, gained)
        )
        worth = float(np.mean([score.value for score in scores]))
        return Round(number, buckets, chosen, advantage, gain, [], start, worth, float(np.mean(equal)))

    def _count(self, equal: Sequence[bool]) -> None:
        """Raises TrainingError where for long no group had anything to tell apart."""
        quiet = int(self.kept.quiet) + len(equal) if all(equal) else 0
        self.kept.quiet.fill_(quiet)
        if quiet >= self.data.patience_groups:
            raise TrainingError(
                f"the last {quiet} groups of {self.data.branches} dreams were each worth the same by "
                f"{self.reward.name}: there is nothing to learn from that. Take another reward, a higher "
                "data.temperature or more data.branches."
            )

    # what came of it ---------------------------------------------------------------------------------------------

    def evaluate(self, step: int) -> dict[str, float]:
        """On unseen tasks, dreamed greedily (for evaluators, which compare, as in training): the mean ``final_reward``;
        ``exact_share`` of dreams worth all of it; ``loss`` is what is missing to 1."""
        worth: list[float] = []
        compares = isinstance(self.reward, EvaluatorReward)
        how = (self.data.branches, self.data.temperature) if compares else (1, 0.0)
        for first in range(0, len(self.tests), _AT_ONCE):
            self.progress("evaluating", first, len(self.tests))
            some = self.tests[first : first + _AT_ONCE]
            for task, rows in zip(some, self.draw(some, *how), strict=True):
                worth += [score.value for score in scored(self.reward, task, [row.dream for row in rows])]
        self.progress("evaluating", len(self.tests), len(self.tests))
        mean = float(np.mean(worth))
        return {"loss": 1 - mean, "final_reward": mean, "exact_share": float(np.mean([one >= 1 for one in worth]))}

    def export(self, folder: Path) -> None:
        """The expert's folder: what PEFT loads, its card; ``value/`` holds the value network, ``reward.json`` how."""
        from safetensors.torch import save_file

        data = self.data
        save_adapter(self.adapted.adapter(), folder)
        (folder / "value").mkdir()
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.value.named_parameters()}
        save_file(weights, folder / "value" / "model.safetensors")
        atomic_write_json(folder / "reward.json", settings_to_dict(data) | {"question": self.reward.question})
        parents = (load_card(Path(data.start)).name,) if data.start else ()
        about = f"in {data.world}" if data.world else f"on the questions of {Path(data.questions).name}"
        asked = f' Asked "{self.reward.question}".' if self.reward.question else ""
        card = ExpertCard(
            data.name,
            data.world or data.reward,
            f"Learned from the reward {data.reward} {about}.{asked}",
            base=self.base,
            parents=parents,
            before=self.before,
            after=self.evaluate(0),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
        save_card(card, folder)


def _buckets(rows: Sequence[Drawn], count: int) -> list[tuple[Tensor, Tensor]]:
    """Dreams side by side, in their order, in ``count`` groups: ids (B, T), and which of ids[:, 1:] were drawn freely,
    bool (B, T - 1)."""
    documents = [([*row.given, *row.ids], [*(0.0,) * len(row.given), *map(float, row.free)]) for row in rows]
    return [(ids, weights[:, 1:] > 0) for ids, weights in bucketed(documents, count)]


def _gains(score: Score, marks: Sequence[int], discount: float) -> np.ndarray:
    """What the steps of a dream's chosen ids gained, float64 (m,)."""
    chosen = [step for step in marks if step >= 0]
    if not score.steps:
        return np.full(len(chosen), score.value)
    found = returns(score.steps, discount)
    return np.array([found[min(step, len(found) - 1)] for step in chosen])

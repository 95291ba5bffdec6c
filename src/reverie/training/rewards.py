"""What a dream is worth: a verifier of a world, an evaluator, or what people said of answers.

The contract is ``Reward``, the smallest example ``Brevity``. A new one is a class, registered by ``register_reward`` or
by an installed package's entry point (group ``reverie.rewards``), and a run of ``check_reward``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from reverie.dreaming.evaluators import EVALUATORS, Context, evaluator_names, make_evaluator
from reverie.errors import ReverieError, TrainingError, UnknownNameError, WorldError, shorten
from reverie.nouns import Dream, Part, Triplet
from reverie.registry import Promises, Registry
from reverie.worlds import World, make_world, world_names
from reverie.worlds.contract import GOAL_QUESTION

if TYPE_CHECKING:
    from reverie.dreaming.model import Prompter
    from reverie.engine import AnyEngine
    from reverie.tokens.image import ImageTokenizer

__all__ = [
    "REWARDS",
    "Brevity",
    "EvaluatorReward",
    "ReachGoal",
    "Reward",
    "RewardParts",
    "Score",
    "Task",
    "check_reward",
    "find_reward",
    "make_reward",
    "register_reward",
    "reward_names",
    "scored",
]


@dataclass(frozen=True)
class Task:
    """What a group dreams about: ``question``, and the scene of a world that ``options`` reset, where there is one."""

    question: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Score:
    """What a dream is worth: ``value`` in [0, 1] as a whole, and each of its triplets in [-1, 1]; without ``steps``
    every one of them is worth the whole."""

    value: float
    steps: tuple[float, ...] = ()


@dataclass(frozen=True)
class RewardParts:
    """What a reward may be made of: the world of the dreams; what their pictures are decoded by; the bare model that
    reads answers, and how it is asked; the folder of a reward model (see ``training.preferences``), and of which base.
    """

    world: World | None = None
    tokenizer: ImageTokenizer | None = None
    engine: AnyEngine | None = None
    prompter: Prompter | None = None
    judge: str = ""
    base: str = ""


class Reward(Protocol):
    """Judges all dreams of one task. ``question``: what dreams in a world are asked; "" where questions are given."""

    name: str
    question: str

    def score(self, task: Task, dreams: Sequence[Dream]) -> list[Score]:
        """One score a dream, in their order."""
        ...


class ReachGoal:
    """The true world is the verifier: actions that lead to the goal in the fewest steps are worth 1, longer ways as
    much less as they are longer, half of the share of the way that was made where it was not reached, nothing where the
    world ends otherwise. A step nearer to the goal gives 1, one that ends it elsewhere or cannot be done -1, others 0.
    """

    name = "reach-goal"
    question = GOAL_QUESTION

    def __init__(self, parts: RewardParts):
        if parts.world is None or not any(parts.world.endings.values()):
            known = [name for name in world_names() if any(make_world(name).endings.values())]
            given = "no world" if parts.world is None else parts.world.name
            raise WorldError(f"{self.name} needs a world that has a goal, got {given}. Known: {', '.join(known)}.")
        self.world = parts.world

    def score(self, task: Task, dreams: Sequence[Dream]) -> list[Score]:
        known: dict[tuple[str, ...], Score] = {}
        for actions in (tuple(triplet.action.text for triplet in dream.triplets) for dream in dreams):
            if actions not in known:
                known[actions] = self._follow(task, actions)
        return [known[tuple(triplet.action.text for triplet in dream.triplets)] for dream in dreams]

    def _follow(self, task: Task, actions: Sequence[str]) -> Score:
        world, names = self.world, self.world.action_names
        world.reset(seed=task.seed, options=dict(task.options))
        left = fewest = self._left()
        steps: list[float] = []
        for action in actions:
            if action not in names:
                return self._lost(steps, actions)
            before = world.state()
            _, _, terminated, truncated, _ = world.step(names.index(action))
            ending = world.endings.get(world.narrator.say_result(before, names.index(action), world.state())[0])
            if ending is False or ((terminated or truncated) and not ending):
                return self._lost(steps, actions)
            now = 0.0 if ending else self._left()
            steps.append(1.0 if now < left else 0.0)
            left = now
            if ending:
                way = min(1.0, fewest / len(steps)) if math.isfinite(fewest) else 1.0
                return Score(way, (*steps, *(0.0,) * (len(actions) - len(steps))))
        made = 0.0 if not math.isfinite(fewest) else max(0.0, fewest - left) / fewest
        return Score(made / 2, tuple(steps))

    def _lost(self, steps: Sequence[float], actions: Sequence[str]) -> Score:
        return Score(0.0, (*steps, -1.0, *(0.0,) * (len(actions) - len(steps) - 1)))

    def _left(self) -> float:
        """Steps to the goal; infinite where it cannot be reached or the world cannot say."""
        plan = self.world.shortest_plan()
        return math.inf if plan is None else float(len(plan))


class EvaluatorReward:
    """An evaluator of dreams, taken at its word."""

    question = ""

    def __init__(self, name: str, parts: RewardParts):
        self.name, self.parts, self.evaluator = name, parts, make_evaluator(name)

    def score(self, task: Task, dreams: Sequence[Dream]) -> list[Score]:
        judged = self.evaluator.judge(dreams, self._context(task, dreams))
        if judged is None:
            raise TrainingError(f"the evaluator {self.name} has nothing to say about such dreams; take another reward")
        return [Score(float(value)) for value in judged]

    def _context(self, task: Task, dreams: Sequence[Dream]) -> Context:
        from reverie.dreaming.model import frames_of

        world = self.parts.world
        frames = list(dict.fromkeys(frame for dream in dreams for frame in frames_of(dream)))
        if self.parts.tokenizer is None or world is None or not frames:
            return Context(task.question, world)
        pictures = dict(zip(frames, self.parts.tokenizer.decode(frames, world.cell_px), strict=True))
        return Context(task.question, world, pictures)


class Brevity:
    """The toy: the fewer steps, the better; 1 for none."""

    name = "brevity"
    question = ""

    def __init__(self, parts: RewardParts):
        pass

    def score(self, task: Task, dreams: Sequence[Dream]) -> list[Score]:
        return [Score(1 / (1 + len(dream.triplets))) for dream in dreams]


REWARDS: Registry[Callable[[RewardParts], Reward]] = Registry(
    "reward",
    {"brevity": Brevity, "reach-goal": ReachGoal, "thumbs": "reverie.training.preferences:Thumbs"},
    "reverie.rewards",
)
register_reward = REWARDS.register  # a new one should pass ``check_reward``


def reward_names() -> list[str]:
    """All rewards, those that are evaluators included."""
    return sorted({*REWARDS.names(), *evaluator_names()})


def find_reward(name: str) -> str:
    """``name``, or UnknownNameError that suggests the nearest."""
    if name not in REWARDS and name not in EVALUATORS:
        raise UnknownNameError("reward", name, reward_names())
    return name


def make_reward(name: str, parts: RewardParts) -> Reward:
    """A reward by its name, or by that of an evaluator; UnknownNameError suggests the nearest."""
    own = find_reward(name) in REWARDS
    return REWARDS.get(name)(parts) if own else EvaluatorReward(name, parts)


def scored(reward: Reward, task: Task, dreams: Sequence[Dream]) -> list[Score]:
    """``reward.score``, held to its promises. Raises TrainingError that says what it did where it breaks one."""
    about = shorten(str(task.options or task.question), 80)
    try:
        scores = reward.score(task, dreams)
    except ReverieError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {shorten(str(error))}"
        raise TrainingError(f"the reward {reward.name} failed on {about}: {said}") from error
    if len(scores) != len(dreams):
        raise TrainingError(f"the reward {reward.name} gave {len(scores)} scores for {len(dreams)} dreams of {about}")
    for dream, score in zip(dreams, scores, strict=True):
        if not all(map(math.isfinite, (score.value, *score.steps))):
            raise TrainingError(
                f"the reward {reward.name} gave {score.value} for a dream of {about}: not a finite number"
            )
        if score.steps and len(score.steps) != len(dream.triplets):
            raise TrainingError(
                f"the reward {reward.name} gave {len(score.steps)} steps for a dream of {len(dream.triplets)} triplets"
            )
    return scores


def check_reward(name: str, parts: RewardParts | None = None) -> list[str]:
    """Hold a reward to the contract on toy dreams; what was checked. ContractError names the first break.

    ``parts``: None gives it the first world that has a goal.
    """
    parts = parts or RewardParts(next(world for world in map(make_world, world_names()) if any(world.endings.values())))
    reward, promises = make_reward(name, parts), Promises("a reward", name)
    expect = promises.expect
    expect("its name is the one it is registered under", reward.name == name)
    rng, world = np.random.default_rng(0), parts.world
    task = Task(reward.question or "what happens?", world.sample_options(rng) if world else {})
    actions = world.action_names[:3] if world else ("push", "drop", "light")
    steps = [Triplet(Part("a"), Part(action), Part("b")) for action in actions]
    dreams = [Dream(tuple(steps[:count]), -1.0 * count, count, "Yes.", 1 + count) for count in (1, 2, 3, 1)]
    scores = scored(reward, task, dreams)
    expect("a whole dream is worth 0 to 1", all(0 <= score.value <= 1 for score in scores))
    expect("a step is worth -1 to 1", all(-1 <= step <= 1 for score in scores for step in score.steps))
    expect("the same dreams get the same scores", scores == scored(reward, task, dreams))
    expect("the order of the dreams does not matter", scores[::-1] == scored(reward, task, dreams[::-1]))
    if not reward.question and isinstance(reward, EvaluatorReward):
        return promises.kept
    alone = [scored(reward, task, [dream])[0] for dream in dreams]
    expect("a dream is worth the same alone", alone == scores)
    return promises.kept

"""What a reward's dreams are about, and how they are drawn: scenes of a world, or questions of a file.

The two say the same: a task of training or of testing, something to imitate first, and groups of dreams of tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from reverie.dreaming.dreamer import Dreamer, Prompt
from reverie.dreaming.prompting import ChatPrompter
from reverie.dreaming.said import SaidConstraint, TextMasks
from reverie.engine import Engine, Request, Sampling
from reverie.errors import BundleError, ConfigError, WorldError
from reverie.experts.contract import Choice, ExpertSource
from reverie.jsonio import read_object
from reverie.model import Backbone
from reverie.model.llama_base import LlamaBase
from reverie.model.transformers_base import TransformersBackbone
from reverie.nouns import Dream
from reverie.precision import usual_device
from reverie.splits import share_of
from reverie.tokens.image import ImageTokenizer
from reverie.tokens.vocabulary import ACT, LOOK, RES
from reverie.training.adapted import Adapted
from reverie.training.documents import Document, flatten
from reverie.training.rewards import Task
from reverie.training.rows import read_rows
from reverie.worlds import World
from reverie.worlds.documents import walk_document

if TYPE_CHECKING:
    from reverie.training.reward import RewardData

__all__ = ["Drawn", "Questions", "Scenes", "Tasks", "engine_of", "open_tasks"]

_TRIES = 1000  # scenes drawn for a task before there are none


@dataclass(frozen=True, eq=False)
class Drawn:
    """A dream as it was drawn: the ids that were given, those that came after, what they say.

    ``steps``: of each id that came, which triplet it belongs to where it is the policy's to choose, else -1; ``free``
    ones were drawn, others had to come.
    """

    given: tuple[int, ...]
    ids: tuple[int, ...]
    steps: tuple[int, ...]
    free: tuple[bool, ...]
    dream: Dream


class Tasks(Protocol):
    """Where tasks come from, and how their dreams are drawn."""

    def task(self, rng: np.random.Generator, test: bool, number: int) -> Task:
        """One of training, or of testing."""
        ...

    def shown(self, rng: np.random.Generator) -> Document:
        """A document of what a dream could be. Raises ConfigError where there is nothing to show."""
        ...

    def draw(self, tasks: Sequence[Task], branches: int, temperature: float, experts: Choice) -> list[list[Drawn]]:
        """``branches`` dreams of each task."""
        ...


def open_tasks(data: RewardData, base: Adapted, engine: Engine, world: World | None, question: str) -> Tasks:
    """Those that ``data`` names; ``question``: what dreams in ``world`` are asked."""
    if world is not None:
        return Scenes(data, base, engine, world, question)
    return Questions(data, base, engine)


class Scenes:
    """Random scenes of a world: plans to dream."""

    def __init__(self, data: RewardData, base: Adapted, engine: Engine, world: World, question: str):
        taught = read_object(base.folder / "manifest.json", BundleError, "the manifest of the bundle").get("worlds", {})
        if world.name not in taught:
            known = ", ".join(taught) or "none"
            raise WorldError(f"{data.bundle} was taught no pictures of {world.name}. It knows: {known}.")
        self.data, self.grammar, self.world, self.question = data, base.grammar, world, question
        self.tokenizer = ImageTokenizer.load(base.folder / "image_tokenizer")
        self.dreamer = Dreamer(base.grammar, engine, engine.decoder.max_positions)

    def task(self, rng: np.random.Generator, test: bool, number: int) -> Task:
        world = self.world
        for _ in range(_TRIES):
            options = world.sample_options(rng)
            if world.is_held_out(options) or world.in_test_split(options) != test:
                continue
            world.reset(seed=number, options=options)
            if not self.data.max_side or max(self._picture().shape[:2]) <= self.data.max_side * world.cell_px:
                return Task(self.question, options, number)
        raise WorldError(f"{world.name} has too few scenes of at most {self.data.max_side} cells a side")

    def shown(self, rng: np.random.Generator) -> Document:
        """A random walk, or a shortest plan."""
        task, world = self.task(rng, False, 0), self.world
        path = world.policy(rng, int(rng.integers(1, self.data.depth + 1)))
        if self.data.shown == "plans":
            path = world.shortest_plan() or path
        return flatten(walk_document(world, self.grammar, self.tokenizer, task.question, task.options, path))

    def draw(self, tasks: Sequence[Task], branches: int, temperature: float, experts: Choice) -> list[list[Drawn]]:
        rows = [
            replace(prompt, seed=1000 * task.seed + branch, temperature=temperature, experts=experts)
            for task, prompt in zip(tasks, map(self._prompt, tasks), strict=True)
            for branch in range(branches)
        ]
        drawn = []
        for one in self.dreamer.run(rows):
            free = tuple(place >= len(one.prompt.script) for place in range(len(one.ids)))
            drawn.append(Drawn(one.prompt.prefix, one.ids, _deeds(one.ids), free, one.as_dream()))
        return _grouped(drawn, branches)

    def _prompt(self, task: Task) -> Prompt:
        data, world = self.data, self.world
        world.reset(seed=task.seed, options=dict(task.options))
        frame = self.tokenizer.encode([self._picture()], world.cell_px)[0]
        return replace(self.dreamer.plan_prompt(world, frame, task.question, data.depth), most=data.most_ids)

    def _picture(self) -> np.ndarray:
        return np.asarray(self.world.render())


class Questions:
    """Questions of a file: dreams by the grammar where the model was taught it, else words of the base."""

    def __init__(self, data: RewardData, base: Adapted, engine: Engine):
        asked = [question for question, _ in read_rows(Path(data.questions), answered=False)]
        self.asked = [[one for one in asked if (share_of(one, 1) < 26 / 256) == test] for test in (False, True)]
        if not all(self.asked):
            raise ConfigError(f"{data.questions} has {len(asked)} questions, too few to keep a tenth for testing")
        self.data, self.prompter, self.engine = data, base.prompter, engine
        self.masks: TextMasks | None = None
        if isinstance(base.prompter, ChatPrompter):
            first = base.grammar.vocabulary.text_start
            self.masks = TextMasks(base.prompter.words, first, engine.decoder.vocab_size)
        self.dreamer = Dreamer(base.grammar, engine, engine.decoder.max_positions)

    def task(self, rng: np.random.Generator, test: bool, number: int) -> Task:
        return Task(self.asked[test][int(rng.integers(len(self.asked[test])))], seed=number)

    def shown(self, rng: np.random.Generator) -> Document:
        raise ConfigError("questions have nothing to imitate first; give data.shown_steps=0")

    def draw(self, tasks: Sequence[Task], branches: int, temperature: float, experts: Choice) -> list[list[Drawn]]:
        seeds = [(task, 1000 * task.seed + branch) for task in tasks for branch in range(branches)]
        draw = self._dreams if self.masks is None else self._words
        return _grouped(draw(seeds, temperature, experts), branches)

    def _dreams(self, seeds: Sequence[tuple[Task, int]], temperature: float, experts: Choice) -> list[Drawn]:
        ids, data = self.prompter.ids, self.data
        rows = [
            Prompt(
                ids(task.question), (), "end", seed, temperature, data.depth, most=data.most_ids, experts=experts
            )
            for task, seed in seeds
        ]  # fmt: skip
        return [
            Drawn(one.prompt.prefix, one.ids, (0,) * len(one.ids), (True,) * len(one.ids), one.as_dream())
            for one in self.dreamer.run(rows)
        ]

    def _words(self, seeds: Sequence[tuple[Task, int]], temperature: float, experts: Choice) -> list[Drawn]:
        assert self.masks is not None
        masks, drawn = self.masks, list[Drawn]()
        ends = frozenset(masks.first + token for token in masks.words.ends)
        requests = [
            Request(
                self.prompter.ids(task.question), seed, Sampling(temperature), SaidConstraint(masks),
                self.data.most_ids, ends, experts,
            )
            for task, seed in seeds
        ]  # fmt: skip
        for request, done in zip(requests, self.engine.generate(requests), strict=True):
            said = masks.words.decode([token - masks.first for token in done.ids if token not in ends])
            dream = Dream((), done.log_prob, request.seed, said.strip(), len(done.ids))
            count = len(done.ids)
            drawn.append(Drawn(request.prefix, done.ids, (0,) * count, (True,) * count, dream))
        return drawn


def engine_of(base: Adapted, experts: ExpertSource | None = None) -> Engine:
    """The bare base of ``base``, whose changes must still be none, at work. Later training does not reach it."""
    if isinstance(base.backbone, Backbone):
        return Engine(base.backbone, experts=experts)
    folder, num_grammar = base.folder / "backbone", base.grammar.vocabulary.text_start
    found = LlamaBase.find(folder, num_grammar) if usual_device() == "cpu" else None
    return Engine(found or TransformersBackbone.load(folder, num_grammar), experts=experts)


def _grouped(drawn: list[Drawn], size: int) -> list[list[Drawn]]:
    return [drawn[start : start + size] for start in range(0, len(drawn), size)]


def _deeds(ids: Sequence[int]) -> tuple[int, ...]:
    """Of each id the triplet whose action it is a word of, or ends; else -1."""
    marks, step, acting = list[int](), -1, False
    for token in ids:
        marks.append(step if acting else -1)
        acting = token not in (LOOK, RES) and (acting or token == ACT)
        step += token == ACT
    return tuple(marks)

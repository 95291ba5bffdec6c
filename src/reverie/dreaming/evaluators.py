"""Evaluators judge the branches of one question, each from its own side; the arbiter joins what they say.

The contract is ``Evaluator``, the smallest example ``Brevity``. A new one is a class, registered by
``register_evaluator`` or by an installed package's entry point (group ``reverie.evaluators``), and a run of
``check_evaluator``, the public check that every entry passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from reverie.nouns import CAUSES, Dream, Fact, Frame, Part, Triplet, situation
from reverie.registry import Promises, Registry
from reverie.worlds import World

if TYPE_CHECKING:
    from reverie.dreaming.grounding import Evidence

__all__ = [
    "EVALUATORS",
    "Agreement",
    "Brevity",
    "Context",
    "Contrast",
    "Evaluator",
    "Likelihood",
    "Rules",
    "Support",
    "check_evaluator",
    "default_evaluators",
    "evaluator_names",
    "make_evaluator",
    "register_evaluator",
]

_ALIKE = 0.95  # share of equal cells from which two pictures count as the same


@dataclass(frozen=True)
class Context:
    """What an evaluator may look at besides the dreams.

    ``world`` is the world that the dreams play in, None where none is named or recognized; ``pictures`` holds the
    decoded picture, uint8 (H, W, 3), of frames at the world's size; ``evidence`` what is remembered about what the
    dreams claim, None without a memory. Of dreams in words, ``likeness`` says how alike texts are in meaning, float
    (n, n) in [0, 1], and ``contrast`` by how many nats an id each dream's result is more probable after its action than
    after anything; None where nobody can say.
    """

    question: str = ""
    world: World | None = None
    pictures: Mapping[Frame, np.ndarray] = field(default_factory=dict)
    evidence: Evidence | None = None
    likeness: Callable[[Sequence[str]], np.ndarray] | None = None
    contrast: Callable[[Sequence[Dream]], list[float]] | None = None


class Evaluator(Protocol):
    """Judges all branches of a question at once. ``weight`` > 0 is its share in the arbiter's mean."""

    name: str
    weight: float

    def judge(self, dreams: Sequence[Dream], context: Context) -> list[float] | None:
        """One score in [0, 1] per dream, higher is better; None where it has nothing to say about this question."""
        ...


class Likelihood:
    """How readily the model dreamed it: exp(mean log-probability of its ids), the geometric mean of their odds."""

    name = "likelihood"
    weight = 1.0

    def judge(self, dreams: Sequence[Dream], context: Context) -> list[float] | None:
        return [math.exp(min(0.0, dream.log_prob / max(dream.num_ids, 1))) for dream in dreams]


class Agreement:
    """The share of the other branches that end the same way: same answer, same last words, (nearly) same last picture.

    Of these three, the ones that both branches have count equally. A single branch has nobody to agree with. Dreams in
    words agree as far as what they say is alike in meaning.
    """

    name = "agreement"
    weight = 1.0

    def judge(self, dreams: Sequence[Dream], context: Context) -> list[float] | None:
        if len(dreams) < 2:
            return None
        if context.likeness is not None:
            alike = context.likeness([dream.said for dream in dreams])
        else:
            alike = np.array([[same_ending(one, other) for other in dreams] for one in dreams])
        return [float(share) for share in (alike.sum(1) - alike.diagonal()) / (len(dreams) - 1)]


class Contrast:
    """How much more probable its action makes the result than anything else does: 1/2 for not at all."""

    name = "contrast"
    weight = 1.0

    def judge(self, dreams: Sequence[Dream], context: Context) -> list[float] | None:
        if context.contrast is None:
            return None
        return [1 / (1 + math.exp(min(-nats, 500.0))) for nats in context.contrast(dreams)]


class Rules:
    """The mean of the world's own general rules over the pictured steps, read from the pictures alone.

    A branch that pictures nothing gets 0: so what is only told must be well supported to win.
    """

    name = "rules"
    weight = 1.0

    def judge(self, dreams: Sequence[Dream], context: Context) -> list[float] | None:
        if context.world is None:
            return None
        kept = [self._kept(dream, context.world, context.pictures) for dream in dreams]
        return None if all(share is None for share in kept) else [share or 0.0 for share in kept]

    def _kept(self, dream: Dream, world: World, pictures: Mapping[Frame, np.ndarray]) -> float | None:
        shares = [
            world.check_rules(pictures[before], pictures[after])
            for triplet in dream.triplets
            if (before := triplet.what.frame) and (after := triplet.result.frame)
        ]
        return float(np.mean(shares)) if shares else None


class Support:
    """How far the memory bears out what each branch claims. A branch that it knows nothing about gets one half."""

    name = "support"
    weight = 2.0  # a dream that contradicts trusted facts loses even where all others dream the same

    def judge(self, dreams: Sequence[Dream], context: Context) -> list[float] | None:
        if context.evidence is None:
            return None
        found = [context.evidence.support(dream) for dream in dreams]
        return None if all(one is None for one in found) else [0.5 if one is None else one for one in found]


class Brevity:
    """The toy: shorter chains score higher, 1 for no step at all. Not used unless asked for."""

    name = "brevity"
    weight = 0.5

    def judge(self, dreams: Sequence[Dream], context: Context) -> list[float] | None:
        return [1 / (1 + len(dream.triplets)) for dream in dreams]


def same_ending(one: Dream, other: Dream) -> float:
    """How far two branches end alike, in [0, 1]."""
    marks: list[float] = []
    if one.said or other.said:
        marks.append(one.said == other.said)
    if one.triplets and other.triplets:
        first, second = one.triplets[-1].result, other.triplets[-1].result
        if first.text or second.text:
            marks.append(first.text == second.text)
        if first.frame and second.frame:
            marks.append(first.frame.shape == second.frame.shape and _equal_cells(first.frame, second.frame) >= _ALIKE)
    elif one.triplets or other.triplets:
        marks.append(False)
    return sum(marks) / len(marks) if marks else 1.0


def _equal_cells(one: Frame, other: Frame) -> float:
    return float((one.codes == other.codes).mean())


EVALUATORS: Registry[Callable[[], Evaluator]] = Registry(
    "evaluator",
    {
        "agreement": Agreement,
        "brevity": Brevity,
        "contrast": Contrast,
        "likelihood": Likelihood,
        "rules": Rules,
        "support": Support,
    },
    "reverie.evaluators",
)


evaluator_names, register_evaluator = EVALUATORS.names, EVALUATORS.register  # a new one should pass ``check_evaluator``


def make_evaluator(name: str) -> Evaluator:
    """Build an evaluator by name; UnknownNameError suggests the nearest."""
    return EVALUATORS.get(name)()


def default_evaluators() -> list[Evaluator]:
    return [make_evaluator(name) for name in ("likelihood", "agreement", "rules", "support")]


def check_evaluator(name: str) -> list[str]:
    """Hold ``name`` to the contract on toy dreams and return what was checked; ContractError names the first break."""
    evaluator, promises = make_evaluator(name), Promises("an evaluator", name)
    expect = promises.expect
    expect("its name is the one it is registered under", evaluator.name == name)
    expect("its weight is above 0", evaluator.weight > 0)
    dreams = _toy_dreams()
    for context in (Context("what happens?"), _toy_context(dreams), _toy_words()):
        for group in (dreams, dreams[:1], dreams[::-1]):
            scores = evaluator.judge(group, context)
            if scores is None:
                continue
            expect("one score per dream", len(scores) == len(group))
            expect("scores lie between 0 and 1", all(0 <= score <= 1 for score in scores))
            expect("the same dreams get the same scores", scores == evaluator.judge(group, context))
        forth, back = evaluator.judge(dreams, context), evaluator.judge(dreams[::-1], context)
        expect("the order of the dreams does not matter", forth == (back[::-1] if back else back))
    return promises.kept


def _toy_dreams() -> list[Dream]:
    """Two that end alike, one that ends otherwise, one without pictures, one that only answers."""
    calm, moved, odd = (Frame(np.full((2, 2), code)) for code in (1, 2, 3))
    action = Part("push")

    def step(after: Frame, words: str) -> tuple[Triplet, ...]:
        return (Triplet(Part("", calm), action, Part(words, after)),)

    return [
        Dream(step(moved, "it moves"), -2.0, 0, "It moves.", 8),
        Dream(step(moved, "it moves"), -3.0, 1, "It moves.", 8),
        Dream(step(odd, "it vanishes"), -30.0, 2, "It vanishes.", 8),
        Dream((Triplet(Part("a ball"), action, Part("it moves")),), -4.0, 3, "It moves.", 6),
        Dream((), -1.0, 4, "Yes.", 2),
    ]


def _toy_words() -> Context:
    """Of dreams in words: those that begin alike are alike, and each is the less probable the longer it is."""

    def likeness(texts: Sequence[str]) -> np.ndarray:
        return np.array([[float(one[:1] == other[:1]) for other in texts] for one in texts])

    return Context("what happens?", likeness=likeness, contrast=lambda dreams: [4.0 - len(one.said) for one in dreams])


def _toy_context(dreams: Sequence[Dream]) -> Context:
    from reverie.dreaming.grounding import Evidence, GroundingConfig
    from reverie.worlds import make_world, world_names

    world = make_world(world_names()[0])  # any will do
    world.reset(seed=0)
    frames = {part.frame for dream in dreams for triplet in dream.triplets for part in (triplet.what, triplet.result)}
    pictures = {frame: np.asarray(world.render()) for frame in frames if frame}
    remembered = Fact(situation("a ball", "push"), CAUSES, "it moves", "a toy")
    return Context(
        "what happens?",
        world,
        pictures,
        Evidence({remembered.subject: [remembered]}, GroundingConfig()),
        contrast=lambda dreams: [len(dream.said) / 10 for dream in dreams],
    )

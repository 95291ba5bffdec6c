"""Why-questions about the everyday world. A cause is what one could change so that it would come otherwise, and it is
found that way: the simulator plays the same scene on another surface or from another height; where neither changes
the outcome, it lies in the thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from reverie.errors import WorldError
from reverie.worlds.contract import Question
from reverie.worlds.everyday import matter, questions
from reverie.worlds.everyday.questions import Case, Filler
from reverie.worlds.everyday.things import HEIGHTS, SURFACES, Scene, Surface, heights_over
from reverie.worlds.everyday.wording import liquid_of

__all__ = ["why_kinds", "why_question"]

HAPPENED = (
    "Why does {x} {v} when {s} {b_it}?",
    "Why does {x} {v} if {s} {b_it}?",
    "Why would {x} {v} if {s} {b_it}?",
    "Why will {x} {v} when {p_it}?",
    "If {s} {b}, why does it {v}?",
    "When {s} {b}, why will it {v}?",
    "What makes {x} {v} when {s} {b_it}?",
    "What is the reason for {x} to {v} after {g_it}?",
)
DID_NOT = (
    "Why does {x} not {v} when {s} {b_it}?",
    "Why doesn't {x} {v} if {s} {b_it}?",
    "Why would {x} not {v} if {s} {b_it}?",
    "Why won't {x} {v} when {p_it}?",
    "If {s} {b}, why does it not {v}?",
    "When {s} {b}, why won't it {v}?",
    "What keeps {x} from having to {v} when {s} {b_it}?",
    "What is the reason for {x} not to {v} after {g_it}?",
)
_SPRINGY = 0.3  # elasticity from which a thing jumps up again
_IMPACTS = ("break", "bounce")  # what surface and height decide
# verb → why, where it lies in the thing: it happened, it did not
_NATURE = {
    "break": ("{the} is fragile", "{the} is not fragile"),
    "bounce": ("{the} is springy", "{the} is not springy"),
    "pop": ("{the} has a thin skin", ""),  # nobody asks why a stone does not pop
    "melt": ("{the} melts in the heat", "{the} does not melt"),
    "catch fire": ("{the} can burn", "{the} cannot burn"),
    "freeze": ("{liquid} freezes in the cold", "{the} does not freeze"),
    "float": ("{the} is lighter than water", "{the} is heavier than water"),
    "sink": ("{the} is heavier than water", "{the} is lighter than water"),
    "rise": ("{the} is lighter than air", ""),
}


def why_kinds(scene: Scene) -> tuple[str, ...]:
    """What the causes around ``scene`` lie in: ``height``, ``surface``, ``thing``, or none of them."""
    return tuple(sorted(_causes(scene)[1]))


def why_question(scene: Scene, rng: np.random.Generator, kind: str = "") -> Question | None:
    """A random why-question about ``scene``, of that ``kind`` where one is named; None where there is none."""
    case, causes = _causes(scene)
    if case is None or not causes or (kind and kind not in causes):
        return None
    kind = kind or str(rng.choice(sorted(causes)))
    verb, clause = causes[kind][int(rng.integers(len(causes[kind])))]
    frame = str(rng.choice(HAPPENED if questions.holds(case, verb) else DID_NOT))
    meta = case.meta | {"verb": verb}
    return Question(
        Filler(case, rng).fill(frame, verb),
        f"{clause[0].upper()}{clause[1:]}.",
        "why",
        kind,
        (f"Because {clause}.",),
        meta,
    )


def _causes(scene: Scene) -> tuple[Case | None, dict[str, list[tuple[str, str]]]]:
    """The case, and by kind each (verb, clause); no case where the question's words would not decide it."""
    case, causes = questions.decided(scene), dict[str, list[tuple[str, str]]]()
    for verb in questions.verbs(case) if case else ():
        if case and (cause := _cause(case, verb)):
            causes.setdefault(cause[0], []).append((verb, cause[1]))
    return case, causes


def _cause(case: Case, verb: str) -> tuple[str, str] | None:
    """(surface, height or thing; the clause) of why ``verb`` holds or not; None where that is a matter of course."""
    if verb not in _NATURE:
        return None
    happened, scene, thing = questions.holds(case, verb), case.scene, case.thing
    if verb in _IMPACTS and scene.action != "cut":
        for other in _other_surfaces(scene):
            clause = _hardness(SURFACES[scene.surface], SURFACES[other.surface])
            if clause and questions.holds(questions.play(other), verb) != happened:
                return "surface", clause
        for other in _other_heights(scene):
            if questions.holds(questions.play(other), verb) != happened:
                high = HEIGHTS[scene.height] > HEIGHTS[other.height]
                return "height", f"it falls from {'high up' if high else 'low down'}"
    if not _lies_in_the_thing(case, verb, happened):
        return None
    if scene.action == "cut" and verb == "break" and not happened:
        return "thing", f"{thing.the} is hard"
    clause = _NATURE[verb][0 if happened else 1]
    return "thing", clause.format(the=thing.the, liquid=liquid_of(thing))


def _hardness(surface: Surface, other: Surface) -> str:
    """What makes ``surface`` unlike ``other`` where something falls on it; "" where hardness does not."""
    if surface.hardness == other.hardness:
        return ""
    softer = surface.hardness < other.hardness
    return f"the {surface.name} is {'soft' if softer else 'hard' if surface.hardness == 1 else 'not soft enough'}"


def _lies_in_the_thing(case: Case, verb: str, happened: bool) -> bool:
    """Whether a property of the thing says so: a glass that no knife cuts is fragile all the same."""
    thing = case.thing
    if verb == "break" and case.scene.action == "cut" and not happened:
        return thing.hardness > matter.KNIFE_HARDNESS
    has = {
        "break": thing.fragile,
        "bounce": thing.elasticity >= _SPRINGY,
        "pop": thing.pressed,
        "melt": thing.melts_at < 400,
        "catch fire": thing.burns,
        "freeze": thing.freezes_at > -100,
        "float": thing.floats,
        "sink": not thing.floats,
        "rise": thing.rises,
    }
    worth_asking = happened or verb not in ("pop", "rise")
    return worth_asking and has[verb] == happened


def _other_surfaces(scene: Scene) -> Iterator[Scene]:
    """The same on the softest and on the hardest surface, where it can be done there."""
    for name in ("pillow", "floor"):
        if name != scene.surface and scene.height in heights_over(name, scene.action):
            yield replace(scene, surface=name)


def _other_heights(scene: Scene) -> Iterator[Scene]:
    for height in ("low", "high"):
        if scene.height in HEIGHTS and height != scene.height and height in heights_over(scene.surface, scene.action):
            try:
                yield replace(scene, height=height)
            except WorldError:
                continue

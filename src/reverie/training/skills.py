"""Skills: questions about the worlds that the packaged model was not taught, one expert each.

Every world says which there are about it (``World.skills``). Of the house's own:

spatial    where on the lake the elf ends, how far from the goal, in which direction that lies
temporal   at which step it falls or arrives, whether it still stands
causal     why something happens, or does not
abstract   what several things have in common, and which is the most
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reverie.errors import UnknownNameError
from reverie.tokens.grammar import Grammar
from reverie.tokens.image import ImageTokenizer
from reverie.worlds import Question, World, make_world, own_worlds, world_names
from reverie.worlds.contract import Source
from reverie.worlds.documents import Mix

__all__ = ["skill_names", "skill_questions", "skill_source"]


def skill_names() -> list[str]:
    """The single skills, and ``all``: those of the house's own worlds mixed."""
    return [*_skills(), "all"]


def skill_source(name: str, grammar: Grammar, tokenizer: ImageTokenizer, seed: int, test: bool = False) -> Source:
    """Documents of a skill; with ``test`` of what is kept for testing. Raises UnknownNameError."""
    skills = _skills()
    if name == "all":
        mixed = [skill for skill, world in skills.items() if world.name in own_worlds()]
        return Mix([skill_source(skill, grammar, tokenizer, seed, test) for skill in mixed])
    if name not in skills:
        raise UnknownNameError("skill", name, skill_names())
    return skills[name].skill_documents(name, grammar, tokenizer, seed=seed, test=test)


def skill_questions(name: str, count: int, rng: np.random.Generator) -> list[tuple[Question, tuple[str | None, Any]]]:
    """Questions of a skill about what is kept for testing, each with the (world, scene) to ask it about.

    The name of a world gives questions of what the backbone was taught about it.
    """
    skills, taught = _skills(), name in world_names()
    if not taught and name not in skills:
        raise UnknownNameError("skill", name, [*skills, *world_names()])
    world = make_world(name) if taught else skills[name]
    found: list[tuple[Question, tuple[str | None, Any]]] = []
    while len(found) < count:
        drawn = world.skill_question("" if taught else name, rng, len(found))
        if drawn is not None:
            question, scene = drawn
            found.append((question, (None, None) if scene is None else (world.name, scene)))
    return found


def _skills() -> dict[str, World]:
    """Every skill with its world, those of the house's own worlds first."""
    names = [*own_worlds(), *(name for name in world_names() if name not in own_worlds())]
    return {skill: world for world in map(make_world, names) for skill in world.skills}

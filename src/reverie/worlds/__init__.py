"""Worlds that yield true triplets. Read ``contract.py`` first, then ``frozenlake/world.py``.

``make_world(name)`` builds one, ``record_episode`` writes what happens in it, ``check_world`` is the public check that
every entry of the registry passes; ``documents.py`` makes training documents. Adding a world: one class, in any
installed package, with an entry point of the group ``reverie.worlds``.
"""

from __future__ import annotations

from reverie.worlds.checking import check_world
from reverie.worlds.contract import Episode, Narrator, Question, Transition, World
from reverie.worlds.registry import make_world, own_worlds, record, record_episode, register_world, world_names

__all__ = [
    "Episode",
    "Narrator",
    "Question",
    "Transition",
    "World",
    "check_world",
    "make_world",
    "own_worlds",
    "record",
    "record_episode",
    "register_world",
    "world_names",
]

"""Worlds that yield true triplets. Read ``contract.py`` first, then ``frozenlake.py``.

``make_world(name)`` builds one, ``record_episode`` writes what happens in it, ``check_world`` is the public check that
every entry of the registry passes. Adding a world: one file, one line in ``_WORLDS``, ``check_world``.
"""

from __future__ import annotations

from reverie.worlds.contract import Episode, Narrator, Question, Transition, World
from reverie.worlds.registry import check_world, make_world, record, record_episode, register_world, world_names

__all__ = [
    "Episode",
    "Narrator",
    "Question",
    "Transition",
    "World",
    "check_world",
    "make_world",
    "record",
    "record_episode",
    "register_world",
    "world_names",
]

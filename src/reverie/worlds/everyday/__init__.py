"""The everyday world: things of a household, what people do to them, and what follows from physics.

Read ``things.py`` first. Each file builds on those before it: ``matter.py`` (heat, cold, blades), ``physics.py``
(motion), ``picture.py`` (state ↔ pixels, with the art of ``sprites.py``), ``course.py``, ``wording.py``,
``properties.py``, ``questions.py``, ``narrator.py``, ``facts.py``, ``world.py``.
"""

from __future__ import annotations

from reverie.worlds.everyday.things import ACTIONS, SURFACES, THINGS, Scene, Surface, Thing, scene_count
from reverie.worlds.everyday.world import HELD_OUT, Everyday, is_held_out, is_test_scene

__all__ = [
    "ACTIONS",
    "HELD_OUT",
    "SURFACES",
    "THINGS",
    "Everyday",
    "Scene",
    "Surface",
    "Thing",
    "is_held_out",
    "is_test_scene",
    "scene_count",
]

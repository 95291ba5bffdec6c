"""Scenes and actions as people write them, for any world."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reverie.errors import WorldError, shorten
from reverie.worlds import World, make_world

__all__ = ["Actions", "Scene", "open_scene", "read_actions"]


Scene = str | Sequence[str] | Mapping[str, Any] | None
Actions = str | Sequence[str] | Sequence[int]


def open_scene(world: str, scene: Scene, seed: int = 0) -> tuple[World, dict[str, Any]]:
    """The world, reset to ``scene``, and the options that reset it.

    ``scene`` is what the world's ``parse_scene`` reads (a map, JSON), a mapping of options, or None for the default
    scene. Raises UnknownNameError for the world and WorldError for the scene.
    """
    made = make_world(world)
    options = {} if scene is None else dict(scene) if isinstance(scene, Mapping) else made.parse_scene(scene)
    try:
        made.reset(seed=seed, options=options)
    except (KeyError, TypeError, ValueError) as error:
        said = shorten(json.dumps(options, default=str))
        raise WorldError(f"{made.name} has no scene {said}: {shorten(str(error))}") from error
    return made, options


def read_actions(world: World, actions: Actions) -> list[tuple[int, str]]:
    """(number, words that a dream hears) of each action: numbers, or words that the world's ``parse_actions`` reads.

    Raises WorldError for what the world, or its present scene, lacks.
    """
    names = world.action_names
    if not isinstance(actions, str) and all(isinstance(action, int) for action in actions):
        numbers = [int(action) for action in actions]
        if not numbers or not all(0 <= number < len(names) for number in numbers):
            raise WorldError(f"{world.name} has actions 0 to {len(names) - 1}, got {numbers[:8]}")
        return [(number, names[number]) for number in numbers]
    return world.parse_actions([actions] if isinstance(actions, str) else [str(action) for action in actions])

"""Scenes and actions as people write them, for any world."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reverie.errors import UsageError, WorldError, nearest, shorten
from reverie.worlds import World, make_world

__all__ = ["ENDINGS", "open_scene", "read_actions"]

#: result words of a world after which nothing more happens -> whether that is what a plan wants
ENDINGS: dict[str, dict[str, bool]] = {"FrozenLake": {"falls": False, "goal": True}}

Scene = str | Sequence[str] | Mapping[str, Any] | None


def open_scene(world: str, scene: Scene, seed: int = 0) -> tuple[World, dict[str, Any]]:
    """The world, reset to ``scene``, and the options that reset it.

    ``scene`` is a map of FrozenLake (``"SFF,FHF,FFG"``), options (a mapping, or JSON), or None for the default scene.
    Raises UnknownNameError for the world and WorldError for the scene.
    """
    made = make_world(world)
    options = _options(made, scene)
    try:
        made.reset(seed=seed, options=options)
    except (KeyError, TypeError, ValueError) as error:
        raise WorldError(f"{world} has no scene {shorten(json.dumps(options))}: {shorten(str(error))}") from error
    return made, options


def _options(world: World, scene: Scene) -> dict[str, Any]:
    if scene is None:
        return {}
    if isinstance(scene, Mapping):
        return dict(scene)
    if world.name == "FrozenLake" and not (isinstance(scene, str) and scene.lstrip().startswith("{")):
        from reverie.worlds.frozenlake import parse_map

        return {"desc": list(parse_map(scene))}
    try:
        options = json.loads(scene if isinstance(scene, str) else "")
    except ValueError as error:
        raise WorldError(f"a scene of {world.name} is a JSON object of options, got '{shorten(str(scene))}'") from error
    if not isinstance(options, dict):
        raise WorldError(f"a scene of {world.name} is a JSON object of options, got '{shorten(str(scene))}'")
    return options


def read_actions(world: World, actions: str | Sequence[str] | Sequence[int]) -> list[int]:
    """Action numbers from names (``"right,down"``), FrozenLake's letters (``"RRDD"``) or numbers; WorldError else."""
    if not isinstance(actions, str) and all(isinstance(action, int) for action in actions):
        numbers = [int(action) for action in actions]
        if not numbers or not all(0 <= number < len(world.action_names) for number in numbers):
            raise WorldError(f"{world.name} has actions 0 to {len(world.action_names) - 1}, got {numbers[:8]}")
        return numbers
    words = [actions] if isinstance(actions, str) else [str(action) for action in actions]
    if world.name == "FrozenLake":
        from reverie.worlds.frozenlake import parse_actions

        return parse_actions(",".join(words))
    names = [name.strip().lower() for word in words for name in word.split(",") if name.strip()]
    if not names:
        raise UsageError(f"no actions given; {world.name} knows: {', '.join(world.action_names)}")
    for name in names:
        if name not in world.action_names:
            near = nearest(name, world.action_names)
            hint = f" Did you mean '{near}'?" if near else ""
            known = ", ".join(world.action_names)
            raise WorldError(f"{world.name} has no action '{shorten(name)}'.{hint} Known: {known}.")
    return [world.action_names.index(name) for name in names]

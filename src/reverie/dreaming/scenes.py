"""Scenes and actions as people write them, for any world."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reverie.errors import WorldError, nearest, shorten
from reverie.worlds import World, make_world

__all__ = ["Actions", "Scene", "open_scene", "read_actions"]


Scene = str | Sequence[str] | Mapping[str, Any] | None
Actions = str | Sequence[str] | Sequence[int]


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


def read_actions(world: World, actions: Actions) -> list[tuple[int, str]]:
    """(number, words) of each action: names (``"right,down"``), FrozenLake's letters (``"RRDD"``), or numbers.

    A name may be said with its object (``"drop the egg"``): those words are what the dream hears. Raises WorldError.
    """
    names = world.action_names
    if not isinstance(actions, str) and all(isinstance(action, int) for action in actions):
        numbers = [int(action) for action in actions]
        if not numbers or not all(0 <= number < len(names) for number in numbers):
            raise WorldError(f"{world.name} has actions 0 to {len(names) - 1}, got {numbers[:8]}")
        return [(number, names[number]) for number in numbers]
    given = [actions] if isinstance(actions, str) else [str(action) for action in actions]
    if world.name == "FrozenLake":
        from reverie.worlds.frozenlake import parse_actions

        return [(number, names[number]) for number in parse_actions(",".join(given))]
    said = [" ".join(words.lower().split()) for each in given for words in each.split(",") if words.strip()]
    if not said:
        raise WorldError(f"no actions given; {world.name} knows: {', '.join(names)}")
    return [(_action_in(world, words), words) for words in said]


def _action_in(world: World, words: str) -> int:
    fitting = [name for name in world.action_names if words == name or words.startswith(f"{name} ")]
    if fitting:
        return world.action_names.index(max(fitting, key=len))
    near = nearest(words, world.action_names)
    hint = f" Did you mean '{near}'?" if near else ""
    raise WorldError(f"{world.name} has no action '{shorten(words)}'.{hint} Known: {', '.join(world.action_names)}.")

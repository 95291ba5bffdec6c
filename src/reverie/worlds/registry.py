"""The registry of worlds and the recorder of their transitions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from reverie.registry import Registry
from reverie.worlds.contract import Episode, Transition, World

__all__ = [
    "WORLDS",
    "make_world",
    "own_worlds",
    "record",
    "record_episode",
    "register_world",
    "save_episodes",
    "world_names",
]

_OWN = {
    "FrozenLake": "reverie.worlds.frozenlake:FrozenLake",
    "Everyday": "reverie.worlds.everyday:Everyday",
}
WORLDS: Registry[Callable[..., World]] = Registry("world", _OWN, "reverie.worlds")
register_world, world_names = WORLDS.register, WORLDS.names  # a new one should pass ``check_world``


def own_worlds() -> tuple[str, ...]:
    """The house's own worlds, in the order in which the packaged model was taught them."""
    return tuple(_OWN)


def make_world(name: str, **settings: Any) -> World:
    """Build a world by name, in any capitals; UnknownNameError suggests the nearest."""
    name = WORLDS.find(name)
    entry = WORLDS.get(name)
    _register_with_gymnasium(name, entry)
    return entry(**settings)


def _register_with_gymnasium(name: str, entry: Callable[..., World]) -> None:
    """So that ``gymnasium.make("Everyday-v0")`` works; as ``reverie/NAME-v0`` where Gymnasium has a NAME of its own."""
    taken = any(spec.name == name and not spec.namespace and spec.version for spec in gymnasium.registry.values())
    gym_id = f"reverie/{name}-v0" if taken else f"{name}-v0"
    if gym_id not in gymnasium.registry:
        gymnasium.register(gym_id, entry_point=entry)


def record_episode(
    world: World,
    options: dict[str, Any],
    seed: int = 0,
    actions: list[int] | None = None,
    rng: np.random.Generator | None = None,
    max_steps: int = 10,
) -> Episode:
    """Reset ``world`` to ``options`` and act until it ends.

    ``actions``: what to do; None follows the scene's own plan where the world has one (``world.policy``), else random.
    """
    rng = rng or np.random.default_rng(seed)
    world.reset(seed=seed, options=options)
    transitions: list[Transition] = []
    planned = list(actions) if actions is not None else world.policy(rng, max_steps)
    before, picture = world.state(), world.render()
    for action in planned:
        _, _, terminated, truncated, _ = world.step(action)
        after, result = world.state(), world.render()
        narrator = world.narrator
        transitions.append(
            Transition(
                what=picture,
                what_state=before,
                what_text=narrator.say_state(before)[0],
                action=action,
                action_text=narrator.say_action(action, before)[0],
                result=result,
                result_state=after,
                result_text=narrator.say_result(before, action, after)[0],
                terminated=terminated or truncated,
            )
        )
        before, picture = after, result
        if terminated or truncated:
            break
    return Episode(world.name, seed, options, tuple(transitions))


def record(world: World, num_episodes: int, seed: int = 0) -> Iterator[Episode]:
    """Episodes of random scenes; the same seed gives the same episodes."""
    for index in range(num_episodes):
        rng = np.random.default_rng([seed, index])
        yield record_episode(world, world.sample_options(rng), seed=seed + index, rng=rng)


def save_episodes(episodes: Iterator[Episode], folder: Path) -> int:
    """Write pictures as PNG and ``episodes.jsonl``; returns how many episodes were written."""
    from PIL import Image

    from reverie.files import atomic_write_text

    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, episode in enumerate(episodes):
        steps = []
        for index, step in enumerate(episode.transitions):
            names = {part: f"{number:05d}-{index}-{part}.png" for part in ("what", "result")}
            Image.fromarray(step.what).save(folder / names["what"])
            Image.fromarray(step.result).save(folder / names["result"])
            steps.append(
                {
                    "what": {"text": step.what_text, "image": names["what"], "state": step.what_state},
                    "action": {"text": step.action_text, "image": None},
                    "result": {"text": step.result_text, "image": names["result"], "state": step.result_state},
                }
            )
        line = {"world": episode.world, "seed": episode.seed, "options": episode.options, "triplets": steps}
        lines.append(json.dumps(line))
    atomic_write_text(folder / "episodes.jsonl", "\n".join(lines) + "\n")
    return len(lines)

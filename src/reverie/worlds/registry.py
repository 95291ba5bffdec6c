"""The registry of worlds, the recorder of their transitions, and the check that every world passes."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from reverie.errors import UnknownNameError, WorldError
from reverie.worlds.contract import Episode, Transition, World

__all__ = ["check_world", "make_world", "record", "record_episode", "register_world", "world_names"]

_WORLDS: dict[str, Callable[..., World] | str] = {
    "Everyday": "reverie.worlds.everyday:Everyday",
    "FrozenLake": "reverie.worlds.frozenlake:FrozenLake",
}


def register_world(name: str, entry: Callable[..., World]) -> None:
    """Add a world under ``name``; it should pass ``check_world``."""
    _WORLDS[name] = entry


def world_names() -> list[str]:
    return sorted(_WORLDS)


def make_world(name: str, **settings: Any) -> World:
    """Build a world by name; UnknownNameError suggests the nearest."""
    if name not in _WORLDS:
        raise UnknownNameError("world", name, _WORLDS)
    entry = _WORLDS[name]
    if isinstance(entry, str):
        module, attribute = entry.split(":")
        entry = getattr(importlib.import_module(module), attribute)
        gym_id = f"{name}-v0" if name != "FrozenLake" else "reverie/FrozenLake-v0"
        if gym_id not in gymnasium.registry:
            gymnasium.register(gym_id, entry_point=f"{module}:{attribute}")
    return entry(**settings)


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


def check_world(name: str, episodes: int = 3) -> list[str]:
    """Run every promise of the contract on ``name`` and return what was checked; WorldError names the first broken one.

    Also runs Gymnasium's own ``check_env``.
    """
    from gymnasium.utils.env_checker import check_env

    world = make_world(name)
    check_env(world, skip_render_check=True)
    passed = ["gymnasium check_env"]

    def expect(what: str, holds: bool) -> None:
        if not holds:
            raise WorldError(f"{name} breaks the contract of a world: {what}")
        if what not in passed:
            passed.append(what)

    expect("one name per action", len(world.action_names) == getattr(world.action_space, "n", -1))
    for index in range(episodes):
        options = world.sample_options(np.random.default_rng(index))
        expect("options are JSON", json.loads(json.dumps(options)) == options)
        first = record_episode(world, options, seed=index)
        second = record_episode(make_world(name), options, seed=index)
        expect("an episode has steps", bool(first.transitions))
        for a, b in zip(first.transitions, second.transitions, strict=True):
            expect(
                "pictures are uint8 (H, W, 3)",
                a.result.dtype == np.uint8 and a.result.ndim == 3 and a.result.shape[2] == 3,
            )
            expect("sides are multiples of cell_px", not any(side % world.cell_px for side in a.result.shape[:2]))
            expect(
                "the same seed gives the same pictures",
                np.array_equal(a.result, b.result) and np.array_equal(a.what, b.what),
            )
            expect("states are JSON", json.loads(json.dumps(a.result_state)) == a.result_state)
            expect("the narrator has words for all", all((a.what_text, a.action_text, a.result_text)))
            expect("a picture shows a state", world.read(a.what) is not None)
            expect("true steps keep the world's rules", world.check_rules(a.what, a.result) > 0.99)
        for question in world.narrator.questions(first, np.random.default_rng(index)):
            expect("questions have answers", bool(question.text and question.answer))
    return passed


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

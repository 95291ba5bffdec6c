"""The everyday world as a Gymnasium environment: things, a hand, and what follows from the physics."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from reverie.data.contract import FactRow
from reverie.errors import WorldError
from reverie.worlds.contract import World
from reverie.worlds.everyday import picture, sprites
from reverie.worlds.everyday.course import chain
from reverie.worlds.everyday.facts import outcome_facts, property_facts
from reverie.worlds.everyday.narrator import EverydayNarrator
from reverie.worlds.everyday.physics import opening
from reverie.worlds.everyday.things import (
    ACTIONS,
    LAST_COLUMN,
    SUPPORTS,
    SURFACES,
    THINGS,
    Scene,
    heights_over,
)

HELD_OUT: frozenset[tuple[str, str]] = frozenset({
    ("plate", "throw"),
    ("egg", "let go"),
    ("balloon", "cut"),
    ("paper", "light"),
    ("teddy bear", "heat"),
    ("bottle of milk", "tip"),
    ("candle", "tip"),
    ("domino row", "push"),
    ("soap bubble", "throw"),
    ("rubber duck", "drop"),
    ("apple", "let go"),
    ("chocolate", "push"),
    ("stone", "cut"),
    ("book", "throw"),
})  # fmt: skip
TEST_SHARE = 0.1
WAIT = ACTIONS.index("wait")
# what never undoes itself: a condition on the left may become those on the right or stay
_ONWARD = {
    "broken": {"broken"}, "popped": {"popped"}, "burnt": {"burnt"}, "cut": {"cut"}, "melted": {"melted"},
    "cooked": {"cooked"}, "burning": {"burning", "burnt"}, "spilled": {"spilled"}, "empty": {"empty"},
}  # fmt: skip


def is_held_out(options: Mapping[str, Any]) -> bool:
    """Whether a scene shows a (thing, action) pair that no model is trained on."""
    return (options["thing"], options["action"]) in HELD_OUT


def is_test_scene(options: Mapping[str, Any]) -> bool:
    """Whether a scene belongs to the tenth kept for testing: a stable hash of its completed options."""
    text = json.dumps(Scene.of(options).options(), sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") < TEST_SHARE * 2**64


class Everyday(World):
    """A thing, a surface, a hand, and one of twelve actions; what follows is simulated.

    Options of ``reset``: ``thing``, ``action`` (what the scene is set up for), ``surface``, ``column`` (0 to 6),
    ``height`` (low, middle, high, rest), ``support`` (for stack). While things still move or change every
    further action is a wait. Observations are pictures: uint8 (64, 64, 3).
    """

    name = "Everyday"
    cell_px = sprites.CELL
    action_names = ACTIONS

    def __init__(self, render_mode: str | None = "rgb_array") -> None:
        if render_mode not in (None, "rgb_array"):
            raise WorldError(f"Everyday draws 'rgb_array' only, got '{render_mode}'.")
        self.render_mode = render_mode
        self.action_space = gymnasium.spaces.Discrete(len(ACTIONS))  # type: ignore[assignment]
        self.observation_space = gymnasium.spaces.Box(0, 255, sprites.backdrop().shape, np.uint8)
        self.narrator = EverydayNarrator()
        self._set(Scene("ball", "drop"))

    def _set(self, scene: Scene) -> None:
        self.scene = scene
        self._state = picture.state_of(scene, opening(scene))
        self._ahead: list[str] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Set the scene of ``options`` (see the class), or a random one."""
        super().reset(seed=seed)
        self._set(Scene.of(options if options else self.sample_options(self.np_random)))
        return self.render(), {"options": self.scene.options()}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if not self.action_space.contains(action):
            raise WorldError(f"actions are numbers from 0 to {len(ACTIONS) - 1}, got {action!r}.")
        if self._ahead is None:
            self._ahead = list(chain(self.scene, ACTIONS[action]))
        if self._ahead:
            self._state = json.loads(self._ahead.pop(0))
        return self.render(), 0.0, not self._ahead, False, {"event": self._state["event"]}

    def render(self) -> np.ndarray:
        return picture.draw(self._state)

    def state(self) -> dict[str, Any]:
        return json.loads(json.dumps(self._state))

    def read(self, picture_: np.ndarray) -> dict[str, Any] | None:
        return picture.read(picture_)

    def backdrop(self) -> np.ndarray:
        return sprites.backdrop().copy()

    def facts(self) -> list[FactRow]:
        return property_facts() + outcome_facts(Everyday(), lambda scene: not is_held_out(scene) and not is_test_scene(scene))

    def sample_options(self, rng: np.random.Generator) -> dict[str, Any]:
        """Every (thing, action) pair equally often; the bare floor half of the time."""
        action = str(rng.choice(ACTIONS))
        fitting = [surface for surface in SURFACES if heights_over(surface, action)]
        surface = "floor" if rng.random() < 0.4 else str(rng.choice(fitting))
        heights = heights_over(surface, action)
        return {
            "thing": str(rng.choice(list(THINGS))),
            "action": action,
            "surface": surface,
            "column": int(rng.integers(LAST_COLUMN + 1)),
            "height": "high" if "high" in heights and rng.random() < 0.4 else str(rng.choice(heights)),
            "support": str(rng.choice(SUPPORTS)) if action == "stack" else "",
        }

    def policy(self, rng: np.random.Generator, max_steps: int) -> list[int]:
        """The scene's own action, then waiting until all is at rest."""
        steps = len(chain(self.scene, self.scene.action))
        return ([ACTIONS.index(self.scene.action)] + [WAIT] * (steps - 1))[:max_steps]

    def check_rules(self, before: np.ndarray, after: np.ndarray) -> float:
        was, now = picture.read(before), picture.read(after)
        if was is None or now is None:
            return 0.0
        rules = (
            (was["surface"], was["surface_column"]) == (now["surface"], now["surface_column"]),
            _names(was) == _names(now),
            _puddle_has_source(was, now),
            now["held"] <= was["held"],
            _no_way_back(was, now),
        )
        return float(np.mean(rules))


def _names(state: dict[str, Any]) -> Counter[str]:
    return Counter(thing["name"] for thing in state["things"] if not thing["name"].startswith(picture.PUDDLE))


def _puddle_has_source(was: dict[str, Any], now: dict[str, Any]) -> bool:
    """Liquid comes out of what held it, and does not vanish."""
    liquids = {THINGS[thing["name"]].contents for thing in was["things"] if thing["name"] in THINGS}
    before, after = (
        {thing["name"] for thing in state["things"] if thing["name"].startswith(picture.PUDDLE)} for state in (was, now)
    )
    return before <= after and all(name.removeprefix(picture.PUDDLE) in liquids for name in after)


def _no_way_back(was: dict[str, Any], now: dict[str, Any]) -> bool:
    for thing in was["things"]:
        allowed = _ONWARD.get(thing["condition"])
        after = {other["condition"] for other in now["things"] if other["name"] == thing["name"]}
        if allowed and after and not after & allowed:
            return False
    return True

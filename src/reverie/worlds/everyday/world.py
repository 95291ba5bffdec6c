"""Everyday: things of a household, a hand, and what follows from the physics.

**Description.** A thing lies on a surface or is held over it, in a room of 8×8 cells, until something is done to it.
**Actions.** Twelve, from drop to wait. While things still move or change every further action is a wait.
**Observations.** The picture, uint8 (64, 64, 3).
**Rewards.** None.
**Termination.** When nothing moves or changes any more.
**Limits.** One thing and one action a scene; pictures of 64x64 px, to which any other picture is resized.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from reverie.data import FactRow
from reverie.errors import ConfigError, WorldError, shorten
from reverie.worlds.contract import DocumentConfig, Question, Source, World
from reverie.worlds.documents import EpisodeDreams, record_frames
from reverie.worlds.everyday import picture, sprites
from reverie.worlds.everyday.compare import compare_question
from reverie.worlds.everyday.course import chain
from reverie.worlds.everyday.documents import Comparisons, Reasons, Retelling
from reverie.worlds.everyday.facts import outcome_facts, property_facts, told_property
from reverie.worlds.everyday.narrator import EverydayNarrator
from reverie.worlds.everyday.physics import opening
from reverie.worlds.everyday.things import (
    ACTIONS,
    GRID,
    LAST_COLUMN,
    SUPPORTS,
    SURFACES,
    THINGS,
    Scene,
    heights_over,
)
from reverie.worlds.everyday.why import why_kinds, why_question
from reverie.worlds.registry import record_episode

if TYPE_CHECKING:
    from reverie.tokens.grammar import Grammar
    from reverie.tokens.image import ImageTokenizer
    from reverie.worlds.phrasebook import Phrasebook

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
_MOTIONS = ("push", "throw", "stack")
# words beside the names of things and actions that may say an action
_OTHER_WORDS = (
    "a an the it its this that some of on onto in into over from off to at with and up down out away hand floor air"
)
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


@dataclass(frozen=True)
class EverydayDocuments(DocumentConfig):
    """How dreams of recorded scenes are drawn."""

    direct: float = 0.15
    motion: int = 1  # how often scenes of pushing, throwing and stacking count: where things end is hardest there

    def __post_init__(self) -> None:
        if not (0 <= self.direct <= 1 and 0 <= self.outcome_in_words <= 1) or self.motion < 1:
            raise ConfigError(
                f"direct and outcome_in_words are shares between 0 and 1, motion is at least 1; "
                f"got {self.direct}, {self.outcome_in_words} and {self.motion}"
            )


class Everyday(World):
    """A thing, a surface, a hand, and one of twelve actions; what follows is simulated.

    Options of ``reset``: ``thing``, ``action`` (what the scene is set up for), ``surface``, ``column`` (0 to 6),
    ``height`` (low, middle, high, rest), ``support`` (for stack).
    """

    name = "Everyday"
    cell_px = sprites.CELL
    default_side = GRID * sprites.CELL
    action_names = ACTIONS
    scene_words = (
        f"options as a JSON object: thing, action, surface, column (0 to {LAST_COLUMN}), height, support; thing and "
        "action are needed"
    )
    skills = ("causal", "abstract")
    document_config = EverydayDocuments

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
        copied: dict[str, Any] = json.loads(json.dumps(self._state))
        return copied

    def read(self, picture_: np.ndarray) -> dict[str, Any] | None:
        return picture.read(picture_)

    def picture_of(self, state: dict[str, Any]) -> np.ndarray:
        return picture.draw(state)

    def backdrop(self) -> np.ndarray:
        return sprites.backdrop().copy()

    def facts(self) -> list[FactRow]:
        return property_facts() + outcome_facts(
            Everyday(), lambda scene: not is_held_out(scene) and not is_test_scene(scene)
        )

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

    def parse_actions(self, said: Sequence[str]) -> list[tuple[int, str]]:
        """An action may be said with its object, which must be in the scene."""
        parsed, state = super().parse_actions(said), self.state()
        for number, words in parsed:
            known = f"{' '.join(self._named())} {' '.join(self.narrator.say_action(number, state))} {_OTHER_WORDS}"
            if any(word not in known.split() for word in words.split()):
                own = ", ".join(self.narrator.say_action(each, state)[0] for each in range(len(ACTIONS)))
                raise WorldError(
                    f"nobody can {shorten(words)} in this scene of {self.name}; choose another scene, or of its "
                    f"actions: {own}"
                )
        return parsed

    def phrasebook(self) -> Phrasebook:
        from reverie.worlds.everyday.phrases import phrasebook

        return phrasebook()

    def _named(self) -> list[str]:
        """The names of what is in the scene."""
        things = [THINGS[name] for name in (self.scene.thing, self.scene.support) if name]
        return [
            self.scene.surface,
            *(words for thing in things for words in (thing.name, thing.short, *thing.indefinite)),
        ]

    def in_test_split(self, options: Mapping[str, Any]) -> bool:
        return is_test_scene(options)

    def is_held_out(self, options: Mapping[str, Any]) -> bool:
        return is_held_out(options)

    def told_property(self, rng: np.random.Generator) -> tuple[str, str, FactRow]:
        return told_property(rng)

    def documents(
        self,
        grammar: Grammar,
        tokenizer: ImageTokenizer,
        config: EverydayDocuments | None,
        *,
        episodes: int,
        seed: int,
        test: bool,
    ) -> EpisodeDreams:
        made = config or EverydayDocuments(direct=0.0 if test else EverydayDocuments.direct)
        recorded = record_frames(
            self, tokenizer, episodes, seed, test, lambda options: made.motion if options["action"] in _MOTIONS else 1
        )
        tell = Retelling(self.narrator, recorded) if made.outcome_in_words else None
        return EpisodeDreams(grammar, self.narrator, recorded, made.direct, made.outcome_in_words, tell)

    def skill_documents(
        self, skill: str, grammar: Grammar, tokenizer: ImageTokenizer, *, seed: int, test: bool
    ) -> Source:
        if skill == "abstract":
            return Comparisons(grammar, test)
        if skill not in self.skills:
            return super().skill_documents(skill, grammar, tokenizer, seed=seed, test=test)
        return Reasons(self.documents(grammar, tokenizer, None, episodes=600 if test else 12_000, seed=seed, test=test))

    def skill_question(
        self, skill: str, rng: np.random.Generator, number: int
    ) -> tuple[Question, dict[str, Any] | None] | None:
        if skill == "abstract":
            return compare_question(rng, test=True), None
        options = self.sample_options(rng)
        if is_held_out(options) or not is_test_scene(options):
            return None
        scene = Scene.of(options)
        if skill == "causal":
            kind = ("height", "surface", "thing")[number % 3]
            question = why_question(scene, rng, kind) if kind in why_kinds(scene) else None
        elif not skill:
            question = self.narrator.questions(record_episode(self, options), rng)[0]
        else:
            return super().skill_question(skill, rng, number)
        return (question, None) if question else None


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

"""The contract of a world: a Gymnasium environment that yields true triplets and can say them in words."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import gymnasium
import numpy as np

from reverie.data import FactRow

__all__ = ["Episode", "Narrator", "Question", "Transition", "World"]


@dataclass(frozen=True)
class Transition:
    """One true step. Pictures are uint8 (H, W, 3) in [0, 255]; states are JSON-ready dicts.

    ``action_text`` and ``result_text`` are the narrator's first (canonical) wording; ``what_text`` likewise.
    """

    what: np.ndarray
    what_state: dict[str, Any]
    what_text: str
    action: int
    action_text: str
    result: np.ndarray
    result_state: dict[str, Any]
    result_text: str
    terminated: bool


@dataclass(frozen=True)
class Episode:
    """A chain of transitions from one reset; ``options`` rebuild the scene: ``world.reset(seed, options)``."""

    world: str
    seed: int
    options: dict[str, Any]
    transitions: tuple[Transition, ...]


@dataclass(frozen=True)
class Question:
    """A question whose true answer the world itself produced.

    ``form`` names the question form (``happens``, ``will`` …); ``kind`` is a short class of the answer for
    majority baselines and per-group figures; ``accepts`` are other wordings that count as right.
    """

    text: str
    answer: str
    form: str
    kind: str
    accepts: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)


class Narrator(Protocol):
    """Says states, actions and transitions in words. Every method returns wordings, the canonical one first."""

    def say_state(self, state: dict[str, Any]) -> list[str]: ...

    def say_action(self, action: int, state: dict[str, Any]) -> list[str]: ...

    def say_result(self, before: dict[str, Any], action: int, after: dict[str, Any]) -> list[str]: ...

    def questions(self, episode: Episode, rng: np.random.Generator) -> list[Question]:
        """At least one question about ``episode``, paraphrased at random, each with its true answer."""
        ...


class World(gymnasium.Env[Any, int]):
    """A Gymnasium environment with ``rgb_array`` pictures, JSON states and a narrator.

    ``name`` registers it; ``cell_px`` is the side in pixels of the picture square that becomes one code;
    ``action_names`` has one entry per action of the Discrete action space; dreams of a ``wordless`` world begin with
    its picture alone, those of others with words, too.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 4}  # type: ignore[misc]
    name: str
    cell_px: int
    action_names: tuple[str, ...]
    narrator: Narrator
    wordless: ClassVar[bool] = False

    @property
    def endings(self) -> dict[str, bool]:
        """Result words after which nothing more happens -> whether that is what a plan wants. None by default."""
        return {}

    def facts(self) -> list[FactRow]:
        """What holds in this world, in words, for a memory; nothing that is kept for testing. None by default."""
        return []

    @abstractmethod
    def render(self) -> np.ndarray:
        """The present picture, uint8 (H, W, 3) in [0, 255]; both sides are multiples of ``cell_px``."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """The present state as a JSON-ready dict (for recording and judging, never for the model)."""

    @abstractmethod
    def read(self, picture: np.ndarray) -> dict[str, Any] | None:
        """The state that a picture (uint8 (H, W, 3)) shows, or None where it shows no state of this world.

        Tolerates small errors of a decoder. Used to judge dreams, so it must rest on the pixels alone.
        """

    @abstractmethod
    def sample_options(self, rng: np.random.Generator) -> dict[str, Any]:
        """Options of a random scene, for ``reset(options=…)``."""

    @abstractmethod
    def backdrop(self) -> np.ndarray:
        """The world's largest empty picture: the blank that key frames differ from (cropped at the top left)."""

    @abstractmethod
    def policy(self, rng: np.random.Generator, max_steps: int) -> list[int]:
        """Actions worth recording from the present scene: its own plan where it has one, else random ones."""

    @abstractmethod
    def check_rules(self, before: np.ndarray, after: np.ndarray) -> float:
        """How far a dreamed step keeps the world's general rules, in [0, 1], from the two pictures alone.

        Rules that hold for every step ("walls stay where they are", "a thing does not turn into another"),
        never the outcome of this one: that would be asking the simulator.
        """

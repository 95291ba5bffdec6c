"""The contract of a world: a Gymnasium environment that yields true triplets and can say them in words.

What every world must say is abstract; all else has a default, so that a new world is one class. A model is trained on
a world through ``documents.py``.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import gymnasium
import numpy as np

from reverie.data import FactRow
from reverie.errors import UnknownNameError, WorldError, nearest, shorten
from reverie.splits import share_of
from reverie.worlds.sighting import Sighting, sight_whole

if TYPE_CHECKING:
    from reverie.tokens.grammar import Grammar
    from reverie.tokens.image import ImageTokenizer
    from reverie.worlds.phrasebook import Phrasebook

__all__ = [
    "GOAL_QUESTION",
    "DocumentConfig",
    "Episode",
    "Heard",
    "Narrator",
    "Question",
    "Segments",
    "Sighting",
    "Source",
    "Transition",
    "World",
]

Segments = list[tuple[list[int], float]]
GOAL_QUESTION = "which way leads to the goal?"  # what a dream that is to be a plan answers


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


@dataclass(frozen=True)
class Heard:
    """What a question about a scene says is done in it, one after the other.

    ``form``: the question as it was taught, with ``{path}`` where the ``actions`` are named; ``problem``: why it cannot
    be asked so, in words, without a full stop; ``strange``: words that no question about such scenes is made of;
    ``seen``: whether it asks of a scene that one would have to see, by what is done or by who is in it.
    """

    form: str
    actions: tuple[str, ...]
    problem: str = ""
    strange: tuple[str, ...] = ()
    seen: bool = False

    def text(self, actions: Sequence[str]) -> str:
        """The taught question about ``actions``."""
        return self.form.format(path=", ".join(actions))


class Narrator(Protocol):
    """Says states, actions and transitions in words. Every method returns wordings, the canonical one first."""

    def say_state(self, state: dict[str, Any]) -> list[str]: ...

    def say_action(self, action: int, state: dict[str, Any]) -> list[str]: ...

    def say_result(self, before: dict[str, Any], action: int, after: dict[str, Any]) -> list[str]: ...

    def questions(self, episode: Episode, rng: np.random.Generator) -> list[Question]:
        """At least one question about ``episode``, paraphrased at random, each with its true answer."""
        ...


class Source(Protocol):
    """Draws one training document: segments (ids, weight).

    What must be predicted weighs 1, what could not be known (which way a random walk goes, what a random map holds) 0.
    """

    def draw(self, rng: np.random.Generator) -> Segments: ...


@dataclass(frozen=True)
class DocumentConfig:
    """How documents of recorded episodes are drawn. A world that has more to say about its own has its own class."""

    direct: float = 0.0  # share of questions answered without a dream
    outcome_in_words: float = (
        0.0  # share of dreams that go to the end in one step and say it in words, as a memory tells it
    )


class World(gymnasium.Env[Any, int]):
    """A Gymnasium environment with ``rgb_array`` pictures, JSON states and a narrator.

    ``name`` registers it; ``action_names`` has one entry per action of the Discrete action space.
    ``cell_px``: side in pixels of the picture square that becomes one code.
    ``default_side``: side in pixels of every picture, to which any picture brought along is resized; 0 where pictures
    come in many sizes. ``max_side``: of the largest picture, 0 means ``default_side``.
    ``scene_words``: how people write a scene, with its limits.
    ``wordless``: dreams begin with the picture alone; those of other worlds with words, too.
    ``skills``: what an expert can learn about this world beyond what the base is taught.
    ``document_config``: the settings dataclass that ``documents`` takes.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 4}  # type: ignore[misc]
    name: str
    cell_px: int
    action_names: tuple[str, ...]
    narrator: Narrator
    default_side: ClassVar[int] = 0
    max_side: ClassVar[int] = 0
    scene_words: ClassVar[str] = "options as a JSON object"
    wordless: ClassVar[bool] = False
    skills: ClassVar[tuple[str, ...]] = ()
    document_config: ClassVar[type[Any]] = DocumentConfig

    @property
    def picture_words(self) -> str:
        """The sizes of its pictures."""
        if self.default_side:
            return f"{self.default_side}x{self.default_side} px"
        most = f", at most {self.max_side}" if self.max_side else ""
        return f"sides in multiples of {self.cell_px} px{most}"

    @property
    def endings(self) -> dict[str, bool]:
        """Result words after which nothing more happens -> whether that is what a plan wants. None by default."""
        return {}

    def shortest_plan(self) -> list[int] | None:
        """Fewest actions from the present state to an ending that a plan wants, by the true rules; None where there are
        none, or the world cannot say. For judging and teaching: no dream may see it."""
        return None

    def walk_document(
        self,
        grammar: Grammar,
        tokenizer: ImageTokenizer,
        question: str,
        options: Mapping[str, Any],
        path: Sequence[int],
    ) -> Segments | None:
        """A question, and a dream of what the actions ``path`` really do in a scene, without an answer: the steps weigh
        1, and so does the end where the world ends there, which may be early. None: a recorded episode will do."""
        return None

    def facts(self) -> list[FactRow]:
        """What holds in this world, in words, for a memory; nothing that is kept for testing. None by default."""
        return []

    def told_property(self, rng: np.random.Generator) -> tuple[str, str, FactRow] | None:
        """A question about what something is like, the answer that follows from a fact, true or not, and that fact."""
        return None

    def phrasebook(self) -> Phrasebook | None:
        """How people put what can be asked here, for free phrasings; None takes the taught words alone."""
        return None

    # as people write them ----------------------------------------------------------------------------------------

    def parse_scene(self, scene: str | Sequence[str]) -> dict[str, Any]:
        """Options for ``reset`` from a scene as people write it; a JSON object in every world. Raises WorldError."""
        try:
            options = json.loads(scene if isinstance(scene, str) else "")
        except ValueError:
            options = None
        if not isinstance(options, dict):
            raise WorldError(f"a scene of {self.name} is a JSON object of options, got '{shorten(str(scene))}'")
        return options

    def parse_actions(self, said: Sequence[str]) -> list[tuple[int, str]]:
        """(number, words that a dream hears) of each action in the present scene. WorldError names what it lacks.

        ``said``: actions in words, several in one with commas between them. A name may be said with its object, as in
        "drop the egg".
        """
        words = [" ".join(one.lower().split()) for each in said for one in each.split(",") if one.strip()]
        if not words:
            raise WorldError(f"no actions given; {self.name} knows: {', '.join(self.action_names)}")
        return [(self._action(one), one) for one in words]

    def _action(self, words: str) -> int:
        fitting = [name for name in self.action_names if words == name or words.startswith(f"{name} ")]
        if fitting:
            return self.action_names.index(max(fitting, key=len))
        near = nearest(words, self.action_names)
        hint = f" Did you mean '{near}'?" if near else ""
        raise WorldError(f"{self.name} has no action '{shorten(words)}'.{hint} Known: {', '.join(self.action_names)}.")

    def hear(self, question: str) -> Heard | None:
        """What a question about a scene says is done in it; None where it asks of no scene that one would have to see.

        For worlds whose questions say nothing without a scene; by default a world has none.
        """
        return None

    # as people show them -----------------------------------------------------------------------------------------

    def sight(self, picture: np.ndarray) -> Sighting:
        """What ``picture``, uint8 (H, W, 3) of any size, shows of this world: found and cut out as far as it can be."""
        return sight_whole(self, picture)

    def picture_of(self, state: dict[str, Any]) -> np.ndarray | None:
        """The picture of a state that ``read`` gave, as ``render`` would paint it; None where the world cannot."""
        return None

    # training ----------------------------------------------------------------------------------------------------

    def in_test_split(self, options: Mapping[str, Any]) -> bool:
        """Whether a scene is kept for testing: by default a tenth of all, by the hash of their options."""
        return share_of(json.dumps(options, sort_keys=True)) < 0.1

    def is_held_out(self, options: Mapping[str, Any]) -> bool:
        """Whether a scene shows what no model is ever trained on. None by default."""
        return False

    def documents(
        self, grammar: Grammar, tokenizer: ImageTokenizer, config: Any, *, episodes: int, seed: int, test: bool
    ) -> Source | None:
        """Training documents, with ``test`` of what is kept for testing; None: dreams of recorded episodes will do.

        ``config``: a ``document_config``, None: the default of training, or plain documents with ``test``;
        ``episodes``: how many to record, where any are.
        """
        return None

    def skill_documents(
        self, skill: str, grammar: Grammar, tokenizer: ImageTokenizer, *, seed: int, test: bool
    ) -> Source:
        """Documents of one of ``skills``. Raises UnknownNameError."""
        raise UnknownNameError("skill", skill, self.skills)

    def skill_question(
        self, skill: str, rng: np.random.Generator, number: int
    ) -> tuple[Question, dict[str, Any] | None] | None:
        """A question of one of ``skills`` (""; what the base is taught) about what is kept for testing, and the scene
        that it needs; None where this draw gives none. ``number``: how many came before it.
        """
        raise UnknownNameError("skill", skill, self.skills)

    # what every world must say -----------------------------------------------------------------------------------

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

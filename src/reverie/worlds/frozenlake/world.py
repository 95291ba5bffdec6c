"""FrozenLake: Gymnasium's own environment on any map, never slippery, with a narrator.

**Description.** An elf crosses a frozen lake of 2×2 to 8×8 cells without falling into a hole.
**Actions.** left, down, right, up. Walking against the edge leaves the elf where it is.
**Observations.** The elf's cell, ``row * columns + column``, as in Gymnasium.
**Rewards.** 1 at the goal, else 0.
**Termination.** At the goal or in a hole (there Gymnasium no longer draws the elf). With the option
``goal_ends=False`` the elf may walk on over the goal, as Visual Spatial Planning has it.

**Limits.** Maps of 2 to 8 rows and columns, with one start and one goal; pictures have 64 px a cell, 512x512 at most.

The picture is composed from cells that Gymnasium itself rendered once, and equals its picture pixel for pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.errors import ConfigError
from reverie.tokens.vocabulary import EOS
from reverie.worlds.contract import Heard, Question, Segments, Sighting, Source, World
from reverie.worlds.frozenlake.documents import LakeAnswers, LakeFrames, LakeWalks, lake_walk
from reverie.worlds.frozenlake.maps import (
    ACTIONS,
    MAX_SIDE,
    MIN_SIDE,
    in_test_split,
    neighbour,
    parse_actions,
    parse_map,
    random_map,
    shortest_plan,
)
from reverie.worlds.frozenlake.narrator import LakeNarrator
from reverie.worlds.frozenlake.pictures import CELL_PX, paint, read_cells
from reverie.worlds.frozenlake.questions import skill_question
from reverie.worlds.frozenlake.walks import parity_maps, test_map, training_map, walk_of

if TYPE_CHECKING:
    from reverie.tokens.grammar import Grammar
    from reverie.tokens.image import ImageTokenizer

__all__ = ["FrozenLake", "LakeDocuments"]


@dataclass(frozen=True)
class LakeDocuments:
    """How walks for training are drawn."""

    parity: bool = False  # at most 1,000 fixed maps a size, 3 to 6 only; else unlimited, 3 to 8
    asked: float = 0.15  # share of walks that answer a question naming the path; the others have no question

    def __post_init__(self) -> None:
        if not 0 <= self.asked <= 1:
            raise ConfigError(f"asked is a share between 0 and 1, got {self.asked}")


class FrozenLake(World):
    """See the module. ``desc``: a map as ``parse_map`` takes it; ``reset(options={"desc": …})`` changes it."""

    wordless = True
    name = "FrozenLake"
    cell_px = CELL_PX
    max_side = MAX_SIDE * CELL_PX
    action_names = ACTIONS
    scene_words = (
        f"a map of S, F, H and G with {MIN_SIDE} to {MAX_SIDE} rows and columns, such as SFF,FHF,FFG; 4x4 or 8x8; "
        "or options as a JSON object"
    )
    skills = ("spatial", "temporal")
    document_config = LakeDocuments

    def __init__(
        self, desc: str | Sequence[str] = ("SFFF", "FHFH", "FFFH", "HFFG"), render_mode: str | None = "rgb_array"
    ):
        self.render_mode = render_mode
        self.narrator = LakeNarrator()
        self.goal_ends = True
        self._load(parse_map(desc))

    def _load(self, desc: tuple[str, ...]) -> None:
        from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

        self.desc = desc
        self._env = FrozenLakeEnv(desc=list(desc), is_slippery=False)
        self._env.reset(seed=0)  # a lake can be drawn before anybody resets it
        self.action_space = self._env.action_space
        self.observation_space = self._env.observation_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        options = dict(options or {})
        if "desc" in options and (desc := parse_map(options["desc"])) != self.desc:
            self._load(desc)
        self.goal_ends = bool(options.get("goal_ends", True))
        observation, info = self._env.reset(seed=seed)
        if "cell" in options:  # start from any cell that is no hole, for recording single steps
            row, col = options["cell"]
            self._env.s = observation = int(row) * len(self.desc[0]) + int(col)
        return observation, info

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        if not self.goal_ends and self.state()["on"] == "G":  # Gymnasium would stay there for ever
            self._env.s = self._beside(int(action))
            terminated = self.state()["on"] == "H"
            return self._env.s, 0.0, terminated, False, {"prob": 1.0}
        observation, reward, terminated, truncated, info = self._env.step(int(action))
        terminated = terminated and (self.goal_ends or self.state()["on"] == "H")
        return observation, float(reward), terminated, truncated, info

    def _beside(self, action: int) -> int:
        row, col = neighbour(self.cell, action, len(self.desc), len(self.desc[0]))
        return row * len(self.desc[0]) + col

    @property
    def endings(self) -> dict[str, bool]:
        return {"falls": False, "goal": True} if self.goal_ends else {"falls": False}

    @property
    def cell(self) -> tuple[int, int]:
        row, col = divmod(int(self._env.s), len(self.desc[0]))
        return row, col

    def state(self) -> dict[str, Any]:
        row, col = self.cell
        return {"desc": list(self.desc), "cell": [row, col], "on": self.desc[row][col]}

    def render(self) -> np.ndarray:
        return paint(self.desc, self.cell)

    def backdrop(self) -> np.ndarray:
        """The empty lake at its largest."""
        return paint(("F" * MAX_SIDE,) * MAX_SIDE, None)

    def read(self, picture: np.ndarray) -> dict[str, Any] | None:
        """The cells and the elf's place, each cell by its nearest tile. ``cell`` is None where no elf is drawn."""
        cells = read_cells(picture)
        if cells is None:
            return None
        elves = [[row, col] for row, line in enumerate(cells) for col, (_, elf) in enumerate(line) if elf]
        if len(elves) > 1:
            return None
        desc = ["".join(tile[0] for tile, _ in line) for line in cells]
        cell = elves[0] if elves else None
        return {"desc": desc, "cell": cell, "on": desc[cell[0]][cell[1]] if cell else "H"}

    def picture_of(self, state: dict[str, Any]) -> np.ndarray:
        cell = state["cell"]
        return paint(state["desc"], None if cell is None else (cell[0], cell[1]))

    def sight(self, picture: np.ndarray) -> Sighting:
        from reverie.worlds.frozenlake.finding import find_lake

        return find_lake(picture)

    def hear(self, question: str) -> Heard:
        from reverie.worlds.frozenlake.asking import hear

        return hear(question)

    def check_rules(self, before: np.ndarray, after: np.ndarray) -> float:
        """The lake stays as it is, the elf moves at most one cell, and none comes out of a hole."""
        first, second = self.read(before), self.read(after)
        if first is None or second is None or first["desc"] != second["desc"]:
            return 0.0
        if first["cell"] is None or second["cell"] is None:
            return float(second["cell"] is None)
        distance = sum(abs(a - b) for a, b in zip(first["cell"], second["cell"], strict=True))
        return 1.0 if distance <= 1 else 0.0

    def sample_options(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"desc": list(random_map(int(rng.integers(3, MAX_SIDE + 1)), rng))}

    def policy(self, rng: np.random.Generator, max_steps: int) -> list[int]:
        return [int(action) for action in rng.integers(4, size=max_steps)]

    def parse_scene(self, scene: str | Sequence[str]) -> dict[str, Any]:
        if isinstance(scene, str) and scene.lstrip().startswith("{"):
            return super().parse_scene(scene)
        return {"desc": list(parse_map(scene))}

    def parse_actions(self, said: Sequence[str]) -> list[tuple[int, str]]:
        """Letters, too: ``"RRDD"``."""
        return [(number, ACTIONS[number]) for number in parse_actions(",".join(said))]

    def in_test_split(self, options: Mapping[str, Any]) -> bool:
        return in_test_split(options["desc"])

    def documents(
        self,
        grammar: Grammar,
        tokenizer: ImageTokenizer,
        config: LakeDocuments | None,
        *,
        episodes: int,
        seed: int,
        test: bool,
    ) -> Source:
        config = config or LakeDocuments(asked=0.0 if test else LakeDocuments.asked)
        maps = test_map if test else _one_of(parity_maps()) if config.parity else training_map
        return LakeWalks(grammar, tokenizer, maps, asked=config.asked)

    def shortest_plan(self) -> list[int] | None:
        return shortest_plan(self.desc, self.cell) if self.goal_ends else None

    def walk_document(
        self,
        grammar: Grammar,
        tokenizer: ImageTokenizer,
        question: str,
        options: Mapping[str, Any],
        path: Sequence[int],
    ) -> Segments:
        walk = walk_of(parse_map(options["desc"]), path)
        return [*lake_walk(grammar, LakeFrames(tokenizer), question, walk), ([EOS], float(walk.end in "HG"))]

    def skill_documents(
        self, skill: str, grammar: Grammar, tokenizer: ImageTokenizer, *, seed: int, test: bool
    ) -> Source:
        return LakeAnswers(grammar, tokenizer, skill, test)

    def skill_question(
        self, skill: str, rng: np.random.Generator, number: int
    ) -> tuple[Question, dict[str, Any] | None]:
        question, walk = skill_question(skill, rng, test=True)
        return question, {"desc": list(walk.desc)}


def _one_of(maps: Sequence[tuple[str, ...]]) -> Callable[[np.random.Generator], tuple[str, ...]]:
    return lambda rng: maps[int(rng.integers(len(maps)))]

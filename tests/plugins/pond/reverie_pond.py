"""Pond: a frog hops along a row of lily pads.

A world, an evaluator and a reader, as a package of their own.

**Description.** A frog sits on one of four pads in a row.
**Actions.** left, right. At the end of the row it stays where it is.
**Observations.** The number of its pad, from 0.
**Rewards.** None.
**Termination.** Never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from reverie.data import FactRow
from reverie.worlds import Episode, Question, World

PADS, CELL = 4, 8
PAD, FROG = np.array([30, 90, 40]), np.array([200, 220, 60])


class Words:
    def say_state(self, state: dict[str, Any]) -> list[str]:
        return [f"a frog on pad {state['pad']}"]

    def say_action(self, action: int, state: dict[str, Any]) -> list[str]:
        return [("left", "right")[action]]

    def say_result(self, before: dict[str, Any], action: int, after: dict[str, Any]) -> list[str]:
        return ["the frog stays" if before == after else "the frog hops"]

    def questions(self, episode: Episode, rng: np.random.Generator) -> list[Question]:
        first = episode.transitions[0]
        return [Question(f"what if the frog goes {first.action_text}?", f"{first.result_text}.", "happens", "hop")]


class Pond(World):
    name, cell_px, max_side = "Pond", CELL, PADS * CELL
    action_names = ("left", "right")
    scene_words = f"options as a JSON object: pad, from 0 to {PADS - 1}"

    def __init__(self, render_mode: str | None = "rgb_array") -> None:
        self.render_mode, self.narrator, self.pad = render_mode, Words(), 0
        self.action_space = gymnasium.spaces.Discrete(2)  # type: ignore[assignment]
        self.observation_space = gymnasium.spaces.Discrete(PADS)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.pad = int((options or {}).get("pad", 0))
        return self.pad, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.pad = min(max(self.pad + (-1, 1)[action], 0), PADS - 1)
        return self.pad, 0.0, False, False, {}

    def render(self) -> np.ndarray:
        picture = self.backdrop()
        picture[:, self.pad * CELL : (self.pad + 1) * CELL] = FROG
        return picture

    def backdrop(self) -> np.ndarray:
        return np.broadcast_to(PAD, (CELL, PADS * CELL, 3)).astype(np.uint8)

    def state(self) -> dict[str, Any]:
        return {"pad": self.pad}

    def read(self, picture: np.ndarray) -> dict[str, Any] | None:
        if picture.shape != (CELL, PADS * CELL, 3):
            return None
        cells = picture.reshape(CELL, PADS, CELL, 3).mean((0, 2))
        (frogs,) = np.nonzero(np.abs(cells - FROG).sum(-1) < np.abs(cells - PAD).sum(-1))
        return {"pad": int(frogs[0])} if len(frogs) == 1 else None

    def sample_options(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"pad": int(rng.integers(PADS))}

    def in_test_split(self, options: Any) -> bool:
        return bool(options["pad"] == 2)

    def policy(self, rng: np.random.Generator, max_steps: int) -> list[int]:
        return rng.integers(2, size=max_steps).tolist()

    def check_rules(self, before: np.ndarray, after: np.ndarray) -> float:
        was, now = self.read(before), self.read(after)
        return float(was is not None and now is not None and abs(was["pad"] - now["pad"]) <= 1)


class Stillness:
    """Prefers dreams in which little happens."""

    name, weight = "stillness", 0.1

    def judge(self, dreams: Sequence[Any], context: Any) -> list[float]:
        return [1 / (1 + len(dream.triplets)) for dream in dreams]


def read_pond(path: Path, on_bad: Callable[[Any], None]) -> Iterator[FactRow]:
    """Lines of ``frog pad``."""
    for line in path.read_text(encoding="utf-8").splitlines():
        frog, pad = line.split()
        yield FactRow(frog, "AtLocation", pad)

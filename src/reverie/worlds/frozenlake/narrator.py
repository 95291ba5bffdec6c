"""Says what happens on the lake, and asks about walks on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reverie.worlds.contract import Episode, Question
from reverie.worlds.frozenlake.maps import ACTIONS

__all__ = ["ENDS", "OUTCOMES", "QUESTIONS", "LakeNarrator", "end_question"]

ENDS = {"H": "falls", "G": "goal"}  # letter of a cell → outcome word; elsewhere the elf is safe
# outcome word → what the answer says
OUTCOMES = {
    "falls": "The elf falls into a hole.",
    "goal": "The elf reaches the goal.",
    "safe": "The elf is safe on the ice.",
}
QUESTIONS = (
    "what happens if you go {path}?",
    "what happens when the elf goes {path}?",
    "where does the elf end up if it walks {path}?",
    "is it safe to go {path}?",
    "can the elf walk {path} without falling into a hole?",
    "what if the elf moves {path}?",
    "the elf walks {path}. what happens?",
)
_SAID = {
    "falls": ["falls", "the elf falls into a hole", "into a hole"],
    "goal": ["goal", "the elf reaches the goal", "at the goal"],
    "safe": ["safe", "the elf stands on safe ice", "still on the ice"],
}


class LakeNarrator:
    """Says what happens on the lake. The outcome's words are short, because the picture says the rest."""

    def say_state(self, state: dict[str, Any]) -> list[str]:
        return ["a frozen lake", "an elf on a frozen lake", "the lake from above"]

    def say_action(self, action: int, state: dict[str, Any]) -> list[str]:
        name = ACTIONS[action]
        return [name, f"go {name}", f"walk {name}", f"one step {name}"]

    def say_result(self, before: dict[str, Any], action: int, after: dict[str, Any]) -> list[str]:
        return list(_SAID[ENDS.get(after["on"], "safe")])

    def questions(self, episode: Episode, rng: np.random.Generator) -> list[Question]:
        path = [transition.action for transition in episode.transitions]
        kind = ENDS.get(episode.transitions[-1].result_state["on"], "safe")
        meta = {"desc": list(episode.options["desc"]), "path": ", ".join(ACTIONS[action] for action in path)}
        return [replace(end_question(path, kind, rng), meta=meta)]


def end_question(path: Sequence[int], kind: str, rng: np.random.Generator) -> Question:
    """How a walk ends."""
    text = QUESTIONS[int(rng.integers(len(QUESTIONS)))].format(path=", ".join(ACTIONS[action] for action in path))
    return Question(text, OUTCOMES[kind], "walk", kind)

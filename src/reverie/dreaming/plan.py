"""Planning: find actions by dreaming. The model is the only simulator, and its words decide where the search stops.

Breadth first, level by level: every state of a level is a dreamed picture, dreamed one step further for every action;
pictures that were met before are not dreamed from again. The search ends at the first level that holds a goal. The real
world is asked once, when the plan is final.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from reverie.dreaming.dreamer import Dreamed, Dreamer, Prompt
from reverie.nouns import Dream, Frame, Part, Triplet

__all__ = ["Plan", "Search", "search"]


@dataclass(frozen=True)
class Plan:
    """A plan and how it was found.

    ``actions`` are names, empty when none was found; ``dream`` is the chosen path as it was imagined (None then);
    ``num_steps`` counts the imagined steps. ``reaches_goal`` and ``falls`` say what the real world did with the actions
    afterwards; both False when there is no plan.
    """

    world: str
    actions: tuple[str, ...]
    dream: Dream | None
    num_steps: int
    reaches_goal: bool
    falls: bool
    real_outcome: str = ""
    seconds: float = 0.0

    @property
    def found(self) -> bool:
        return bool(self.actions)


@dataclass(frozen=True)
class _State:
    """A dreamed picture and the imagined path to it."""

    frame: Frame
    path: tuple[Triplet, ...] = ()
    log_prob: float = 0.0
    num_ids: int = 0


@dataclass
class Search:
    """One search in imagination.

    Args:
        start: the picture to start from
        actions: names of what can be done
        endings: result words after which nothing more happens -> whether that is the goal
        budget: most imagined steps
    """

    start: Frame
    actions: Sequence[str]
    endings: dict[str, bool]
    budget: int
    num_steps: int = 0
    found: Dream | None = None
    _level: list[_State] = field(default_factory=list)
    _seen: set[Frame] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._level = [_State(self.start)]
        self._seen = {self.start}

    @property
    def over(self) -> bool:
        return self.found is not None or not self._level or self.num_steps >= self.budget

    def prompts(self, dreamer: Dreamer) -> list[Prompt]:
        """One step from every state of the level, for every action; the rows of a state share their prefix."""
        left = (self.budget - self.num_steps) // len(self.actions)
        self._level = self._level[: max(left, 1)]
        return [
            dreamer.step_prompt(dreamer.opening(Part("", state.frame)), action)
            for state in self._level
            for action in self.actions
        ]

    def receive(self, dreamed: Sequence[Dreamed]) -> None:
        """Take the imagined steps of the level and go one deeper."""
        self.num_steps += len(dreamed)
        after: list[tuple[_State, str]] = []
        for index, step in enumerate(dreamed):
            if step.finished:
                after.append(_follow(self._level[index // len(self.actions)], step))
        after.sort(key=lambda pair: -pair[0].log_prob)  # the most probable path to a picture stands for it
        goals = [state for state, words in after if self.endings.get(words)]
        if goals:
            best = goals[0]
            self.found = Dream(best.path, best.log_prob, seed=0, num_ids=best.num_ids)
            return
        self._level = []
        for state, words in after:
            if words not in self.endings and state.frame not in self._seen:
                self._seen.add(state.frame)
                self._level.append(state)


def _follow(state: _State, step: Dreamed) -> tuple[_State, str]:
    """Where an imagined step from ``state`` leads, and its words."""
    dreamed = step.document.triplets[-1]
    what = state.path[-1].result if state.path else Part("", state.frame)
    path = (*state.path, Triplet(what, dreamed.action, dreamed.result))
    frame = dreamed.result.frame
    assert frame is not None
    return _State(frame, path, state.log_prob + step.log_prob, state.num_ids + step.num_ids), dreamed.result.text


def search(dreamer: Dreamer, searches: Sequence[Search]) -> None:
    """Run all searches to their ends, level by level, their steps together in the engine's batches."""
    while active := [one for one in searches if not one.over]:
        asked = [one.prompts(dreamer) for one in active]
        dreamed = dreamer.run([prompt for prompts in asked for prompt in prompts])
        start = 0
        for one, prompts in zip(active, asked, strict=True):
            one.receive(dreamed[start : start + len(prompts)])
            start += len(prompts)

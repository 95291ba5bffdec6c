"""The course of a scene: what follows on an action, moment by moment and picture by picture."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from reverie.worlds.everyday import picture
from reverie.worlds.everyday.physics import Moment, opening, unfold
from reverie.worlds.everyday.things import Scene

__all__ = ["chain", "moments"]


@lru_cache(maxsize=32768)
def moments(scene: Scene, action: str) -> tuple[Moment, ...]:
    """What follows on ``action``, kept so that asking again costs nothing."""
    return unfold(scene, action)


@lru_cache(maxsize=32768)
def chain(scene: Scene, action: str) -> tuple[str, ...]:
    """The states after ``action`` as JSON, one a step, without steps on which the picture stays the same."""
    states = [picture.state_of(scene, moment) for moment in moments(scene, action)]
    seen = [picture.state_of(scene, opening(scene)), *states]
    kept = [state for before, state in zip(seen, states, strict=False) if _shown(before) != _shown(state)]
    if not kept or _shown(kept[-1]) != _shown(states[-1]) or len(kept) < 2:
        kept = [*kept[:-1], states[-1]]
    kept[-1] = states[-1]  # the last word on what happened, where only the middle had moved
    return tuple(json.dumps(state) for state in kept)


def _shown(state: dict[str, Any]) -> tuple[Any, ...]:
    return state["things"], state["surface"], state["held"], state["tool"]

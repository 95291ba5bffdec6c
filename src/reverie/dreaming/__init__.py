"""Dreaming: from a question to pictured futures, one of them picked, and an answer. Read ``session.py`` first.

``Reverie`` is a session with one model. The ``Dreamer`` runs its branches on the engine, evaluators score them, the
``Arbiter`` picks one, and a ``ConfidenceModel`` says whether the question is one that was taught. ``Simulation`` and
``Plan`` are what imagining a world gives; ``strip.py`` draws dreams for people.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.dreaming.arbiter import Arbiter
    from reverie.dreaming.confidence import ConfidenceModel
    from reverie.dreaming.dreamer import Dreamer
    from reverie.dreaming.evaluators import (
        Evaluator,
        check_evaluator,
        evaluator_names,
        make_evaluator,
        register_evaluator,
    )
    from reverie.dreaming.plan import Plan
    from reverie.dreaming.session import Reverie
    from reverie.dreaming.simulate import Simulation

__all__ = [
    "Arbiter",
    "ConfidenceModel",
    "Dreamer",
    "Evaluator",
    "Plan",
    "Reverie",
    "Simulation",
    "check_evaluator",
    "evaluator_names",
    "make_evaluator",
    "register_evaluator",
]

_HOMES = {
    "Arbiter": "arbiter",
    "ConfidenceModel": "confidence",
    "Dreamer": "dreamer",
    "Evaluator": "evaluators",
    "Plan": "plan",
    "Reverie": "session",
    "Simulation": "simulate",
    "check_evaluator": "evaluators",
    "evaluator_names": "evaluators",
    "make_evaluator": "evaluators",
    "register_evaluator": "evaluators",
}


def __getattr__(name: str) -> Any:  # torch is imported only when a name that needs it is asked for
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

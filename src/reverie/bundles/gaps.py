"""The gaps of one model: its questions in the gap log, seen as its router sees them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from reverie.bundles.loading import Bundle
from reverie.dreaming.model import Model
from reverie.errors import UsageError
from reverie.experts.features import question_features
from reverie.growth.gaps import GapConfig, Gaps, find_gaps
from reverie.growth.missing import missing_knowledge
from reverie.memory.attempts import Attempt, GapLog
from reverie.memory.memory import Memory
from reverie.progress import Progress, no_progress
from reverie.training.varied_prompts import varied_prompts

__all__ = ["gaps_among", "gaps_of", "missing_of"]

_MOST, _BACKGROUND = 1000, 60  # of the newest questions, and of others beside them
_ASKED = 3  # questions of a gap, by which missing knowledge is measured
_PASSAGES = 2


def gaps_of(
    bundle: Bundle, model: Model, log: GapLog, config: GapConfig | None = None, progress: Progress = no_progress
) -> Gaps:
    """What ``model``, opened from ``bundle``, does not know, by its open attempts in ``log``."""
    attempts = [one for one in log.all(bundle.name) if _readable(bundle, one.question)][-_MOST:]
    return gaps_among(bundle, model, attempts, config, progress)[0]


def gaps_among(
    bundle: Bundle,
    model: Model,
    attempts: Sequence[Attempt],
    config: GapConfig | None = None,
    progress: Progress = no_progress,
) -> tuple[Gaps, np.ndarray]:
    """Those of these attempts, and the features (n, D) of each attempt's question."""
    questions = list(dict.fromkeys(one.question for one in attempts))
    place = {question: at for at, question in enumerate(questions)}
    background = [one for one in varied_prompts(3 * _BACKGROUND) if _readable(bundle, one)][:_BACKGROUND]
    progress("reading questions", 0, len(questions))
    seen = _features(bundle, model, [*questions, *background])
    choices = model.experts.choose([*seen[: len(questions)]], [None] * len(questions))
    owners = [choice[0][0] if choice else "" for choice in choices]
    order = [place[one.question] for one in attempts]
    beside = dict(zip(background, seen[len(questions) :], strict=True))
    found = find_gaps(attempts, seen[order], beside, [owners[at] for at in order], config)
    return found, seen[order]


def missing_of(bundle: Bundle, model: Model, memory: Memory, questions: Sequence[str]) -> float | None:
    """How far the model's answers move when what ``memory`` holds stands beside them, see ``missing_knowledge``; None
    for a model that only dreams."""
    speaker = bundle.speaker(model)

    def written(question: str) -> str:
        found = memory.recall(question, k=_PASSAGES)
        told = [node.text for node, _ in found.nodes[:_PASSAGES] if node.text] or [
            f"{one.subject} {one.relation} {one.object}." for one in found.facts[:_PASSAGES]
        ]
        return "\n".join(told)

    return None if speaker is None else missing_knowledge(speaker, questions[:_ASKED], written)


def _readable(bundle: Bundle, question: str) -> bool:
    try:
        return bool(bundle.asked(question))
    except UsageError:
        return False


def _features(bundle: Bundle, model: Model, questions: Sequence[str]) -> np.ndarray:
    read = partial(model.engine.embed_many, layers=model.experts.layers)
    return question_features(read, [bundle.asked(one) for one in questions]) if questions else np.zeros((0, 2))

"""Confidence: how likely it is that an answer is right, and from where on it may be called known.

What the model showed while it met a question, by name:

    question_mean   mean log-probability of the question's ids under the model
    question_min    the least of them: one strange word is enough to change the subject
    distance        of the question's embedding from the taught ones (the nearest of a few centres)
    state           what a ridge makes of the question's embedding alone, before any word is drawn
    agreement       of the branches, or of answers drawn again
    answer_mean     mean log-probability of the answer's ids
    …               what else ``Signals.more`` names, and the value of every ``Check``, as "check: NAME"

joined by a logistic probe; the threshold was set so that of the answers called known at most a stated share is wrong
(see ``training/knowing``, which fits all this). What is missing says nothing. Where a check failed, the confidence is
at most the share of such answers that were right, and nothing makes it known. Only numbers are saved, as JSON.

A base gives answers of several forms (``FORMS``), and what speaks for one says little about another: each has a probe
and a threshold of its own. Answers of a form that has none are never known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reverie.dreaming.unknown import not_known
from reverie.errors import BundleError, shorten
from reverie.files import atomic_write_json
from reverie.jsonio import read_object
from reverie.nouns import Check, Signals

__all__ = ["FEATURES", "FORMS", "ConfidenceModel", "Guarantee", "admit", "features"]

FEATURES = ("question_mean", "question_min", "distance", "agreement", "answer_mean")  # of files without names
FORMS = {  # forms of answers → what they are called
    "direct": "answers at once",
    "dream": "dreams of what happens",
    "whether": "dreams of whether something happens",
    "why": "dreams of why something is so",
    "fact": "answers read from facts",
    "passage": "answers read from passages",
}
_FARTHEST = 20.0  # standard deviations, beyond which a feature says no more
_UNSURE = "I am not sure enough of it"
_REASONS = {
    "question_mean": "questions like this are new to me",
    "question_min": "there are words in it that I was not taught",
    "distance": "it is about something that I was not taught",
    "state": "it is about something that I rarely get right",
    "agreement": "what I imagine differs each time",
    "answer_mean": "I cannot find words that I would stand behind",
    "strange": "there are words in it that I have hardly ever met",
    "declines": "saying that I do not know fits as well",
}


@dataclass(frozen=True)
class Guarantee:
    """What was promised when the threshold was set: among answers called known at most ``risk`` is wrong, unless a draw
    of questions of the same kind was among the unluckiest ``delta``.

    ``num_questions``: that it was set on; ``known``: the share of them that it calls known; ``wrong``: of these, the
    share that is wrong; ``about``: what they were.
    """

    risk: float
    delta: float
    num_questions: int
    known: float
    wrong: float
    about: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.risk < 1 or not 0 < self.delta < 1:
            raise ValueError(f"a risk and its delta lie between 0 and 1, got {self.risk} and {self.delta}")


@dataclass(frozen=True)
class ConfidenceModel:
    """The fitted probe.

    Args:
        names: of the features that it joins, one a mean, scale and weight
        threshold: confidence from which an answer is known; None: nothing is
        centres, spread: (C, D) and (D,), describe the embeddings of taught questions
        direction, offset: (D,) and its bias: the ridge on the embedding
        failed: most confidence where a check failed
        guarantee: what the threshold promises; None: nothing
        forms: the probes of answers of other forms than "direct", by ``FORMS``
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    threshold: float | None
    centres: tuple[tuple[float, ...], ...] = ()
    spread: tuple[float, ...] = ()
    names: tuple[str, ...] = FEATURES
    direction: tuple[float, ...] = ()
    offset: float = 0.0
    failed: float = 1.0
    guarantee: Guarantee | None = None
    forms: Mapping[str, ConfidenceModel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.scale) == len(self.weights) == len(self.names):
            raise ValueError(f"a confidence model has a mean, scale and weight for each of its {len(self.names)} names")
        if not all(scale > 0 for scale in self.scale) or not all(0 <= one <= 1 for one in (self.failed, self.least)):
            raise ValueError("thresholds lie in [0, 1] and scales are above 0")

    def of(self, form: str) -> ConfidenceModel | None:
        """The probe of answers of that form; None where nobody fitted one."""
        return self if form == "direct" else self.forms.get(form)

    @property
    def least(self) -> float:
        """The threshold, 1 where nothing is known."""
        return 1.0 if self.threshold is None else self.threshold

    def parts(self, signals: Signals, checks: Sequence[Check] = ()) -> dict[str, float]:
        """How much each feature adds to the log-odds; below 0 it speaks against knowing."""
        z = (self.values(signals, checks) - self.mean) / self.scale
        return dict(zip(self.names, (np.clip(z, -_FARTHEST, _FARTHEST) * self.weights).tolist(), strict=True))

    def values(self, signals: Signals, checks: Sequence[Check] = ()) -> np.ndarray:
        """float (len(names),): of the features, their mean where one is missing."""
        found = features(signals, checks, self.centres, self.spread, self.direction, self.offset)
        return np.array([found.get(name, usual) for name, usual in zip(self.names, self.mean, strict=True)])

    def confidence(self, signals: Signals, checks: Sequence[Check] = ()) -> float:
        """The probability, in [0, 1], that the answer is right."""
        sure = float(sigmoid(self.bias + sum(self.parts(signals, checks).values())))
        return sure if all(check.held for check in checks) else min(sure, self.failed)

    def known(self, confidence: float, checks: Sequence[Check] = ()) -> bool:
        """Whether the answer may be called known."""
        return self.threshold is not None and confidence >= self.threshold and all(check.held for check in checks)

    @classmethod
    def rough(cls) -> ConfidenceModel:
        """The probe of a bundle that has none: it trusts questions and answers that the model finds unsurprising."""
        return cls((-1.0, 0.0, 0.0, 0.0, -0.5), (1.0,) * 5, (2.0, 0.0, 0.0, 0.0, 2.0), 2.0, 0.5)

    def save(self, path: Path) -> None:
        atomic_write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> ConfidenceModel:
        """Raises BundleError when the file is missing or damaged. One without names has those of ``FEATURES``."""
        fields = read_object(path, BundleError, "the confidence of a bundle")
        try:
            return cls._of_fields(fields)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"the confidence of a bundle {path} is damaged: {shorten(str(error))}") from error

    @classmethod
    def _of_fields(cls, fields: Mapping[str, Any]) -> ConfidenceModel:
        told = dict(fields)
        for name in ("mean", "scale", "weights", "spread", "direction"):
            told[name] = tuple(map(float, told.get(name, ()) if name == "direction" else told[name]))
        told["names"] = tuple(map(str, told.get("names", FEATURES)))
        told["centres"] = tuple(tuple(map(float, centre)) for centre in told["centres"])
        told["guarantee"] = Guarantee(**told["guarantee"]) if told.get("guarantee") else None
        told["forms"] = {str(form): cls._of_fields(its) for form, its in told.get("forms", {}).items()}
        return cls(**told)


def admit(parts: Mapping[str, float], checks: Sequence[Check] = ()) -> str:
    """The sentence that says that an answer is not known: the first check that failed, else what speaks most against
    knowing it. ``parts``: as ``ConfidenceModel.parts`` has them."""
    if failed := next((check.why for check in checks if not check.held), ""):
        return not_known(failed)
    against = [name for name in parts if name in _REASONS]
    worst = min(against, key=lambda name: parts[name], default="")
    return not_known(_REASONS.get(worst, _UNSURE))


def features(
    signals: Signals,
    checks: Sequence[Check] = (),
    centres: Sequence[Sequence[float]] = (),
    spread: Sequence[float] = (),
    direction: Sequence[float] = (),
    offset: float = 0.0,
) -> dict[str, float]:
    """What was shown, by name; what is missing is left out."""
    found = {"question_mean": float(np.mean(signals.log_probs)), "question_min": min(signals.log_probs)}
    if len(centres):
        gaps = (np.asarray(signals.embedding) - np.asarray(centres)) / np.asarray(spread)  # (C, D)
        found["distance"] = min(float(np.sqrt((gaps**2).mean(1)).min()), signals.near)
    if len(direction):
        found["state"] = float(np.asarray(signals.embedding) @ np.asarray(direction)) + offset
    if signals.agreement is not None:
        found["agreement"] = signals.agreement
    found["answer_mean"] = signals.answer_mean
    return found | dict(signals.more) | {f"check: {check.name}": check.value for check in checks}


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))

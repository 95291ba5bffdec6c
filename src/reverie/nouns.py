"""The nouns that every room of the house shares: frozen dataclasses, checked on construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

__all__ = [
    "CAUSES",
    "DIRECT",
    "SAYS",
    "Answer",
    "Attribution",
    "Backing",
    "Check",
    "Dream",
    "ExpertShare",
    "Fact",
    "Frame",
    "LeftOut",
    "Part",
    "Sentence",
    "Signals",
    "Triplet",
    "Verdict",
    "situation",
]


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture as K = rows × cols codes of the image tokenizer.

    ``codes``: int32 array (rows, cols), values >= 0, read-only. Two frames are equal when all codes are.
    """

    codes: np.ndarray

    def __post_init__(self) -> None:
        codes = np.array(self.codes, dtype=np.int32)  # a copy: nobody can change it under us
        if codes.ndim != 2 or 0 in codes.shape:
            raise ValueError(f"a frame needs a 2-d grid of codes, got shape {codes.shape}")
        if codes.min() < 0:
            raise ValueError(f"codes start at 0, got {codes.min()}")
        codes.setflags(write=False)
        object.__setattr__(self, "codes", codes)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)"""
        return self.codes.shape[0], self.codes.shape[1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frame) and np.array_equal(self.codes, other.codes)

    def __hash__(self) -> int:
        return hash((self.codes.shape, self.codes.tobytes()))

    def __repr__(self) -> str:
        return f"Frame({self.shape[0]}x{self.shape[1]})"


@dataclass(frozen=True)
class Part:
    """One part of a triplet: a picture, words, or both (never neither).

    ``cells``: (row, col) places of the frame before it that an action looks at: its **glimpse**, in raster order.
    """

    text: str = ""
    frame: Frame | None = None
    cells: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.text and self.frame is None:
            raise ValueError("a part needs words, a frame, or both")
        if list(self.cells) != sorted(set(self.cells)):
            raise ValueError(f"the cells of a glimpse ascend, got {self.cells}")


@dataclass(frozen=True)
class Triplet:
    """(what, action, result): the unit of thought."""

    what: Part
    action: Part
    result: Part


SAYS = "says"  # the relation between a passage and its text, where a passage is handed on as a fact
CAUSES = "Causes"  # the relation between a situation and what comes of it, by ConceptNet's name


def situation(what: str, action: str) -> str:
    """An action in its circumstances, as the subject of a fact: what comes of it is the object."""
    return f"{action}, when {what}"


@dataclass(frozen=True)
class Dream:
    """One branch: a chain of triplets, each starting where the last one ended.

    ``log_prob`` is the sum over its ids in nats; ``num_ids`` how many ids that sums over;
    ``scores`` maps evaluator to [0, 1]; ``score`` is their weighted mean; ``said`` is the answer this branch words.
    """

    triplets: tuple[Triplet, ...]
    log_prob: float
    seed: int
    said: str = ""
    num_ids: int = 0
    score: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)
    experts: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for before, after in zip(self.triplets, self.triplets[1:], strict=False):
            if before.result.frame != after.what.frame:
                raise ValueError("a chain's next triplet must start from the last result")

    @property
    def claim(self) -> tuple[str, str] | None:
        """(situation, outcome) in words: what comes, in the end, of the first action. None where words are missing."""
        if not self.triplets:
            return None
        first, outcome = self.triplets[0], self.triplets[-1].result.text
        if not (first.what.text and first.action.text and outcome):
            return None
        return situation(first.what.text, first.action.text), outcome

    def with_scores(self, scores: dict[str, float], score: float) -> Dream:
        return replace(self, scores=scores, score=score)


@dataclass(frozen=True)
class Verdict:
    """What the arbiter decided: the index of the winning branch (-1 when none dreamed) and why."""

    branch: int
    reason: str


@dataclass(frozen=True)
class Fact:
    """One edge of the memory, in words: what an answer can rest on.

    ``score`` in [0, 1] says how much it matters to the question at hand, ``confidence`` in [0, 1] how far its source is
    trusted, ``reason`` why it was recalled. ``time`` is in seconds since 1970 (UTC), ``origin`` the dream or document
    that it comes from, ``id`` its edge in the store (0: in none, below 0: in a bundle's own facts). It holds from
    ``valid_from`` up to ``valid_to``, in seconds since 1970 (None: not said), and ``holds`` says whether it does at the
    moment that is asked about.
    """

    subject: str
    relation: str
    object: str
    source: str
    score: float = 1.0
    confidence: float = 1.0
    time: float = 0.0
    origin: str = ""
    reason: str = ""
    id: int = 0
    valid_from: float | None = None
    valid_to: float | None = None
    holds: bool = True


@dataclass(frozen=True)
class Signals:
    """What the model showed while it met one question. ``agreement`` is None where fewer than two branches dreamed.

    ``log_probs``: of the question's ids, in nats, at least one; ``embedding``: float64 (D,), the question's;
    ``answer_mean``: mean log-probability of the answer's ids; ``near``: how far the question is from what the experts
    that were chosen for it were taught, about 1 for their own questions; ``more``: whatever else it showed, by name;
    ``form``: what kind of answer it gave (see ``dreaming.confidence.FORMS``).
    """

    log_probs: Sequence[float]
    embedding: np.ndarray = field(compare=False)
    agreement: float | None
    answer_mean: float
    near: float = float("inf")
    more: Mapping[str, float] = field(default_factory=dict)
    form: str = "direct"

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_probs", tuple(map(float, self.log_probs)))
        if not self.log_probs:
            raise ValueError("signals need the log-probability of at least one id")
        if self.agreement is not None and not 0 <= self.agreement <= 1:
            raise ValueError(f"agreement lies between 0 and 1, got {self.agreement}")


@dataclass(frozen=True)
class LeftOut:
    """By how many nats the ids of a branch (``all``), and its answer's alone, are less probable without an expert."""

    all: float
    answer: float


@dataclass(frozen=True)
class ExpertShare:
    """What one expert gave to a branch: its gate's weight, and the size of its contribution to each id and on average
    (see ``Engine.contributions``). ``left_out`` is None where nobody asked for it."""

    weight: float
    contribution: float
    by_id: tuple[float, ...]
    left_out: LeftOut | None = None


@dataclass(frozen=True)
class Attribution:
    """Where an answer comes from.

    ``confidence``: signal -> what it adds to the log-odds of knowing; ``attention``: id of a recalled fact -> its share
    of it, in [0, 1]; ``experts``: by name, what they gave to the branch whose ids ``ids`` names; ``remembered``: id of
    the fact that this answer left in the memory.
    """

    confidence: Mapping[str, float] = field(default_factory=dict)
    attention: Mapping[int, float] = field(default_factory=dict)
    experts: Mapping[str, ExpertShare] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    remembered: int | None = None


@dataclass(frozen=True)
class Backing:
    """A fact that a sentence rests on: its place in the answer's evidence, from 1, as answers cite it, and the words of
    the sentence that stand in it."""

    place: int
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sentence:
    """One sentence of an answer, and what it rests on.

    ``experts``: by name, the share in [0, 1] of all that experts gave to its ids; ``facts``: of the evidence;
    ``dreams``: places of the branches that say it, from 0, the one that it was worded from first.
    """

    text: str
    experts: Mapping[str, float] = field(default_factory=dict)
    facts: tuple[Backing, ...] = ()
    dreams: tuple[int, ...] = ()

    @property
    def own(self) -> bool:
        """Whether it rests on nothing of these: then it is the model's own words."""
        return not (self.experts or self.facts or self.dreams)


@dataclass(frozen=True)
class Check:
    """One thing that must hold before an answer may be called known.

    ``name``: which, in a word or two ("words", "scene", "picture", "agreement"); ``held``: whether it did; ``why``:
    what was found, in words, without a full stop ("nothing pictures a hammer"); ``value`` in [0, 1]: how well it held,
    a feature of the confidence.
    """

    name: str
    held: bool
    why: str
    value: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise ValueError(f"the value of a check lies between 0 and 1, got {self.value}")


DIRECT = Verdict(-1, "answered directly, without dreams")


@dataclass(frozen=True)
class Answer:
    """What ``ask`` returns. ``confidence`` in [0, 1]; ``backend`` says who worded the text; ``signals`` is what the
    confidence was made of; ``model`` names who answered, and ``why`` says why it was this one, of several. ``checks``:
    what had to hold before it could be known; ``guess``: where it is not known, what would have been said, if
    anything."""

    text: str
    known: bool
    confidence: float
    backend: str
    dreams: tuple[Dream, ...] = ()
    verdict: Verdict = DIRECT
    evidence: tuple[Fact, ...] = ()
    attribution: Attribution = field(default_factory=Attribution)
    seconds: float = 0.0
    signals: Signals | None = None
    model: str = ""
    why: str = ""
    checks: tuple[Check, ...] = ()
    guess: str = ""

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"confidence lies between 0 and 1, got {self.confidence}")

"""Choosing among given options: which of them is the cause, the effect, or the answer.

A small model that is shown options A and B picks one about as well as a coin. It knows more than that: put each option
where the answer would stand, and how probable the texts become says which fits. An option is looked at from up to three
sides (``Chosen.scores``), and a ``Way`` says how they are weighed:

- ``likelihood``: the option after what was asked, in nats an id. Favours what is common anywhere.
- ``contrast``: the option after what was asked, less the option after something that says nothing, in nats.
- ``reverse``: what was asked after the option, in nats. It needs no contrast: the text is the same for all options.

The way for causes and effects was fixed on half of e-CARE's train rows; see docs/benchmarks.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from reverie.dreaming.contrast import NEUTRAL, Contrasted, score_once
from reverie.engine.sampling import Sampling
from reverie.errors import ConfigError, UsageError
from reverie.speakers.contract import Message, Scored, Speaker, SpeechRequest

__all__ = [
    "CAUSAL",
    "LABELS",
    "QUIZ",
    "Chosen",
    "Form",
    "Options",
    "Wanted",
    "Way",
    "choose",
    "choose_by_name",
    "choose_many",
]

Wanted = Literal["answer", "cause", "effect"]

_EVALUATORS = ("likelihood", "contrast", "reverse")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SMALL = frozenset(
    "a after all an another any as at because before both but during each every everyone few for from he her "
    "his if in it its lots many more most my no nobody none not nothing now on one only other our people "
    "several she since so some somebody someone something soon that the their then there these they this those "
    "to too two three we what when while with you your".split()
)
_ASKED = {
    "answer": "{}",
    "cause": "What is most likely the cause of this? {}",
    "effect": "What is most likely the effect of this? {}",
}


@dataclass(frozen=True)
class Options:
    """What is asked, and what may be answered; with ``wanted`` "cause" or "effect" it is that of what is told."""

    asked: str
    options: tuple[str, ...]
    wanted: Wanted = "answer"

    def __post_init__(self) -> None:
        if self.wanted not in _ASKED:
            raise ConfigError(f"an option is chosen as cause, effect or answer, got {self.wanted!r}")
        if not self.asked.strip() or not all(one.strip() for one in self.options):
            raise UsageError("choosing needs words to choose by, and no option without words")
        if not 2 <= len(self.options) <= len(_LETTERS):
            raise UsageError(f"choosing needs 2 to {len(_LETTERS)} options, got {len(self.options)}")


@dataclass(frozen=True)
class Form:
    """How a text and what follows from it are written down, in either order.

    Args:
        forward: what stands before the second text, {} being the first
        backward: what stands before the first text, {} being the second
        examples: pairs of a text and what follows from it, written before it in the same form
        joined: whether the two make one sentence: no period between them, and the second begins small
        end: what closes an example
        neutral: texts that say nothing, in place of the first and of the second
    """

    forward: str
    backward: str
    examples: tuple[tuple[str, str], ...] = ()
    joined: bool = False
    end: str = "\n"
    neutral: tuple[str, str] = (NEUTRAL, NEUTRAL)

    def shown(self, forward: bool) -> str:
        """The examples as they are written before each question."""
        return "".join(self._example(*pair, forward) for pair in self.examples)

    def prefix(self, text: str, forward: bool) -> str:
        """All that stands before the text that is sought: the examples, and ``text`` in its place."""
        return self.shown(forward) + self._opened(text, forward)

    def neutral_prefix(self, forward: bool) -> str:
        return self.prefix(self.neutral[0 if forward else 1], forward)

    def sought(self, text: str) -> str:
        """``text`` as it follows on ``prefix``."""
        text = text.strip()
        return f" {_small(text) if self.joined else text}"

    def _opened(self, text: str, forward: bool) -> str:
        text = text.strip()
        template = self.forward if forward else self.backward
        return template.replace("{}", text.rstrip(".") if self.joined else text)

    def _example(self, first: str, second: str, forward: bool) -> str:
        given, sought = (first, second) if forward else (second, first)
        return self._opened(given, forward) + self.sought(sought) + self.end


@dataclass(frozen=True)
class Way:
    """In which forms options are put, and what each evaluator counts; the forms count alike."""

    forms: tuple[Form, ...]
    likelihood: float = 0.0
    contrast: float = 0.0
    reverse: float = 0.0

    def __post_init__(self) -> None:
        if not self.forms or not any(self.weights.values()):
            raise ConfigError("a way of choosing needs a form, and an evaluator that counts")

    @property
    def weights(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in _EVALUATORS}


_CAUSED = (
    ("The ground was covered with ice.", "The man slipped and fell."),
    ("She forgot to water the plants.", "The leaves turned brown."),
    ("Tom ate too much cake.", "His stomach hurt."),
    ("The company lost most of its customers.", "It had to close its shops."),
    ("The doctor gave the patient an antibiotic.", "The infection went away."),
    ("A storm broke the power line.", "The houses had no electricity."),
    ("The metal rod was heated.", "It became longer."),
    ("The boy studied every evening.", "He passed the exam."),
)
LABELS = Form("Cause: {} Effect:", "Effect: {} Cause:", _CAUSED[:2])  # more examples gave nothing
SENTENCE = Form("{}, so", "{}, because", _CAUSED, joined=True)
CAUSAL = Way((LABELS, SENTENCE), contrast=0.4, reverse=1.0)
QUIZ = Way(  # contrast and the other way round gave nothing there, and cost several times the ids
    (
        Form(
            "Question: {}\nAnswer:",
            "Answer: {}\nQuestion:",
            (("Which animal barks?", "Dog"), ("What is the capital of France?", "Paris")),
            end="\n\n",
            neutral=("What is it?", "Something"),
        ),
    ),
    likelihood=1.0,
)


@dataclass(frozen=True)
class Chosen:
    """The option chosen, and why.

    Args:
        options: all of them
        winner: index of the chosen one
        scores: evaluator -> its score of each option in nats: the likelihood, and those that count; empty where the
            speaker has no scores
        joined: the weighted sum of the scores, one an option; empty likewise
        how: "scored"; "named" by a speaker without scores; "guessed" (the first) where that one named none
    """

    options: tuple[str, ...]
    winner: int
    scores: dict[str, tuple[float, ...]] = field(default_factory=dict)
    joined: tuple[float, ...] = ()
    how: Literal["scored", "named", "guessed"] = "scored"

    @property
    def option(self) -> str:
        return self.options[self.winner]


def choose(
    speaker: Speaker, asked: str, options: Sequence[str], wanted: Wanted = "answer", way: Way | None = None
) -> Chosen:
    """The option that fits best, in the speaker's judgement; ``way`` is by default the one for what is ``wanted``.

    Raises UsageError for fewer than 2 options, or texts without words, and whatever the speaker raises.
    """
    return choose_many(speaker, [Options(asked, tuple(options), wanted)], way)[0]


def choose_many(speaker: Speaker, asked: Sequence[Options], way: Way | None = None) -> list[Chosen]:
    """As ``choose``, of many questions: everything is read in one call."""
    if not speaker.abilities.scores:
        return choose_by_name(speaker, asked)
    ways = [way or (QUIZ if one.wanted == "answer" else CAUSAL) for one in asked]
    plans = [[_sides(one, form, its) for form in its.forms] for one, its in zip(asked, ways, strict=True)]
    pairs = [pair for plan in plans for sides in plan for side in sides.values() for pair in side]
    scored = dict(zip(pairs, score_once(speaker, pairs), strict=True))
    chosen = []
    for one, its, plan in zip(asked, ways, plans, strict=True):
        judged = [_judged(sides, scored) for sides in plan]
        scores = {name: tuple(_means([each[name] for each in judged])) for name in judged[0]}
        joined = tuple(
            sum(its.weights[name] * scores[name][place] for name in scores) for place in range(len(one.options))
        )
        chosen.append(Chosen(one.options, joined.index(max(joined)), scores, joined))
    return chosen


def _sides(one: Options, form: Form, way: Way) -> dict[str, list[tuple[str, str]]]:
    """Side → the pair that is read for each option; what no evaluator that counts needs is not read."""
    forward = one.wanted != "cause"
    given, neutral = form.prefix(one.asked, forward), form.neutral_prefix(forward)
    sides = {"given": [(given, form.sought(option)) for option in one.options]}
    if way.contrast:
        sides["neutral"] = [(neutral, form.sought(option)) for option in one.options]
    if way.reverse:
        sides["reverse"] = [(form.prefix(option, not forward), form.sought(one.asked)) for option in one.options]
    return sides


def _judged(
    sides: Mapping[str, Sequence[tuple[str, str]]], scored: Mapping[tuple[str, str], Scored]
) -> dict[str, list[float]]:
    """What each evaluator says about each option."""
    read = {side: [scored[pair] for pair in pairs] for side, pairs in sides.items()}
    judged = {"likelihood": [each.mean for each in read["given"]]}
    if "neutral" in read:
        judged["contrast"] = [Contrasted(*both).nats for both in zip(read["given"], read["neutral"], strict=True)]
    if "reverse" in read:
        judged["reverse"] = [each.log_prob for each in read["reverse"]]
    return judged


def _means(rows: Sequence[Sequence[float]]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def _small(text: str) -> str:
    """With a small first letter where the first word is one that only begins large here; names stay as they are."""
    return text[0].lower() + text[1:] if re.split(r"[\s'’]", text)[0].lower() in _SMALL else text


# speakers without scores ----------------------------------------------------------------------------------------


def choose_by_name(speaker: Speaker, asked: Sequence[Options]) -> list[Chosen]:
    """What a speaker says when it is shown the options in a talk: the way for those without scores."""
    said = speaker.speak([SpeechRequest(_shown(one), max_ids=24, sampling=Sampling(0.0)) for one in asked])
    found = [_read(each.text, one.options) for one, each in zip(asked, said, strict=True)]
    return [
        Chosen(one.options, place or 0, how="guessed" if place is None else "named")
        for one, place in zip(asked, found, strict=True)
    ]


def _shown(one: Options) -> tuple[Message, ...]:
    lines = [f"{letter}. {option}" for letter, option in zip(_LETTERS, one.options, strict=False)]
    words = [_ASKED[one.wanted].replace("{}", one.asked), *lines, "Answer with the letter alone."]
    return (Message("user", "\n".join(words)),)


def _read(said: str, options: Sequence[str]) -> int | None:
    """Which option ``said`` names: the only one whose words are in it, else the one whose letter comes first."""
    plain = said.casefold()
    held = [place for place, option in enumerate(options) if option.casefold().rstrip(".") in plain]
    if len(held) == 1:
        return held[0]
    letters = _LETTERS[: len(options)]
    letter = re.search(rf"(?<!\w)(?:(?!A [a-z])[{letters}])(?!\w)", said)  # "A dog" names no option
    return letters.index(letter[0]) if letter else None

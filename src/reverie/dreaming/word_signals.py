"""What a speaker shows while it meets a question and answers it: what the confidence of a base is made of.

The rivals of the literature are among it, each a signal of its own: the entropy of what is drawn (``entropy``), that of
its meanings (``meanings``: semantic entropy, Farquhar et al. 2024), and the speaker's opinion of its own answer
(``told_true``: P(True), Kadavath et al. 2022).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reverie.dreaming.reading import Reading, told
from reverie.dreaming.word_dreams import likeness_of, neutral_texts
from reverie.nouns import Dream, Signals
from reverie.speakers.contract import Scored, Speaker, Speech

__all__ = ["DECLINES", "Spoken", "begun", "measure", "measure_dreams", "measure_reading", "opinions"]

_EXAMPLES = (
    ("Which animal barks?", "Dog"),
    ("What is the zorbness of a blorptang?", "I do not know"),
    ("What is the capital of France?", "Paris"),
    ("Who won the prize of Quellenmoor in 1871?", "I do not know"),
)
_SHOWN = "".join(f"Question: {asked}\nAnswer: {said}\n\n" for asked, said in _EXAMPLES)
DECLINES = "I do not know"
_OPINION = "Question: {}\nProposed answer: {}\nIs the proposed answer true or false?\nThe proposed answer is"
_MARKS = re.compile(r"\.?(?: ?\[\d+\])+$")  # of what is cited
_RARE = -24.0  # nats of a word above which it is no news how rare it is
_LONG = 40  # words of an answer above which it is no news how long it is
_SAME = 0.6  # likeness from which two answers mean the same


@dataclass(frozen=True)
class Spoken:
    """A question on one line, what was said to it, the beginnings of ``others``, drawn again, and the nats of the
    question's strangest word, ``rarest`` (see ``familiar``)."""

    question: str
    speech: Speech
    others: tuple[Speech, ...] = ()
    rarest: float = 0.0

    @property
    def texts(self) -> list[str]:
        """The first sentences of all that was said."""
        return [begun(one.text) for one in (self.speech, *self.others)]


def measure(speaker: Speaker, spoken: Sequence[Spoken]) -> list[Signals]:
    """Of a speaker with scores and vectors, and of what was said in words, all in common batches.

    Signals beyond the usual: ``strange``: log-probability of the question's strangest word, in nats, at most ``_RARE``;
    after examples that say "I do not know", ``fits``: how probable what was said is, in nats an id, and ``declines``:
    how much more probable those words are; ``told_true``: nats by which it calls the answer true rather than false;
    ``entropy``: of what is drawn, in nats an id; ``meanings``: of its meanings, in nats; ``length``: of the answer, in
    tens of words.
    """
    scored = iter(speaker.score([pair for one in spoken for pair in _pairs(one)]))
    asked = [f"Question: {one.question}\nAnswer:" for one in spoken]
    vectors = speaker.embed([*asked, *(text for one in spoken for text in one.texts), *neutral_texts()])
    neutral, rest = vectors[-len(neutral_texts()) :], iter(vectors[len(spoken) :])
    found = []
    for one, state in zip(spoken, vectors, strict=False):
        alike = likeness_of(one.texts, np.stack([next(rest) for _ in one.texts]), neutral)
        found.append(_signals(one, state, alike, [next(scored) for _ in _pairs(one)]))
    return found


def measure_dreams(
    speaker: Speaker, question: str, dreams: Sequence[Dream], best: Dream, form: str, leads: float, rarest: float
) -> Signals:
    """Of dreams in words, the ``best`` of which is told, by a speaker with scores and vectors. Beside what ``measure``
    names, ``dream: …`` is what each evaluator said of it, ``leads`` by how many nats what is said of it, yes or no,
    goes better with it than the other, and ``ended`` the share of dreams that say the same."""
    others = (one for one in dreams if one is not best)
    said, *more_said = (Speech(one.said, True, one.num_ids, one.log_prob) for one in (best, *others))
    shown = measure(speaker, [Spoken(question, said, tuple(more_said), rarest)])[0]
    more = {**shown.more, **{f"dream: {name}": value for name, value in best.scores.items()}}
    more |= {
        "leads": abs(leads),
        "yes": float(leads > 0),
        "ended": sum(o.said == best.said for o in dreams) / len(dreams),
    }
    return replace(shown, more=more, form=form)


def measure_reading(speaker: Speaker, question: str, reading: Reading, rarest: float) -> Signals:
    """Of an answer that was read, by a speaker with scores and vectors: what showed that it answers (``gain``,
    ``added``, ``fits``, ``ahead``, ``trust``, see ``reading``), and: ``without``: how much more probable what was read
    makes it, in nats an id; ``declines``: how much likelier "I do not know" is; ``strange``, as in ``measure``."""
    said = f" {re.sub(_MARKS, '', reading.text)}"
    asked = f"Question: {question}\nAnswer:"
    shown = f"Fact: {told(reading.cited[0])}\n{asked}"
    pairs = [("Question:", f" {question}"), (shown, said), (asked, said), (shown, f" {DECLINES}")]
    met, given, alone, declines = speaker.score(pairs)
    more = {**reading.shown, "without": given.mean - alone.mean, "declines": declines.mean - given.mean}
    more |= {"strange": min(_RARE, rarest), "length": min(len(said.split()), _LONG) / 10, "sure": reading.confidence}
    state = speaker.embed([shown])[0].astype(np.float64)
    return Signals((met.mean,), state, None, given.mean, more=more, form=reading.form)


def _signals(one: Spoken, state: np.ndarray, alike: np.ndarray, scored: Sequence[Scored]) -> Signals:
    met, declines, fits, true, false = scored
    said = one.texts[0]
    more = {
        "strange": min(_RARE, one.rarest),
        "declines": declines.mean - fits.mean,
        "fits": fits.mean,
        "told_true": true.log_prob - false.log_prob,
        "length": min(len(said.split()), _LONG) / 10,
    }
    if one.others:
        more["entropy"] = -float(np.mean([_mean(speech) for speech in one.others]))
        more["meanings"] = _meanings(alike[1:, 1:])
    agreement = float(alike[0, 1:].mean()) if one.others else None
    return Signals((met.mean,), state.astype(np.float64), agreement, _mean(one.speech), more=more)


def _pairs(one: Spoken) -> list[tuple[str, str]]:
    shown, said = f"{_SHOWN}Question: {one.question}\nAnswer:", one.texts[0]
    return [
        ("Question:", f" {one.question}"),
        (shown, f" {DECLINES}"),
        (shown, f" {said}"),
        *opinions(one.question, said),
    ]


def opinions(question: str, said: str) -> list[tuple[str, str]]:
    """Pairs to score: that what was said is true, and that it is false."""
    opinion = _OPINION.format(question, said)
    return [(opinion, " true"), (opinion, " false")]


def _meanings(alike: np.ndarray) -> float:
    """The entropy of clusters of answers (n, n), in nats: each joins the first whose first member it is like."""
    firsts: list[int] = []
    counts: list[int] = []
    for place in range(len(alike)):
        home = next((index for index, first in enumerate(firsts) if alike[first, place] >= _SAME), None)
        if home is None:
            firsts.append(place)
            counts.append(1)
        else:
            counts[home] += 1
    shares = np.array(counts) / len(alike)
    return float(-(shares * np.log(shares)).sum())


def _mean(speech: Speech) -> float:
    return (speech.log_prob or 0.0) / max(speech.num_ids or 1, 1)


def begun(text: str) -> str:
    """The first sentence of an answer."""
    return re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0]

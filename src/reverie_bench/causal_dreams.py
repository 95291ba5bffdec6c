"""Choosing by dreams: what is dreamed in words to come of a premise, or to have caused it, against the options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from reverie.dreaming.arbiter import Arbiter
from reverie.dreaming.choosing import LABELS, Options
from reverie.dreaming.contrast import contrast
from reverie.dreaming.evaluators import Context
from reverie.dreaming.word_dreams import likeness
from reverie.engine.sampling import Sampling
from reverie.nouns import Dream, Part, Triplet
from reverie.speakers import SpeechRequest

if TYPE_CHECKING:
    from reverie.speakers import Speaker

__all__ = ["choose_by_dreams"]

_DRAWN = Sampling(temperature=0.8, top_p=0.95)
_MAX_IDS = 24  # of a dreamed line
_ARBITER = Arbiter.of("likelihood", "contrast", "agreement")


def choose_by_dreams(
    speaker: Speaker, asked: Sequence[Options], branches: int, seed: int
) -> tuple[list[dict[str, int]], int]:
    """Way → the chosen option, one dict a question; and how many ids were dreamed.

    ``by_meaning``: nearest to all dreams on the mean; ``winner_by_meaning``: to the one that the arbiter picks;
    ``by_likelihood``: what each dream adds to the option's log-probability, on the mean over dreams, and
    ``winner_by_likelihood``: what the arbiter's adds; these two where the speaker has scores.
    """
    dreams, num_ids = _dreams(speaker, asked, branches, seed)
    if speaker.abilities.embeds:  # all at once: a speaker that remembers is not asked again
        speaker.embed([text for one, its in zip(asked, dreams, strict=True) for text in _texts(one, its)])
    scores = speaker.abilities.scores
    likely = _likely(speaker, asked, dreams) if scores else [None] * len(asked)
    made_likely = _made_likely(speaker, asked, dreams) if scores else [None] * len(asked)
    picked = []
    for one, its, added, nats in zip(asked, dreams, likely, made_likely, strict=True):
        alike = likeness(speaker, _texts(one, its))
        near = alike[: len(its), len(its) :]
        winner = _winner(one, its, alike[: len(its), : len(its)], nats)
        each = {"by_meaning": _best(near.mean(0)), "winner_by_meaning": _best(near[winner])}
        if added is not None:
            each |= {"by_likelihood": _best(added.mean(0)), "winner_by_likelihood": _best(added[winner])}
        picked.append(each)
    return picked, num_ids


def _winner(one: Options, dreams: Sequence[Dream], alike: np.ndarray, nats: list[float] | None) -> int:
    """The dream that the arbiter picks."""
    context = Context(one.asked, likeness=lambda _: alike, contrast=(lambda _: nats) if nats is not None else None)
    return _ARBITER.decide(dreams, context)[1].branch


def _best(scores: np.ndarray) -> int:
    return int(scores.argmax())


def _texts(one: Options, dreams: Sequence[Dream]) -> list[str]:
    return [*(dream.said for dream in dreams), *one.options]


def _dreams(speaker: Speaker, asked: Sequence[Options], branches: int, seed: int) -> tuple[list[list[Dream]], int]:
    """One line a branch, held to be one where the speaker can be; and how many ids they are."""
    form = () if speaker.abilities.forms else None
    prefixes = [LABELS.prefix(one.asked, one.wanted != "cause") for one in asked for _ in range(branches)]
    said = speaker.speak(
        [
            SpeechRequest(prefix, _MAX_IDS, _DRAWN, seed + place % branches, ("\n",), form)
            for place, prefix in enumerate(prefixes)
        ]
    )
    dreams = []
    for place, speech in enumerate(said):
        one, text = asked[place // branches], speech.text.strip() or "nothing"
        step = Triplet(Part(one.asked), Part(one.wanted), Part(text))
        dreams.append(Dream((step,), speech.log_prob or 0.0, seed + place % branches, text, speech.num_ids or 1))
    return (
        [dreams[start : start + branches] for start in range(0, len(dreams), branches)],
        sum(speech.num_ids or 0 for speech in said),
    )


def _likely(speaker: Speaker, asked: Sequence[Options], dreams: Sequence[Sequence[Dream]]) -> list[np.ndarray]:
    """What each dream adds to each option, in nats: (dreams, options) a question.

    The dream stands before the question as an example of what comes of the premise.
    """
    wanted = []
    for one, its in zip(asked, dreams, strict=True):
        forward = one.wanted != "cause"
        plain, shown = LABELS.prefix(one.asked, forward), LABELS.shown(forward)
        for dream in its:
            told = plain + LABELS.sought(dream.said) + LABELS.end + plain.removeprefix(shown)
            wanted += [(told, LABELS.neutral_prefix(forward), LABELS.sought(option)) for option in one.options]
    nats = iter(each.nats for each in contrast(speaker, wanted))
    return [np.array([[next(nats) for _ in one.options] for _ in its]) for one, its in zip(asked, dreams, strict=True)]


def _made_likely(speaker: Speaker, asked: Sequence[Options], dreams: Sequence[Sequence[Dream]]) -> list[list[float]]:
    """By how many nats an id each dream is likelier after its premise than after something that says nothing."""
    wanted = [
        (LABELS.prefix(one.asked, forward), LABELS.neutral_prefix(forward), LABELS.sought(dream.said))
        for one, its in zip(asked, dreams, strict=True)
        for forward in [one.wanted != "cause"]
        for dream in its
    ]
    means = iter(each.given.mean - each.neutral.mean for each in contrast(speaker, wanted))
    return [[next(means) for _ in its] for its in dreams]

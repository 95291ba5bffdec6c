"""Choosing by dreams: what is dreamed in words to come of a premise, or to have caused it, against the options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from reverie.dreaming.arbiter import Arbiter
from reverie.dreaming.choosing import LABELS, Options
from reverie.dreaming.contrast import contrast
from reverie.dreaming.evaluators import Context
from reverie.engine.sampling import Sampling
from reverie.nouns import Dream
from reverie.speakers import SpeechRequest

if TYPE_CHECKING:
    from reverie.speakers import Speaker

__all__ = ["choose_by_dreams"]

_DRAWN = Sampling(temperature=0.8, top_p=0.95)
_MAX_IDS = 24  # of a dreamed line


def choose_by_dreams(
    speaker: Speaker, asked: Sequence[Options], branches: int, seed: int
) -> tuple[list[dict[str, int]], int]:
    """Way → the chosen option, one dict a question; and how many ids were dreamed.

    ``by_meaning``: nearest to all dreams on the mean; ``winner_by_meaning``: to the one that the arbiter picks;
    ``by_likelihood``: what each dream adds to the option's log-probability, on the mean over dreams. The first two
    only where the speaker has vectors, the last only where it has scores.
    """
    dreams = _dreams(speaker, asked, branches, seed)
    picked: list[dict[str, int]] = [{} for _ in asked]
    if speaker.abilities.scores:
        for each, scores in zip(picked, _likely(speaker, asked, dreams), strict=True):
            each["by_likelihood"] = int(scores.mean(0).argmax())
    if speaker.abilities.embeds:
        for each, one, its, near in zip(picked, asked, dreams, _nearness(speaker, asked, dreams), strict=True):
            winner = Arbiter().decide(its, Context(one.asked))[1].branch
            each |= {"by_meaning": int(near.mean(0).argmax()), "winner_by_meaning": int(near[winner].argmax())}
    return picked, sum(dream.num_ids for its in dreams for dream in its)


def _dreams(speaker: Speaker, asked: Sequence[Options], branches: int, seed: int) -> list[list[Dream]]:
    """One line a branch, held to be one where the speaker can be."""
    form = () if speaker.abilities.forms else None
    requests = [
        SpeechRequest(LABELS.prefix(one.asked, one.wanted != "cause"), _MAX_IDS, _DRAWN, seed + branch, ("\n",), form)
        for one in asked
        for branch in range(branches)
    ]
    said = iter(zip(requests, speaker.speak(requests), strict=True))
    return [
        [
            Dream((), speech.log_prob or 0.0, request.seed, speech.text.strip() or "?", speech.num_ids or 0)
            for request, speech in (next(said) for _ in range(branches))
        ]
        for _ in asked
    ]


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


def _nearness(speaker: Speaker, asked: Sequence[Options], dreams: Sequence[Sequence[Dream]]) -> list[np.ndarray]:
    """The cosine of each dream with each option, (dreams, options) a question; of vectors less their common mean."""
    texts = [text for one, its in zip(asked, dreams, strict=True) for text in (*[d.said for d in its], *one.options)]
    vectors = np.asarray(speaker.embed(texts), dtype=np.float64)
    vectors = vectors - vectors.mean(0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)
    near, start = [], 0
    for one, its in zip(asked, dreams, strict=True):
        middle, end = start + len(its), start + len(its) + len(one.options)
        near.append(vectors[start:middle] @ vectors[middle:end].T)
        start = end
    return near

"""What a speaker shows while it chooses among options: what the confidence in a choice is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reverie.dreaming.choosing import QUIZ, Chosen, Options
from reverie.dreaming.contrast import score_once
from reverie.dreaming.word_signals import DECLINES, opinions
from reverie.nouns import Signals
from reverie.speakers.contract import Speaker

__all__ = ["measure_choices"]

_FORM = QUIZ.forms[0]


def measure_choices(speaker: Speaker, asked: Sequence[Options], chosen: Sequence[Chosen]) -> list[Signals]:
    """Of a speaker with scores and vectors, and of what it chose by reading, all in common batches.

    ``answer_mean`` is the likelihood of the option chosen, in nats an id. Further signals: ``ahead``: nats an id by
    which it leads; ``entropy``: of all options, in nats; ``declines``: how much likelier "I do not know" is;
    ``told_true``: nats by which it calls that option true rather than false; ``without``: how much likelier, in nats an
    id, the question makes the option than none does, and ``leads``: how far it is ahead by that; ``options``: how many.
    """
    pairs = [_pairs(one, its) for one, its in zip(asked, chosen, strict=True)]
    flat = [pair for its in pairs for pair in its]
    scored = dict(zip(flat, score_once(speaker, flat), strict=True))
    states = speaker.embed([_FORM.prefix(one.asked, True).removeprefix(_FORM.shown(True)) for one in asked])
    found = []
    for one, its, row, state in zip(asked, chosen, pairs, states, strict=True):
        means = np.array(its.joined)
        met, declines, true, false, *neutral = (scored[pair] for pair in row)
        gains = means - np.array([each.mean for each in neutral])
        shares = np.exp(means - np.logaddexp.reduce(means))
        best = its.winner
        others = np.delete(means, best), np.delete(gains, best)
        more = {
            "ahead": float(means[best] - others[0].max()),
            "entropy": float(-(shares * np.log(np.maximum(shares, 1e-12))).sum()),
            "declines": declines.mean - float(means[best]),
            "told_true": true.log_prob - false.log_prob,
            "without": float(gains[best]),
            "leads": float(gains[best] - others[1].max()),
            "options": float(len(one.options)),
        }
        found.append(Signals((met.mean,), state.astype(np.float64), None, float(means[best]), more=more))
    return found


def _pairs(one: Options, its: Chosen) -> list[tuple[str, str]]:
    given, nothing = _FORM.prefix(one.asked, True), _FORM.neutral_prefix(True)
    return [
        ("Question:", f" {one.asked}"),
        (given, _FORM.sought(DECLINES)),
        *opinions(one.asked, its.option),
        *((nothing, _FORM.sought(option)) for option in one.options),
    ]

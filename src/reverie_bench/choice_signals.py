"""What a speaker shows while it chooses among options: what the confidence in a choice is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reverie.dreaming.choosing import QUIZ, Chosen, Options
from reverie.dreaming.contrast import score_once
from reverie.dreaming.word_signals import DECLINES, opinions
from reverie.nouns import Signals
from reverie.speakers.contract import Scored, Speaker

__all__ = ["measure_choices"]

_FORM = QUIZ.forms[0]
_READ = 4  # how often each option is read: after the question, after none, and after all options in two orders


def measure_choices(speaker: Speaker, asked: Sequence[Options], chosen: Sequence[Chosen]) -> list[Signals]:
    """Of a speaker with scores and vectors, and of what it chose by reading, all in common batches.

    ``answer_mean`` is the likelihood of the option chosen, in nats an id. An option is weighed in several ways: its
    mean (that chose), its whole likelihood (``sum``), its likelihood beyond that after a question that asks nothing
    (``gain``), and its mean where all options are shown before it, in their order and turned round (``listed``,
    ``turned``). ``agreement`` is the share of these other ways that choose the same. Further signals: ``entropy``: of
    the options by their means, in nats, and ``entropy: WAY`` by the others; ``ahead`` and ``ahead: WAY``: by how much
    the one chosen leads there, or lags; ``orders``: whether both orders choose the same; ``declines``: how much
    likelier "I do not know" is; ``told_true``: nats by which it calls that option true rather than false; ``options``:
    how many.
    """
    pairs = [_pairs(one, its) for one, its in zip(asked, chosen, strict=True)]
    flat = [pair for its in pairs for pair in its]
    scored = dict(zip(flat, score_once(speaker, flat), strict=True))
    states = speaker.embed([_FORM.prefix(one.asked, True).removeprefix(_FORM.shown(True)) for one in asked])
    return [
        _signals(one, its, state, [scored[pair] for pair in row])
        for one, its, row, state in zip(asked, chosen, pairs, states, strict=True)
    ]


def _signals(one: Options, its: Chosen, state: np.ndarray, scored: Sequence[Scored]) -> Signals:
    (met, declines, true, false), read = scored[:4], np.array([each.log_prob for each in scored[4:]])
    ids = np.array([each.num_ids for each in scored[4:]]).reshape(_READ, -1)
    sums, best = read.reshape(_READ, -1), its.winner
    given, neutral, listed, turned = sums / np.maximum(ids, 1)
    ways = {"sum": sums[0], "gain": given - neutral, "listed": listed, "turned": turned}
    more = {"entropy": _entropy(given), "ahead": _ahead(given, best), "options": float(len(one.options))}
    for name, scores in ways.items():
        more |= {f"entropy: {name}": _entropy(scores), f"ahead: {name}": _ahead(scores, best)}
    more |= {
        "orders": float(listed.argmax() == turned.argmax()),
        "declines": declines.mean - float(given[best]),
        "told_true": true.log_prob - false.log_prob,
    }
    same = float(np.mean([scores.argmax() == best for scores in ways.values()]))
    return Signals((met.mean,), state.astype(np.float64), same, float(given[best]), more=more)


def _entropy(scores: np.ndarray) -> float:
    shares = np.exp(scores - np.logaddexp.reduce(scores))
    return float(-(shares * np.log(np.maximum(shares, 1e-12))).sum())


def _ahead(scores: np.ndarray, best: int) -> float:
    return float(scores[best] - np.delete(scores, best).max())


def _pairs(one: Options, its: Chosen) -> list[tuple[str, str]]:
    given, nothing = _FORM.prefix(one.asked, True), _FORM.neutral_prefix(True)
    orders = (one.options, one.options[::-1])
    listed = [_FORM.prefix(f"{one.asked} ({', '.join(order)})", True) for order in orders]
    return [
        ("Question:", f" {one.asked}"),
        (given, _FORM.sought(DECLINES)),
        *opinions(one.asked, its.option),
        *((before, _FORM.sought(option)) for before in (given, nothing, *listed) for option in one.options),
    ]

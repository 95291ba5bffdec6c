"""Which of two is the cause, or the effect? What each part of the way in which options are chosen gives.

The rows are e-CARE's (Du et al., ACL 2022): a premise, what is asked for, two hypotheses. Without ``--data`` sixty of
our own are asked, in the manner of COPA (Roemmele et al. 2011). All ways see the same rows; the packaged way is
``reverie.dreaming.choosing`` as it is, whose forms and weights were fixed on half of e-CARE's train rows.

``gain`` is over the plain continuation judged id for id, ``summed_gain`` over the sum of its ids, which is weaker.

Dreams are judged on every so many rows: the model dreams the effect (or the cause) of the premise in words, the
arbiter picks a dream, and the hypothesis nearest to it in meaning, or likeliest after it, is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.dreaming.choosing import CAUSAL, LABELS, Options, Way, choose_by_name, choose_many
from reverie.dreaming.contrast import NEUTRAL, contrast
from reverie.errors import ConfigError
from reverie.settings import load_settings
from reverie_bench.causal_dreams import choose_by_dreams
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings, Published
from reverie_bench.figures import share
from reverie_bench.rows import chunks, read_rows, thin
from reverie_bench.speaking import gain, open_speaker, shares

if TYPE_CHECKING:
    from reverie.speakers import Speaker

__all__ = ["BENCHMARK", "OWN", "Row"]

OWN = Path(__file__).parent / "data" / "causal.jsonl"
DATA = (
    'sixty rows of its own, or a JSON-lines file of {"premise": "...", "ask-for": "cause" or "effect", '
    '"hypothesis1": "...", "hypothesis2": "...", "label": 0 or 1}, as e-CARE\'s dev.jsonl'
)
_CHUNK = 16  # rows read together
_README = "github.com/Waste-Wood/e-CARE, README"


@dataclass(frozen=True)
class CausalOptions:
    """Settings of this benchmark alone."""

    dream_rows: int = 200  # rows on which dreams are judged, spread evenly; at least 1

    def __post_init__(self) -> None:
        if self.dream_rows < 1:
            raise ConfigError(f"dream_rows is at least 1, got {self.dream_rows}")


@dataclass(frozen=True)
class Row:
    """A premise and two hypotheses; ``label`` is the right one's index."""

    asked: Options
    label: int


Picked = dict[str, int]  # way of choosing → the hypothesis that it chose
Judged = tuple[Row, dict[str, bool]]  # way of choosing → whether that was right


def run(settings: BenchConfig) -> Findings:
    options = load_settings(CausalOptions, overrides=settings.options)
    rows = thin(read_rows(settings.data or OWN, _parse, DATA), settings.limit)
    speaker = open_speaker(settings)
    right: list[Judged] = []
    for some in chunks(rows, _CHUNK, "choosing", settings.progress):
        right += _judge(some, _choose(speaker, some))
    dreamed, num_ids = list[Judged](), 0
    for few in chunks(thin(right, options.dream_rows), _CHUNK, "dreaming", settings.progress):
        asked = [row.asked for row, _ in few]
        picked, said = choose_by_dreams(speaker, asked, settings.branches, settings.seed)
        if speaker.abilities.talks:
            picked = [each | {"named": one.winner} for each, one in zip(picked, choose_by_name(speaker, asked))]
        dreamed += _judge([row for row, _ in few], picked)
        num_ids += said
    by = _count(right)
    beside = _count(thin(right, options.dream_rows))["packaged"]
    ways = {way: [each[way] for _, each in right] for way in by}
    ahead = gain(ways["packaged"], ways["plain" if "plain" in by else "first"])
    if "plain_summed" in by:
        ahead |= {f"summed_{name}": value for name, value in gain(ways["packaged"], ways["plain_summed"]).items()}
    return Findings(
        n=len(rows),
        figures=by.pop("packaged") | ahead,
        by=by
        | {f"dream_rows_{way}": figures for way, figures in _count(dreamed).items()}
        | {"dream_rows_packaged": beside | {"ids_dreamed": num_ids / len(dreamed)}},
        baselines={
            "first_option": shares([row.label == 0 for row in rows]),
            "longer_option": shares([_longer(row) == row.label for row in rows]),
        },
        settings={"speaker": speaker.name, "branches": settings.branches, "dream_rows": len(dreamed)},
    )


def _parse(fields: dict[str, Any]) -> Row:
    if fields["ask-for"] not in ("cause", "effect") or fields["label"] not in (0, 1):
        raise ValueError("ask-for is 'cause' or 'effect', and label 0 or 1")
    texts = [fields[name] for name in ("premise", "hypothesis1", "hypothesis2")]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("premise, hypothesis1 and hypothesis2 are texts")
    return Row(Options(texts[0], (texts[1], texts[2]), fields["ask-for"]), int(fields["label"]))


def _longer(row: Row) -> int:
    first, second = map(len, row.asked.options)
    return int(second > first)


def _judge(rows: Sequence[Row], picked: Sequence[Picked]) -> list[Judged]:
    return [
        (row, {way: choice == row.label for way, choice in each.items()})
        for row, each in zip(rows, picked, strict=True)
    ]


def _count(right: Sequence[Judged]) -> dict[str, Figures]:
    """Way → its share of right choices, of all and of each thing asked for."""
    return {
        way: {"n": len(right)}
        | shares([each[way] for _, each in right])
        | {
            f"{wanted}_accuracy": share(each[way] for row, each in right if row.asked.wanted == wanted)
            for wanted in ("cause", "effect")
        }
        for way in right[0][1]
    }


# choosing by scores ---------------------------------------------------------------------------------------------


def _choose(speaker: Speaker, rows: Sequence[Row]) -> list[Picked]:
    """What each way of reading chooses; a speaker without scores has one way, and names an option."""
    asked = [row.asked for row in rows]
    if not speaker.abilities.scores:
        return [{"packaged": one.winner, "first": 0} for one in choose_many(speaker, asked)]
    plain = iter(contrast(speaker, [(one.asked, NEUTRAL, f" {option}") for one in asked for option in one.options]))
    pairs = [(next(plain), next(plain)) for _ in rows]
    labels = choose_many(speaker, asked, Way((LABELS,), contrast=CAUSAL.contrast, reverse=CAUSAL.reverse))
    packaged = choose_many(speaker, asked)
    return [
        {
            "plain": _first_of([each.given.mean for each in pair]),
            "plain_summed": _first_of([each.given.log_prob for each in pair]),
            "plain_contrast": _first_of([each.nats for each in pair]),
            "triplet": _first_of(one.scores["likelihood" if effect else "reverse"]),
            "triplet_contrast": _first_of(one.scores["contrast" if effect else "reverse"]),
            "triplet_backward": _first_of(one.scores["reverse" if effect else "contrast"]),
            "contrast": _first_of(one.scores["contrast"]),
            "reverse": _first_of(one.scores["reverse"]),
            "one_form": one.winner,
            "packaged": both.winner,
        }
        for row, pair, one, both in zip(rows, pairs, labels, packaged, strict=True)
        for effect in [row.asked.wanted == "effect"]  # which of the two stands first in time
    ]


def _first_of(scores: Sequence[float]) -> int:
    return int(np.argmax(scores))


BENCHMARK = Benchmark(
    name="causal",
    about="which of two is the cause or the effect: what form, contrast, directions and dreams give",
    run=run,
    data=DATA,
    published=(
        Published("people, e-CARE's test set", "accuracy", 0.92, "Du et al., e-CARE (ACL 2022)"),
        Published("BERT-base, trained on its train set; dev set", "accuracy", 0.7547, _README),
        Published("BERT-base, trained on its train set; test set", "accuracy", 0.7538, _README),
        Published("XLNet-base, trained on its train set; dev set", "accuracy", 0.7561, _README),
        Published("GPT-2, trained on its train set; dev set", "accuracy", 0.7036, _README),
    ),
    options=CausalOptions,
)

"""How good a router is on a table of rows: who is chosen, how surely, how rightly, and what quality costs.

The oracle takes, for every row, whichever of the base and the experts has the least nats. A mixture's nats cannot be
read off a table, so ``evaluate`` takes them from ``measure`` where it is given (which runs the mixtures), and
otherwise estimates them by the weighted mean of its experts' nats.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from reverie.errors import UsageError
from reverie.experts.contract import Choice
from reverie.experts.router import Router
from reverie.training.routing_losses import Targets, gate_targets
from reverie.training.routing_table import NOBODY, Table

__all__ = ["Evaluation", "Measure", "Reliability", "evaluate", "time_ratio"]

Measure = Callable[[Sequence[int], Sequence[Choice]], Sequence[float]]  # rows' places and their experts → nats an id
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
_BINS = 20


@dataclass(frozen=True)
class Reliability:
    """Said against true, in bins of equal width over [0, 1]; empty bins hold None."""

    counts: list[int]
    said: list[float | None]  # mean gate
    true: list[float | None]  # share of them that should be open
    ece: float  # expected calibration error: mean |said - true|, weighed by counts


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` found. Shares in [0, 1], nats an id of the answers."""

    num_rows: int
    figures: dict[str, float]
    utilization: dict[str, float]  # expert → share of the rows that it takes part in
    experts_a_row: dict[int, float]  # how many are chosen → share of the rows
    histogram: dict[
        str, list[int]
    ]  # largest gates, in equal bins over [0, 1]: of rows that are some expert's, or nobody's
    reliability: Reliability
    curve: list[dict[str, float]]  # threshold → experts a row, nats, quality, accuracy, nobody


def evaluate(
    router: Router,
    table: Table,
    measure: Measure | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    targets: Targets = "gain",
) -> Evaluation:
    """Raises UsageError where the table has other experts, another base or no rows."""
    unknown = set(table.names) - set(router.names)
    if unknown or not len(table) or (router.base and table.base and router.base != table.base):
        raise UsageError(
            f"the table ({len(table)} rows, base {table.base[:12]}) does not fit the router: "
            + (f"it has no gate for {', '.join(sorted(unknown))}" if unknown else f"base {router.base[:12]}")
        )
    order = [router.names.index(name) for name in table.names]
    with torch.no_grad():
        gates = router.eval().gates(table.whole)[:, order]
    wanted = gate_targets(table.nats, table.owners, kind=targets)
    known: dict[tuple[int, Choice], float] = {}

    def judged(threshold: float) -> dict[str, Any]:
        experts, weights = _choose(router, gates, threshold)
        return _judge(table, wanted, experts, weights, measure, known)

    now = judged(router.config.threshold)
    curve = [{"threshold": each, **judged(each)["figures"]} for each in thresholds]
    largest, place = gates.max(1)
    right = wanted.gather(1, place[:, None])[:, 0] > 0
    somebody = wanted.sum(1) > 0
    top, pairs = reliability(largest, right), reliability(gates.flatten(), wanted.flatten() > 0)
    figures = {**now["figures"], "ece": top.ece, "ece_of_all_gates": pairs.ece}
    histogram = {
        kind: torch.histc(largest[rows], _BINS, 0, 1).int().tolist()
        for kind, rows in (("somebody", somebody), ("nobody", ~somebody))
    }
    return Evaluation(len(table), figures, now["utilization"], now["experts_a_row"], histogram, top, curve)


def _choose(router: Router, gates: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    usual = router.config
    try:
        router.config = replace(usual, threshold=threshold)
        return router.choose(gates)
    finally:
        router.config = usual


def _judge(
    table: Table,
    wanted: Tensor,
    experts: Tensor,
    weights: Tensor,
    measure: Measure | None,
    known: dict[tuple[int, Choice], float],
) -> dict[str, Any]:
    chosen = experts >= 0  # (n, k)
    count = chosen.sum(1)
    nats = _nats(table, experts, weights, measure, known)
    base, oracle = table.nats[:, 0], table.nats.amin(1)
    top, best = experts[:, 0], table.nats.argmin(1) - 1  # -1: nobody, the base alone
    outsider, owned = table.owners == NOBODY, table.owners >= 0
    share = wanted.sum(1) > 0
    figures = {
        "experts_a_row": _mean(count.float()),
        "nobody_share": _mean(count == 0),
        "nats": _mean(nats),
        "base_nats": _mean(base),
        "oracle_nats": _mean(oracle),
        "quality": _share(_mean(base) - _mean(nats), _mean(base) - _mean(oracle)),
        "oracle_accuracy": _mean(top == best),
        "wanted_accuracy": _mean(torch.where(share, _has(wanted, top), count == 0)),
    }
    if owned.any():
        figures["owner_accuracy"] = _mean((top == table.owners)[owned])
        figures["owner_alone"] = _mean(((top == table.owners) & (count == 1))[owned])
    if outsider.any():
        figures["nobody_on_outsiders"] = _mean((count == 0)[outsider])
        figures["outsider_harm_nats"] = _mean((nats - base)[outsider])
    used = {name: float(((experts == place) & chosen).any(1).float().mean()) for place, name in enumerate(table.names)}
    spread = Counter(count.tolist())
    return {
        "figures": figures,
        "utilization": used,
        "experts_a_row": {number: spread[number] / len(table) for number in sorted(spread)},
    }


def _nats(
    table: Table,
    experts: Tensor,
    weights: Tensor,
    measure: Measure | None,
    known: dict[tuple[int, Choice], float],
) -> Tensor:
    """Nats of each row with its experts, (n,). Rows with nobody or one whole expert are in the table."""
    rows = torch.arange(len(table))
    listed = table.nats.gather(1, (experts + 1).clamp_min(0))  # (n, k); those of -1 weigh 0
    mixed = torch.where(experts[:, 0] < 0, table.nats[:, 0], (listed * weights).sum(1))
    if measure is None:
        return mixed
    several = rows[(experts >= 0).sum(1) > 1].tolist()
    choices = {row: _choice(table.names, experts[row], weights[row]) for row in several}
    missing = [row for row in several if (row, choices[row]) not in known]
    if missing:
        measured = measure(missing, [choices[row] for row in missing])
        known.update(((row, choices[row]), nats) for row, nats in zip(missing, measured, strict=True))
    for row in several:
        mixed[row] = known[row, choices[row]]
    return mixed


def _choice(names: Sequence[str], experts: Tensor, weights: Tensor) -> Choice:
    return tuple((names[e], round(w, 4)) for e, w in zip(experts.tolist(), weights.tolist()) if e >= 0)


def reliability(said: Tensor, true: Tensor, bins: int = 10) -> Reliability:
    """Of gates said (n,) in [0, 1] and whether they should be open, bool (n,)."""
    place = (said * bins).long().clamp(0, bins - 1)
    counts = torch.bincount(place, minlength=bins)
    sums = [torch.bincount(place, values.double(), bins) for values in (said, true)]
    ece = float((sums[0] - sums[1]).abs().sum() / max(len(said), 1))
    means = [[float(s / n) if n else None for s, n in zip(each, counts)] for each in sums]
    return Reliability(counts.tolist(), means[0], means[1], ece)


def time_ratio(routed: Callable[[], Any], bare: Callable[[], Any], rounds: int = 5) -> float:
    """How long ``routed`` takes over ``bare``: the median over rounds of both, one after the other."""
    from time import perf_counter

    def seconds(run: Callable[[], Any]) -> float:
        start = perf_counter()
        run()
        return perf_counter() - start

    routed(), bare()  # what is made on first use is not counted
    return statistics.median(seconds(routed) / seconds(bare) for _ in range(rounds))


def _has(wanted: Tensor, top: Tensor) -> Tensor:
    return (wanted.gather(1, top.clamp_min(0)[:, None])[:, 0] > 0) & (top >= 0)


def _mean(values: Tensor) -> float:
    return float(values.double().mean())


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 1e-9 else 1.0

"""What `bench routing` counts: who is chosen, how right the answers are, and what routing costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch

from reverie.engine import Engine, Request, Sampling
from reverie.experts import Library
from reverie.experts.contract import Choice
from reverie.experts.features import question_features
from reverie.experts.router import Router
from reverie.model import Backbone
from reverie.progress import Progress
from reverie.training.measuring import Row
from reverie.training.routing_evaluation import time_ratio
from reverie.training.routing_table import NOBODY
from reverie_bench.contract import Figures
from reverie_bench.figures import share
from reverie_bench.routing_stages import Rows
from reverie_bench.rows import chunks

__all__ = ["answer", "cost_ratio", "figures_by_kind", "quality_figures", "routing_figures"]

_SIDE_BY_SIDE = 64  # rows that the engine answers at once


def answer(engine: Engine, rows: Sequence[Row], choices: Sequence[Choice], name: str, progress: Progress) -> list[bool]:
    """Whether each greedy answer is exactly the wanted one, rows of different experts side by side."""
    right: list[bool] = []
    for part in chunks(list(zip(rows, choices, strict=True)), _SIDE_BY_SIDE, f"answers: {name}", progress):
        said = engine.generate([_request(row, choice) for row, choice in part])
        right += [one.ids == row.answer[1:] for one, (row, _) in zip(said, part, strict=True)]
    return right


def cost_ratio(backbone: Backbone, library: Library, router: Router, rows: Sequence[Row]) -> float:
    """Seconds of routing 16 rows and answering with their experts over those of answering with the bare base. Nothing
    that was read is kept from one time to the next."""
    engine = Engine(backbone, cached_ids=0, experts=library)
    some = rows[:: max(1, len(rows) // 16)][:16]
    bare, read = [_request(row, ()) for row in some], partial(engine.embed_many, layers=router.config.layers)

    def routed() -> None:
        features = question_features(read, [row.question for row in some])
        choices = router.route(torch.from_numpy(features))
        engine.generate([_request(row, choice) for row, choice in zip(some, choices, strict=True)])

    return time_ratio(routed, lambda: engine.generate(bare))


def _request(row: Row, choice: Choice) -> Request:
    prefix, greedy = (*row.question, row.answer[0]), Sampling(temperature=0)
    return Request(prefix, sampling=greedy, max_new_ids=len(row.answer) - 1, experts=choice)


def quality_figures(name: str, exact: Mapping[str, Sequence[bool]], nats: Mapping[str, Sequence[float]]) -> Figures:
    """``quality``: right answers over those with every row's own expert. ``quality_nats``: the same of what the base's
    loss is lowered by."""
    total = {each: sum(found) for each, found in nats.items()}
    gained, possible = total["base"] - total[name], total["base"] - total["own_expert"]
    return {
        "answers_exact": share(exact[name]),
        "quality": sum(exact[name]) / max(sum(exact["own_expert"]), 1),
        "nats": total[name] / len(nats[name]),
        "quality_nats": gained / possible if possible > 0 else float("nan"),
    }


def routing_figures(choices: Sequence[Choice], rows: Rows, names: Sequence[str]) -> Figures:
    """``routing_accuracy``: the first expert is the row's own. ``nobody_share``: of rows of nobody, every kind of them
    counting as much as another. ``refused_share``: of rows that have an expert and get none."""
    owned = [(choice, names[owner]) for choice, owner in zip(choices, rows.owners, strict=True) if owner != NOBODY]
    kinds: dict[str, list[bool]] = {}
    for choice, owner, kind in zip(choices, rows.owners, rows.kinds, strict=True):
        if owner == NOBODY:
            kinds.setdefault(kind, []).append(not choice)
    return {
        "routing_accuracy": share(bool(choice) and choice[0][0] == name for choice, name in owned),
        "alone_share": share(len(choice) == 1 and choice[0][0] == name for choice, name in owned),
        "refused_share": share(not choice for choice, _ in owned),
        "nobody_share": share(share(found) for found in kinds.values()),
        "experts_a_row": sum(len(choice) for choice in choices) / len(choices),
    }


def figures_by_kind(
    rows: Rows, routed: Sequence[Choice], exact: Mapping[str, Sequence[bool]], names: Sequence[str]
) -> dict[str, Figures]:
    """Of every domain and every kind of outsiders. ``exact``: of the rows that have an owner, in their order."""
    found: dict[str, Figures] = {}
    answered = [place for place, owner in enumerate(rows.owners) if owner != NOBODY]
    for kind in dict.fromkeys(rows.kinds):
        places = [place for place, other in enumerate(rows.kinds) if other == kind]
        figures = routing_figures([routed[place] for place in places], rows.some(places), names)
        if kind not in names:
            found[kind] = {"n": len(places), "nobody_share": figures["nobody_share"]}
            continue
        found[kind] = {"n": len(places)} | {name: figures[name] for name in ("routing_accuracy", "refused_share")}
        mine = [index for index, place in enumerate(answered) if rows.kinds[place] == kind]
        for name in ("routed", "own_expert", "base"):
            found[kind][f"exact_{name}"] = share(exact[name][index] for index in mine)
    return found

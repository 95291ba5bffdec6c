"""Judges a trained router on a recipe's rows: mixtures are run, not estimated, and the engine is timed with them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from reverie.engine import Engine, Request
from reverie.errors import ConfigError, UsageError
from reverie.experts.contract import Choice
from reverie.experts.features import question_features
from reverie.experts.prototypes import check_base
from reverie.experts.router import Router
from reverie.files import atomic_write_json
from reverie.progress import Progress, no_progress
from reverie.training.measuring import BackboneScorer, Row
from reverie.training.recipes import RouterRecipe
from reverie.training.routing import measure_library, split_places
from reverie.training.routing_evaluation import evaluate, time_ratio
from reverie.training.routing_plots import draw_evaluation
from reverie.training.skills import skill_names
from reverie.worlds import world_names

__all__ = ["report_router", "usual_rows"]

_BATCH, _NEW_IDS = 16, 32  # rows side by side, ids drawn for each, while the engine is timed


def report_router(
    recipe: RouterRecipe,
    folder: Path,
    out: Path | None = None,
    all_rows: bool = False,
    speed: bool = True,
    progress: Progress = no_progress,
    keep: bool = True,
) -> dict[str, Any]:
    """What ``evaluate`` finds of the router in ``folder``, as JSON, with ``speed``, ``router`` and ``files``.

    The rows are those of ``recipe`` that its training kept for testing, or all; measurements of a run are used again.
    ``out``: evaluation.json and the pictures are written there. ``speed``: also time the engine. ``keep``: measurements
    stay in the run folder.
    """
    router = Router.load(folder)
    data = replace(recipe.data, router=replace(recipe.data.router, layers=router.config.layers))
    measured = measure_library(data, Path(recipe.run_dir) / "measured.safetensors" if keep else None, progress)
    places = torch.arange(len(measured.rows)) if all_rows else split_places(recipe.data, len(measured.rows))[1]
    table, rows = measured.table.rows(places), [measured.rows[place] for place in places.tolist()]
    check_base(router.base, table.base, f"the router {folder}")

    def measure(chosen: Sequence[int], choices: Sequence[Choice]) -> list[float]:
        nats: list[float] = measured.scorer.nats([rows[place] for place in chosen], choices).tolist()
        return nats

    found = evaluate(router, table, measure, targets=recipe.data.targets)
    scorer = measured.scorer
    timed: dict[str, float] = {}
    if speed:
        timed = time_router(router, scorer, rows[:_BATCH], list(table.names))
    report: dict[str, Any] = {"router": str(folder), **asdict(found), "speed": timed, "files": []}
    if out is not None:
        report["files"] = [*draw_evaluation(found, out, timed.get("time_over_base")), out / "evaluation.json"]
        atomic_write_json(out / "evaluation.json", {**report, "files": [file.name for file in report["files"]]})
    return report


def usual_rows(recipe: RouterRecipe, names: Sequence[str]) -> RouterRecipe:
    """``recipe`` with rows for those experts that learned a skill of the worlds, drawn anew.

    Outsiders are questions that the worlds ask, and strange ones. Raises ConfigError where there is no such expert.
    """
    skills = [name for name in names if name in skill_names()]
    if not skills:
        raise ConfigError("none of these experts learned a skill of the worlds: name rows with --config or data.rows.…")
    rows = {name: f"skill:{name}" for name in skills}
    outsiders = (*(f"world:{name}" for name in world_names()), "strange")
    return replace(recipe, data=replace(recipe.data, rows=rows, outsiders=outsiders, rows_a_source=100, seed=1))


def time_router(router: Router, scorer: BackboneScorer, rows: Sequence[Row], names: Sequence[str]) -> dict[str, float]:
    """``time_over_base``: of drawing ids for ``rows`` side by side with the chosen experts, over without any;
    ``routing_ms``: of reading one row's features and choosing. Raises UsageError without rows.
    """
    if not rows:
        raise UsageError("there are no rows to time the router on")
    engine = Engine(scorer.backbone, experts=scorer.source)
    start = time.perf_counter()
    read = partial(engine.embed_many, layers=router.config.layers)
    features = torch.from_numpy(question_features(read, [row.question for row in rows]))
    choices = router.route(features, training=False, among=names)
    routing = 1000 * (time.perf_counter() - start) / len(rows)

    def draw(given: Sequence[Choice]) -> Any:
        return engine.generate(
            [
                Request(row.question, seed=place, max_new_ids=_NEW_IDS, experts=choice)
                for place, (row, choice) in enumerate(zip(rows, given, strict=True))
            ]
        )

    ratio = time_ratio(lambda: draw(choices), lambda: draw([()] * len(rows)))
    return {"time_over_base": ratio, "routing_ms": routing}

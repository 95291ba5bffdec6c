"""Dream experts: questions that the packaged model was not taught, answered by its experts, by the bare backbone, and
by one adapter trained on everything; and what becomes of the questions it was taught when the router may choose.

Skill questions are about maps, scenes and comparisons that no expert was trained on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.errors import ConfigError, UsageError
from reverie.settings import load_settings
from reverie.training.skills import skill_questions
from reverie.worlds import Question
from reverie.worlds.everyday import is_held_out, is_test_scene
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.everyday import make_rows
from reverie_bench.figures import best_constant, is_right, share
from reverie_bench.models import open_model
from reverie_bench.rows import chunks

if TYPE_CHECKING:
    from reverie.dreaming import Reverie

__all__ = ["BENCHMARK"]

_CHUNK = 16  # questions asked together


@dataclass(frozen=True)
class Options:
    """What `bench dream-experts` lets one set."""

    single: str = ""  # folder of one expert trained on all skills (recipes/expert-all.yaml); "" leaves it out
    rows: int = 100  # questions of each kind

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ConfigError(f"dream-experts needs at least 1 row of each kind, got {self.rows}")


@dataclass(frozen=True)
class Row:
    """A question; ``skill`` is the expert that was trained for it, "" where the backbone was."""

    group: str
    skill: str
    question: Question
    scene: tuple[str | None, Any] = (None, None)


@dataclass(frozen=True)
class Judged:
    row: Row
    right: bool
    known: bool
    chosen: tuple[str, ...]


def run(settings: BenchConfig) -> Findings:
    options = load_settings(Options, None, settings.options)
    session, manifest = open_model(settings.model)
    if session.model.experts.library is None or not session.model.experts.library.names():
        raise UsageError(f"the model {settings.model} has no experts to measure; nano has four")
    rows = _rows(settings.limit or options.rows, settings.seed, session.model.experts.library.names())
    systems: dict[str, list[Judged]] = {}
    for name, experts in (("routed", None), ("base", ()), ("own_expert", "own")):
        systems[name] = _judge(session, rows, experts, settings, name)
    if options.single:
        with tempfile.TemporaryDirectory() as scratch:
            systems["single"] = _judge_single(rows, Path(options.single), Path(scratch), settings)
    routed = systems.pop("routed")
    return Findings(
        n=len(rows),
        figures=_count(routed) | _routing(routed),
        by={group: _count(part) | _routing(part) for group, part in _groups(routed).items()},
        baselines={name: _by_group(judged) for name, judged in systems.items()}
        | {"best_constant": {f"accuracy_{name}": _constant(part) for name, part in _groups(routed).items()}},
        settings={"bundle": manifest["name"], "branches": settings.branches, "single": options.single},
    )


def _rows(count: int, seed: int, experts: Sequence[str]) -> list[Row]:
    rng = np.random.default_rng([seed, 5])
    rows = []
    for skill in experts:
        rows += [Row(skill, skill, question, scene) for question, scene in skill_questions(skill, count, rng)]
    known = make_rows(count, seed, lambda options: is_test_scene(options) and not is_held_out(options))
    rows += [Row("everyday", "", row.question) for row in known]
    rows += [Row("frozenlake", "", question, scene) for question, scene in skill_questions("FrozenLake", count, rng)]
    return rows


def _judge(
    session: Reverie, rows: Sequence[Row], experts: Sequence[str] | str | None, settings: BenchConfig, name: str
) -> list[Judged]:
    """``experts``: as ``ask`` takes them, or "own": the expert trained for each row."""
    judged: list[Judged] = []
    for group, part in _groups_of_rows(rows).items():
        named = ((group,) if part[0].skill else ()) if experts == "own" else experts
        for some in chunks(part, _CHUNK, f"{name}: {group}", settings.progress):
            answers = session.ask_many(
                [row.question.text for row in some],
                scenes=[row.scene for row in some],
                branches=settings.branches,
                seed=settings.seed,
                experts=None if named is None else tuple(named),
            )
            judged += [
                Judged(
                    row,
                    answer.known and is_right(answer.text, row.question),
                    answer.known,
                    tuple(answer.attribution.experts),
                )
                for row, answer in zip(some, answers, strict=True)
            ]
    return judged


def _judge_single(rows: Sequence[Row], source: Path, scratch: Path, settings: BenchConfig) -> list[Judged]:
    """One adapter on every row, from a library of its own."""
    from reverie.bundles import load_bundle
    from reverie.dreaming.preview import RuntimeConfig

    bundle = load_bundle(settings.model)
    card = bundle.open_library(scratch).add(source)
    session = bundle.session(RuntimeConfig(enable_gpt51_codex_preview=False), library=scratch)
    return _judge(session, rows, (card.name,), settings, "single")


def _groups_of_rows(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return groups


def _groups(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(one.row.group, []).append(one)
    return groups


def _count(judged: Sequence[Judged]) -> Figures:
    return {"accuracy": share(one.right for one in judged), "known_share": share(one.known for one in judged)}


def _routing(judged: Sequence[Judged]) -> Figures:
    """How often the first expert chosen is the one that was trained for it, or nobody where nobody was."""
    return {"routing_accuracy": share((one.chosen[:1] or ("",))[0] == one.row.skill for one in judged)}


def _constant(judged: Sequence[Judged]) -> float:
    return best_constant([one.row.question for one in judged])


def _by_group(judged: Sequence[Judged]) -> Figures:
    per = {f"accuracy_{group}": _count(part)["accuracy"] for group, part in _groups(judged).items()}
    return _count(judged) | per


BENCHMARK = Benchmark(
    name="dream-experts",
    about="questions that only the dream experts were taught, and what they do to those that the backbone was taught",
    run=run,
    options=Options,
)

"""FrozenLake planning: find the way to the goal by dreaming alone.

Every plan is judged four ways:

    exact_match                  it reaches the goal without a hole, in the fewest steps that a hole-free way can have
    success                      it reaches the goal without a hole, in any number of steps
    exact_match_released_check   as ``visual_planning_evaluator.py`` of yix8/VisualPlanning judges: with T the fewest
                                 steps of a hole-free way, the first T actions all lead to a neighbouring cell inside
                                 the grid, and the cell after T actions is the goal; holes are not looked at
    progress_rate                how many steps in a row, from the start, are steps of a shortest hole-free way, over T

The two hole-blind rules show how far a plan comes without looking at the ice: ``row_first`` goes to the goal's row and
then along it, ``column_first`` to its column and then along that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from reverie.worlds.frozenlake import ACTIONS, in_test_split
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings, Published
from reverie_bench.figures import grouped, share
from reverie_bench.models import open_model
from reverie_bench.rows import chunks, read_rows, solvable_map, thin

DATA = 'a JSON-lines file of {"desc": ["SFF", "FHF", "FFG"]}, one solvable map a line'
_CHUNK = 8  # maps searched together: their steps fill the engine's batches
_MOVES = {"left": (0, -1), "down": (1, 0), "right": (0, 1), "up": (-1, 0)}

Cell = tuple[int, int]
Map = tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What a list of actions is worth on one map."""

    exact: bool
    success: bool
    released: bool
    progress: float


@dataclass(frozen=True)
class Judged:
    """One map: the verdict on the plan, on both rules, and how many steps were imagined."""

    desc: Map
    plan: Verdict
    row_first: Verdict
    column_first: Verdict
    found: bool
    imagined: int


def run(settings: BenchConfig) -> Findings:
    maps = thin(read_rows(settings.data, solvable_map, DATA), settings.limit)
    session, manifest = open_model(settings.model)
    judged: list[Judged] = []
    for some in chunks(maps, _CHUNK, "planning", settings.progress):
        plans = session.plan_many("FrozenLake", [{"desc": desc} for desc in some], seed=settings.seed)
        for desc, plan in zip(some, plans, strict=True):
            row_first, column_first = (judge(desc, blind_plan(desc, rows_first)) for rows_first in (True, False))
            judged.append(Judged(desc, judge(desc, plan.actions), row_first, column_first, plan.found, plan.num_steps))
    unseen = [one for one in judged if in_test_split(one.desc)]
    rules = {name: count_rule(judged, name) for name in ("row_first", "column_first")}
    for name, figures in rules.items():
        figures |= {f"{figure}_unseen": value for figure, value in count_rule(unseen, name).items()}
    return Findings(
        n=len(judged),
        figures=count(judged)
        | {"n_unseen": len(unseen)}
        | {f"{name}_unseen": value for name, value in count(unseen).items()},
        by=grouped(judged, lambda one: f"size_{len(one.desc)}", _beside_rules)
        | grouped(judged, lambda one: "sizes_3_6" if len(one.desc) <= 6 else "sizes_7_8", _beside_rules),
        baselines=rules,
        settings={"bundle": manifest["name"], "track": track(manifest["recipe"])},
    )


def track(recipe: Any) -> str:
    """``parity`` (at most 1,000 training maps a size, 3 to 6 only) or ``open``, as the bundle's recipe says."""
    if isinstance(recipe, dict):
        if isinstance(recipe.get("parity"), bool):
            return "parity" if recipe["parity"] else "open"
        found = [track(value) for value in recipe.values()]
        return next((name for name in found if name != "unsaid"), "unsaid")
    return "unsaid"


# judging --------------------------------------------------------------------------------------------------------


def judge(desc: Map, actions: Sequence[str]) -> Verdict:
    """Follow ``actions`` on the map (see the module's docstring)."""
    far = steps_to_goal(desc)
    cells = follow(desc, actions)
    fewest = far[cells[0]]
    ends = [desc[row][col] for row, col in cells if desc[row][col] in "HG"]
    success = bool(ends) and ends[0] == "G"
    right = 0
    while right < len(actions) and far.get(cells[right + 1], -1) == far[cells[right]] - 1:
        right += 1
        if far[cells[right]] == 0:
            break
    moved = [before != after for before, after in pairwise(cells)]
    arrived = len(actions) >= fewest and far.get(cells[fewest]) == 0
    return Verdict(success and len(actions) == fewest, success, arrived and all(moved[:fewest]), right / fewest)


def follow(desc: Map, actions: Sequence[str]) -> list[Cell]:
    """The cells from the start on, as if there were no holes and no end; against the edge the elf stays."""
    cells = [find(desc, "S")]
    for action in actions:
        cells.append(_step(desc, cells[-1], action))
    return cells


def steps_to_goal(desc: Map) -> dict[Cell, int]:
    """Every cell from which the goal can be reached without a hole -> the fewest steps."""
    far = {find(desc, "G"): 0}
    queue = deque(far)
    while queue:
        cell = queue.popleft()
        for action in ACTIONS:
            there = _step(desc, cell, action)
            if there not in far and desc[there[0]][there[1]] != "H":
                far[there] = far[cell] + 1
                queue.append(there)
    return far


def find(desc: Map, letter: str) -> Cell:
    return next((row, line.index(letter)) for row, line in enumerate(desc) if letter in line)


def blind_plan(desc: Map, rows_first: bool) -> list[str]:
    """Straight to the goal, whatever lies on the way."""
    (row, col), (goal_row, goal_col) = find(desc, "S"), find(desc, "G")
    rows = ["down" if goal_row > row else "up"] * abs(goal_row - row)
    cols = ["right" if goal_col > col else "left"] * abs(goal_col - col)
    return rows + cols if rows_first else cols + rows


def _step(desc: Map, cell: Cell, action: str) -> Cell:
    down, right = _MOVES[action]
    return min(max(cell[0] + down, 0), len(desc) - 1), min(max(cell[1] + right, 0), len(desc[0]) - 1)


# counting -------------------------------------------------------------------------------------------------------


def count(judged: Sequence[Judged]) -> Figures:
    return count_rule(judged, "plan") | {
        "found_share": share(one.found for one in judged),
        "imagined_steps": sum(one.imagined for one in judged) / len(judged) if judged else float("nan"),
    }


def count_rule(judged: Sequence[Judged], name: str) -> Figures:
    """The figures of ``plan`` or of one of the rules."""
    verdicts: list[Verdict] = [getattr(one, name) for one in judged]
    return {
        "exact_match": share(one.exact for one in verdicts),
        "success": share(one.success for one in verdicts),
        "exact_match_released_check": share(one.released for one in verdicts),
        "progress_rate": share(one.progress for one in verdicts),
    }


def _beside_rules(judged: Sequence[Judged]) -> Figures:
    figures = count(judged)
    for name in ("row_first", "column_first"):
        rule = count_rule(judged, name)
        figures |= {f"{name}_{figure}": rule[figure] for figure in ("exact_match", "exact_match_released_check")}
    return figures


# The paper calls its figure exact match; the evaluator that it released looks at no holes.
_PAPER = "arXiv:2505.11409, Visual Planning: Let's Think Only with Images"
BENCHMARK = Benchmark(
    name="frozenlake-planning",
    about="plans to the goal found by dreaming alone, holes checked, beside rules that do not look",
    run=run,
    data=DATA,
    published=(
        Published("VPFT-7B", "exact_match", 0.754, f"{_PAPER}, sizes 3-6"),
        Published("VPRL-7B", "exact_match", 0.916, f"{_PAPER}, sizes 3-6"),
        Published("VPRL-7B", "exact_match", 0.204, f"{_PAPER}, size 7"),
    ),
)

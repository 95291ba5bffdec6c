"""FrozenLake outcomes: dream what a list of actions leads to, frame by frame, and say whether the elf is safe.

The elf may walk on over the goal (``goal_ends=False``), as the files of Visual Spatial Planning have it; Gymnasium's
own rule, which ends there, disagrees with their labels now and then. ``accuracy`` is held to the file's labels,
``accuracy_world`` to the world under that rule: the baseline ``world`` says how many labels that gets right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reverie.worlds import make_world, record_episode
from reverie.worlds.frozenlake import in_test_split, parse_actions, parse_map
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings, Published
from reverie_bench.figures import grouped, share
from reverie_bench.models import open_model
from reverie_bench.rows import chunks, read_rows, thin

if TYPE_CHECKING:
    from reverie.dreaming import Reverie

DATA = 'a JSON-lines file of {"desc": ["SFF", "FHF", "FFG"], "actions": "RRDD", "safe": "Y"}, safe "Y" or "N"'
_CHUNK = 32  # rows dreamed together: their pictures lie in memory until they are judged
_HOLE = {"on": "H"}


@dataclass(frozen=True)
class Row:
    desc: tuple[str, ...]
    actions: tuple[int, ...]
    safe: bool


@dataclass(frozen=True)
class Judged:
    """One dreamed outcome; ``frames`` counts the steps of the true episode, ``exact`` the dreamed ones that equal."""

    row: Row
    said_safe: bool
    is_safe: bool  # in the real world
    frames: int
    exact: int

    @property
    def unseen(self) -> bool:
        return in_test_split(self.row.desc)


def run(settings: BenchConfig) -> Findings:
    rows = thin(read_rows(settings.data, parse, DATA), settings.limit)
    session, manifest = open_model(settings.model)
    judged: list[Judged] = []
    for some in chunks(rows, _CHUNK, "dreaming outcomes", settings.progress):
        judged += judge(session, some, settings.seed)
    unseen = [one for one in judged if one.unseen]
    return Findings(
        n=len(judged),
        figures=count(judged)
        | {"n_unseen": len(unseen)}
        | {f"{name}_unseen": value for name, value in count(unseen).items()},
        by=grouped(judged, lambda one: f"steps_{len(one.row.actions)}", count),
        baselines={
            "always_safe": {
                "accuracy": share(row.safe for row in rows),
                "accuracy_unseen": share(one.row.safe for one in unseen),
            },
            "world": {
                "accuracy": share(one.is_safe == one.row.safe for one in judged),
                "accuracy_unseen": share(one.is_safe == one.row.safe for one in unseen),
            },
        },
        settings={"bundle": manifest["name"]},
    )


def parse(fields: dict[str, Any]) -> Row:
    if fields["safe"] not in ("Y", "N"):
        raise ValueError(f"safe is 'Y' or 'N', got {fields['safe']!r}")
    if not isinstance(fields["actions"], str | list):
        raise ValueError("actions are letters such as 'RRDD', or a list of names")
    return Row(parse_map(fields["desc"]), tuple(parse_actions(fields["actions"])), fields["safe"] == "Y")


def judge(session: Reverie, rows: Sequence[Row], seed: int) -> list[Judged]:
    """Dream the rows; safe is what the model's last words say, never the simulator."""
    world = make_world("FrozenLake")
    falls = world.narrator.say_result({}, 0, _HOLE)
    dreamed = session.simulate_many("FrozenLake", [(scene(row), row.actions) for row in rows], seed=seed)
    judged = []
    for row, simulation in zip(rows, dreamed, strict=True):
        true = record_episode(world, scene(row), seed=seed, actions=list(row.actions)).transitions
        exact = sum(step.exact for step in simulation.steps[: len(true)])
        is_safe = true[-1].result_state["on"] != "H"
        judged.append(Judged(row, simulation.outcome not in falls, is_safe, len(true), exact))
    return judged


def scene(row: Row) -> dict[str, Any]:
    """The files' rules: the elf may walk on over the goal."""
    return {"desc": row.desc, "goal_ends": False}


def count(judged: Sequence[Judged]) -> Figures:
    frames = sum(one.frames for one in judged)
    return {
        "accuracy": share(one.said_safe == one.row.safe for one in judged),
        "accuracy_world": share(one.said_safe == one.is_safe for one in judged),
        "frame_exact": sum(one.exact for one in judged) / frames if frames else float("nan"),
        "rows_exact": share(one.exact == one.frames for one in judged),
    }


BENCHMARK = Benchmark(
    name="frozenlake-outcome",
    about="whether an elf is safe after a list of actions, and every dreamed frame on the way",
    run=run,
    data=DATA,
    published=(
        Published("MVoT-7B", "accuracy", 0.856, "arXiv:2501.07542, Imagine while Reasoning in Space (its own split)"),
    ),
)

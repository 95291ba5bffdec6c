"""Pictures that people bring: is a lake found wherever it is, and is what is no lake never answered about?

Lakes come as they are, at other scales, in windows, in grey and worn; the question about a walk is put in free words,
and right is what really happens. Of pictures that are no lake, or no whole one, no answer is right. The thresholds of
``worlds/frozenlake/cells.py`` were chosen on ``split=dev``: other seeds, and other files of ``--data``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.errors import ConfigError, PictureError, UsageError
from reverie.settings import load_settings
from reverie.splits import share_of
from reverie.worlds import make_world
from reverie.worlds.frozenlake.maps import ACTIONS, neighbour
from reverie.worlds.frozenlake.narrator import ENDS, OUTCOMES
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.figures import grouped, share
from reverie_bench.models import open_model
from reverie_bench.pictures_drawn import LAKES, NO_LAKES, Lake, draw_lake
from reverie_bench.rows import chunks

if TYPE_CHECKING:
    from reverie.nouns import Answer

DATA = "a folder of pictures (JPEG, PNG) that show no lake, found in it and below; without it, drawn ones only"
_CHUNK = 16  # pictures asked about together
_PER_KIND = 24
_FORMS = (
    "What happens if you go {moves}?",
    "Would I survive going {moves}?",
    "Is it safe to walk {moves}?",
    "Where does the elf end up if it moves {moves}?",
    "I step {moves}. What happens then?",
)
_ELSEWHERE = "What happens when you drop the egg?"


@dataclass(frozen=True)
class PicturesBenchConfig:
    """What `bench pictures` lets one set."""

    split: str = "test"  # "dev" is what thresholds were chosen on
    photos: int = 150  # most pictures of --data

    def __post_init__(self) -> None:
        if self.split not in ("test", "dev") or self.photos < 0:
            raise ConfigError(f"pictures: split is test or dev, photos at least 0; got {self.split}, {self.photos}")


@dataclass(frozen=True, eq=False)
class Row:
    """``answer``: what is right, "" where nothing is. ``state``: of a lake."""

    kind: str
    picture: np.ndarray
    question: str
    answer: str
    state: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Asked:
    row: Row
    answer: Answer

    @property
    def right(self) -> bool:
        return self.answer.known and self.answer.text == self.row.answer


def run(settings: BenchConfig) -> Findings:
    options = load_settings(PicturesBenchConfig, overrides=settings.options)
    rows = make_rows(settings.limit or _PER_KIND, settings.seed, options.split)
    rows += list(_photos(settings, options))
    session, manifest = open_model(settings.model)
    asked: list[Asked] = []
    for some in chunks(rows, _CHUNK, "looking at pictures", settings.progress):
        told = session.ask_many(
            [row.question for row in some],
            images=[[row.picture] for row in some],
            branches=settings.branches,
            seed=settings.seed,
        )
        asked += [Asked(*each) for each in zip(some, told, strict=True)]
    return Findings(
        n=len(rows),
        figures=_count(asked),
        by=grouped(asked, lambda one: one.row.kind, _count),
        baselines={"only_as_it_is": _plain(rows), "never_known": {"right_share": 0.0, "no_lake_known_share": 0.0}},
        settings={"bundle": manifest["name"], "branches": settings.branches, "split": options.split},
    )


def make_rows(per_kind: int, seed: int, split: str) -> list[Row]:
    """``per_kind`` pictures of each kind, the same for the same seed; none of them in both splits."""
    rows: list[Row] = []
    for place, (kind, change) in enumerate(LAKES.items()):
        for number in range(per_kind):
            rng = np.random.default_rng([seed, split == "dev", place, number])
            lake = draw_lake(rng)
            question, answer = _walk(lake, rng)
            state = {"desc": list(lake.desc), "cell": list(lake.elf)}
            rows.append(Row(kind, change(lake.picture, rng), question, answer, state))
    for place, (kind, draw) in enumerate(NO_LAKES.items(), start=len(LAKES)):
        for number in range(per_kind):
            rng = np.random.default_rng([seed, split == "dev", place, number])
            question, _ = _walk(draw_lake(rng), rng)
            rows.append(Row(kind, draw(rng), question, ""))
    for number in range(per_kind):  # a lake, and a question about something else
        rng = np.random.default_rng([seed, split == "dev", 99, number])
        rows.append(Row("asked_elsewhere", draw_lake(rng).picture, _ELSEWHERE, ""))
    return rows


def _walk(lake: Lake, rng: np.random.Generator) -> tuple[str, str]:
    """A question about one to six moves from where the elf is, and the true answer."""
    rows, cols = len(lake.desc), len(lake.desc[0])
    path = rng.integers(4, size=int(rng.integers(1, 7))).tolist()
    cell = lake.elf
    for action in path:
        cell = neighbour(cell, action, rows, cols)
        if lake.desc[cell[0]][cell[1]] in ENDS:
            break
    moves = ", ".join(ACTIONS[action] for action in path)
    outcome = ENDS.get(lake.desc[cell[0]][cell[1]], "safe")
    return _FORMS[int(rng.integers(len(_FORMS)))].format(moves=moves), OUTCOMES[outcome]


def _photos(settings: BenchConfig, options: PicturesBenchConfig) -> Iterator[Row]:
    """Real pictures, each asked about one move; three in ten are of the dev split, by their names."""
    from reverie.dreaming.pictures import open_picture

    if settings.data is None:
        return
    files = [file for file in settings.data.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png")]
    files = sorted((file for file in files if (share_of(file.name) < 0.3) == (options.split == "dev")), key=_shuffled)
    if not files:
        raise UsageError(f"{settings.data} holds no pictures; wanted: {DATA}")
    for number, file in enumerate(files[: options.photos]):
        try:
            picture = np.asarray(open_picture(file))
        except PictureError:
            continue
        yield Row("real_picture", picture, _FORMS[number % len(_FORMS)].format(moves=ACTIONS[number % 4]), "")


def _shuffled(file: Path) -> float:
    return share_of(str(file.name), 7)


def _count(asked: Sequence[Asked]) -> Figures:
    lakes = [one for one in asked if one.row.answer]
    others = [one for one in asked if not one.row.answer]
    found = [one for one in lakes if one.row.kind in ("scaled", "stretched", "margin", "window", "on_noise")]
    return {
        "right_share": share(one.right for one in lakes),
        "found_right_share": share(one.right for one in found),
        "wrong_known_share": share(one.answer.known and not one.right for one in lakes),
        "no_lake_known_share": share(one.answer.known for one in others),
    }


def _plain(rows: Sequence[Row]) -> Figures:
    """Reading every picture as if it were one of the world's own, by the nearest tile of each cell."""
    world = make_world("FrozenLake")
    read = [world.read(row.picture) for row in rows]
    lakes = [(row, state) for row, state in zip(rows, read, strict=True) if row.answer]
    return {
        "right_share": share(bool(state) and _same(row, state) for row, state in lakes),
        "no_lake_known_share": share(
            state is not None for row, state in zip(rows, read, strict=True) if not row.answer
        ),
    }


def _same(row: Row, state: dict[str, Any] | None) -> bool:
    return row.state is not None and state is not None and all(state[key] == row.state[key] for key in row.state)


BENCHMARK = Benchmark(
    name="pictures",
    about="lakes are found in any picture, and nothing else is taken for one",
    run=run,
    data=DATA,
    options=PicturesBenchConfig,
)

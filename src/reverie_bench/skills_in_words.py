"""Small skills that a base learns in words, one after another: what becomes of the earlier ones is what is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from reverie.errors import UnknownNameError, UsageError
from reverie.splits import share_of
from reverie.worlds import make_world, record_episode
from reverie_bench.domains import Domain, babi_domains

__all__ = ["SKILLS", "everyday_thing", "skills_of"]

#: in the order in which they are learned; the tasks of bAbI lie in the data folder
SKILLS = ("everyday", "babi-01", "lake", "babi-04", "babi-06")
_MOST_CHARS = 180  # of a question
_THINGS = ("egg", "glass", "book")  # of the Everyday world
_TEST_SHARE = 0.2
_STEPS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}


def skills_of(names: tuple[str, ...], data: Path | None, count: int, seed: int) -> list[Domain]:
    """The skills of those names, each with at most ``count`` rows to train on. Raises UnknownNameError, and UsageError
    where bAbI is not there."""
    own: dict[str, Callable[[], Domain]] = {"everyday": lambda: _everyday(count, seed), "lake": _lake}
    if any(name not in own for name in names):
        if data is None or not (data / "babi").is_dir():
            raise UsageError(f"{', '.join(one for one in names if one not in own)} need --data: a folder with babi/")
        own |= {one.name: partial(_short, one) for one in babi_domains(data / "babi", last=0)}
    for name in names:
        if name not in own:
            raise UnknownNameError("skill in words", name, own)
    rng = np.random.default_rng([seed, 8])
    return [_thin(own[name](), count, rng) for name in names]


def everyday_thing(thing: str, count: int, seed: int) -> Domain:
    """In what condition one thing of the Everyday world is after what was done to it; about ``count`` questions. Of its
    rows to train on the first have every answer once, the next once more, and so on."""
    world, rng = make_world("Everyday"), np.random.default_rng([seed, 4])
    rows = dict[str, str]()
    for _ in range(100 * count):
        options = world.sample_options(rng)
        if options["thing"] == thing:
            asked = world.narrator.questions(record_episode(world, options), rng)
            rows |= {one.text: one.answer for one in asked if one.form == "after"}
        if len(rows) >= count:
            break
    made = _split(thing, rows)
    return Domain(thing, tuple(_in_turn(made.train)), made.test)


def _in_turn(rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    seen, placed = Counter[str](), list[tuple[int, tuple[str, str]]]()
    for row in rows:
        placed.append((seen[row[1]], row))
        seen[row[1]] += 1
    return [row for _, row in sorted(placed, key=lambda one: one[0])]


def _everyday(count: int, seed: int) -> Domain:
    """In what condition a few things are after what was done to them."""
    parts = [everyday_thing(thing, count, seed) for thing in _THINGS]
    return Domain("everyday", *(tuple(row for one in parts for row in getattr(one, of)) for of in ("train", "test")))


def _lake() -> Domain:
    """Where the elf on the lake is after a step, told in words."""
    return _split("lake", dict(_steps_on_ice()))


def _steps_on_ice() -> Iterator[tuple[str, str]]:
    for side in range(3, 8):
        for row, col in np.ndindex(side, side):
            for word, (down, right) in _STEPS.items():
                there = min(max(row + down, 0), side - 1), min(max(col + right, 0), side - 1)
                where = f"The elf in row {row + 1}, column {col + 1} goes {word}. Where is it?"
                told = f"row {there[0] + 1}, column {there[1] + 1}"
                yield f"A lake has {side} rows and {side} columns. {where}", told


def _split(name: str, rows: dict[str, str]) -> Domain:
    parts: tuple[list[tuple[str, str]], list[tuple[str, str]]] = [], []
    for question, answer in rows.items():
        parts[share_of(f"test/{question}", 4) < _TEST_SHARE].append((question, answer))
    return Domain(name, tuple(parts[0]), tuple(parts[1]))


def _short(domain: Domain) -> Domain:
    train, test = ([row for row in rows if len(row[0]) <= _MOST_CHARS] for rows in (domain.train, domain.test))
    return Domain(domain.name, tuple(train), tuple(test))


def _thin(domain: Domain, count: int, rng: np.random.Generator) -> Domain:
    train = [domain.train[int(at)] for at in rng.permutation(len(domain.train))[:count]]
    test = [domain.test[int(at)] for at in rng.permutation(len(domain.test))]
    return Domain(domain.name, tuple(train), tuple(test))

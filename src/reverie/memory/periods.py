"""The times of facts as the tables have them, and which relations hold one value at a time."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from math import inf
from typing import NamedTuple

from sqlalchemy import Connection, text

from reverie.data.facts.dates import YEAR_ONE
from reverie.errors import UsageError, nearest, shorten
from reverie.memory.database import by_ids
from reverie.memory.relation_patterns import relation_words

__all__ = [
    "Held",
    "RelationMode",
    "declare_relation",
    "edges_between_the_same",
    "held_by",
    "held_edges",
    "learn_relations",
    "relation_modes",
    "worth_learning",
]

# Relations that hold one value at a time, where their values are dated (as ``relation_words`` has them).
USUAL = frozenset(
    word.strip()
    for word in """
    at location|located in|lives in|live in|resides in|residence|based in|headquarters|headquartered in|works for|
    works at|employed by|employer|position|job|role|title|ceo|chief executive|president|prime minister|king|queen|head|
    head of state|head of government|mayor|governor|chair|chairperson|director|manager|coach|captain|leader|led by|
    owner|owned by|married to|spouse|price|costs|cost|population|status|state|age|height|weight|address|phone|
    phone number|email|version|capital|currency|temperature|name|called|marital status|has status|has price|has state|
    has population|has capital|has owner|has address|holds office|plays for|member of team|record holder""".split("|")
)


# Those that hold many at a time, however few of them a memory has.
_MANY = frozenset(
    word.strip()
    for word in """about|mentions|causes|is a|has property|has a|part of|used for|capable of|desires|has subevent|
    has first subevent|has last subevent|has prerequisite|motivated by goal|causes desire|related to|form of|synonym|
    antonym|derived from|similar to|receives action|made of|located near|instance of|entails|manner of|has context|
    symbol of|distinct from|created by|obstructed by|etymologically related to|dbpedia|sibling of|parent of|child of|
    shows|answers|has attribute|likes|knows|friend of|member of|visited|wrote|written by|directed by|performed by|
    produced by|composed by|founded by|published by|edited by|defined as""".split("|")
)
_FEWEST, _UNDATED = 30, 100  # subjects from which a relation is judged; where none of them ever changed its value
_ODD = 0.02  # most of them, as a share, that may have two values at a time
_GROWN = 1.25  # so many times the edges: then it is judged anew
_LEARNED = "edges when relations were judged"


class Held(NamedTuple):
    """An edge in numbers, and when it holds. ``begins`` is never later than now where nobody said when."""

    id: int
    subject: int
    relation: int
    object: int
    source: int
    confidence: float
    begins: float
    ends: float  # inf: nobody said
    dated: bool  # whether somebody said when it begins


class RelationMode(NamedTuple):
    """Whether a relation holds one value at a time, and why: "declared", "learned", "usual" (dated values alone), or ""
    where it holds many."""

    id: int
    name: str
    one: bool
    why: str


_HELD = (
    "SELECT e.id, e.subject, e.relation, e.object, e.source, e.confidence, e.starts, e.ends, e.time, w.time "
    "FROM edges e JOIN writes w ON w.seq = e.since WHERE"
)


def held_edges(connection: Connection, edges: Iterable[int]) -> list[Held]:
    now = time.time()
    return [_held(row, now) for row in by_ids(connection, f"{_HELD} e.id IN :ids", edges)]


def held_by(connection: Connection, subjects: Iterable[int], relations: Collection[int]) -> list[Held]:
    now, numbers = time.time(), ", ".join(str(int(number)) for number in sorted(relations))
    if not numbers:
        return []
    asked = f"{_HELD} e.subject IN :ids AND e.relation IN ({numbers})"
    return [_held(row, now) for row in by_ids(connection, asked, subjects)]


def edges_between_the_same(
    connection: Connection, edges: Iterable[int], relations: Collection[int]
) -> list[tuple[int, int]]:
    numbers = ", ".join(str(int(number)) for number in sorted(relations))
    asked = (
        "SELECT e.id, o.relation FROM edges e CROSS JOIN edges o WHERE e.id IN :ids AND o.subject = e.subject "
        f"AND o.object = e.object AND o.relation IN ({numbers})"
    )
    return [(row[0], row[1]) for row in by_ids(connection, asked, edges)] if numbers else []


def _held(row: tuple[float, ...], now: float) -> Held:
    starts, ends, said, written = row[6:]
    dated = bool(starts)
    begins = starts + YEAR_ONE - 1 if starts else said if said is not None else min(written, now)
    until = ends + YEAR_ONE - 1 if ends else inf
    if until <= begins:  # it was over when it was said
        begins, dated = -inf, False
    return Held(int(row[0]), int(row[1]), int(row[2]), int(row[3]), int(row[4]), row[5], begins, until, dated)


def relation_modes(connection: Connection) -> list[RelationMode]:
    rows = connection.execute(text("SELECT id, name, single, learned FROM relations ORDER BY id"))
    return [_mode(*row) for row in rows]


def _mode(number: int, name: str, single: int | None, learned: int | None) -> RelationMode:
    if single is not None:
        return RelationMode(number, name, bool(single), "declared")
    if learned:
        return RelationMode(number, name, True, "learned")
    usual = relation_words(name) in USUAL
    return RelationMode(number, name, usual, "usual" if usual else "")


def declare_relation(connection: Connection, name: str, one: bool | None) -> RelationMode:
    """Raises UsageError for a relation that no fact has."""
    known = {mode.name: mode for mode in relation_modes(connection)}
    folded = {other.casefold(): other for other in known}
    spelled = name if name in known else folded.get(name.strip().casefold())
    if spelled is None:
        near = nearest(name, known)
        hint = f" Did you mean '{near}'?" if near else ""
        raise UsageError(f"the memory has no relation '{shorten(name)}'.{hint} See: reverie memory relations")
    single = None if one is None else int(one)
    connection.execute(
        text("UPDATE relations SET single = :single WHERE name = :name"), {"single": single, "name": spelled}
    )
    return next(mode for mode in relation_modes(connection) if mode.name == spelled)


def worth_learning(connection: Connection) -> bool:
    """Whether the memory has grown since its relations were judged."""
    most = connection.execute(text("SELECT max(edges) FROM writes")).scalar() or 0
    before = connection.execute(text('SELECT "count" FROM cursors WHERE key = :key'), {"key": _LEARNED}).scalar() or 0
    return most >= _FEWEST and most > _GROWN * before


def learn_relations(connection: Connection) -> None:
    """Judge by their facts which relations hold one value at a time.

    Those do of which nearly no subject has two values that begin at once, or that nobody dated: of 30 subjects at
    least where some came to another value, of 100 where none did and no subject has two.
    """
    rows = connection.execute(text(_SUBJECTS)).all()
    names = {mode.id: mode.name for mode in relation_modes(connection)}
    learned = []
    for number, subjects, changed, odd in rows:
        enough = subjects >= _FEWEST and odd <= _ODD * subjects if changed else subjects >= _UNDATED and not odd
        one = enough and relation_words(names[number]) not in _MANY and not names[number].startswith(("Not", "not "))
        learned.append({"id": number, "learned": int(one)})
    if learned:
        connection.execute(text("UPDATE relations SET learned = :learned WHERE id = :id"), learned)
    most = connection.execute(text("SELECT max(edges) FROM writes")).scalar_one()
    connection.execute(
        text(
            'INSERT INTO cursors (key, "count") VALUES (:key, :most) '
            'ON CONFLICT (key) DO UPDATE SET "count" = excluded."count"'
        ),
        {"key": _LEARNED, "most": most},
    )


# edges_key is in the order of the inner groups, so that nothing is sorted
_SUBJECTS = """
SELECT relation, count(*), sum(CASE WHEN said > 1 AND said <= moments THEN 1 ELSE 0 END),
    sum(CASE WHEN said > moments THEN 1 ELSE 0 END)
FROM (
    SELECT relation, count(DISTINCT object) AS said, count(DISTINCT starts) AS moments
    FROM edges GROUP BY subject, relation
) grouped GROUP BY relation
"""

"""What a memory holds, counted, and what must hold in its database, with finding where it does not."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from reverie.data import NODE_KINDS
from reverie.errors import shorten

__all__ = ["count_all", "problems"]

_MOST = 10  # lines about one rule

_RULES = (  # what is wrong with a thing, and the query that finds one a row
    (
        "edge {} lives and leads to node {}, which is gone",
        "SELECT e.id, n.id FROM nodes n CROSS JOIN edges e WHERE n.gone IS NOT NULL AND e.subject = n.id UNION ALL "
        "SELECT e.id, n.id FROM nodes n CROSS JOIN edges e WHERE n.gone IS NOT NULL AND e.object = n.id",
    ),
    (
        "edge {} leads to a node that was never there",
        "SELECT e.id FROM edges e LEFT JOIN nodes a ON a.id = e.subject LEFT JOIN nodes b ON b.id = e.object "
        "WHERE a.id IS NULL OR b.id IS NULL",
    ),
    (
        "edge {} has a relation, source or origin without a name",
        "SELECT e.id FROM edges e LEFT JOIN relations r ON r.id = e.relation LEFT JOIN sources s ON s.id = e.source "
        "LEFT JOIN origins o ON o.id = e.origin WHERE r.id IS NULL OR s.id IS NULL OR o.id IS NULL",
    ),
    (
        "edges {} and {} have the same key",
        "SELECT min(id), max(id) FROM edges GROUP BY subject, relation, object, source, starts HAVING count(*) > 1",
    ),
    ("edge {} has a confidence of {}", "SELECT id, confidence FROM edges WHERE NOT confidence BETWEEN 0 AND 1"),
    ("edge {} ends before it begins", "SELECT id FROM edges WHERE ends > 0 AND starts >= ends"),
    (
        "edge {} is of change {}, which was never made",
        "SELECT e.id, e.since FROM edges e LEFT JOIN writes w ON w.seq = e.since WHERE w.seq IS NULL",
    ),
    (
        "edge {} has two versions at once",
        "SELECT e.id FROM past p CROSS JOIN edges e WHERE e.id = p.edge AND p.until > e.since",
    ),
    (
        "edge {} has versions that overlap",
        "SELECT edge FROM (SELECT edge, since, until, lag(until) OVER (PARTITION BY edge ORDER BY since) AS before "
        "FROM past) v WHERE since < before OR since >= until",
    ),
    (
        "the name {} is that of node {}, which is gone",
        "SELECT n.folded, n.node FROM names n LEFT JOIN nodes d ON d.id = n.node WHERE d.id IS NULL "
        "OR d.gone IS NOT NULL",
    ),
    (
        "the name {} belongs to both nodes {} and {}",
        "SELECT folded, min(node), max(node) FROM names WHERE rank < 2 GROUP BY folded, kind HAVING count(*) > 1",
    ),
    (
        "node {} cannot be found by its name",
        "SELECT id FROM nodes WHERE gone IS NULL AND id NOT IN (SELECT node FROM names WHERE rank = 0)",
    ),
    (
        "node {} was merged into node {}, which was never there",
        "SELECT n.id, n.gone FROM nodes n LEFT JOIN nodes d ON d.id = n.gone WHERE n.gone > 0 AND d.id IS NULL",
    ),
    (
        "change {} does not follow the one before it",
        "SELECT seq FROM (SELECT seq, time, edges, nodes, lag(seq) OVER w AS s, lag(time) OVER w AS t, "
        "lag(edges) OVER w AS e, lag(nodes) OVER w AS n FROM writes WINDOW w AS (ORDER BY seq)) v "
        "WHERE seq <> s + 1 OR time <= t OR edges < e OR nodes < n",
    ),
    ("edge {} was written by no change", "SELECT id FROM edges WHERE id > (SELECT max(edges) FROM writes)"),
    ("node {} was written by no change", "SELECT id FROM nodes WHERE id > (SELECT max(nodes) FROM writes)"),
)


_COUNTS = {
    "relations": "SELECT count(*) FROM relations",
    "sources": "SELECT count(*) FROM sources",
    "origins": "SELECT count(*) FROM origins",
    "names": "SELECT count(*) FROM names",
    "closed_versions": "SELECT count(*) FROM past",
    "vectors": "SELECT count(*) FROM embeddings",
    "changes": "SELECT max(seq) FROM writes",
}


def count_all(connection: Connection, size: int) -> dict[str, Any]:
    """Nodes by kind, edges by source, and all else that is kept; ``size``: the bytes on disk."""
    count = {name: int(connection.execute(text(statement)).scalar_one() or 0) for name, statement in _COUNTS.items()}
    kinds = connection.execute(text("SELECT kind, count(*) FROM nodes WHERE gone IS NULL GROUP BY kind ORDER BY 1"))
    by_kind = {NODE_KINDS[kind]: number for kind, number in kinds}
    by_source = connection.execute(
        text(
            "SELECT s.name, e.number FROM (SELECT source, count(*) AS number FROM edges GROUP BY source) e "
            "JOIN sources s ON s.id = e.source ORDER BY e.number DESC, s.name"
        )
    ).all()
    edges = sum(row.number for row in by_source)
    return {
        "nodes": sum(by_kind.values()),
        "nodes_by_kind": by_kind,
        "edges": edges,
        "edges_by_source": {row.name: row.number for row in by_source},
        **count,
        "bytes": size,
        "bytes_per_edge": size / edges if edges else 0.0,
    }


def problems(connection: Connection) -> list[str]:
    """One line for each thing that is wrong; empty where the memory is sound."""
    found: list[str] = []
    try:
        if connection.dialect.name == "sqlite":
            said = connection.execute(text(f"PRAGMA integrity_check({_MOST})")).scalars()
            found += [f"the file is damaged: {shorten(line, 200)}" for line in said if line != "ok"]
            if found:  # what it says of its rows cannot be trusted then
                return found
            rows = connection.execute(text("PRAGMA foreign_key_check")).fetchmany(_MOST)
            found += [f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there" for row in rows]
        for problem, query in _RULES:
            rows = connection.execute(text(f"{query} LIMIT {_MOST}")).all()
            found += [problem.format(*(shorten(repr(value)) for value in row)) for row in rows]
    except DBAPIError as error:
        found.append(f"the database cannot be read: {shorten(str(error.orig), 200)}")
    return found

"""Files into a memory, and a memory as a file for others: CSV and JSON Lines, which can be read back, and GraphML.

Imports note in the store how far they came, in the transaction of each batch, and go on from there. Exports are written
batch by batch under a temporary name that becomes the file when all of it is on disk.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from reverie.data import BadRow, OnBad
from reverie.data.facts.registry import make_reader
from reverie.data.facts.tables import COLUMNS, join_aliases
from reverie.errors import DataError, UnknownNameError
from reverie.files import atomic_file, sha256_of
from reverie.memory.contract import Edge, EdgeArrays, Node, Place
from reverie.memory.documents import RowFile
from reverie.memory.store import Store
from reverie.memory.upsert import check_rows
from reverie.progress import Progress, no_progress

__all__ = ["EXPORT_FORMATS", "Imported", "export", "import_file"]

_WRITTEN = 5_000  # rows of a transaction
_BATCH = 10_000  # facts or nodes read at a time
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Imported:
    """What an import did. ``rows``: the good rows of the file; ``resumed``: those that an earlier run had written."""

    rows: int
    bad_rows: int
    resumed: int
    new_facts: int
    changed_facts: int
    new_nodes: int
    seconds: float
    ended_facts: int = 0  # that an earlier version of the file said, and nobody else says


def import_file(
    store: Store,
    path: Path,
    format: str,
    *,
    strict: bool = False,
    on_bad: OnBad = lambda bad: None,
    progress: Progress = no_progress,
    **settings: Any,
) -> Imported:
    """Read ``path`` through the reader ``format`` (with its ``settings``) and write its rows, batch by batch.

    The file is read through once before anything is written: ``on_bad`` hears of each malformed row, ``progress`` of
    the rows read, and then of the rows written. A run that was stopped, by whatever, is gone on with
    by the next one of the same unchanged file; a finished one may be repeated and changes nothing that still stands.

    Raises DataError where the file cannot be read and, with ``strict``, at its first malformed row; nothing is written
    then.
    """
    reader, started = make_reader(format, **settings), time.perf_counter()
    bad = 0

    def tell(row: BadRow) -> None:
        nonlocal bad
        bad += 1
        on_bad(row)
        if strict:
            raise DataError(f"{path}, line {row.line}: {row.problem}. Nothing was written; mend it or skip bad rows.")

    total = 0
    for total, _ in enumerate(reader(path, tell), 1):
        if not total % _WRITTEN:
            progress("reading", total, 0)
    digest = _digest(path, format, settings)
    key, file = f"import {digest}", RowFile(store, path, format, digest)
    resumed = done = min(store.cursor(key), total)
    rows = islice(reader(path, lambda row: None), done, None)
    new_facts = changed_facts = new_nodes = ended_facts = 0
    progress("writing", done, total)
    while (batch := list(islice(rows, _WRITTEN))) or not total:
        done += len(batch)
        check_rows(batch)
        written, ended_facts = file.write(batch, done, done >= total, key)
        new_facts += written.new_edges
        changed_facts += written.changed_edges
        new_nodes += written.new_nodes
        progress("writing", done, total)
        if done >= total:
            break
    return Imported(
        total, bad, resumed, new_facts, changed_facts, new_nodes, time.perf_counter() - started, ended_facts
    )


def _digest(path: Path, format: str, settings: Mapping[str, Any]) -> str:
    """Another place, content, format or setting is another import."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    said = [str(path.resolve()), format, repr(sorted(settings.items()))]
    said += [f"{file.name} {sha256_of(file)}" for file in files]
    return hashlib.sha256(chr(0).join(said).encode(errors="surrogateescape")).hexdigest()


def export(
    store: Store, path: Path, format: str, as_of: float | None = None, progress: Progress = no_progress
) -> tuple[int, int]:
    """Write every living fact and node of ``store`` to ``path``; returns how many of each.

    ``as_of`` (seconds since 1970): the facts as they stood then. ``progress`` hears how many facts are written. CSV and
    JSON Lines, read back by their readers into an empty memory, give the same nodes and facts; a node that facts name
    and that is no more than its name stands in them alone. What others write meanwhile may be left out.
    """
    if format not in EXPORT_FORMATS:
        raise UnknownNameError("export format", format, EXPORT_FORMATS)
    arrays = store.edge_arrays(as_of)
    with atomic_file(path) as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8", newline="")
        counts = EXPORT_FORMATS[format](store, file, arrays, as_of, progress)
        file.detach()  # flushes
    return counts


def _facts(store: Store, arrays: EdgeArrays, as_of: float | None) -> Iterator[list[tuple[Edge, Node, Node]]]:
    """Edges with the nodes at their ends, in batches."""
    for start in range(0, len(arrays.ids), _BATCH):
        ids = arrays.ids[start : start + _BATCH].tolist()
        if as_of is None:
            edges = store.edges(ids)
        else:
            edges = [version for edge in ids for version in store.history(edge) if _held(version, as_of)]
        ends = {end for edge in edges for end in (edge.subject, edge.object)}
        nodes = {node.id: node for node in store.nodes(sorted(ends), gone=True)}
        yield [(edge, nodes[edge.subject], nodes[edge.object]) for edge in edges]


def _held(version: Edge, moment: float) -> bool:
    return version.since <= moment and (version.until is None or version.until > moment)


def _rows(
    store: Store, arrays: EdgeArrays, as_of: float | None, progress: Progress, counts: list[int]
) -> Iterator[dict[str, Any]]:
    """Facts, then the nodes that they do not tell all of: as fields of FactRow and NodeRow, defaults left out.

    Aliases come last: read back, each name is then that of its own node before it may become an alias of another.
    """
    for batch in _facts(store, arrays, as_of):
        for edge, subject, object_ in batch:
            fields = {
                "subject": subject.name,
                "relation": edge.relation,
                "object": object_.name,
                "subject_kind": subject.kind,
                "object_kind": object_.kind,
                "source": edge.source,
                "confidence": edge.confidence,
                "time": edge.time,
                "origin": edge.origin,
                "valid_from": edge.valid_from,
                "valid_to": edge.valid_to,
            }
            yield {name: value for name, value in fields.items() if name == "source" or value != _DEFAULTS.get(name)}
        counts[0] += len(batch)
        progress("writing", counts[0], len(arrays.ids))
    joined = np.unique(np.concatenate((arrays.subjects, arrays.objects)))
    for last in (False, True):
        for nodes in store.node_batches(_BATCH):
            ids = np.array([node.id for node in nodes])
            places = store.places(ids.tolist())
            for node, known in zip(nodes, np.isin(ids, joined).tolist()):
                if node.aliases if last else (node.text or not known):
                    yield _node_fields(node, places[node.id]) | ({"aliases": list(node.aliases)} if last else {})
            counts[1] += 0 if last else len(nodes)


def _node_fields(node: Node, place: Place) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": node.name, "kind": node.kind, "source": place.source}
    fields |= {"text": node.text} if node.text else {}
    return fields | ({} if place.position is None else {"title": place.title, "position": place.position})


_DEFAULTS = {"subject_kind": "entity", "object_kind": "entity", "confidence": 1.0, "origin": ""}


def _to_csv(store: Store, file: TextIO, arrays: EdgeArrays, as_of: float | None, progress: Progress) -> tuple[int, int]:
    counts = [0, 0]
    table = csv.DictWriter(
        file,
        COLUMNS,
        lineterminator="\r\n",  # so that both are quoted where they stand in words
    )
    table.writeheader()
    for row in _rows(store, arrays, as_of, progress, counts):
        if "name" in row:
            node = {"subject": row.pop("name"), "subject_kind": row.pop("kind")}
            row = node | row | {"aliases": join_aliases(row.get("aliases", ()))}
        table.writerow(row)
    return counts[0], counts[1]


def _to_jsonl(
    store: Store, file: TextIO, arrays: EdgeArrays, as_of: float | None, progress: Progress
) -> tuple[int, int]:
    counts = [0, 0]
    for row in _rows(store, arrays, as_of, progress, counts):
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return counts[0], counts[1]


def _to_graphml(
    store: Store, file: TextIO, arrays: EdgeArrays, as_of: float | None, progress: Progress
) -> tuple[int, int]:
    """Source: the GraphML primer, http://graphml.graphdrawing.org/primer/graphml-primer.html."""
    file.write('<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n')
    for what, names in (("node", ("name", "kind", "text", "aliases")), ("edge", _EDGE_KEYS)):
        for name in names:
            kind = "double" if name in ("confidence", *_MOMENTS) else "string"
            file.write(_xml("key", {"id": f"{what}-{name}", "for": what, "attr.name": name, "attr.type": kind}))
    file.write('<graph edgedefault="directed">\n')
    facts = nodes = 0
    ends = set(np.unique(np.concatenate((arrays.subjects, arrays.objects))).tolist())
    for batch in store.node_batches(_BATCH):
        for node in batch:
            file.write(_node_xml(node))
        ends.difference_update(node.id for node in batch)
        nodes += len(batch)
    for node in store.nodes(sorted(ends), gone=True):  # ends of facts that stood once
        file.write(_node_xml(node))
    for found in _facts(store, arrays, as_of):
        for edge, subject, object_ in found:
            ends_of = {"id": f"e{edge.id}", "source": f"n{subject.id}", "target": f"n{object_.id}"}
            file.write(_xml("edge", ends_of, {name: getattr(edge, name) for name in _EDGE_KEYS}))
        facts += len(found)
        progress("writing", facts, len(arrays.ids))
    file.write("</graph>\n</graphml>\n")
    return facts, nodes


_MOMENTS = ("time", "valid_from", "valid_to")
_EDGE_KEYS = ("relation", "source", "origin", "confidence", *_MOMENTS)


def _node_xml(node: Node) -> str:
    values = {"name": node.name, "kind": node.kind, "text": node.text, "aliases": join_aliases(node.aliases)}
    return _xml("node", {"id": f"n{node.id}"}, values)


def _xml(what: str, attributes: dict[str, str], values: Mapping[str, Any] | None = None) -> str:
    """An element with its values that are not empty as its data; characters that XML cannot hold become U+FFFD."""
    element = ET.Element(what, attributes)
    for name, value in (values or {}).items():
        if value not in ("", None):
            ET.SubElement(element, "data", key=f"{what}-{name}").text = _NOT_XML.sub("�", str(value))
    return ET.tostring(element, encoding="unicode") + "\n"


EXPORT_FORMATS: dict[str, Callable[[Store, TextIO, EdgeArrays, float | None, Progress], tuple[int, int]]] = {
    "csv": _to_csv,
    "jsonl": _to_jsonl,
    "graphml": _to_graphml,
}

"""Who is joined to whom: the living edges of a store as weight-sorted rows in memory, and what one asks of them.

A topology follows the store by change number and can be thrown away. Readers hold a snapshot that never changes, so one
``refresh`` runs beside any number of them. Weights are the edges' confidences. Read ``kernels.py`` for the loops;
``plain.py`` has those that a short-lived process needs without compiled code.
"""

from __future__ import annotations

import json
import logging
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from reverie.errors import MemoryStoreError
from reverie.files import atomic_folder, atomic_write_json
from reverie.memory import plain
from reverie.memory.contract import Changes, EdgeArrays
from reverie.memory.rows import BOTH, IN, OUT, Columns, Rows
from reverie.memory.store import Store

__all__ = ["Neighbours", "Subgraph", "Topology"]

Direction = Literal["out", "in", "both"]

_FORMAT = 1
_DIRECTIONS = {"out": OUT, "in": IN, "both": BOTH}
_FILES = {  # of a saved topology
    "offsets": np.int64, "others": np.int32, "weights": np.float32, "codes": np.int32, "totals": np.float32,
    "ids": np.int64, "relations": np.int32, "subjects": np.int32, "objects": np.int32,
}  # fmt: skip
_MOST = 2**30 - 1  # edges, and nodes: codes are int32
_ROOM = 200_000, 4  # so many entries of changed rows, beside a quarter of all, before all is laid out afresh
_STALE = 20_000, 64  # so many that are read from the store in opening, before all is saved again
_PROBES = 64  # edges compared with the store before a saved topology is believed
_LEAST = 1e-20  # share of a start node that counts
_FEW = 200_000  # edges that are laid out as fast without compiled code
_FLOOR = 0.05  # a node without relevance draws walks this much

_log = logging.getLogger(__name__)


class Neighbours(NamedTuple):
    """Heaviest first; of equal weights the older edge."""

    nodes: np.ndarray  # int64 (n,)
    edges: np.ndarray  # int64 (n,): edge ids
    weights: np.ndarray  # float32 (n,) in [0, 1]


@dataclass(frozen=True)
class Subgraph:
    """Some nodes and edges between them."""

    nodes: np.ndarray  # int64 (N,): node ids, start nodes first
    depths: np.ndarray  # int8 (N,): hops from the start nodes, as they were reached
    edges: np.ndarray  # int64 (M,): edge ids
    subjects: np.ndarray  # int32 (M,): places in ``nodes``
    objects: np.ndarray  # int32 (M,)
    relations: np.ndarray  # int32 (M,): numbers of relations, as Store.relations() names them
    weights: np.ndarray  # float32 (M,) in [0, 1]


@dataclass(frozen=True)
class _Snapshot:
    """What a reader sees. Arrays of changed rows have room at their ends, which only the writer knows of."""

    rows: Rows
    columns: Columns
    seq: int
    num_nodes: int
    num_edges: int
    volume: float  # summed weight of all rows


class Topology:
    """Thread-safe for one writer (``refresh``) beside readers. Nodes that it does not know have no neighbours."""

    def __init__(self, base: dict[str, np.ndarray], seq: int, num_nodes: int, compiled: bool = True):
        """``base`` holds the arrays of ``_FILES``; use ``open`` or ``build``."""
        self._compiled = compiled
        self._lock = threading.Lock()  # of writers
        self._spaces: list[tuple[np.ndarray, ...]] = []  # of zeros, for pagerank
        self._settle(base, seq, num_nodes)

    @classmethod
    def build(cls, arrays: EdgeArrays, num_nodes: int | None = None, compiled: bool = True) -> Topology:
        """A topology in memory of these edges. ``num_nodes``: the highest node id, where no edge has it.

        Not ``compiled``: recall's loops run without numba, which a process that asks a question or two is done with
        sooner.
        """
        highest = max(int(arrays.subjects.max(initial=0)), int(arrays.objects.max(initial=0)), num_nodes or 0)
        if len(arrays.ids) > _MOST or highest > _MOST:
            raise MemoryStoreError(f"a topology holds {_MOST} edges and node ids, got {len(arrays.ids)} and {highest}")
        subjects, objects = arrays.subjects.astype(np.int32), arrays.objects.astype(np.int32)
        weights = arrays.confidences.astype(np.float32)
        order = np.argsort(-weights, kind="stable").astype(np.int32)
        lay = plain.fill if len(order) < _FEW else _kernels().fill
        rows = lay(order, subjects, objects, weights, highest + 1)
        ids, relations = arrays.ids.astype(np.int64), arrays.relations.astype(np.int32)
        return cls(dict(zip(_FILES, (*rows, ids, relations, subjects, objects))), arrays.seq, highest, compiled)

    @property
    def seq(self) -> int:
        """The change of the store that it has followed to."""
        return self._now.seq

    @property
    def num_nodes(self) -> int:
        """Node ids run from 1 to this, with gaps."""
        return self._now.num_nodes

    @property
    def num_edges(self) -> int:
        return self._now.num_edges

    @property
    def num_bytes(self) -> int:
        """What its arrays take in memory, mapped files included."""
        arrays = [*self._base.values(), *self._now.rows[5:], *self._now.columns[2:], self._new_ends]
        return sum(array.nbytes for array in arrays)

    # asking -----------------------------------------------------------------------------------------------------

    def neighbours(self, node: int, k: int = 32, direction: Direction = "both") -> Neighbours:
        """The ``k`` heaviest edges of ``node``: those that leave it ("out"), come to it ("in"), or both."""
        now = self._now
        return Neighbours(
            *_kernels().neighbours(now.rows, now.columns, int(node), max(0, int(k)), _DIRECTIONS[direction])
        )

    def expand(self, start_nodes: Sequence[int], hops: int = 2, k: int = 32) -> Subgraph:
        """What lies within ``hops`` of the start nodes: breadth first over the ``k`` heaviest edges of each node."""
        now, expand = self._now, _kernels().expand if self._compiled else plain.expand
        return Subgraph(*expand(now.rows, now.columns, _ids(start_nodes), min(int(hops), 127), max(0, int(k))))

    def pagerank(
        self,
        start_nodes: Mapping[int, float],
        *,
        damping: float = 0.85,
        tolerance: float = 5e-6,
        top: int = 100,
        hub: float | None = None,
    ) -> list[tuple[int, float]]:
        """The ``top`` nodes, best first, of the personalised PageRank of ``start_nodes`` (node -> weight > 0).

        A walker begins at a start node and goes on with probability ``damping`` to a neighbour, drawn by weight,
        whatever the direction, else ends; a score in [0, 1] is the share of walks that end at a node. At nodes whose
        weights sum to more than ``hub``, it goes on with ``damping * hub / sum`` only, which keeps walks from spreading
        over all that a hub is joined to. A smaller ``tolerance`` is slower and closer to the exact scores; this
        one finds 99 of the true top 100 in random graphs of a million edges and 97 in CN-100K, 2e-6 there 98.
        Forward push (Andersen, Chung & Lang, FOCS 2006).
        """
        if not 0 <= damping < 1 or tolerance <= 0 or (hub is not None and hub <= 0):
            raise ValueError(f"need damping in [0, 1), tolerance > 0 and hub > 0, got {damping}, {tolerance} and {hub}")
        whole = sum(start_nodes.values())
        if not start_nodes or min(start_nodes.values()) < 0 or not 0 < whole < np.inf:
            return []
        now = self._now
        shares = {int(node): weight / whole for node, weight in start_nodes.items() if weight / whole > _LEAST}
        known = [node for node in shares if 0 <= node <= now.num_nodes]
        asked = (
            now.rows,
            _ids(known),
            np.array([shares[node] for node in known], np.float32),
            float(damping),
            max(float(tolerance), 1e-15),  # float32 goes no further
            float(hub or np.inf),
            now.volume,
            max(0, int(top)),
        )
        if self._compiled:
            space = self._space(now.num_nodes + 1)
            nodes, scores = _kernels().pagerank(*asked, *space)
            self._spaces.append(space)
        else:
            nodes, scores = plain.pagerank(*asked)
        found = list(zip(nodes.tolist(), scores.tolist()))
        if len(known) < len(shares):  # nodes without edges: walks end where they start
            found += [(node, share) for node, share in shares.items() if not 0 <= node <= now.num_nodes]
            found.sort(key=lambda item: (-item[1], item[0]))
        return found[:top]

    def walks(
        self,
        start_nodes: Sequence[int],
        count: int,
        length: int,
        rng: np.random.Generator,
        bias: Mapping[int, float] | None = None,
    ) -> np.ndarray:
        """``count`` random walks from the start nodes in turn, in any direction: node ids int64 (count, length).

        ``bias`` draws walks to relevant nodes (node -> relevance >= 0, others 0): an edge is taken in proportion to its
        weight times (0.05 + relevance of its far end). A walk that finds no way on stays where it is.
        """
        return self.walks_with_edges(start_nodes, count, length, rng, bias)[0]

    def walks_with_edges(
        self,
        start_nodes: Sequence[int],
        count: int,
        length: int,
        rng: np.random.Generator,
        bias: Mapping[int, float] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """``walks``, and the edge ids of their steps: int64 (count, length - 1), -1 where a walk stays."""
        now = self._now
        starts = _ids(start_nodes)
        if not len(starts) or count < 1 or length < 1:
            return np.zeros((0, max(0, length)), np.int64), np.zeros((0, max(0, length - 1)), np.int64)
        likely = np.full(now.num_nodes + 1, 1.0 if bias is None else _FLOOR, np.float32)
        for node, relevance in (bias or {}).items():
            if 0 <= node <= now.num_nodes:
                likely[node] += max(0.0, relevance)
        nodes, edges = _kernels().walk(now.rows, now.columns, np.resize(starts, count), length, likely, _state(rng))
        return nodes, edges

    def sample(self, start_nodes: Sequence[int], size: int, rng: np.random.Generator) -> Subgraph:
        """A random subgraph of ``size`` nodes around the start nodes (less where they reach less) and all its edges.

        It grows edge by edge, each drawn by weight and without replacement from all that lead out of it.
        """
        now = self._now
        return Subgraph(*_kernels().sample(now.rows, now.columns, _ids(start_nodes), int(size), _state(rng)))

    def _space(self, size: int) -> tuple[np.ndarray, ...]:
        """Arrays of zeros for one pagerank; those of an earlier one where they are large enough."""
        while self._spaces:
            try:
                space = self._spaces.pop()
            except IndexError:  # another thread was faster
                break
            if len(space[0]) >= size:
                return space
        size += size // 8
        return np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros((3, size + 1), np.int32)

    # following the store ----------------------------------------------------------------------------------------

    def refresh(self, store: Store) -> int:
        """Follow ``store`` to its last change; returns how many edges were added or removed.

        The rows of the nodes concerned are written anew, beside the old ones, which readers may still hold. When such
        rows amount to a quarter of all, everything is laid out afresh.
        """
        with self._lock:
            now, seq = self._now, store.seq()
            if seq == now.seq:
                return 0
            if seq < now.seq:  # the file was put back to an older one
                self._take(Topology.build(store.edge_arrays()))
                return self.num_edges
            changes = store.changes(now.seq)
            count = len(changes.added.ids) + len(changes.removed)
            if count > 1000 + now.num_edges:
                self._take(Topology.build(store.edge_arrays()))
            else:
                self._apply(changes)
            return count

    def _settle(self, base: dict[str, np.ndarray], seq: int, num_nodes: int) -> None:
        """Make ``base`` what readers see, with no row changed."""
        self._base = base
        self._used = 0  # entries of changed rows
        self._added: dict[int, int] = {}  # living edges that came later: id -> place
        self._gone: set[int] = set()  # places of the base whose edges are removed
        self._num_added = 0
        self._new_ends = np.empty((2, 0), np.int32)  # subjects and objects of what was added
        slots, longs, floats = np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32)
        self._now = _Snapshot(
            Rows(*[base[name] for name in list(_FILES)[:5]], *[slots, longs, longs, slots, floats, slots]),
            Columns(base["ids"], base["relations"], longs, slots),
            seq,
            num_nodes,
            len(base["ids"]),
            _sum(base["totals"]),
        )

    def _take(self, other: Topology) -> None:
        self._settle(other._base, other.seq, other.num_nodes)

    def _apply(self, changes: Changes) -> None:
        """Take out the edges that are removed or added anew, put in those that are added, and show it to readers."""
        now, added, count = self._now, changes.added, len(changes.added.ids)
        places = self._take_out(np.union1d(changes.removed, added.ids))
        first = len(self._base["ids"]) + self._num_added
        if first + count > _MOST:
            raise MemoryStoreError(f"a topology holds {_MOST} edges, and no more can be added")
        columns = self._append_columns(added)
        self._added.update(zip(added.ids.tolist(), range(first, first + count)))

        subjects, objects = added.subjects.astype(np.int32), added.objects.astype(np.int32)
        own = np.flatnonzero(subjects != objects)  # a loop is one entry
        which = np.concatenate((np.arange(count), own))
        tails, heads = np.concatenate((subjects, objects[own])), np.concatenate((objects, subjects[own]))
        codes = (2 * (first + which) + (np.arange(len(which)) >= count)).astype(np.int32)
        weights = added.confidences[which].astype(np.float32)
        nodes = np.union1d(self._ends(places).ravel(), tails).astype(np.int64)
        num_nodes = max(now.num_nodes, int(nodes.max(initial=0)))

        counts, *entries, totals = plain.patch(now.rows, columns, nodes, places, tails, heads, weights, codes)
        stops = self._used + np.cumsum(counts)
        starts, end = stops - counts, self._used + len(entries[0])
        room = [_roomy(array, end) for array in now.rows[-3:]]
        for array, fresh in zip(room, entries, strict=True):
            array[self._used : end] = fresh
        self._used = end
        rows = now.rows._replace(new_others=room[0], new_weights=room[1], new_codes=room[2])
        rows = _with_slots(rows, nodes, num_nodes + 1, starts, stops, totals)
        volume = now.volume + _sum(totals) - _sum(now.rows.totals[nodes[nodes <= now.num_nodes]])
        num_edges = now.num_edges + count - len(places)
        self._now = _Snapshot(rows, columns, changes.seq, num_nodes, num_edges, volume)
        if self._used > _ROOM[0] + len(rows.others) // _ROOM[1]:
            self._compact()

    def _take_out(self, ids: np.ndarray) -> np.ndarray:
        """Places of the living edges among ``ids`` (ascending), which are dead from now on; ascending."""
        base = self._base["ids"]
        spots = np.searchsorted(base, ids)
        spots = spots[base[np.minimum(spots, len(base) - 1)] == ids] if len(base) else spots[:0]
        places = [place for place in spots.tolist() if place not in self._gone]
        self._gone.update(places)
        if self._added:
            places += [self._added.pop(number) for number in ids.tolist() if number in self._added]
        return np.array(sorted(places), np.int64)

    def _append_columns(self, added: EdgeArrays) -> Columns:
        columns, start, stop = self._now.columns, self._num_added, self._num_added + len(added.ids)
        ids, relations = _roomy(columns.new_ids, stop), _roomy(columns.new_relations, stop)
        self._new_ends = _roomy(self._new_ends, stop)
        ids[start:stop], relations[start:stop] = added.ids, added.relations
        self._new_ends[:, start:stop] = added.subjects, added.objects
        self._num_added = stop
        return columns._replace(new_ids=ids, new_relations=relations)

    def _ends(self, places: np.ndarray) -> np.ndarray:
        """(2, n): subjects and objects of edges."""
        old = places[places < len(self._base["ids"])]
        new = places[len(old) :] - len(self._base["ids"])
        base = np.stack((self._base["subjects"][old], self._base["objects"][old]))
        return np.concatenate((base, self._new_ends[:, new]), axis=1)

    def _compact(self) -> None:
        """Lay out everything afresh, in memory."""
        now, base, old = self._now, self._base, len(self._base["ids"])
        alive = np.ones(old, bool)
        alive[list(self._gone)] = False
        kept = np.concatenate((np.flatnonzero(alive), np.array(list(self._added.values()), np.int64)))
        added = kept[kept >= old] - old
        ids = np.concatenate((base["ids"][alive], now.columns.new_ids[added]))
        order = np.argsort(ids, kind="stable")
        places = np.full(old + self._num_added, -1, np.int32)
        places[kept[order]] = np.arange(len(kept), dtype=np.int32)
        rows = _kernels().compact(now.rows, places, now.num_nodes + 1)
        columns = [
            np.concatenate((base[name][alive], new[added]))[order]
            for name, new in (
                ("relations", now.columns.new_relations),
                ("subjects", self._new_ends[0]),
                ("objects", self._new_ends[1]),
            )
        ]
        self._settle(dict(zip(_FILES, (*rows, now.rows.totals, ids[order], *columns))), now.seq, now.num_nodes)

    # on disk ----------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, store: Store, folder: Path | None = None, compiled: bool = True) -> Topology:
        """The topology of ``store``: the one saved in ``folder``, brought up to date, else a new one, saved there.

        ``folder`` is ``<name>.topology`` beside a SQLite file if not given; for PostgreSQL nothing is saved then. Files
        are mapped into memory, so that processes share them. Damaged or foreign files are replaced, and where they
        cannot be written the topology lives in memory alone. ``compiled`` as in ``build``.
        """
        if folder is None and store.path is not None:
            folder = store.path.with_name(f"{store.path.stem}.topology")
        if folder is not None and (saved := cls._load(folder, store, compiled)) is not None:
            return saved
        built = cls.build(store.edge_arrays(), compiled=compiled)
        return built._map(folder) if folder is not None else built

    def save(self, folder: Path) -> None:
        """Write everything to ``folder``, whole or not at all. Raises OSError where the disk refuses."""
        with self._lock:
            if self._used or self._gone:
                self._compact()
            now, base = self._now, self._base
        with atomic_folder(folder) as made:
            for name, array in base.items():
                np.save(made / f"{name}.npy", array, allow_pickle=False)
            manifest = {
                "format": _FORMAT,
                "seq": now.seq,
                "num_nodes": now.num_nodes,
                "num_edges": now.num_edges,
                "crc32": {name: _crc(made / f"{name}.npy") for name in base},
            }
            atomic_write_json(made / "manifest.json", manifest)

    def _map(self, folder: Path) -> Topology:
        """This topology, saved, and read from there; from memory where that cannot be."""
        try:
            self.save(folder)
            mapped, _ = _read(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.info("the topology is not kept on disk: %s", error)
            return self
        return Topology(mapped, self.seq, self.num_nodes, self._compiled)

    @classmethod
    def _load(cls, folder: Path, store: Store, compiled: bool) -> Topology | None:
        """What is saved in ``folder``, if it is whole and of this store, brought up to date."""
        try:
            base, manifest = _read(folder)
            found = cls(base, int(manifest["seq"]), int(manifest["num_nodes"]), compiled)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not 0 < found.seq <= store.seq() or (changes := _changes_since(base, store, found.seq)) is None:
            return None
        found._apply(changes)
        return found._map(folder) if found._used > _STALE[0] + len(base["others"]) // _STALE[1] else found


def _read(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays of a saved topology, mapped, and its manifest. Raises OSError, ValueError, KeyError or TypeError."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if manifest["format"] != _FORMAT:
        raise ValueError(f"format {manifest['format']}")
    base = {}
    for name, kind in _FILES.items():
        path = folder / f"{name}.npy"
        if _crc(path) != manifest["crc32"][name]:
            raise ValueError(f"{path} is damaged")
        # private pages that could be written to: numba has code for one kind of array only
        base[name] = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        if base[name].dtype != kind:
            raise ValueError(f"{path} has the wrong type")
    return base, manifest


def _crc(path: Path) -> int:
    """Of a file's bytes: what is mapped and then followed blindly must be what was written."""
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            value = zlib.crc32(chunk, value)
    return value


def _changes_since(base: dict[str, np.ndarray], store: Store, seq: int) -> Changes | None:
    """What happened to ``base`` since change ``seq``; None where it seems to be of another database, or is empty.

    Some of its edges, and the ids after its last one, must be as the store has them, unless they changed since.
    """
    ids, names = base["ids"], store.relations()
    if not len(ids):
        return None
    some = np.unique(np.linspace(0, len(ids) - 1, _PROBES).astype(np.int64))
    ends = base["subjects"][some].tolist(), base["objects"][some].tolist()
    relations = [names[number] if number < len(names) else "" for number in base["relations"][some].tolist()]
    known = dict(zip(ids[some].tolist(), zip(*ends, relations)))
    asked = [*known, *range(int(ids[-1]) + 1, int(ids[-1]) + 1 + _PROBES)]
    living = {edge.id: (edge.subject, edge.object, edge.relation) for edge in store.edges(asked)}
    changes = store.changes(seq)
    differ = {number for number in asked if living.get(number) != known.get(number)}
    return changes if differ <= {*changes.removed.tolist(), *changes.added.ids.tolist()} else None


def _with_slots(
    rows: Rows, nodes: np.ndarray, num_rows: int, starts: np.ndarray, stops: np.ndarray, totals: np.ndarray
) -> Rows:
    """Rows in which those of ``nodes`` lie elsewhere."""
    slots = np.full(num_rows, -1, np.int32)
    slots[: len(rows.slots)] = rows.slots
    sums = np.zeros(num_rows, np.float32)
    sums[: len(rows.totals)] = rows.totals
    sums[nodes] = totals
    fresh = nodes[slots[nodes] < 0]
    slots[fresh] = len(rows.starts) + np.arange(len(fresh), dtype=np.int32)
    bounds = []
    for old, new in ((rows.starts, starts), (rows.stops, stops)):
        bounds.append(np.concatenate((old, np.empty(len(fresh), np.int64))))
        bounds[-1][slots[nodes]] = new
    return rows._replace(totals=sums, slots=slots, starts=bounds[0], stops=bounds[1])


def _kernels() -> Any:
    """The compiled loops; the first use in a process costs about a second."""
    from reverie.memory import kernels

    return kernels


def _sum(totals: np.ndarray) -> float:
    return float(totals.sum(dtype=np.float64))


def _roomy(array: np.ndarray, count: int) -> np.ndarray:
    """``array`` if its last axis has room for ``count``, else a copy with half as much again."""
    if array.shape[-1] >= count:
        return array
    larger = np.zeros((*array.shape[:-1], count + count // 2), array.dtype)
    larger[..., : array.shape[-1]] = array
    return larger


def _ids(nodes: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.array(nodes, np.int64).reshape(-1)


def _state(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(2**64, size=1, dtype=np.uint64)

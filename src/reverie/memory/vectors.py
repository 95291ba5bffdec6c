"""What is like what: unit vectors by id in a usearch index, which can be thrown away and made again from the store.

On disk an index is a folder of three files, replaced together: ``vectors.usearch``, ``waiting.npy`` (ids that have no
vector yet) and ``manifest.json``, which names the embedder. An index of another embedder, of another size or a damaged
one is never mixed with its own: it opens empty, at change 0, and ``Memory`` fills it again.
Source: HNSW (Malkov & Yashunin, arXiv:1603.09320) as usearch implements it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reverie.errors import MemoryStoreError
from reverie.files import atomic_folder, atomic_write_json

__all__ = ["VectorIndex"]

_FORMAT = 1
_EXACT = 20_000  # up to so many vectors all are looked at: about 1 ms, and never wrong
_EXPANSION = 96  # candidates kept while searching


class VectorIndex:
    """Vectors by id. ``seq`` is the store's change that it has followed to, ``waiting`` holds ids, oldest first, that
    were seen until then and have no vector of their present words yet; whoever fills the index keeps both.

    Stored as 16-bit floats: of 55,000 MiniLM vectors they keep every true top-10 neighbour (searched exactly), and
    8-bit integers, at 60 % of the memory, lose 4 of 100.
    """

    def __init__(self, embedder: str, size: int, folder: Path | None = None):
        if size < 1:
            raise MemoryStoreError(f"a vector index needs vectors of at least 1 number, got {size}")
        self.embedder, self.size, self.folder = embedder, size, folder
        self.seq = 0
        self.waiting: dict[int, None] = {}
        self._index = _new(size)
        self._saved: tuple[int, int, int] | None = None

    @classmethod
    def open(cls, folder: Path | None, embedder: str, size: int) -> VectorIndex:
        """The index saved in ``folder``, or an empty one where none of this embedder lies there (None: never saved)."""
        index = cls(embedder, size, folder)
        if folder is not None:
            index._load(folder)
        return index

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, key: int) -> bool:
        return bool(self._index.contains(int(key)))

    def add(self, ids: Sequence[int] | np.ndarray, vectors: np.ndarray) -> None:
        """Put ``vectors`` (N, size) under ``ids`` (N,), replacing what they held."""
        keys = np.asarray(ids, np.uint64)
        if vectors.shape != (len(keys), self.size):
            raise ValueError(f"need vectors of shape ({len(keys)}, {self.size}), got {vectors.shape}")
        if not len(keys):
            return
        if len(self._index):
            self.remove(keys)
        _, last = np.unique(keys[::-1], return_index=True)  # of equal ids the last one holds
        keep = len(keys) - 1 - last
        self._index.add(keys[keep], np.ascontiguousarray(vectors[keep], np.float32))
        self._saved = None

    def remove(self, ids: Sequence[int] | np.ndarray) -> int:
        """Forget ``ids``; returns how many were there."""
        present = [int(key) for key in np.unique(np.asarray(ids, np.int64)) if key in self]
        if present:
            self._index.remove(np.array(present, np.uint64), compact=False)
            self._saved = None
        return len(present)

    def get(self, ids: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(places in ``ids`` that are known, their vectors float32 (n, size))."""
        keys = np.asarray(ids, np.uint64)
        known = np.flatnonzero(np.atleast_1d(self._index.contains(keys))) if len(keys) and len(self) else keys[:0]
        if not len(known):
            return np.zeros(0, np.int64), np.zeros((0, self.size), np.float32)
        return known, np.asarray(self._index.get(keys[known]), np.float32).reshape(len(known), self.size)

    def search(
        self, vectors: np.ndarray, k: int, exact: bool = False, among: Sequence[int] | np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` ids most like each of ``vectors`` (N, size), best first.

        ``exact`` looks at every vector (so do small indexes); ``among`` looks at these ids only.
        Returns ids int64 (N, n) and cosine similarities float32 (N, n) in [-1, 1], n = min(k, how many there are).
        """
        queries = np.ascontiguousarray(np.atleast_2d(vectors), np.float32)
        if queries.shape[1] != self.size:
            raise ValueError(f"need vectors of {self.size} numbers, got {queries.shape[1]}")
        if among is not None:
            return self._among(queries, k, np.asarray(among, np.int64))
        count = min(k, len(self))
        if not count:
            return np.zeros((len(queries), 0), np.int64), np.zeros((len(queries), 0), np.float32)
        found = self._index.search(queries, count, exact=exact or len(self) <= _EXACT)
        keys = np.asarray(found.keys).astype(np.int64).reshape(len(queries), -1)
        likeness = 1 - np.asarray(found.distances, np.float32).reshape(len(queries), -1)
        return keys, likeness

    def similarities(self, vector: np.ndarray, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Cosine of ``vector`` (size,) and each of ``ids``: float32 (N,); 0 for ids that have no vector."""
        known, vectors = self.get(ids)
        out = np.zeros(len(ids), np.float32)
        out[known] = vectors @ np.asarray(vector, np.float32)
        return out

    def clear(self) -> None:
        self._index, self.seq, self.waiting, self._saved = _new(self.size), 0, {}, None

    def save(self) -> None:
        """Write both files, whole or not at all; does nothing where nothing changed or there is no folder."""
        state = (self.seq, len(self), len(self.waiting))
        if self.folder is None or self._saved == state:
            return
        try:
            with atomic_folder(self.folder) as folder:
                self._index.save(str(folder / "vectors.usearch"))
                np.save(folder / "waiting.npy", np.array(list(self.waiting), np.int64), allow_pickle=False)
                atomic_write_json(folder / "manifest.json", self._manifest())
        except (OSError, RuntimeError) as error:
            raise MemoryStoreError(f"cannot save the vectors in {self.folder}: {error}") from error
        self._saved = state

    def _among(self, queries: np.ndarray, k: int, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        known, vectors = self.get(ids)
        likeness = queries @ vectors.T
        order = np.argsort(-likeness, axis=1, kind="stable")[:, :k]
        return ids[known][order], np.take_along_axis(likeness, order, 1)

    def _manifest(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "embedder": self.embedder,
            "size": self.size,
            "count": len(self),
            "seq": self.seq,
        }

    def _load(self, folder: Path) -> None:
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            expected = {"format": _FORMAT, "embedder": self.embedder, "size": self.size}
            if any(manifest[key] != value for key, value in expected.items()):
                return
            self._index.load(str(folder / "vectors.usearch"))
            if len(self._index) != manifest["count"] or self._index.ndim != self.size:
                raise ValueError("the files do not belong together")
            self.waiting = dict.fromkeys(np.load(folder / "waiting.npy", allow_pickle=False).tolist())
            self.seq = int(manifest["seq"])
            self._saved = (self.seq, len(self), len(self.waiting))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError):
            self.clear()  # missing or damaged: whoever owns it fills it again


def _new(size: int) -> Any:
    from usearch.index import Index

    return Index(ndim=size, metric="cos", dtype="f16", expansion_search=_EXPANSION)

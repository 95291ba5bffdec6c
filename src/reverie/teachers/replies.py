"""Replies that were paid for, kept in one SQLite file: nobody is asked twice for the same."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import time
import zlib
from pathlib import Path

from reverie.errors import DataError, shorten
from reverie.paths import data_dir
from reverie.speakers.contract import SpeechRequest
from reverie.teachers.traces import Trace, trace_from_json, trace_to_json

__all__ = ["Replies", "reply_key"]

_SCHEMA = "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, trace BLOB NOT NULL, size INTEGER, used REAL)"
_EVICT = """
DELETE FROM replies WHERE key IN (SELECT key FROM (
    SELECT key, sum(size) OVER (ORDER BY used DESC, key) AS kept FROM replies) WHERE kept > ?)
"""

_LOG = logging.getLogger("reverie.teachers")


def reply_key(teacher: str, request: SpeechRequest, most_chars: int) -> str:
    """The name of the reply of ``teacher``, named so that no other has its name, to a request: 64 hex digits."""
    said = request.said if isinstance(request.said, str) else [vars(turn) for turn in request.said]
    drawn = vars(request.sampling)
    seed = 0 if request.sampling.greedy else request.seed
    asked = [teacher, said, request.max_ids, drawn, seed, request.stop, request.top, most_chars]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


class Replies:
    """Opens the file at ``path``, by default the user's own. Several programs may share it, and be killed at any time.

    ``most_bytes`` on disk: of more, those that were unused the longest are forgotten. Raises DataError where it cannot
    be opened; what cannot be read or written later is logged, and asked again.
    """

    def __init__(self, path: Path | None = None, most_bytes: int = 2**30):
        self.path, self.most_bytes = path or data_dir() / "replies.db", most_bytes
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self.path, timeout=20, isolation_level=None, check_same_thread=False)
            try:
                self._base.execute("PRAGMA journal_mode = WAL")  # a kill loses nothing, a power cut the last ones
                self._base.execute("PRAGMA synchronous = NORMAL")
                self._base.execute(_SCHEMA)
                self._size = int(self._base.execute("SELECT coalesce(sum(size), 0) FROM replies").fetchone()[0])
            except BaseException:
                self._base.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"the replies kept in {self.path} cannot be read ({shorten(str(error), 80)}): delete the file, or name "
                "another (cache_path)"
            ) from error

    def close(self) -> None:
        self._base.close()

    def get(self, key: str) -> Trace | None:
        try:
            row = self._base.execute("SELECT trace FROM replies WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            trace = trace_from_json(json.loads(zlib.decompress(row[0])))
            self._base.execute("UPDATE replies SET used = ? WHERE key = ?", (time.time(), key))
        except (sqlite3.Error, zlib.error, ValueError, TypeError, LookupError, AttributeError) as error:
            _LOG.warning("a reply in %s cannot be read: %s", self.path, shorten(str(error), 100))
            return None
        return trace

    def put(self, key: str, trace: Trace) -> None:
        data = zlib.compress(json.dumps(trace_to_json(trace)).encode(), 3)
        try:
            self._base.execute(
                "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?)", (key, data, len(data), time.time())
            )
            self._size += len(data)
            if self._size > self.most_bytes:
                self._base.execute(_EVICT, (int(0.9 * self.most_bytes),))
                self._size = int(self._base.execute("SELECT coalesce(sum(size), 0) FROM replies").fetchone()[0])
        except sqlite3.Error as error:
            _LOG.warning("a reply is not kept in %s: %s", self.path, shorten(str(error), 100))

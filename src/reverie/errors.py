"""Every error that Reverie raises on purpose.

    ReverieError                 exit code 1: what happened, what was given, what to do
    ├── UsageError               exit code 2: the call itself is wrong (unknown name, malformed value)
    │   ├── UnknownNameError     a name that no registry holds; suggests the nearest one
    │   └── ConfigError          a setting that does not exist or cannot have that value
    ├── GrammarError             ids that are no sentence of the triplet grammar
    ├── PictureError             a file that is no picture, or one too large
    │   └── TooManyPixelsError   (data.pictures) the latter: told from the head, it is never decoded
    ├── WorldError               a map, scene or action that the world cannot hold
    ├── BundleError              a damaged, truncated or foreign bundle
    ├── ExpertError              an expert that is damaged, of another base, or refused by its library
    ├── MemoryStoreError         a memory that cannot be opened, is damaged, or refuses a write
    ├── TalkLogError             a log of talks that cannot be read or written
    ├── DataError                a file that a reader cannot read, or a row of it, with its line
    ├── TrainingError            training that cannot start, resume or go on
    ├── BackendError             a remote model that did not answer
    ├── ContractError            an entry of a registry that does not keep what its kind promises; a ValueError
    ├── MissingExtraError        an optional dependency that is not installed; names the install command
    └── RequestError             (server.http.errors) a request that the server refuses, with its HTTP status

The command line and the server turn each into one line; library code lets them rise.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ReverieError(Exception):
    """Base of every error raised on purpose. ``exit_code`` is what the command line returns; ``spoken``: somebody else
    has said it already, such as another process of the same run."""

    exit_code = 1
    spoken = False


class UsageError(ReverieError):
    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not known, with the nearest known one."""

    def __init__(self, kind: str, given: str, known: Iterable[str]):
        known = sorted(known)
        near = nearest(given, known)
        hint = f" Did you mean '{near}'?" if near else ""
        super().__init__(f"unknown {kind} '{shorten(given)}'.{hint} Known: {', '.join(known) or 'none'}.")


class ConfigError(UsageError):
    pass


class GrammarError(ReverieError):
    pass


class PictureError(ReverieError):
    pass


class WorldError(ReverieError):
    pass


class BundleError(ReverieError):
    pass


class ExpertError(ReverieError):
    pass


class MemoryStoreError(ReverieError):
    pass


class TalkLogError(ReverieError):
    pass


class DataError(ReverieError):
    pass


class TrainingError(ReverieError):
    pass


class BackendError(ReverieError):
    """``passing``: the same call may be answered later; ``wait_s``: after so many seconds, where the server says."""

    def __init__(self, line: str, passing: bool = True, wait_s: float | None = None):
        super().__init__(line)
        self.passing, self.wait_s = passing, wait_s


class ContractError(ReverieError, ValueError):
    pass


class MissingExtraError(ReverieError):
    """An optional dependency is absent."""

    def __init__(self, feature: str, extra: str):
        super().__init__(f"{feature} needs an optional part. Install it with: pip install 'reverie[{extra}]'")


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The known name closest to ``given``, or None when nothing is close."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[found[0]] if found else None


def shorten(text: str, limit: int = 60) -> str:
    """``text`` on one line, cut to ``limit`` characters, for use inside an error line."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"

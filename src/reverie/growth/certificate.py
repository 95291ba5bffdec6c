"""A certificate: what a new expert had to pass and how it did, in figures that anybody can find again.

It lies beside the expert as ``certificate.json``, with the rows that it was judged by (``evaluation.json``). It is
signed with a key of this home (``certificate.key``, made when it is first needed): whoever changes a figure cannot sign
it again as this home. A certificate from elsewhere is no less true, but only recomputing tells (``admission.verify``).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reverie.errors import ExpertError
from reverie.files import atomic_write_bytes
from reverie.jsonio import read_json, read_object
from reverie.paths import data_dir

if TYPE_CHECKING:
    from reverie.learning.guard import Probe

__all__ = [
    "CERTIFICATE_FILE",
    "ROWS_FILE",
    "Certificate",
    "Signed",
    "Test",
    "read_certificate",
    "read_rows",
    "rows_json",
]

CERTIFICATE_FILE, ROWS_FILE = "certificate.json", "evaluation.json"
Signed = Literal["here", "elsewhere", "changed", "no"]


@dataclass(frozen=True)
class Test:
    """One thing that was tested. ``before`` and ``after``: counts of ``n``, as ``about`` says; ``bound`` is held to
    ``limit`` from the side that ``side`` names."""

    name: str
    n: int
    before: int
    after: int
    bound: float
    limit: float
    side: Literal["above", "at most"]
    about: str = ""

    @property
    def passed(self) -> bool:
        return self.bound > self.limit if self.side == "above" else self.bound <= self.limit

    @property
    def line(self) -> str:
        verdict = "passed" if self.passed else "failed"
        return f"{self.name}: {verdict}, {self.about}; bound {self.bound:.4f}, {self.side} {self.limit:g}"


@dataclass(frozen=True)
class Certificate:
    """What was tested, on what, by what. ``hashes``: SHA-256 of weights, gate, rows and lessons; ``library``: weights
    of the experts that were there; ``config``: of the trial."""

    expert: str
    base: str
    tests: tuple[Test, ...]
    config: Mapping[str, float] = field(default_factory=dict)
    gap: str = ""
    lessons: Mapping[str, int] = field(default_factory=dict)  # taught, held, exam, and those left out by reason
    reasons: Mapping[str, str] = field(default_factory=dict)  # of the design
    hashes: Mapping[str, str] = field(default_factory=dict)
    library: Mapping[str, str] = field(default_factory=dict)
    untested: tuple[str, ...] = ()  # experts of which no rows are known
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""  # ISO 8601, UTC
    signer: str = ""  # the name of the key
    signature: str = ""  # HMAC-SHA256 of the digest

    @property
    def passed(self) -> bool:
        return all(test.passed for test in self.tests)

    @property
    def why(self) -> str:
        """Why it did not pass; "" where it did."""
        return "; ".join(test.line for test in self.tests if not test.passed)

    @property
    def digest(self) -> str:
        """SHA-256 of everything but the signature, as canonical JSON."""
        said = {name: value for name, value in self.to_json().items() if name not in ("signature", "digest")}
        return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        said = json.loads(json.dumps(asdict(self)))
        return {**said, "tests": [{**test, "passed": one.passed} for test, one in zip(said["tests"], self.tests)],
                "passed": self.passed}  # fmt: skip

    def signed(self) -> Certificate:
        """With a signature of this home. Raises OSError where its key can be neither read nor made."""
        key = _key(made=True)
        named = replace(self, signer=_name_of(key), signature="")
        return replace(named, signature=hmac.new(key, named.digest.encode(), "sha256").hexdigest())

    def signed_by(self) -> Signed:
        """Who signed what stands here: this home, another; nobody, or somebody before it was changed."""
        if not self.signature:
            return "no"
        key = _key(made=False)
        if self.signer != _name_of(key):
            return "elsewhere"
        good = hmac.compare_digest(self.signature, hmac.new(key, self.digest.encode(), "sha256").hexdigest())
        return "here" if good else "changed"


def read_certificate(folder: Path) -> Certificate | None:
    """The certificate of the expert in ``folder``; None where it has none. Raises ExpertError for a damaged one."""
    path = folder / CERTIFICATE_FILE
    if not path.exists():
        return None
    said = read_object(path, ExpertError, "the certificate")
    try:
        tests = tuple(Test(**{one.name: test[one.name] for one in fields(Test)}) for test in said["tests"])
        own = {one.name: said[one.name] for one in fields(Certificate) if one.name in said}
        made = Certificate(**own | {"tests": tests, "untested": tuple(said.get("untested", ()))})
        _ = made.digest, made.passed
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ExpertError(f"the certificate {path} is damaged: it does not say what was tested") from error
    return made


def rows_json(rows: Mapping[str, Sequence[Probe]]) -> list[dict[str, Any]]:
    """Rows by the set that they belong to, as ``read_rows`` reads them."""
    return [json.loads(json.dumps({"set": name, **asdict(one)})) for name, some in rows.items() for one in some]


def read_rows(folder: Path) -> dict[str, list[Probe]]:
    """The rows that an expert was judged by, by set. Raises ExpertError where they are damaged."""
    from reverie.learning.guard import Probe

    found: dict[str, list[Probe]] = {}
    said = read_json(folder / ROWS_FILE, ExpertError, "the rows of a certificate")
    try:
        for row in said:
            texts = row["question"], row["answer"], tuple(row["others"])
            if not all(isinstance(one, str) for one in (row["set"], *texts[:2], *texts[2])):
                raise TypeError
            found.setdefault(row["set"], []).append(Probe(*texts))
    except (KeyError, TypeError) as error:
        raise ExpertError(f"the rows of a certificate {folder / ROWS_FILE} are damaged") from error
    return found


def _key(made: bool) -> bytes:
    """The key of this home, empty where there is none and none is ``made``."""
    path = data_dir() / "certificate.key"
    if made and not path.exists():
        atomic_write_bytes(path, secrets.token_hex(32).encode())
        if os.name == "posix":
            path.chmod(0o600)
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        return b""


def _name_of(key: bytes) -> str:
    return hashlib.sha256(b"reverie certificate " + key).hexdigest()[:16] if key else ""

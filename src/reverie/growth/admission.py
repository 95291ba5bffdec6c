"""Into the library by a certificate, out of it again, and whether a certificate is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverie.errors import ExpertError, UsageError
from reverie.experts.contract import ExpertCard
from reverie.experts.files import WEIGHTS_FILE
from reverie.experts.library import Library
from reverie.experts.prototypes import PROTOTYPE_FILE, load_prototype
from reverie.files import atomic_write_json, sha256_of
from reverie.growth.certificate import (
    CERTIFICATE_FILE,
    ROWS_FILE,
    Certificate,
    Signed,
    Test,
    read_certificate,
    read_rows,
)
from reverie.growth.creation import Grown
from reverie.growth.examining import Examiner
from reverie.growth.learned_words import WORDS_FILE
from reverie.growth.limits import TrialConfig
from reverie.growth.trial import Candidate, trial
from reverie.settings import build_settings

__all__ = ["REJECTED", "Verified", "admit", "remove", "verify"]

REJECTED = ".rejected"  # below a library: why candidates were not admitted
_SAID = {
    "here": "signed by this home, and nothing in it was changed since",
    "elsewhere": "signed by another home ({}), whose key is not here: only what is recomputed tells",
    "changed": "changed since this home signed it",
    "no": "not signed",
}


@dataclass(frozen=True)
class Verified:
    """What is true of a certificate. ``problems``: a line for each thing that is not; ``notes`` are none."""

    name: str
    certificate: Certificate
    signed: Signed
    tests: tuple[Test, ...]  # as they come out now
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def sound(self) -> bool:
        return not self.problems


def admit(
    library: Library, grown: Grown, certificate: Certificate, domain: str = "", description: str = ""
) -> ExpertCard | None:
    """Put a candidate that passed into the library, with its certificate; None where it did not pass.

    A candidate that did not pass leaves the library as it was. Why is kept beside the growth run and in the library's
    folder ``.rejected``. Raises ExpertError where the name is taken or the disk refuses.
    """
    export = grown.folder / "run" / "export"
    if certificate.hashes.get(WEIGHTS_FILE) != sha256_of(export / WEIGHTS_FILE):
        raise UsageError(f"the certificate of '{certificate.expert}' is of other weights than those in {export}")
    atomic_write_json(export / CERTIFICATE_FILE, certificate.to_json())
    if not certificate.passed:
        _reject(library, grown, certificate)
        return None
    gain = next(test for test in certificate.tests if test.name == "gain")
    card = ExpertCard(
        certificate.expert,
        domain or certificate.expert,
        description or f"grown from {len(grown.parts.taught)} lessons",
        base=certificate.base,
        data_hash=grown.parts.digest,
        data_size=len(grown.parts.taught),
        parents=grown.parents,
        before={"answers": gain.before / gain.n, "rows": gain.n},
        after={"answers": gain.after / gain.n, "rows": gain.n},
        notes="; ".join(f"{name}: {why}" for name, why in grown.design.reasons.items()),
    )
    beside = (PROTOTYPE_FILE, ROWS_FILE, CERTIFICATE_FILE, WORDS_FILE)
    extra = {name: export / name for name in beside if (export / name).exists()}
    return library.create(card, grown.adapter, extra)


def _reject(library: Library, grown: Grown, certificate: Certificate) -> None:
    said = {"expert": certificate.expert, "why": certificate.why, "certificate": certificate.to_json()}
    try:
        atomic_write_json(grown.folder / "rejected.json", said)
        if library.folder is not None:
            place = f"{certificate.expert}-{certificate.hashes[WEIGHTS_FILE][:8]}.json"
            atomic_write_json(library.folder / REJECTED / place, said)
    except OSError as error:
        raise ExpertError(f"why '{certificate.expert}' was rejected cannot be kept: {error.strerror}") from error


def rejected(library: Library) -> list[dict[str, Any]]:
    """What was kept of candidates that did not pass: expert, why, and certificate."""
    from reverie.jsonio import read_object

    places = sorted((library.folder / REJECTED).glob("*.json")) if library.folder else []
    return [read_object(place, ExpertError, "why an expert was rejected") for place in places]


def remove(library: Library, name: str) -> tuple[str, str]:
    """Take an expert out with all that its admission brought: weights, card, gate, rows and certificate lie in its
    folder, and nothing else was changed. Returns the gap that it was grown for, "" for none, and the name under which
    it was.

    Raises as ``Library.remove`` does.
    """
    try:
        certificate = read_certificate(library.folder_of(name))
    except ExpertError:  # a damaged one keeps nobody from removing the expert
        certificate = None
    library.remove(name)
    return (certificate.gap, certificate.expert) if certificate else ("", name)


def verify(library: Library, name: str, examiner: Examiner | None = None) -> Verified:
    """Hold an expert to its certificate: signature and files and, with an ``examiner`` of its base, every figure.

    Raises UnknownNameError, UsageError where it has no certificate, ExpertError where that is damaged.
    """
    folder = library.folder_of(name)
    certificate = read_certificate(folder)
    if certificate is None:
        raise UsageError(f"the expert '{name}' has no certificate: it came into the library without a trial")
    signed = certificate.signed_by()
    problems = [*_of_files(folder, certificate, library)]
    if signed in ("changed", "no"):
        problems.append(f"the certificate is {_SAID[signed]}")
    if not certificate.passed:
        problems.append(f"the certificate says itself that it did not pass: {certificate.why}")
    notes = [] if signed != "elsewhere" else [f"the certificate is {_SAID[signed].format(certificate.signer)}"]
    notes += [*_of_library(certificate, library)]
    if examiner is None or problems:
        return Verified(name, certificate, signed, certificate.tests, tuple(problems), tuple(notes))
    tests = _again(library, name, certificate, examiner)
    problems += [f"recomputed, {test.line}" for test in tests if not test.passed]
    notes += [*_differences(certificate.tests, tests)]
    return Verified(name, certificate, signed, tuple(tests), tuple(problems), tuple(notes))


def _again(library: Library, name: str, certificate: Certificate, examiner: Examiner) -> list[Test]:
    """All tests, on the same rows, as they come out here; what needs the run itself is taken as it stands."""
    folder = library.folder_of(name)
    gate = load_prototype(folder, library.base)
    if gate is None:
        raise ExpertError(f"the expert '{name}' has lost its gate: {folder / PROTOTYPE_FILE} is missing")
    config = build_settings(TrialConfig, dict(certificate.config))
    candidate = Candidate(certificate.expert, library.adapter(name), gate, examiner, config, without=name)
    found = {test.name: test for test in trial(candidate, read_rows(folder))}
    then = {test.name: test for test in certificate.tests}
    if "lessons agree" in then and then["lessons agree"].n != found["gain"].n:  # told by two more experts of the run
        found["lessons agree"] = then["lessons agree"]
    return [found.get(test, then[test]) for test in then]


def _differences(then: Sequence[Test], now: Sequence[Test]) -> list[str]:
    return [
        f"{old.name}: {old.after} of {old.n} then, {new.after} of {new.n} now"
        for old, new in zip(then, now, strict=True)
        if (old.n, old.before, old.after) != (new.n, new.before, new.after)
    ]


def _of_files(folder: Path, certificate: Certificate, library: Library) -> list[str]:
    found = [
        f"{file} is not what was tried" if (folder / file).exists() else f"{file} is missing"
        for file, known in certificate.hashes.items()
        if file != "lessons" and not ((folder / file).exists() and sha256_of(folder / file) == known)
    ]
    if certificate.base != library.base:
        found.append(f"it was tried on the base {certificate.base[:12]}, and this one is {library.base[:12]}")
    return found


def _of_library(certificate: Certificate, library: Library) -> list[str]:
    """What became of the experts that were there when it was admitted."""
    found = []
    for name, known in certificate.library.items():
        if name not in library:
            found.append(f"the expert '{name}', which was there then, is gone: its rows are answered without it")
        elif sha256_of(library.folder_of(name) / WEIGHTS_FILE) != known:
            found.append(f"the expert '{name}' is another than it was then")
    return found

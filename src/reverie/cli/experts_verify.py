"""``reverie experts verify``: hold an expert to its certificate; and what certificates say elsewhere in the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reverie.cli.facts import say
from reverie.cli.options import JsonOption, LibraryOption, ModelOption, examples
from reverie.cli.output import Output
from reverie.errors import ExpertError
from reverie.paths import find_bundle
from reverie.progress import shown_progress

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.experts.library import Library
    from reverie.growth.admission import Verified

__all__ = ["VERIFY_EPILOG", "certificate_of", "verify"]

VERIFY_EPILOG = examples("reverie experts verify ferry --model smol", "reverie experts verify ferry --files --json")


def verify(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An expert's name.")],
    files: Annotated[
        bool, typer.Option("--files", help="Look at signature and files alone; compute nothing again.")
    ] = False,
    model: ModelOption = "nano",
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold an expert to its certificate: signature, files, and every figure computed again. Exit code 1 where one
    does not hold."""
    with Output(as_json) as out:
        from reverie.bundles.bundle import read_manifest
        from reverie.bundles.experts import open_library
        from reverie.growth import open_examiner
        from reverie.growth import verify as hold
        from reverie.growth.certificate import read_certificate

        folder = find_bundle(model)
        opened = open_library(folder, read_manifest(folder), library)
        again = not files and read_certificate(opened.folder_of(name)) is not None
        with shown_progress() as progress:
            progress("verifying", 0, 0)
            found = hold(opened, name, open_examiner(folder, opened) if again else None)
        payload = {
            "name": name, "sound": found.sound, "signed": found.signed, "recomputed": again,
            "problems": found.problems, "notes": found.notes, "tests": found.tests,
            "certificate": found.certificate.to_json(),
        }  # fmt: skip
        out.result(payload, lambda console: _show(console, found))
    if not found.sound:
        raise typer.Exit(1)


def certificate_of(library: Library, name: str) -> str:
    """What ``list`` and ``show`` tell of an expert's certificate; "" where it has none."""
    from reverie.growth.certificate import read_certificate

    try:
        found = read_certificate(library.folder_of(name))
    except ExpertError as error:
        return str(error)
    if found is None:
        return ""
    passed = sum(test.passed for test in found.tests)
    said = {"here": "signed here", "elsewhere": "signed elsewhere", "changed": "CHANGED SINCE", "no": "not signed"}
    return f"{passed} of {len(found.tests)} tests passed on {found.created[:10]}, {said[found.signed_by()]}"


def _show(console: Console, found: Verified) -> None:
    for test in found.tests:
        say(console, test.line)
    for line in (*found.notes, *found.problems):
        say(console, line)
    verdict = "holds" if found.sound else "does not hold"
    say(console, f"the certificate of '{found.name}' {verdict} (signed: {found.signed})")

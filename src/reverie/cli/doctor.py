"""``reverie doctor``: whether the installation is sound, and whether clients would get on with a server."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import reverie
from reverie.cli.info import device, extras, version_of
from reverie.cli.options import JsonOption, command_app, examples
from reverie.cli.output import Output
from reverie.errors import MissingExtraError, ReverieError

if TYPE_CHECKING:
    from rich.console import Console

app = command_app()

_LIBRARIES = ("torch", "numpy", "tokenizers", "safetensors", "sqlalchemy", "numba", "usearch")
_ROOM_BYTES = 1_000_000_000  # of disk that a small model takes, with what is made of it


@dataclass(frozen=True)
class Check:
    """``state``: ok; note, for what is missing but not needed; bad, for what does not work."""

    name: str
    state: Literal["ok", "note", "bad"]
    said: str


@app.command(
    epilog=examples(
        "reverie doctor",
        "reverie doctor --clients http://127.0.0.1:11434",
        "reverie doctor --clients http://127.0.0.1:11434 --model smol --json",
    )
)
def doctor(
    clients: Annotated[
        str, typer.Option("--clients", metavar="URL", help="A server: what would its clients trip over?")
    ] = "",
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="That clients ask; else the first.")] = "",
    token: Annotated[str, typer.Option("--token", envvar="REVERIE_TOKEN", help="Where the server asks for one.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Check the installation: versions, extras, threads, folders, models, disk; a line each.

    With --clients, send a server what Open WebUI, an editor's assistant and Continue send at start-up and in a chat,
    and say what they would trip over. It may be any server that speaks Ollama's or OpenAI's API. Exit code 1 where
    something is wrong.
    """
    with Output(as_json) as out:
        sound = _check_clients(out, clients, model, token) if clients else _check_installation(out)
    if not sound:
        raise typer.Exit(1)


def _check_clients(out: Output, url: str, model: str, token: str) -> bool:
    try:
        from reverie.server.clients import check_clients
    except ImportError as error:
        raise MissingExtraError("checking clients", "serve") from error
    asked, reports = check_clients(url, model, token)
    told = [{"client": one.client, "ok": one.ok, "calls": [asdict(call) for call in one.calls]} for one in reports]
    sound = all(one.ok for one in reports)

    def show(console: Console) -> None:
        console.print(f"{url}, asked as {asked or 'no model'}", style="dim", markup=False, highlight=False)
        for one in reports:
            _line(console, "ok" if one.ok else "bad", one.client, f"{len(one.calls)} calls" if one.ok else "trips over")
            for call in one.calls:
                if call.problem:
                    console.print(f"      {call.call}: {call.problem}", markup=False, highlight=False)

    out.result({"url": url, "model": asked, "ok": sound, "clients": told}, show)
    return sound


def _check_installation(out: Output) -> bool:
    checks = [one for check in _CHECKS for one in check()]
    sound = not any(one.state == "bad" for one in checks)

    def show(console: Console) -> None:
        for one in checks:
            _line(console, one.state, one.name, one.said)

    out.result({"ok": sound, "checks": [asdict(one) for one in checks]}, show)
    return sound


def _line(console: Console, state: str, name: str, said: str) -> None:
    from rich.text import Text

    style = {"ok": "green", "note": "yellow", "bad": "red"}[state]
    console.print(Text(f"{state:<5}", style=style) + Text(f"{name:<28}{said}"), soft_wrap=True)


def _versions() -> Iterator[Check]:
    fine = sys.version_info >= (3, 11)
    yield Check("python", "ok" if fine else "bad", f"{platform.python_version()}, reverie {reverie.__version__}")
    found = {name: version_of(name) for name in _LIBRARIES}
    missing = [name for name, version in found.items() if version is None]
    said = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    yield Check("libraries", "bad" if missing else "ok", f"missing: {', '.join(missing)}" if missing else said)


def _extras() -> Iterator[Check]:
    found = extras()
    there = [name for name, installed in found.items() if installed]
    missing = sorted(set(found) - set(there))
    yield Check("extras", "ok", ", ".join(sorted(there)) or "none")
    if missing:
        yield Check("other extras", "note", f"{', '.join(missing)}: pip install 'reverie[NAME]'")


def _threads() -> Iterator[Check]:
    told = device()
    cores, threads = told["cpu_cores"], told["torch_threads"]
    few = threads > cores
    said = f"{threads} of torch on {cores} cores" + ("; set OMP_NUM_THREADS lower" if few else "")
    yield Check("threads", "note" if few else "ok", said)
    for kind, chosen in told["precision"].items():
        yield Check(f"precision on {kind}", "ok", f"{chosen['name']}: {chosen['reason']}")


def _folders() -> Iterator[Check]:
    from reverie.paths import cache_dir, data_dir, models_dir

    for name, folder in (("folder", data_dir()), ("cache", cache_dir())):
        here = _nearest(folder)
        try:
            with tempfile.TemporaryFile(dir=here):
                pass
            yield Check(name, "ok", str(folder))
        except OSError as error:
            said = f"{folder} cannot be written to: {error.strerror}; set REVERIE_HOME to a folder that can"
            yield Check(name, "bad", said)
    free = shutil.disk_usage(_nearest(models_dir())).free
    few = free < _ROOM_BYTES
    said = f"{free / 1e9:,.1f} GB free" + (", too little for another model" if few else "")
    yield Check("disk", "note" if few else "ok", said)


def _models() -> Iterator[Check]:
    from reverie.bundles import list_models, verify_bundle
    from reverie.bundles.loading import usual_model

    for one in list_models():
        try:
            verify_bundle(one["folder"])
            yield Check(f"model {one['name']}", "ok", f"{one['bytes'] / 1e6:,.1f} MB, {one['architecture']}")
        except ReverieError as error:
            yield Check(f"model {one['name']}", "bad", str(error))
    yield Check("usual model", "ok", usual_model())


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that is there."""
    return next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path(os.sep))


_CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (_versions, _extras, _threads, _folders, _models)

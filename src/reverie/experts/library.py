"""The library: a folder of experts that may grow while it is in use, with a few of them in memory."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from reverie.errors import BundleError, ConfigError, ExpertError, UnknownNameError, UsageError, shorten
from reverie.experts.cache import ByteCache, free_memory
from reverie.experts.contract import Adapter, ExpertCard, check_name
from reverie.experts.files import (
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    Shapes,
    base_hash,
    check_base,
    check_expert,
    check_fit,
    describe_adapter,
    find_adapter,
    load_adapter,
    load_card,
    read_config,
    refuse_pickle,
    save_adapter,
    save_card,
)
from reverie.experts.folder import ExpertFolder

__all__ = ["Library", "LibraryConfig"]

_KEPT = (".safetensors", ".json")  # of an expert's folder, when it is copied
_TRIES = 40  # of a reader that meets a writer, 5 ms apart


@dataclass(frozen=True)
class LibraryConfig:
    """What of a library is kept in memory."""

    budget_bytes: int = 512 * 2**20  # of adapters in memory, at float32
    reserve_bytes: int = 256 * 2**20  # of the machine's memory that are left free: below, adapters are thrown out

    def __post_init__(self) -> None:
        for name in ("budget_bytes", "reserve_bytes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(f"a library's {name} is a whole number of at least 0, got {value!r}")


class Library:
    """Experts of one base, by name: an ``ExpertSource``.

    Those of ``folder`` are the user's; those of ``packaged`` belong to a bundle and are only read. Several processes
    may have the folder open: what one of them adds, changes or removes the others see at their next call. Every
    change is whole or does not happen. Several threads may use one library.
    """

    def __init__(
        self,
        folder: Path | None,
        base: str,
        packaged: Path | None,
        settings: LibraryConfig,
        linears: Shapes | None,
        known_as: Sequence[str],
        made_of: str | None,
    ):
        self.folder, self.base, self.packaged, self.settings = folder, base, packaged, settings
        self.linears, self.known_as, self.made_of = linears, tuple(known_as), made_of
        self._own = ExpertFolder(folder) if folder is not None else None
        self._folders = [*filter(None, [self._own]), *([ExpertFolder(packaged)] if packaged is not None else [])]
        self._cache: ByteCache[str, Adapter] = ByteCache(
            settings.budget_bytes, lambda adapter: adapter.nbytes, lambda: free_memory() - settings.reserve_bytes
        )
        self._keys: dict[str, str] = {}  # of the experts that were loaded
        self._own_pins: set[str] = set()  # where no folder could keep them
        self._heeded: frozenset[str] = frozenset()  # the pins that the cache knows

    @classmethod
    def open(
        cls,
        folder: Path | None,
        base: str,
        packaged: Path | None = None,
        settings: LibraryConfig | None = None,
        *,
        linears: Shapes | None = None,
        known_as: Sequence[str] = (),
        made_of: str | None = "",
    ) -> Library:
        """A library over the user's ``folder`` (made when first written to; None: nothing can be added).

        Args:
            base: what ``files.base_hash`` says of the base; experts of another are refused
            packaged: a bundle's ``experts/``, which may be absent
            linears: of the base, as ``files.base_linears`` gives them: experts that do not fit are refused
            known_as: names of the base, such as ``Qwen/Qwen3-0.6B``, that a PEFT adapter may say it is made for
            made_of: ``base_hash`` of the folder that this base was made of, whose linears it kept; None where it was
                made of something that cannot be compared with a folder (a GGUF file)

        Raises UsageError where a file lies in the folder's place.
        """
        folder = None if folder is None else Path(folder)
        if folder is not None and folder.exists() and not folder.is_dir():
            raise UsageError(f"a library of experts is a folder, and {folder} is a file")
        return cls(folder, base, packaged, settings or LibraryConfig(), linears, known_as, made_of)

    @property
    def base_weights(self) -> int:
        """Of the base's linears; 0 where they are not known."""
        return sum(out * into for out, into in (self.linears or {}).values())

    # reading ----------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Of all experts, sorted."""
        return sorted({name for each in self._folders for name in each.names()})

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def folder_of(self, name: str) -> Path:
        """Where an expert lies. Raises UnknownNameError."""
        found = self._find(name)
        if found is None:
            raise UnknownNameError("expert", name, self.names())
        return found

    def is_packaged(self, name: str) -> bool:
        """Whether it belongs to the bundle, and cannot be changed. Raises UnknownNameError."""
        return self.folder_of(name).parent != self.folder

    def card(self, name: str) -> ExpertCard:
        """Where it comes from. Raises UnknownNameError, ExpertError."""
        return replace(load_card(self.folder_of(name)), name=name)

    def key(self, name: str) -> str:
        """Changes whenever the expert of that name does; two looks at the disk. Raises UnknownNameError."""
        folder = self.folder_of(name)
        parts = [name]
        for file in (WEIGHTS_FILE, CONFIG_FILE):
            try:
                seen = os.stat(folder / file)
                parts.append(f"{seen.st_ino:x}-{seen.st_size:x}-{seen.st_mtime_ns:x}-{seen.st_ctime_ns:x}")
            except OSError:
                parts.append("missing")
        return "/".join(parts)

    def adapter(self, name: str) -> Adapter:
        """Its factors, from memory or from disk. Raises UnknownNameError, and ExpertError where it is damaged or does
        not fit this base."""
        for _ in range(_TRIES):
            key = self.key(name)
            self._follow(name, key)
            try:
                return self._cache.get(key, partial(self._load, name, key))
            except _ChangedError:
                time.sleep(0.005)
        raise ExpertError(f"the expert '{name}' changes faster than it can be read: {self.folder_of(name)}")

    @contextmanager
    def use(self, names: Iterable[str]) -> Iterator[None]:
        """While the block runs, these experts are not thrown out of memory. Raises UnknownNameError."""
        with self._cache.hold([self.key(name) for name in names]):
            yield

    def describe(self, name: str) -> dict[str, Any]:
        """Its card with packaged, pinned, rank, num_linears, num_parameters, dtype, bytes and folder."""
        folder = self.folder_of(name)
        marks = {"packaged": self.is_packaged(name), "pinned": name in self.pinned(), "folder": folder}
        return {**vars(self.card(name)), **describe_adapter(folder), **marks}

    def stats(self) -> dict[str, Any]:
        """Sizes in bytes: on disk, in memory, of the budget and of what the machine has free."""
        names = self.names()
        files = [file for name in names for file in self.folder_of(name).rglob("*") if file.is_file()]
        return {
            "folder": self.folder,
            "packaged_folder": self.packaged,
            "base": self.base,
            "experts": len(names),
            "packaged": sum(self.is_packaged(name) for name in names),
            "pinned": self.pinned(),
            "bytes_on_disk": sum(file.stat().st_size for file in files),
            "in_memory": len(self._cache),
            "bytes_in_memory": self._cache.nbytes,
            "budget_bytes": self.settings.budget_bytes,
            "reserve_bytes": self.settings.reserve_bytes,
            "free_bytes": free_memory(),
            "hits": self._cache.hits,
            "misses": self._cache.misses,
            "evictions": self._cache.evictions,
        }

    def check(self, names: Iterable[str] | None = None) -> list[str]:
        """A line for every fault of these experts, of all of them where none is named. Raises UnknownNameError."""
        problems = []
        for name in self.names() if names is None else names:
            folder = self.folder_of(name)
            try:
                check_expert(folder, self.base, self.linears)
            except ExpertError as error:
                problems.append(str(error))
            if sum(each.find(name) is not None for each in self._folders) > 1:
                problems.append(f"two experts are called '{name}': the bundle's is hidden by {folder}")
        return problems

    # changing ---------------------------------------------------------------------------------------------------

    def create(
        self, card: ExpertCard, adapter: Adapter, extra: Mapping[str, Path] | None = None, *, over: bool = False
    ) -> ExpertCard:
        """Put a new expert in, whole or not at all, and return its card with base and date filled in.

        Args:
            extra: files to lie beside it: bare names → where they are now
            over: an expert of the user's with that name is replaced; who runs it goes on with the new one

        Raises ExpertError where the name is taken, the base is another, the factors do not fit or the folder cannot
        be written.
        """
        card = replace(card, base=card.base or self.base, created=card.created or _now())
        check_base(card, self.base)
        if self.linears:
            check_fit(adapter, self.linears, card.name)
        with self._new(card.name, over) as building:
            save_adapter(adapter, building)
            save_card(card, building)
            for file, source in (extra or {}).items():
                assert Path(file).name == file, f"a bare name is needed, got {file}"
                shutil.copyfile(source, building / file)
            self._check_built(building, f"'{card.name}'")
        return card

    def add(self, source: Path, name: str = "", trust_base: bool = False) -> ExpertCard:
        """Copy in an expert's folder, or a LoRA adapter that PEFT made elsewhere, and return its card.

        An adapter of PEFT has no card and no hash of its base. It is taken where its config names a folder with the
        weights of this base or of ``made_of``, and with a note on its card where it names one of ``known_as``, whose
        weights nobody compared; otherwise only with ``trust_base``, which says that it is made for this base. One that
        is known to be of another base is refused all the same. Its linears must fit in any case. Where PEFT saved it
        under a name of its own, the folder around that may be given, too.

        Raises UsageError for a source that is no folder or a name that is none; else as ``create`` does.
        """
        source = Path(source)
        if not source.is_dir():
            refuse_pickle(source)
            raise UsageError(f"no folder of an adapter: {source}" + (" is a file" if source.exists() else ""))
        source = find_adapter(source)
        card = self._card_for(source, name, trust_base)
        with self._new(card.name) as building:
            kept = _KEPT if (source / CARD_FILE).exists() else ()
            for file in sorted(source.iterdir()):
                if file.name in (WEIGHTS_FILE, CONFIG_FILE) or (file.suffix in kept and file.is_file()):
                    shutil.copyfile(file, building / file.name)
            save_card(card, building)
            self._check_built(building, str(source))
        return card

    def remove(self, name: str) -> None:
        """Delete an expert of the user's. Raises UnknownNameError, UsageError for a packaged one, ExpertError."""
        with self._changing(name) as own:
            own.remove(name)
        self._follow(name, "")

    def rename(self, old: str, new: str) -> None:
        """Give an expert of the user's another name. Raises as ``remove``, and ExpertError where it is taken."""
        check_name(new)
        with self._changing(old) as own:
            self._refuse_taken(new, but=old)
            card = self.card(old)
            save_card(replace(card, name=new), own.rename(old, new))
        self._follow(old, "")

    def pin(self, name: str, on: bool = True) -> None:
        """Keep it in memory once it was loaded, whatever the budget; or no longer. Holds for other processes, too."""
        self.folder_of(name)
        if self._own is None:
            (self._own_pins.add if on else self._own_pins.discard)(name)
        else:
            with self._own.changing():
                self._own.pin(name, on)
        self._heed_pins()

    def pinned(self) -> list[str]:
        """The names of the pinned experts."""
        return sorted(self._own_pins) if self._own is None else self._own.pinned()

    # inside -----------------------------------------------------------------------------------------------------

    def _find(self, name: str) -> Path | None:
        check_name(name)
        return next(filter(None, (each.find(name) for each in self._folders)), None)

    def _load(self, name: str, key: str) -> Adapter:
        self._heed_pins(name)
        folder = self.folder_of(name)
        try:
            check_base(load_card(folder), self.base)
            self._cache.trim(coming=4 * describe_adapter(folder)["num_parameters"])
            adapter = load_adapter(folder)
            if self.linears:
                check_fit(adapter, self.linears, name)
        except ExpertError as error:
            if self._changes(name, key):  # read while it was being replaced
                raise _ChangedError from error
            raise
        if self.key(name) != key:
            raise _ChangedError
        return adapter

    def _changes(self, name: str, key: str) -> bool:
        """Whether the expert is another than ``key`` said, or is about to be: where files were missing, a writer may be
        between taking the old one away and putting the new one there."""
        for _ in range(_TRIES if "/missing" in key else 1):
            if self.key(name) != key:
                return True
            time.sleep(0.005)
        return False

    def _follow(self, name: str, key: str) -> None:
        """Drops what the expert was before; it is nothing now where ``key`` is ""."""
        before = self._keys.pop(name, "")
        if key:
            self._keys[name] = key
        if before and before != key:
            self._cache.drop(before)

    def _heed_pins(self, loading: str = "") -> None:
        """Pins and unpins in memory what somebody pinned or unpinned since, and what is about to be loaded."""
        before, self._heeded = self._heeded, frozenset(self.pinned())
        for name in (before ^ self._heeded) | {loading}:
            if name in self._keys:
                self._cache.pin(self._keys[name], name in self._heeded)

    def _card_for(self, source: Path, name: str, trust_base: bool) -> ExpertCard:
        """The card under which ``source`` comes in; ExpertError where its base is another or not known."""
        if (source / CARD_FILE).exists():
            card, said = load_card(source), ""
            card = replace(card, name=name or card.name)
            if card.base:
                check_base(card, self.base)
                return card
        else:
            refuse_pickle(source)
            said = str(read_config(source).get("base_model_name_or_path") or "")
            card = ExpertCard(name or check_name(source.resolve().name), created=_now(), notes="a PEFT adapter")
            ours = self._is_base(said)
            if ours:
                return replace(card, base=self.base)
            if ours is False:
                raise ExpertError(f"the adapter {source} was made for another base: {shorten(said)}")
            if said in self.known_as:
                told = f"base taken by its name ({shorten(said)}), its weights were not compared"
                return replace(card, base=self.base, notes=f"{card.notes}; {told}")
        if not trust_base:
            given = f"was made for '{shorten(said)}'" if said else "does not say what base it was made for"
            hint = "If it is this one, trust that (--trust-base)."
            raise ExpertError(f"the adapter {source} {given}, which cannot be compared with this base. {hint}")
        told = f"base taken on trust (it names {shorten(said) or 'none'})"
        return replace(card, base=self.base, notes="; ".join(filter(None, (card.notes, told))))

    def _is_base(self, said: str) -> bool | None:
        """Whether the folder that a PEFT config names holds this base, or what it was made of; None where nobody can
        know."""
        try:
            found = base_hash(Path(said)) if said else None
        except (BundleError, OSError, ValueError):  # no folder of weights, or no path at all
            return None
        if found is not None and found in (self.base, self.made_of):
            return True
        return False if found and self.made_of is not None else None

    @contextmanager
    def _new(self, name: str, over: bool = False) -> Iterator[Path]:
        """Yield an empty folder that becomes the expert ``name``; ExpertError where that name is taken."""
        with self._changing() as own:
            self._refuse_taken(name, but=name if over and own.find(name) else "")
            with own.putting(name) as building:
                yield building

    @contextmanager
    def _changing(self, name: str | None = None) -> Iterator[ExpertFolder]:
        """Yield the user's folder to one writer at a time, to change the expert ``name`` if one is given."""
        if self._own is None:
            raise UsageError("this library has no folder of its own: nothing in it can be changed")
        if name is not None and self.is_packaged(name):
            raise UsageError(f"the expert '{name}' belongs to the bundle: it can be neither removed nor renamed")
        with self._own.changing():
            if name is not None:
                self.folder_of(name)  # again: another process may have removed it meanwhile
            yield self._own

    def _check_built(self, building: Path, told: str) -> None:
        """Holds what was written to this base, as it will be read; ``told``: what an error calls it."""
        try:
            check_expert(building, self.base, self.linears)
        except ExpertError as error:
            raise ExpertError(str(error).replace(str(building), told)) from error

    def _refuse_taken(self, name: str, but: str = "") -> None:
        for taken in self.names():
            if taken.lower() == name.lower() and taken != but:  # some disks do not tell 'A' from 'a'
                raise ExpertError(
                    f"the library has an expert '{taken}' already. Choose another name, or remove it first."
                )


class _ChangedError(Exception):
    """An expert was replaced while it was read."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

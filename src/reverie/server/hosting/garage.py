"""The models in memory: loaded when they are first asked for, let go of when they were long not used, or others need
their bytes. Lives in the event loop; loading and closing happen on threads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from reverie.bundles.bundle import MANIFEST, read_manifest
from reverie.bundles.experts import open_library
from reverie.dreaming.session import Session
from reverie.errors import ReverieError
from reverie.experts.cache import free_memory
from reverie.experts.contract import ExpertCard
from reverie.experts.library import Library
from reverie.server.hosting.models import HostedModel, ModelFacts, bundle_facts, joined_session, memory_of
from reverie.server.hosting.names import unknown_model
from reverie.server.hosting.settings import HostingConfig
from reverie.server.http.errors import RequestError

__all__ = ["Garage", "Loaded"]

log = logging.getLogger("reverie.server")


@dataclass(frozen=True)
class Loaded:
    """A model in memory. ``expires_at``: seconds since 1970, None for never; ``running``: what uses it now."""

    name: str
    facts: ModelFacts
    num_bytes: int
    expires_at: float | None
    running: int


@dataclass
class _Entry:
    model: HostedModel
    keep_alive: float
    users: int = 0
    used: float = field(default_factory=time.time)
    timer: asyncio.TimerHandle | None = None  # of its end; it holds the model in memory

    def wake(self) -> None:
        """Its end is not near any more, or has come."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    @property
    def expires_at(self) -> float | None:
        return None if self.keep_alive < 0 else self.used + self.keep_alive


class Garage:
    """What ``catalog`` names, in memory as far as it is used."""

    def __init__(self, catalog: Callable[[], Mapping[str, Path]], config: HostingConfig):
        self.folders, self._config = catalog, config
        self._facts: dict[Path, tuple[int, ModelFacts, Library]] = {}
        self._entries: dict[str, _Entry] = {}
        self._joined: dict[tuple[HostedModel, HostedModel], Session] = {}
        self._lock = asyncio.Lock()  # one is loaded at a time, so that the bytes add up
        self._closing = set[asyncio.Task[None]]()

    def facts(self, name: str) -> ModelFacts:
        """What the files of a bundle say now. Raises RequestError for an unknown name, BundleError, ExpertError."""
        folders = self.folders()
        if name not in folders:
            raise unknown_model(name, list(folders))
        folder = folders[name]
        try:
            changed = (folder / MANIFEST).stat().st_mtime_ns
        except OSError:
            changed = -1
        kept = self._facts.get(folder)
        if kept is None or kept[0] != changed:
            facts = bundle_facts(name, folder, self._config.library)
            kept = changed, facts, open_library(folder, read_manifest(folder), self._config.library)
            self._facts[folder] = kept
        return replace(kept[1], name=name, experts=tuple(kept[2].names()))

    def cards(self, name: str) -> list[ExpertCard]:
        """Where each expert of a bundle comes from; raises as ``facts``."""
        facts = self.facts(name)
        library = self._facts[facts.folder][2]
        return [library.card(expert) for expert in facts.experts]

    def sound(self, name: str) -> ModelFacts | None:
        """``facts``; None, and a line in the log, for what is damaged."""
        try:
            return self.facts(name)
        except ReverieError as error:
            log.warning("the model '%s' is left out: %s", name, error)
            return None

    async def take(self, parts: Sequence[str], count: int, keep_alive: float | None) -> list[HostedModel]:
        """The models of these names, loaded and not let go of before ``give_back``."""
        taken = list[str]()
        try:
            for name in parts:
                entry = await self._take(name, count)
                taken.append(name)
                entry.keep_alive = self._config.keep_alive if keep_alive is None else keep_alive
        except BaseException:
            self.give_back(taken, count)
            raise
        return [self._entries[name].model for name in parts]

    async def _take(self, name: str, count: int) -> _Entry:
        facts = self.facts(name)
        entry = self._entries.get(name)
        if entry is None or self._is_old(entry, facts):
            async with self._lock:
                entry = self._entries.get(name)
                if entry is None or self._is_old(entry, facts):
                    entry = await self._load(name, facts)
                entry.users += count
        else:
            entry.users += count
        entry.used = time.time()
        return entry

    @staticmethod
    def _is_old(entry: _Entry, facts: ModelFacts) -> bool:
        """Whether its files were replaced since, and nobody is in the middle of it."""
        return entry.model.facts.digest != facts.digest and entry.users == 0

    async def _load(self, name: str, facts: ModelFacts) -> _Entry:
        if name in self._entries:
            await self._close(name)
        await self._make_room(memory_of(facts, self._config))
        started = time.monotonic()
        model = await asyncio.to_thread(HostedModel, facts, self._config)
        log.info("loaded %s in %.1f s", name, time.monotonic() - started, extra={"model": name})
        self._entries[name] = _Entry(model, self._config.keep_alive)
        return self._entries[name]

    async def _make_room(self, need: int) -> None:
        """Let go of what was used longest ago, until ``need`` bytes more have room."""
        idle = sorted((one for one in self._entries if not self._entries[one].users), key=lambda one: self._used(one))
        while self._excess(need) > 0 and idle:
            await self._close(idle.pop(0))
        if self._excess(need) > 0 and self._entries:
            raise RequestError(
                503, "there is no memory for this model while others are in use", code="no_memory", retry_after=5
            )

    def _used(self, name: str) -> float:
        return self._entries[name].used

    def _excess(self, need: int) -> int:
        """Bytes that ``need`` more would be too many."""
        if self._config.max_loaded_bytes:
            return sum(one.model.num_bytes for one in self._entries.values()) + need - self._config.max_loaded_bytes
        return need - free_memory()

    def give_back(self, parts: Sequence[str], count: int) -> None:
        """Whoever took models does not need them any more."""
        for name in parts:
            entry = self._entries.get(name)
            if entry is None:  # the server ended meanwhile
                continue
            entry.users -= count
            entry.used = time.time()
            entry.wake()
            if entry.users == 0 and entry.keep_alive >= 0:
                entry.timer = asyncio.get_running_loop().call_later(entry.keep_alive, self._expire, name, entry)

    def _expire(self, name: str, entry: _Entry) -> None:
        """Let go of what nobody used meanwhile."""
        ends = entry.expires_at
        if self._entries.get(name) is entry and not entry.users and ends is not None and ends <= time.time() + 0.001:
            task = asyncio.get_running_loop().create_task(self._close(name))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def unload(self, parts: Sequence[str]) -> bool:
        """Let go of these as soon as nobody uses them; whether any was there."""
        there = [name for name in parts if name in self._entries]
        for name in there:
            self._entries[name].keep_alive = 0
            if not self._entries[name].users:
                await self._close(name)
        return bool(there)

    async def _close(self, name: str) -> None:
        model = self._forget(name)
        if model is not None:
            await asyncio.to_thread(model.close)
            log.info("let go of %s", name, extra={"model": name})

    def _forget(self, name: str) -> HostedModel | None:
        entry = self._entries.pop(name, None)
        if entry is None:
            return None
        entry.wake()
        for pair in [pair for pair in self._joined if entry.model in pair]:
            pair[0].asking.submit(self._joined.pop(pair).close)
        return entry.model

    def loaded(self) -> list[Loaded]:
        return [
            Loaded(name, one.model.facts, one.model.num_bytes, one.expires_at, one.users)
            for name, one in sorted(self._entries.items())
        ]

    def session(self, models: Sequence[HostedModel]) -> Callable[[], Session]:
        """Makes the session that these models answer with; call it on the first one's thread ``asking``."""
        first = models[0]
        if len(models) == 1:
            return lambda: first.session

        def joined() -> Session:
            pair = first, models[1]
            if pair not in self._joined:
                self._joined[pair] = joined_session(*pair)
            return self._joined[pair]

        return joined

    def close(self) -> None:
        """Let go of everything, and wait for it."""
        for name in list(self._entries):
            model = self._forget(name)
            if model is not None:
                model.close()

"""One registry for every plural idea: the house's own entries, those of installed packages, those added at run time.

An installed package offers an entry by an entry point of the group, as in its ``pyproject.toml``::

    [project.entry-points."reverie.worlds"]
    Pond = "my_package.pond:Pond"

An entry is named when it is listed and imported when it is first used. The house's own names win over a package's.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

from reverie.errors import ContractError, UnknownNameError, UsageError, shorten

__all__ = ["Promises", "Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Entries of one kind by name.

    Args:
        kind: what one of them is called in errors, as in ``unknown world 'Ponb'``
        own: the house's entries; a string ``module:attribute`` is imported when it is first asked for
        group: the group of entry points in which installed packages offer more; "" for none
        others: what else stands for an entry and is told with the known names, as in "a Hugging Face folder"
    """

    def __init__(self, kind: str, own: Mapping[str, T | str], group: str = "", others: tuple[str, ...] = ()):
        self.kind, self.group, self._others = kind, group, others
        self._entries: dict[str, T | str] = dict(own)

    @cached_property
    def _offered(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)} if self.group else {}

    def names(self) -> list[str]:
        return sorted(self._entries.keys() | self._offered.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._offered

    def register(self, name: str, entry: T) -> None:
        """Add an entry for this process, or put it in the place of another."""
        self._entries[name] = entry

    def find(self, given: str) -> str:
        """The name that ``given`` means, where need be in other capitals; UnknownNameError suggests the nearest."""
        if given in self:
            return given
        alike = [name for name in self.names() if name.casefold() == given.casefold()]
        if len(alike) != 1:
            raise UnknownNameError(self.kind, given, [*self.names(), *self._others])
        return alike[0]

    def get(self, given: str) -> T:
        """The entry of that name. Raises UnknownNameError, or UsageError where a package's entry cannot be imported."""
        name = self.find(given)
        if name in self._entries:
            entry = self._entries[name]
            if isinstance(entry, str):
                module, attribute = entry.split(":")
                self._entries[name] = entry = cast(T, getattr(importlib.import_module(module), attribute))
            return entry
        point = self._offered[name]
        try:
            loaded = cast(T, point.load())
        except (ImportError, AttributeError) as error:
            package = point.dist.name if point.dist else point.value
            raise UsageError(
                f"the {self.kind} '{name}' of the package {package} cannot be imported: {shorten(str(error), 120)}"
            ) from error
        self._entries[name] = loaded
        return loaded


class Promises:
    """What a contract promises of one entry, held one by one: the body of every ``check_*`` function.

    Args:
        kind: what the entry is, as in ``a world``
        name: which one
    """

    def __init__(self, kind: str, name: str):
        self.kind, self.name = kind, name
        self.kept: list[str] = []  # in words, in the order in which they were held

    def expect(self, what: str, holds: bool, given: object = None) -> None:
        """Raises ContractError where ``what`` does not hold; ``given``: what stands there instead."""
        if not holds:
            instead = "" if given is None else f", got {given}"
            raise ContractError(f"{self.name} breaks the contract of {self.kind}: {what}{instead}")
        if what not in self.kept:
            self.kept.append(what)

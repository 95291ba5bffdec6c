"""Entries by name: the house's own, those of installed packages, those added at run time."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from reverie.errors import ContractError, UnknownNameError, UsageError
from reverie.registry import Promises, Registry


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Registry[Any]:
    offered = [
        EntryPoint("digits", "string:digits", "house.letters"),
        EntryPoint("vowels", "no_such_module:x", "house.letters"),
        EntryPoint("upper", "string:punctuation", "house.letters"),
    ]
    monkeypatch.setattr("reverie.registry.entry_points", lambda group: offered if group == "house.letters" else [])
    return Registry("alphabet", {"upper": "string:ascii_uppercase", "none": ""}, "house.letters", ("any string",))


def test_entries_are_imported_when_they_are_first_asked_for(letters: Registry[Any]) -> None:
    assert letters.names() == ["digits", "none", "upper", "vowels"]
    assert letters.get("digits") == "0123456789"
    assert letters.get("upper").startswith("ABC")  # the house's own wins over a package's


def test_a_name_in_other_capitals_is_found_where_only_one_can_be_meant(letters: Registry[Any]) -> None:
    assert letters.find("DIGITS") == "digits"
    letters.register("Digits", 10)
    assert (letters.get("Digits"), letters.get("digits")) == (10, "0123456789")
    with pytest.raises(UnknownNameError):
        letters.find("DIGITS")


def test_an_unknown_name_is_told_the_nearest_and_what_else_would_do(letters: Registry[Any]) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown alphabet 'digts'. Did you mean 'digits'\?.*any string"):
        letters.get("digts")


def test_a_package_that_cannot_be_imported_is_one_line(letters: Registry[Any]) -> None:
    with pytest.raises(UsageError, match=r"the alphabet 'vowels' of the package .* cannot be imported: No module"):
        letters.get("vowels")


def test_promises_say_what_was_held_and_what_is_broken() -> None:
    promises = Promises("an alphabet", "upper")
    promises.expect("it has letters", True)
    with pytest.raises(ContractError, match=r"upper breaks the contract of an alphabet: it has 26, got 25"):
        promises.expect("it has 26", False, 25)
    assert promises.kept == ["it has letters"]

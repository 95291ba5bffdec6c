"""The habits of the house: public names are declared, rooms introduce themselves, tests mirror the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import reverie

PACKAGE = Path(reverie.__file__).parent
ROOMS = [*sorted(path.parent for path in PACKAGE.glob("*/__init__.py")), PACKAGE.parent / "reverie_bench"]
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for package in ("reverie", "reverie_bench")
    for path in (PACKAGE.parent / package).rglob("*.py")
    if path.name != "__main__.py"
)
LOOK = f"""
import importlib
for name in {MODULES}:
    module = importlib.import_module(name)
    assert module.__doc__, f"{{name}} says nothing about itself"
    missing = [public for public in getattr(module, "__all__", ()) if not hasattr(module, public)]
    assert not missing, f"{{name}} declares {{missing}}, which are not there"
"""


def test_the_front_door_lists_its_names_in_order() -> None:
    assert reverie.__all__ == sorted(reverie.__all__)
    assert dir(reverie) == reverie.__all__
    for name in reverie.__all__:
        assert getattr(reverie, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="dreem"):
        _ = reverie.dreem


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_says_what_it_is_and_what_to_read_first(room: Path) -> None:
    docstring = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert "first" in docstring, f"{room.name} must name the file to read first"
    named = [path.name for path in room.rglob("*.py") if f"``{path.name}``" in docstring]
    assert named, f"{room.name} names no file of its own"


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_every_room_has_its_tests(room: Path, repository: Path) -> None:
    assert list((repository / "tests" / room.name.removeprefix("reverie_")).rglob("test_*.py"))


def test_every_module_has_a_docstring_and_the_names_it_declares_and_prints_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

"""The habits of the house: public names are declared, rooms introduce themselves, tests mirror the source."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import reverie

PACKAGE = Path(reverie.__file__).parent
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
MODULES = sorted(
    ".".join(("reverie", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
)


def test_the_front_door_lists_its_names_in_order() -> None:
    assert reverie.__all__ == sorted(reverie.__all__)
    assert dir(reverie) == reverie.__all__
    for name in reverie.__all__:
        assert getattr(reverie, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'dreem'"):
        _ = reverie.dreem


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_and_what_to_read_first(room: str) -> None:
    docstring = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert "first" in docstring, f"reverie.{room} must name the file to read first"
    named = [path.name for path in (PACKAGE / room).rglob("*.py") if f"``{path.name}``" in docstring]
    assert named, f"reverie.{room} names no file of its own"


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_docstring_and_the_names_it_declares(module: str) -> None:
    loaded = importlib.import_module(module)
    assert loaded.__doc__, module
    assert not [name for name in getattr(loaded, "__all__", []) if not hasattr(loaded, name)]


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_its_tests(room: str, repository: Path) -> None:
    assert list((repository / "tests" / room).rglob("test_*.py"))


def test_importing_everything_prints_nothing() -> None:
    code = f"import importlib; [importlib.import_module(name) for name in {MODULES}]"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")

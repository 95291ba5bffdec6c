"""The documents say what is there: generated pages are current, links lead somewhere, names and rows are complete."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import reverie

PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
IDS = [f"A{i}" for i in range(1, 22)] + [f"B{i}" for i in range(1, 13)] + [f"C{i}" for i in range(1, 10)]


def pages(repository: Path) -> list[Path]:
    return [repository / name for name in PAGES] + sorted((repository / "docs").glob("*.md"))


def test_generated_pages_are_current(repository: Path) -> None:
    command = [sys.executable, str(repository / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere(repository: Path) -> None:
    broken = [
        f"{page.name}: {target}"
        for page in pages(repository)
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken


def test_every_public_name_is_documented(repository: Path) -> None:
    page = (repository / "docs" / "python.md").read_text(encoding="utf-8")
    assert not [name for name in reverie.__all__ if f"`reverie.{name}" not in page]


def test_contributing_names_files_that_are_there(repository: Path) -> None:
    page = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:src|tests)/[\w/]+(?:\.py)?)/?`", page)
    assert named
    assert not [place for place in named if not (repository / place).exists()]


def test_the_citation_names_this_version(repository: Path) -> None:
    assert f"\nversion: {reverie.__version__}\n" in (repository / "CITATION.cff").read_text(encoding="utf-8")


def test_every_requirement_has_one_row_that_names_real_places(repository: Path) -> None:
    rows = re.findall(r"^\| ([ABC]\d+) \|(.*)\|$", (repository / "docs" / "features.md").read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == IDS
    for name, row in rows:
        _, status, where, command, _ = (cell.strip() for cell in row.split("|"))
        assert status in ("done", "partly", "planned"), name
        if status != "planned":
            assert command, f"{name} names no command that shows it"
            places = re.findall(r"`([^`]+)`", where)
            assert places, name
            roots = (repository / "src" / "reverie", repository)
            assert not [place for place in places if not any((root / place).exists() for root in roots)], name


def test_the_tour_has_eight_stops_each_at_one_file_of_the_house(repository: Path) -> None:
    tour = (repository / "docs" / "tour.md").read_text(encoding="utf-8")
    stops = re.findall(r"^(\d)\. \*\*[^`*]+: \[`([^`]+)`\]\(\.\./([^)]+)\)", tour, re.MULTILINE)
    assert [number for number, _, _ in stops] == list("12345678")
    assert [named for _, named, _ in stops] == [linked for _, _, linked in stops]
    assert not [named for _, named, _ in stops if not (repository / named).is_file()]


def test_versions_are_pinned_for_everything_that_is_required(repository: Path) -> None:
    import tomllib

    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = project["dependencies"] + [item for extra in project["optional-dependencies"].values() for item in extra]
    names = {_normal(re.split(r"[\[<>=]", item)[0]) for item in required} - {"reverie"}
    pins = re.findall(r"^([\w.-]+)==\S+$", (repository / "constraints.txt").read_text(), re.MULTILINE)
    assert not names - {_normal(name) for name in pins}


def _normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@needs_make
def test_make_help_lists_the_verbs(repository: Path) -> None:
    listed = subprocess.run(["make", "help"], cwd=repository, capture_output=True, text=True, check=True, timeout=30)
    verbs = re.findall(r"^  make (\S+) +\S", listed.stdout, re.MULTILINE)
    declared = re.findall(r"^\.PHONY: (\S+)$", (repository / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert verbs == declared
    assert {"ask", "test", "lint", "check", "docs", "help", "clean"} <= set(verbs)


@needs_make
def test_make_clean_removes_caches_and_nothing_else(repository: Path, tmp_path: Path) -> None:
    kept = [tmp_path / folder / "kept.py" for folder in ("src/reverie", "tests", "docs")]
    caches = [path.with_name("__pycache__") / "kept.pyc" for path in kept] + [tmp_path / "dist" / "a.whl"]
    for path in (*kept, *caches):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    shutil.copy(repository / "Makefile", tmp_path)
    done = subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert all(path.exists() for path in kept)
    assert not any(path.parent.exists() for path in caches)

"""One variable moves all that belongs to the user; without it everything lies where the system has a place for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie import paths
from reverie.errors import UsageError


def test_reverie_home_moves_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path))
    places = [paths.data_dir(), paths.cache_dir(), paths.log_dir(), paths.models_dir(), paths.default_library("a" * 64)]
    assert all(place.is_relative_to(tmp_path) for place in [*places, Path(paths.default_memory())])
    assert not any(tmp_path.iterdir())  # naming a place makes nothing


def test_without_it_nothing_lies_in_the_home_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REVERIE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in (paths.data_dir(), paths.cache_dir(), paths.log_dir()):
        assert "reverie" in str(place)
        assert place.parent != tmp_path


def test_memory_and_experts_can_be_moved_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REVERIE_MEMORY", "postgresql+psycopg://db/kg")
    monkeypatch.setenv("REVERIE_EXPERTS", str(tmp_path / "mine"))
    assert paths.default_memory() == paths.usual_memory() == "postgresql+psycopg://db/kg"
    assert paths.default_library("b" * 64) == tmp_path / "mine"


def test_a_memory_that_nobody_named_is_used_where_it_exists(tmp_path: Path) -> None:
    assert paths.usual_memory() is None
    assert paths.usual_memory(needed=True) == paths.default_memory()
    Path(paths.default_memory()).touch()
    assert paths.usual_memory() == paths.default_memory()


def test_a_bundle_is_found_by_name_before_a_folder_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (paths.models_dir() / "mine", paths.models_dir() / ".half.tmp", tmp_path / "mine", tmp_path / "nano"):
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    assert paths.pulled_bundles() == {"mine": paths.models_dir() / "mine"}
    assert paths.find_bundle("mine") == paths.models_dir() / "mine"
    assert paths.find_bundle("./mine") == Path("./mine")
    assert paths.find_bundle("nano") == paths.packaged_bundles()["nano"]
    with pytest.raises(
        UsageError, match=r"no bundle 'mime'\. Did you mean 'mine'\? There are: mine, nano; .*models pull"
    ):
        paths.find_bundle("mime")


def test_a_gguf_file_is_found_by_its_path_or_by_the_model_that_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path))
    kept = paths.models_dir() / "small" / "gguf" / "Small.Q4.gguf"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"GGUF")
    with pytest.raises(UsageError, match="there is no file small"):
        paths.find_gguf("small")  # no model yet
    (paths.models_dir() / "small" / "manifest.json").write_text("{}")
    assert paths.find_gguf("small") == paths.find_gguf(str(kept)) == kept

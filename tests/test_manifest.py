"""What a folder holds, and whether it still does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reverie.errors import BundleError
from reverie.manifest import read_manifest, seal, verify


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "weights").write_bytes(b"abc")
    (tmp_path / "notes.txt").write_text("n", encoding="utf-8")
    seal(tmp_path, {"kind": "toy", "format": 1})
    return tmp_path


def test_a_sealed_folder_is_whole(folder: Path) -> None:
    manifest = verify(folder, BundleError, "the toy")
    assert manifest["kind"] == "toy"
    assert set(manifest["files"]) == {"deep/weights", "notes.txt"}
    (folder / "another").touch()  # what the manifest does not list is nobody's business
    assert verify(folder, BundleError, "the toy") == manifest == read_manifest(folder, BundleError, "the toy")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "notes.txt").unlink(), "notes.txt is missing"),
        (lambda folder: (folder / "notes.txt").write_text("nn"), "notes.txt has 2 bytes, not 1"),
        (lambda folder: (folder / "notes.txt").write_text("m"), r"notes.txt differs from what was saved \(SHA-256\)"),
        (lambda folder: (folder / "manifest.json").unlink(), "is missing"),
        (lambda folder: (folder / "manifest.json").write_text('{"files": []}'), "lists no files"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, harm: object, said: str) -> None:
    harm(folder)  # type: ignore[operator]
    with pytest.raises(BundleError, match=said):
        verify(folder, BundleError, "the toy")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd"])
def test_a_manifest_may_not_point_outside(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][name] = {"bytes": 1, "sha256": ""}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match=f"names the file {name}"):
        verify(folder, BundleError, "the toy")

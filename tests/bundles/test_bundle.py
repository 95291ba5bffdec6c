"""A bundle is whole or refused, in one clear line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import reverie
from reverie.bundles import find_bundle, load_bundle, packaged_bundles, read_manifest, verify_bundle, write_bundle
from reverie.bundles.bundle import STARTER_FACTS
from reverie.bundles.make import make_bundle, taught_questions
from reverie.data import FactRow
from reverie.dreaming import ConfidenceModel
from reverie.errors import BundleError, ConfigError, UsageError
from reverie.worlds import make_world
from toys import WORLDS, toy_bundle, toy_export, toy_session


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def change_manifest(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_written_is_loaded_and_dreams_the_same(whole: Path) -> None:
    bundle = load_bundle(whole)
    assert bundle.name == "toy"
    assert bundle.worlds == WORLDS
    assert list(bundle.worlds) == list(WORLDS)
    first = bundle.session().dream("what happens?", branches=2, depth=1)
    again = reverie.load(whole).dream("what happens?", branches=2, depth=1)
    assert [dream.triplets for dream in first] == [dream.triplets for dream in again]
    assert bundle.grammar.vocabulary == toy_session().grammar.vocabulary


def test_the_manifest_names_every_file(whole: Path) -> None:
    files = {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()}
    assert set(read_manifest(whole)["files"]) == files - {"manifest.json"}


@pytest.mark.parametrize("name", ["backbone/model.safetensors", "vocabulary.json", "text_tokenizer/tokenizer.json"])
def test_a_missing_truncated_or_changed_file_is_found(copy: Path, name: str) -> None:
    path = copy / name
    data = path.read_bytes()
    path.write_bytes(data[:-10])
    with pytest.raises(BundleError, match=f"{name} has {len(data) - 10} bytes, not {len(data)}"):
        load_bundle(copy)
    path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    with pytest.raises(BundleError, match=f"{name} differs from what was saved"):
        load_bundle(copy)
    path.unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "has format 99, this Reverie reads up to 1"),
        ({"format": "one"}, "no bundle of Reverie"),
        ({"files": {}}, "lists no backbone/config.json"),
        ({"files": []}, "has no 'files'"),
        ({"worlds": None}, "has no 'worlds'"),
    ],
)
def test_a_foreign_or_newer_manifest_is_refused(copy: Path, changes: dict[str, Any], message: str) -> None:
    change_manifest(copy, **changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(copy)


def test_a_manifest_may_not_point_outside_its_folder(copy: Path) -> None:
    files = read_manifest(copy)["files"] | {"../secret": {"bytes": 1, "sha256": ""}}
    change_manifest(copy, files=files)
    with pytest.raises(BundleError, match=r"names the file \.\./secret"):
        verify_bundle(copy)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is no bundle: it has no manifest\.json"):
        load_bundle(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match=r"manifest\.json is damaged: Expecting"):
        load_bundle(tmp_path)


def test_parts_of_different_models_do_not_pass_as_one(copy: Path) -> None:
    vocabulary = json.loads((copy / "vocabulary.json").read_text())
    (copy / "vocabulary.json").write_text(json.dumps(vocabulary | {"num_codes": 999}))
    parts = {"name": "mixed", "worlds": WORLDS}
    mixed = write_bundle(copy.parent / "mixed", copy, **parts)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="does not fit together"):
        load_bundle(mixed)


def test_an_unknown_name_suggests_the_nearest(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reverie.paths.packaged_bundles", lambda: {"nano": whole})
    assert find_bundle("nano") == whole
    with pytest.raises(UsageError, match=r"no bundle 'nanp'\. Did you mean 'nano'.* or give a bundle's folder"):
        find_bundle("nanp")
    with pytest.raises(UsageError, match="is a file"):
        find_bundle(whole / "manifest.json")


def test_packaged_bundles_are_whole() -> None:
    for folder in packaged_bundles().values():
        verify_bundle(folder)
        assert sum(path.stat().st_size for path in folder.rglob("*")) <= 12 * 2**20


def test_an_incomplete_export_makes_no_bundle(tmp_path: Path) -> None:
    export = toy_export(tmp_path / "export")
    (export / "vocabulary.json").unlink()
    with pytest.raises(BundleError, match=r"lacks vocabulary\.json"):
        write_bundle(tmp_path / "bundle", export, name="toy", worlds=WORLDS)
    assert not (tmp_path / "bundle").exists()


def test_runtime_switches_are_checked(whole: Path) -> None:
    assert not reverie.load(whole, enable_gpt51_codex_preview=False).preview.enabled
    with pytest.raises(ConfigError, match="unknown setting 'enable_gpt51'"):
        reverie.load(whole, enable_gpt51=False)


def test_making_a_bundle_fits_its_confidence_and_keeps_what_its_worlds_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fact = FactRow("egg", "breaks when", "dropped")  # all that the world has to say takes a minute to play
    monkeypatch.setattr(type(make_world("Everyday")), "facts", lambda world: [fact])
    folder = make_bundle(
        toy_export(tmp_path / "export"),
        tmp_path / "made",
        name="made",
        worlds=list(WORLDS),
        recipe={"steps": 0},
        figures={"x": 1.0},
        questions=24,
    )
    said = [json.loads(line) for line in (folder / STARTER_FACTS).read_text().splitlines()]
    assert [(each["subject"], each["relation"], each["object"]) for each in said] == [("egg", "breaks when", "dropped")]
    bundle = load_bundle(folder)
    assert bundle.manifest["recipe"] == {"steps": 0}
    assert bundle.confidence is not None
    assert bundle.confidence != ConfidenceModel.rough()
    assert 0 <= bundle.session().ask("what happens?", branches=2, depth=1).confidence <= 1


def test_taught_questions_are_different_and_repeatable() -> None:
    asked = taught_questions(list(WORLDS), 40, seed=1)
    assert len({one.text for one in asked}) == 40
    assert asked == taught_questions(list(WORLDS), 40, seed=1)
    about_lakes = [one for one in asked if "elf" in one.text]
    assert about_lakes
    assert all(one.world == "FrozenLake" and one.scene for one in about_lakes)  # nobody can know without it

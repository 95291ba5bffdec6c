"""``diff_bundles``: what differs is named, with how far; what does not is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from reverie.bundles import find_bundle
from reverie.errors import BundleError, UsageError
from reverie.export import Difference, ExportConfig, diff_bundles, export
from reverie.files import atomic_write_json
from reverie.jsonio import read_object


def test_a_bundle_does_not_differ_from_itself(tmp_path: Path) -> None:
    copy = shutil.copytree(find_bundle("nano"), tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    assert diff_bundles("nano", copy) == []


def test_files_keys_and_tensors_are_named_with_the_largest_difference(tmp_path: Path) -> None:
    copy = shutil.copytree(find_bundle("nano"), tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    weights = copy / "backbone" / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.norm.weight"][0] += 0.5
    del tensors["model.layers.0.mlp.up_proj.weight"]
    save_file(tensors, weights)
    config = read_object(copy / "backbone" / "config.json", BundleError, "a config")
    atomic_write_json(copy / "backbone" / "config.json", config | {"rope_theta": 1.0, "new": [1, 2]})
    (copy / "memory.jsonl").unlink()
    found = {(one.file, one.name): one for one in diff_bundles("nano", copy)}
    assert found["memory.jsonl", ""] == Difference("file", "memory.jsonl", "", "there", "missing")
    assert found["backbone/config.json", "rope_theta"].second == "1.0"
    assert found["backbone/config.json", "new"].first == "missing"
    norm = found["backbone/model.safetensors", "model.norm.weight"]
    assert norm.largest == pytest.approx(0.5, abs=0.01)
    gone = found["backbone/model.safetensors", "model.layers.0.mlp.up_proj.weight"]
    assert (gone.first, gone.second) == ("BF16 (512, 192)", "missing")
    assert len(found) == 5


def test_exports_are_compared_too(tmp_path: Path) -> None:
    both = [
        export("peft", "nano", tmp_path / f"{w}", ExportConfig(experts=(("causal", w),))).folder for w in (1.0, 0.5)
    ]
    found = diff_bundles(*both)
    assert {one.kind for one in found} == {"tensor", "key"}  # and the export's own report
    assert all(".lora_B." in one.name for one in found if one.kind == "tensor")
    with pytest.raises(UsageError):
        diff_bundles("nano", tmp_path / "absent")

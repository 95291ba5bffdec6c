"""What comes calibrated promises something, and a bundle gets another confidence whole or not at all."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from reverie.bundles.bundle import packaged_bundles, verify_bundle
from reverie.bundles.calibrated import check_place, with_confidence
from reverie.bundles.known_models import known_models
from reverie.dreaming.confidence import ConfidenceModel
from reverie.errors import UsageError


def test_the_known_model_comes_calibrated() -> None:
    sure = known_models.get("smol").calibrated
    assert sure is not None
    assert sure.guarantee is not None
    assert 0 < sure.guarantee.risk < 1
    assert len(sure.direction) == 576  # the width of its states


def test_a_bundle_gets_another_confidence_in_its_place_or_elsewhere(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(packaged_bundles()["nano"], mine)
    other = replace(ConfidenceModel.rough(), threshold=0.75)
    before = verify_bundle(mine)["files"]
    with_confidence(mine, other, tmp_path / "out")
    assert verify_bundle(mine)["files"] == before
    assert ConfidenceModel.load(tmp_path / "out" / "confidence.json") == other
    with_confidence(mine, other)
    changed = verify_bundle(mine)["files"]
    assert {name for name in changed if changed[name] != before[name]} == {"confidence.json"}


def test_the_packaged_bundle_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--out"):
        check_place("nano", None)
    with pytest.raises(UsageError, match="exists already"):
        check_place("nano", tmp_path)
    assert check_place("nano", tmp_path / "new").name == "nano"

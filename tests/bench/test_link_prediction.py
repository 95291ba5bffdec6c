from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reverie.errors import BundleError, UsageError
from reverie_bench import BenchConfig, link_prediction, run_benchmark


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Rings of eight in which `next` is known everywhere and `skip` is hidden in places; `skip` is two times `next`."""
    nexts, skips = [], []
    for ring in range(8):
        names = [f"n{ring}_{place}" for place in range(8)]
        nexts += [f"{names[i]}\tnext\t{names[(i + 1) % 8]}" for i in range(8)]
        skips += [f"{names[i]}\tskip\t{names[(i + 2) % 8]}" for i in range(8)]
    parts = {"train": nexts + skips[24:], "valid": skips[:12], "test": skips[12:24]}
    folder = tmp_path / "triples"
    folder.mkdir()
    for name, rows in parts.items():
        (folder / f"{name}.txt").write_text("\n".join(rows) + "\n")
    return folder


def test_a_network_trained_on_the_spot_beats_the_baselines(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_prediction, "TRAIN_STEPS", 50)
    report = run_benchmark("link-prediction", BenchConfig(data=data))
    assert report.n == 24
    assert report.settings["trained_here"]
    assert report.figures["recalled_share"] == 1.0
    assert report.figures["mrr"] > 0.6
    assert set(report.baselines) == {"frequent", "joined", "walk"}
    assert all(report.figures["mrr"] > baseline["mrr"] for baseline in report.baselines.values())
    assert set(report.by) == {"objects_asked", "subjects_asked", "relation skip"}


def test_an_exported_network_is_measured_as_it_is(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_prediction, "TRAIN_STEPS", 2)
    settings = BenchConfig(data=data, limit=5)
    export = link_prediction._train(settings, tmp_path)
    report = run_benchmark("link-prediction", replace(settings, model=str(export)))
    assert report.n == 10
    assert not report.settings["trained_here"]
    other = tmp_path / "other"
    other.mkdir()
    for part in ("train", "valid", "test"):
        (other / f"{part}.txt").write_text("a\tlikes\tb\n")
    with pytest.raises(UsageError, match="other relations"):
        run_benchmark("link-prediction", replace(settings, data=other, model=str(export)))


def test_what_is_missing_is_said_in_one_line(data: Path, tmp_path: Path) -> None:
    for wrong in (None, data / "train.txt"):
        with pytest.raises(UsageError, match="folder of train, valid and test"):
            run_benchmark("link-prediction", BenchConfig(data=wrong))
    for model in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BundleError, match="export folder"):
            run_benchmark("link-prediction", BenchConfig(data=data, model=str(model)))
    (data / "test.txt").write_text("")
    with pytest.raises(UsageError, match="no test triples"):
        run_benchmark("link-prediction", BenchConfig(data=data))

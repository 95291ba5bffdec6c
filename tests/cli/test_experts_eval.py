from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.toys import toy_bundle

from reverie.cli import main
from reverie.experts.contract import Adapter, ExpertCard, Factors
from reverie.experts.files import base_hash
from reverie.experts.library import Library

QUICK = ["loop.steps=10", "loop.tensorboard=false", "data.targets=owner", "data.rows_a_source=20"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, a library with two experts and files of their rows, side by side."""
    folder = tmp_path_factory.mktemp("eval")
    bundle = toy_bundle(folder)
    library = Library.open(folder / "library", base_hash(bundle / "backbone"))
    for seed, name in enumerate("ab"):
        generator = torch.Generator().manual_seed(seed)
        factors = Factors(torch.randn(2, 32, generator=generator), torch.randn(32, 2, generator=generator))
        library.create(ExpertCard(name), Adapter({"model.layers.0.self_attn.v_proj": factors}))
        rows = ({"question": f"what does the {name} {n} do?", "answer": "it rolls"} for n in range(25))
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return bundle


def settings(bundle: Path, run: Path) -> list[str]:
    folder = bundle.parent
    given = ["--model", str(bundle), "--library", str(folder / "library"), *QUICK, f"run_dir={run}"]
    return [*given, *(f"data.rows.{name}={folder}/{name}.jsonl" for name in "ab"), "data.outsiders=[strange]"]


def test_a_router_is_trained_and_judged(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = settings(bundle, tmp_path / "run")
    assert main(["train", "router", *given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["owner_accuracy"] >= 0
    assert main(["experts", "eval", *given, "--out", str(tmp_path / "pictures"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["num_rows"] == 12  # a fifth of 60
    assert report["speed"]["time_over_base"] > 0
    assert set(report["utilization"]) == {"a", "b"}
    written = json.loads((tmp_path / "pictures" / "evaluation.json").read_text())
    assert written["figures"] == pytest.approx(report["figures"])
    assert all(Path(file).is_file() for file in report["files"])
    assert main(["experts", "eval", *given, "--all-rows", "--no-speed"]) == 0
    assert "60 rows" in capsys.readouterr().out


def test_what_is_missing_is_told_in_one_line(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = settings(bundle, tmp_path / "run")
    assert main(["experts", "eval", *given]) == 2
    assert "there is no router in" in capsys.readouterr().err
    (tmp_path / "router").mkdir()
    assert main(["experts", "eval", *given, "--router", str(tmp_path / "router")]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "the router's config is missing" in error
    assert main(["experts", "eval", *given, "data.nothing=1"]) == 2
    assert main(["train", "router", "--model", str(bundle), f"run_dir={tmp_path / 'other'}"]) == 2
    assert "no experts to route to" in capsys.readouterr().err

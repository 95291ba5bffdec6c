"""`reverie info`: versions, places, and what a bundle holds, without loading it."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import reverie
from reverie.bundles import write_bundle
from reverie.cli import main
from reverie.cli.app import log_file
from reverie.precision import choose_precision


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle whose weights are two small tables; enough to be described."""
    parts = tmp_path / "parts"
    for part in ("backbone", "image_tokenizer"):
        (parts / part).mkdir(parents=True)
        (parts / part / "config.json").write_text("{}")
        save_file({"a": np.zeros((3, 4)), "b": np.zeros(5)}, parts / part / "model.safetensors")
    (parts / "text_tokenizer").mkdir()
    (parts / "text_tokenizer" / "tokenizer.json").write_text("{}")
    (parts / "vocabulary.json").write_text("{}")
    return write_bundle(tmp_path / "toy", parts, name="toy", worlds={"FrozenLake": 64}, figures={"accuracy": 0.5})


def test_json_describes_machine_and_bundle(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--model", str(bundle), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["reverie"] == reverie.__version__
    assert info["log_file"] == str(log_file())
    assert info["libraries"]["torch"]
    assert info["device"]["torch_threads"] >= 1
    assert info["extras"].keys() == set(metadata.metadata("reverie").get_all("Provides-Extra") or ())
    chosen = choose_precision()
    assert info["device"]["precision"]["cpu"] == {"name": chosen.name, "reason": chosen.reason}
    assert info["bundle"] | {"bytes": 0, "recipe": {}} == {
        "name": "toy",
        "folder": str(bundle),
        "format": 1,
        "bytes": 0,
        "parameters": {"backbone": 17, "image_tokenizer": 17},
        "worlds": ["FrozenLake"],
        "figures": {"accuracy": 0.5},
        "recipe": {},
    }


def test_people_read_lines(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--model", str(bundle)]) == 0
    out = capsys.readouterr().out
    assert "toy" in out
    assert "accuracy" in out
    assert "log file" in out
    assert f"{choose_precision().name} on cpu: " in " ".join(out.split())


def test_a_damaged_bundle_is_one_line(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle / "vocabulary.json").write_text("{ }")
    assert main(["info", "--model", str(bundle)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "vocabulary.json" in err


def test_an_unknown_bundle_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--model", "no-such-bundle"]) == 2
    assert "no bundle 'no-such-bundle'" in capsys.readouterr().err

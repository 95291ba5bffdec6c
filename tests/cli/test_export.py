"""``reverie export`` and ``reverie bundle`` from the shell: one JSON object, one clear line where it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reverie.cli import main


def test_nano_goes_to_ollama_and_passes_its_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "nano"
    assert main(["export", "ollama", "--out", str(out), "--experts", "causal@1,spatial@0.5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["type"], told["experts"]) == ("ollama", "f16", {"causal": 1.0, "spatial": 0.5})
    assert Path(told["folder"]) == out
    assert main(["bundle", "check", str(out)]) == 0
    assert "(ollama): nothing is wrong" in capsys.readouterr().out
    (out / "nano-lora.gguf").unlink()
    assert main(["bundle", "check", str(out), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["sound"]
    assert len(found["problems"]) == 2  # missing by the report, and by the Modelfile


def test_people_are_told_what_was_written_and_how_to_run_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "gguf", "--out", str(tmp_path / "out"), "--type", "q8_0", "--experts", ""]) == 0
    said = capsys.readouterr().out
    assert "gguf (q8_0)" in said
    assert "nano-q8_0.gguf" in said
    assert "lora" not in said


@pytest.mark.parametrize(
    ("given", "said", "code"),
    [
        (["guff"], "Did you mean 'gguf'?", 2),
        (["gguf", "--model", "nono"], "nano", 2),
        (["gguf", "--type", "bf16"], "f16 or f32 or q8_0, got bf16", 2),
        (["gguf", "--type", "f64"], "type", 2),
        (["gguf", "--experts", "casual"], "Did you mean 'causal'?", 2),
        (["gguf", "--experts", "causal@x"], "causal@1,spatial@0.5", 2),
    ],
)
def test_wrong_calls_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], said: str, code: int
) -> None:
    assert main(["export", *given, "--out", str(tmp_path / "out")]) == code
    err = capsys.readouterr().err
    assert said in err
    assert len([line for line in err.splitlines() if line.startswith("reverie:")]) == 1
    assert not (tmp_path / "out").exists()


def test_info_and_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "info", "nano", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "nano"
    assert main(["bundle", "info", "nano"]) == 0
    assert "FrozenLake, Everyday" in capsys.readouterr().out
    assert main(["bundle", "diff", "nano", "nano"]) == 0
    assert "no difference" in capsys.readouterr().out
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text("{}")
    assert main(["bundle", "diff", "nano", str(tmp_path / "other"), "--json"]) == 0
    assert not json.loads(capsys.readouterr().out)["same"]
    assert main(["bundle", "check", str(tmp_path / "absent")]) == 2

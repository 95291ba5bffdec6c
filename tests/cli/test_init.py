"""``reverie init`` from the shell: one JSON object, one clear line where it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bases import save_base
from reverie.cli import main


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("bases") / "tiny")


def test_a_base_becomes_a_bundle_that_answers(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bundle"
    assert main(["init", "--base", str(base), "--out", str(out), "--dtype", "fp32", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "tiny"
    assert told["architecture"] == "LlamaForCausalLM"
    assert Path(told["bundle"]) == out
    assert told["bytes"] > 10_000
    asked = ["ask", "What rolls off the table?", "--model", str(out), "--branches", "0", "--no-memory", "--json"]
    assert main(asked) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["answer"]
    assert (answer["backend"], answer["model"]) == ("local", "tiny")
    assert main(["info", "--model", str(out)]) == 0
    assert "tiny" in capsys.readouterr().out


def test_people_are_told_what_was_made_and_how_to_ask_it(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reverie.precision._bf16_units", lambda device: "")
    assert main(["init", "--base", str(base), "--out", str(tmp_path / "bundle"), "--name", "mine"]) == 0
    said = capsys.readouterr()
    assert "mine: LlamaForCausalLM in fp32" in said.out
    assert "keeping it in fp32: cpu has no units for bf16" in said.err
    assert "--branches 0" in said.out
    assert "ids of the grammar after the base's 320" in said.err


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (["--dtype", "int3"], 2, "dtype"),
        (["--quantize", "2bit"], 2, "quantize"),
        (["--prompt", "chat"], 2, "no chat template"),
        (["--base", "no/where"], 2, "no base 'no/where'"),
        (["--image-tokenizer", "nono"], 2, "no bundle 'nono'"),
        (["--tokenizer", "nowhere"], 1, "the tokenizer in nowhere"),
    ],
)
def test_a_wrong_call_costs_one_line(
    options: list[str],
    code: int,
    line: str,
    base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no").mkdir()
    call = ["init", "--out", "bundle", *([] if "--base" in options else ["--base", str(base)]), *options]
    assert main(call) == code
    said = capsys.readouterr().err.strip().splitlines()
    assert line in said[-1]
    assert not (tmp_path / "bundle").exists()

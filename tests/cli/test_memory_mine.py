"""`reverie memory mine`: facts of a teacher come in by its traces, and go by its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reverie.cli import main
from reverie.teachers import Trace, Traces


def test_facts_of_a_teacher_come_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REVERIE_MEMORY", str(tmp_path / "kg.db"))
    path = tmp_path / "traces.jsonl"
    with Traces(path) as traces:
        traces.append(Trace("What is an oak?", "An oak is a kind of tree. Is it?", teacher="llama:toy.gguf"))
    assert main(["memory", "mine", str(path)]) == 0
    assert "1 facts (1 new) in 2 sentences of 1 replies, said by teacher:llama:toy.gguf" in capsys.readouterr().out
    assert main(["memory", "mine", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["new"] == 0
    assert main(["memory", "documents", "delete", "teacher:llama:toy.gguf", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["deleted_facts"] == 1
    assert main(["memory", "mine", str(tmp_path / "none.jsonl")]) == 1
    assert "the traces is missing: there is no file" in capsys.readouterr().err
    path.write_text("{}\n")
    assert main(["memory", "mine", str(path)]) == 1
    assert "line 1: no trace" in capsys.readouterr().err

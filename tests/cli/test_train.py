"""`reverie train`: a command for each row of the table, by a recipe, flags and overrides."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reverie.cli import main
from reverie.progress import Progress
from reverie.training import TrainResult
from reverie.training.recipes import Recipe
from reverie.training.run import Run
from reverie.training.trained import TRAINED

SMALL = [
    "data.text_size=300", "data.max_ids=96", "data.model.vocab_size=0", "data.model.hidden_size=32",
    "data.model.intermediate_size=64", "data.model.num_layers=1", "data.model.num_heads=2", "loop.steps=4",
    "loop.tensorboard=false", "loop.warmup_steps=1", "loop.num_threads=1",
]  # fmt: skip


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A training of words that takes a moment."""
    lines = [f"The {one} rolls off the {two}, and falls." for one in ("ball", "egg", "cup") for two in range(60)]
    (tmp_path / "words.txt").write_text("\n".join(lines))
    return ["train", "text", f"data.texts=[{tmp_path}/words.txt]", f"run_dir={tmp_path}/run", *SMALL]


def test_every_row_of_the_table_has_a_recipe_and_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    for name, thing in TRAINED.items():
        kind = thing.load()
        assert issubclass(kind, Recipe)
        assert kind.objective is not Recipe.objective
        assert main(["train", name, "--help"]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert thing.help.split(":")[0][:50] in said
        assert all(flag.option in said for flag in thing.flags)
        assert "--resume" not in said


def test_a_run_that_was_stopped_goes_on_by_the_same_command(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    true = Run.take_step

    def stopped(self: Run, batches: Iterator[Any]) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return true(self, batches)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "take_step", stopped)
        assert main([*command, "--json"]) == 143
    assert json.loads(capsys.readouterr().out)["stopped"] == "interrupted"
    assert main(command) == 0
    assert "done: 4 steps" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 4
    assert main(command) == 0
    assert "done already: 4 steps" in " ".join(capsys.readouterr().out.split())
    assert main([*command, "data.batch_size=3"]) == 1
    assert "data.batch_size was 32 and is 3 now" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["data"]["batch_size"] == 32


def test_sigterm_while_it_prepares_ends_it_as_elsewhere(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(TRAINED["text"].load(), "objective", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert main(command) == 143
    assert "stopped by SIGTERM" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_flag_is_an_override_with_what_goes_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    def train(self: Recipe, progress: Progress) -> TrainResult:
        made.append(self)
        return TrainResult(0, {}, "done", "done")

    monkeypatch.setattr(Recipe, "train", train)
    monkeypatch.chdir(tmp_path)
    main(["train", "expert", "--rows", "sums.jsonl", "--name", "sums", "loop.steps=5"])
    main(["train", "tokenizer", "--folder", str(tmp_path), "--epochs", "3", "--batch-size", "9"])
    expert, tokenizer = made
    assert (expert.run_dir, expert.data.rows, expert.data.skill) == ("runs/expert-sums", "sums.jsonl", "")
    assert (expert.data.bundle, expert.loop.steps) == ("nano", 5)
    assert (tokenizer.data.worlds, tokenizer.epochs, tokenizer.data.batch_size) == ((), 3, 9)
    capsys.readouterr()
    assert main(["train", "tokenizer", "--folder", "nowhere"]) == 2
    assert main(["train", "expert", "--rows", "sums.jsonl", "--name", "../sums"]) == 2
    assert len(made) == 2


def test_a_bundle_is_found_as_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sums.jsonl").write_text("")
    assert main(["train", "expert", "--rows", str(tmp_path / "sums.jsonl"), "--model", "nanp"]) == 2
    assert "no bundle 'nanp'. Did you mean 'nano'?" in " ".join(capsys.readouterr().err.split())

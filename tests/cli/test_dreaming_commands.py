"""``ask``, ``dream``, ``simulate`` and ``plan`` from the shell, with a model that knows nothing."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import reverie
from reverie import progress
from reverie.cli import main
from reverie.dreaming import Session, export_images
from reverie.dreaming.dreamer import DreamConstraint
from toys import LakeOracle, toy_bundle

EGG = "What happens when you drop an egg?"
MAP = "SFF,FHF,FFG"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def run(bundle: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs one command on the toy and returns its exit code, stdout and stderr."""

    def run_it(*arguments: str | Path) -> tuple[int, str, str]:
        code = main([*map(str, arguments), "--model", str(bundle)])
        out, err = capsys.readouterr()
        return code, out, err

    return run_it


@pytest.fixture
def right_about_the_lake(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    """Every session that is loaded dreams the lake of ``MAP`` as it is."""
    load = reverie.load

    def load_right(*args: Any, **kwargs: Any) -> Session:
        return Session(replace(load(*args, **kwargs).model, dreamer=LakeOracle(MAP.split(","))))

    monkeypatch.setattr(reverie, "load", load_right, raising=False)


def size_of(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_ask_says_its_answer_and_shows_every_dream(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = run("ask", EGG, "--branches", "2", "--depth", "1")
    assert code == 0
    assert out.startswith("I don't know this yet: ")
    assert "confidence 0.00 (not known), worded by local" in out
    assert "likelihood" in out
    assert "★" not in out  # no dream has won where the answer is not known
    assert "From memory" not in out
    code, out, _ = run("ask", EGG, "--branches", "1", "--depth", "1", "--evaluator", "brevity", "--json")
    assert code == 0
    assert "brevity" in json.loads(out)["dreams"][0]["scores"]


def test_ask_gives_the_json_of_the_design_and_saves_its_pictures(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, err = run("ask", EGG, "--branches", "2", "--depth", "1", "--json", "--save", tmp_path / "out")
    assert code == 0
    answer = json.loads(out)
    assert list(answer) == [
        "answer", "known", "confidence", "backend", "model", "why", "dreams", "verdict", "evidence", "attribution",
        "seconds", "guess", "checks", "sentences",
    ]  # fmt: skip
    assert len(answer["dreams"]) == 2
    assert answer["verdict"]["branch"] in (0, 1)
    for dream in answer["dreams"]:
        assert dream.keys() == {"triplets", "log_prob", "score", "scores", "experts", "seed"}
        for triplet in dream["triplets"]:
            assert all(part.keys() == {"text", "image"} for part in triplet.values())
            assert triplet["action"]["image"] is None
    saved = [part["image"] for d in answer["dreams"] for t in d["triplets"] for part in t.values() if part["image"]]
    assert all(min(size_of(path)) > 0 for path in saved)
    assert (tmp_path / "out" / "strip.png").exists()
    assert "strip.png" in err


def test_ask_starts_from_a_picture_or_a_scene(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (90, 20, 20)).save(tmp_path / "red.png")
    code, out, _ = run("ask", "What happens here?", "--image", tmp_path / "red.png", "--depth", "1", "--json")
    assert code == 0
    assert json.loads(out)["dreams"][0]["triplets"]
    code, out, _ = run("ask", "Is it safe to go down?", "--world", "FrozenLake", "--map", MAP, "--depth", "1", "--json")
    assert code == 0
    assert "rules" in json.loads(out)["dreams"][0]["scores"]


def test_ask_answers_directly_without_branches(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = run("ask", EGG, "enable_gpt51_codex_preview=false", "--branches", "0", "--json")
    assert code == 0
    assert json.loads(out)["dreams"] == []


def test_dream_shows_branches_without_a_winner(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = run("dream", EGG, "--branches", "2", "--depth", "1")
    assert code == 0
    assert "★" not in out
    assert out.startswith("I don't know this yet: ")
    assert "confidence 0.00 (not known), undecided" in out
    code, out, _ = run("dream", EGG, "--branches", "2", "--depth", "1", "--json")
    assert len(json.loads(out)["dreams"]) == 2


@pytest.mark.usefixtures("right_about_the_lake")
def test_simulate_tells_whether_the_world_agrees(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, out, _ = run(
        "simulate", "--world", "FrozenLake", "--map", MAP, "--actions", "RRDD", "--json", "--save", tmp_path
    )
    assert code == 0
    done = json.loads(out)
    assert done["agrees"]
    assert done["outcome"] == done["real_outcome"] == "goal"
    assert [step["exact"] for step in done["steps"]] == [True] * 4
    assert size_of(done["steps"][3]["result"]["image"]) == (192, 192)
    assert size_of(tmp_path / "strip.png")[0] > 400
    code, out, _ = run("simulate", "--map", MAP, "--actions", "DR")
    assert code == 0
    assert "Dreamed: falls; the real world agrees (2 of 2 pictures exact)." in out


@pytest.mark.usefixtures("right_about_the_lake")
def test_plan_reaches_the_goal(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, out, _ = run("plan", "--world", "FrozenLake", "--map", MAP, "--json", "--save", tmp_path)
    assert code == 0
    found = json.loads(out)
    assert found["reaches_goal"]
    assert len(found["actions"]) == 4
    assert len(found["dream"]["triplets"]) == 4
    assert len(list(tmp_path.glob("dream-1-*.png"))) == 5
    code, out, _ = run("plan", "--map", MAP)
    assert "in the real world this reaches the goal." in out


def test_a_plan_that_is_none_says_why_and_stays_json(
    run: Callable[..., tuple[int, str, str]], right_about_the_lake: None
) -> None:
    code, out, err = run("plan", "--map", MAP, "--budget", "3", "--json")
    assert code == 1
    assert json.loads(out)["imagined_steps"] == 3
    assert json.loads(out)["dream"] is None
    assert "after 3 dreamed steps: that was all of --budget" in err


def test_a_goal_behind_holes_cannot_be_reached(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, load = "SHF,HHF,FFG", reverie.load

    def load_right(*args: Any, **kwargs: Any) -> Session:
        return Session(replace(load(*args, **kwargs).model, dreamer=LakeOracle(closed.split(","))))

    monkeypatch.setattr(reverie, "load", load_right)
    code, out, err = run("plan", "--map", closed)
    assert (code, out) == (1, "")
    assert "after 4 dreamed steps: they went wherever one can go, and the goal cannot be reached" in err


def test_no_folder_is_made_for_pictures_that_do_not_come(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    assert run("ask", "", "--save", tmp_path / "a" / "b")[0] == 2
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    code, _, err = run("ask", EGG, "--save", tmp_path / "file" / "b")
    assert code == 2
    assert "a file where a folder is needed" in err


def test_a_full_disk_names_the_file_and_leaves_no_half_set(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = export_images.atomic_write_bytes, list[Path]()

    def write_two(path: Path, data: bytes) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, data)
        written.append(path)

    monkeypatch.setattr(export_images, "atomic_write_bytes", write_two)
    command = ("ask", EGG, "--branches", "2", "--depth", "1", "--world", "FrozenLake", "--save")
    code, _, err = run(*command, tmp_path / "new" / "out")
    assert code == 1
    assert f"No space left on device: {tmp_path / 'new' / 'out'}" in err
    assert not (tmp_path / "new").exists()
    written.clear()
    (tmp_path / "kept.txt").write_text("mine")
    assert run(*command, tmp_path)[0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_ctrl_c_is_one_line_even_while_the_command_is_being_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupting(MetaPathFinder):
        def find_spec(self, name: str, *others: object) -> None:
            if name == "reverie.cli.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "reverie.cli.app")
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    assert main(["ask", EGG]) == 130
    assert capsys.readouterr().err == "reverie: stopped by Ctrl-C.\n"


def test_ctrl_c_while_branches_run_leaves_nothing(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(leash: DreamConstraint) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(DreamConstraint, "allowed", interrupted)
    assert run("ask", EGG, "--branches", "64", "--save", tmp_path / "out") == (130, "", "reverie: stopped by Ctrl-C.\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("right_about_the_lake")
def test_a_long_simulation_tells_how_far_it_is(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_FIRST_S", 0.0)
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    code, _, err = run("simulate", "--map", MAP, "--actions", "RL" * 200)
    assert code == 0
    assert "dreamed steps: " in err
    assert " of 400" in err


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["ask", ""], 2, "the question is empty"),
        (["ask", "why " * 250_000], 2, "the question has 1000000 characters; ask one of at most 2000"),
        (["ask", EGG, "--image", "gone.png"], 1, "the picture gone.png does not exist"),
        (["ask", EGG, "--world", "Frozenlak"], 2, "unknown world 'Frozenlak'. Did you mean 'FrozenLake'?"),
        (["ask", EGG, "--world", "FrozenLake", "--map", "SFX"], 1, "a map"),
        (
            ["ask", EGG, "enable_gpt51=false"],
            2,
            "unknown setting 'enable_gpt51'. Did you mean 'enable_gpt51_codex_preview'?",
        ),
        (["ask", "What", "happens", "when"], 2, 'quote the question: reverie ask "What happens when"'),
        (["ask", EGG, "--image", ""], 2, "a picture is a file, a Pillow picture or an array, got ''"),
        (["ask", "What happens to an \udcff egg?"], 2, "an argument is no UTF-8 after 'What happens to an '"),
        (["ask", EGG, "--seed", "10000000000000000"], 2, "from 0 to 9000000000000000, got 10000000000000000"),
        (["simulate", "--actions", "R", "--seed", "10000000000000000"], 2, "got 10000000000000000"),
        (["ask", EGG, "--seed", "-1"], 2, "a seed is a whole number of at least 0, got -1"),
        (["ask", EGG, "--evaluator", "brevitty"], 2, "unknown evaluator 'brevitty'. Did you mean 'brevity'?"),
        (["ask", EGG, "--branches", "65"], 2, "Invalid value for '--branches'"),
        (["simulate", "--map", MAP, "--actions", "jump"], 1, "FrozenLake has no action 'jump'"),
        (["simulate", "--map", MAP], 2, "Missing option '--actions'"),
        (["simulate", "--map", MAP, "--actions", "R" * 10_000], 2, "at most 1,000 actions, got 10,000"),
        (["plan", "--map", "SHF,HHF,FFG", "--budget", "8"], 1, "no way to the goal was found in imagination, after"),
        (["plan", "--world", "Everyday"], 1, "Everyday has no goal to plan for"),
        (["plan", "--map", "SFF,FF"], 1, "every row of a map has the same length"),
    ],
)
def test_bad_input_is_one_clear_line(
    run: Callable[..., tuple[int, str, str]], arguments: list[str], code: int, line: str
) -> None:
    given, out, err = run(*arguments)
    assert (given, out) == (code, "")
    assert err.count("\n") == 1
    assert err.startswith("reverie: ")
    assert line in err
    assert len(err) < 400


def test_a_damaged_bundle_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", EGG, "--model", str(tmp_path)]) == 1
    assert "is no bundle: it has no manifest.json" in capsys.readouterr().err
    assert main(["ask", EGG, "--model", "nanoo"]) == 2
    assert "no bundle 'nanoo'" in capsys.readouterr().err

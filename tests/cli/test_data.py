"""`reverie data`: prepare and show; every mistake is one line, and Ctrl-C leaves what can go on."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from reverie.cli import app as cli
from reverie.data.pictures import Collection
from reverie.data.pictures.prepare import PrepareConfig
from toy_pictures import drawing, drawings, photo, save


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is among the commands."""
    if "data" not in cli.COMMANDS:
        monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, "data"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """run(*arguments) → (exit code, stdout, stderr) of `reverie data`."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = cli.main(["data", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


def test_prepare_makes_a_collection_and_says_what_became_of_it(run: Any, tmp_path: Path) -> None:
    drawings(tmp_path / "in", 5)
    save(photo(9), tmp_path / "in" / "colour.png")
    code, said, notes = run("prepare", tmp_path / "in", "--out", tmp_path / "out", "--size", 32, "--style", "engraving")
    assert code == 0, notes
    assert "6 found, 5 kept" in said
    assert "colour 1" in said
    assert "train 4, val 1" in said
    assert str(tmp_path / "out" / "contact-sheet.png") in said
    assert len(Collection.open(tmp_path / "out")) == 5


def test_json_is_one_object(run: Any, tmp_path: Path) -> None:
    drawings(tmp_path / "in", 3)
    code, said, _ = run("prepare", tmp_path / "in", "--out", tmp_path / "out", "--size", 32, "--json")
    payload = json.loads(said)
    assert (code, payload["folder"], payload["statistics"]["kept"]) == (0, str(tmp_path / "out"), 3)
    code, said, _ = run("show", tmp_path / "out", "--json")
    shown = json.loads(said)
    assert (shown["size"], shown["statistics"]) == (32, payload["statistics"])
    assert shown["examples"][0]["caption"] == "drawing 0"


def test_show_prints_figures_and_captions(run: Any, tmp_path: Path) -> None:
    drawings(tmp_path / "in", 3)
    run("prepare", tmp_path / "in", "--out", tmp_path / "out", "--size", 32)
    code, said, _ = run("show", tmp_path / "out")
    assert code == 0
    assert "3 found, 3 kept" in said
    assert "drawing 2" in said


def test_every_option_reaches_its_setting(run: Any, tmp_path: Path) -> None:
    drawings(tmp_path / "in", 12)
    (tmp_path / "in" / "metadata.csv").write_text(
        "scan;title;fold;work\n00.png;caf\xe9;test;Fables\n", encoding="latin-1"
    )
    given = {
        "style": "etching",
        "size": 24,
        "format": "jpg",
        "pad": "white",
        "grey": False,
        "min_side": 10,
        "max_aspect": 3.0,
        "max_pixels": 9_999,
        "min_tones": 3.0,
        "max_colour": 0.5,
        "duplicates": True,
        "duplicate_distance": 3,
        "group_distance": 5,
        "caption": "{caption}[, {work}]",
        "prefix": "A plate of",
        "without_caption": "drop",
        "max_caption": 99,
        "val_share": 0.25,
        "seed": 4,
        "file_column": "scan",
        "caption_column": "title",
        "split_column": "fold",
        "encoding": "latin-1",
    }
    flags = []
    for name, value in given.items():
        flag = "--" + name.replace("_", "-")
        flags += ["--tinted"] if name == "grey" else [flag] if value is True else [flag, str(value)]
    code, _, notes = run("prepare", tmp_path / "in", "--out", tmp_path / "out", "--workers", 1, *flags)
    assert code == 0, notes
    settings = json.loads((tmp_path / "out" / "prepare.json").read_text())["settings"]
    assert settings == given | {"captioner": None}
    record = Collection.open(tmp_path / "out").records[0]
    assert (record.caption, record.split, record.file) == ("café, Fables", "test", "images/000000.jpg")


def test_the_options_have_the_defaults_of_the_settings() -> None:
    from reverie.cli.data import prepare

    parameters = inspect.signature(prepare).parameters
    for name, field in PrepareConfig.__dataclass_fields__.items():
        assert parameters[name].default == field.default, name


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--style", "engravings"], 2, "Did you mean 'engraving'"),
        (["--caption", "{werk}"], 2, "unknown field of --caption 'werk'"),
        (["--caption", "{oops"], 2, "braces"),
        (["--caption-column", "title"], 2, "--caption-column 'title'"),
        (["--size", "3"], 2, "size must be from 8"),
        (["--size", "many"], 2, "--size"),
        (["--format", "gif"], 2, "--format"),
        (["--encoding", "utf-99"], 2, "encoding"),
        (["--captioner", "nowhere/at-all"], 1, "no captioner can be loaded"),
        (["--captioner", " "], 2, "--captioner must name"),
        (["--min-side", "1000"], 1, "small 3"),
        (["--pth", "3"], 2, "no such option"),
    ],
)
def test_a_mistake_is_one_line(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], code: int, words: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    drawings(tmp_path / "in", 3)
    got, said, told = run("prepare", tmp_path / "in", "--out", tmp_path / "out", *flags)
    assert (got, said) == (code, "")
    assert told.count("reverie:") == told.count("\n") == 1
    assert words in told
    assert not (tmp_path / "out").exists()


def test_bad_folders_are_one_line(run: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, words in (("nowhere", "is no folder"), ("empty", "there is no picture in")):
        code, said, told = run("prepare", tmp_path / source, "--out", tmp_path / "out")
        assert (code, said, told.count("\n")) == (1, "", 1)
        assert words in told
    for folder in ("nowhere", "empty"):
        code, said, told = run("show", tmp_path / folder)
        assert (code, said, told.count("\n")) == (1, "", 1)
    drawings(tmp_path / "in", 2)
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / "out").write_text("x")
    code, _, told = run("prepare", tmp_path / "in", "--out", tmp_path / "locked" / "out" / "deep")
    assert (code, told.count("\n")) == (1, 1)


def test_one_picture_works_and_is_noted(run: Any, tmp_path: Path) -> None:
    drawings(tmp_path / "in", 1)
    code, said, notes = run("prepare", tmp_path / "in", "--out", tmp_path / "out", "--size", 32)
    assert (code, "train 1" in said) == (0, True)
    assert "the split val is empty" in notes


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is no signal there")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(run: Any, tmp_path: Path, workers: int) -> None:
    data = save(drawing(1, 600, 500), tmp_path / "in" / "000.png").read_bytes()
    for index in range(1, 150):
        (tmp_path / "in" / f"{index:03d}.png").write_bytes(data)
    program = "import sys; from reverie.cli import app; app.COMMANDS = (*app.COMMANDS, 'data'); sys.exit(app.main())"
    command = ["data", "prepare", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--duplicates", "--size", "64"]
    command += ["--workers", str(workers)]
    process = subprocess.Popen([sys.executable, "-c", program, *command], stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "out" / ".prepare" / "examined.jsonl"
    until = time.monotonic() + 60
    while not (journal.exists() and journal.stat().st_size > 100) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    notes = process.communicate(timeout=60)[1]
    assert process.returncode == 130, notes
    assert notes.splitlines()[-1] == "reverie: stopped by Ctrl-C."
    assert "Traceback" not in notes
    assert "the same command goes on" in notes
    code, said, notes = run(*command[1:])
    assert code == 0, notes
    assert "150 found, 150 kept" in said

"""Preparing: filters count, captions are found or made, splits hold; kills, full disks and reruns do no harm."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from reverie.data.pictures.collection import Collection
from reverie.data.pictures.images import open_picture, resize_picture
from reverie.data.pictures.prepare import PrepareConfig, prepare
from reverie.errors import BundleError, ConfigError, DataError, UnknownNameError
from toy_pictures import drawing, drawings, photo, png_header, save


def settings(**changes: Any) -> PrepareConfig:
    return PrepareConfig(**{"size": 32, "workers": 1, **changes})


class Namer:
    """A captioner that says how light a picture is, and counts what it was asked. Fails at its call ``fails_at``."""

    name = "namer"

    def __init__(self, batch_size: int = 3, fails_at: int = -1) -> None:
        self.batch_size, self.fails_at, self.batches = batch_size, fails_at, list[int]()

    def describe(self, pictures: Sequence[np.ndarray]) -> list[str]:
        if len(self.batches) == self.fails_at:
            raise BundleError("out of memory")
        self.batches.append(len(pictures))
        return [f"a scene of lightness {int(picture.mean())}" for picture in pictures]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below, but what says when and where from."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "prepare.json"
    }


def rejected(folder: Path) -> list[tuple[str, str]]:
    lines = (folder / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    return [(values["file"], values["rule"]) for values in map(json.loads, lines)]


def messy(folder: Path) -> Path:
    """Six good drawings and one of everything that is refused."""
    drawings(folder, 6)
    save(drawing(0, 60, 50), folder / "again" / "small double.png")
    save(drawing(7, 40, 20), folder / "tiny.png")
    save(drawing(8, 500, 70), folder / "wide.png")
    save(np.full((90, 90, 3), 255, np.uint8), folder / "white.png")
    save(photo(9), folder / "colour.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "huge.png").write_bytes(png_header(30_000, 30_000))
    return folder


def test_each_rule_counts_what_it_refuses(tmp_path: Path) -> None:
    statistics = prepare(messy(tmp_path / "in"), tmp_path / "out", settings(style="engraving", min_side=32))
    one_each = dict.fromkeys(("pixels", "broken", "small", "aspect", "blank", "colour", "duplicate"), 1)
    assert statistics["rejected"] == one_each | {"caption": 0}
    assert (statistics["found"], statistics["kept"]) == (13, 6)
    assert rejected(tmp_path / "out") == [
        ("again/small double.png", "duplicate"),
        ("broken.jpg", "broken"),
        ("colour.png", "colour"),
        ("huge.png", "pixels"),
        ("tiny.png", "small"),
        ("white.png", "blank"),
        ("wide.png", "aspect"),
    ]
    assert len(Collection.open(tmp_path / "out")) == 6


def test_colour_is_welcome_where_the_style_has_it(tmp_path: Path) -> None:
    save(photo(1), tmp_path / "in" / "a.png")
    prepare(tmp_path / "in", tmp_path / "out", settings(style="painting"))
    assert np.ptp(Collection.open(tmp_path / "out").pictures()[0].astype(int), axis=2).max() > 50
    with pytest.raises(DataError, match="colour 1"):
        prepare(tmp_path / "in", tmp_path / "grey", settings(style="engraving"))
    prepare(tmp_path / "in", tmp_path / "grey", settings(style="engraving", max_colour=1.0))
    assert np.ptp(Collection.open(tmp_path / "grey").pictures()[0].astype(int), axis=2).max() == 0


def test_duplicates_can_stay_and_then_share_a_split(tmp_path: Path) -> None:
    for index in range(10):
        save(drawing(index), tmp_path / "in" / f"{index}a.png")
        save(drawing(index, 60, 50), tmp_path / "in" / f"{index}b.png")
    statistics = prepare(tmp_path / "in", tmp_path / "out", settings(duplicates=True, val_share=0.3, min_side=16))
    assert (statistics["kept"], statistics["splits"]["val"], statistics["near_groups"]) == (20, 6, 10)
    records = Collection.open(tmp_path / "out").records
    for first, second in zip(records[::2], records[1::2], strict=True):
        assert first.split == second.split


def test_of_duplicates_the_larger_stays(tmp_path: Path) -> None:
    save(drawing(1, 70, 70), tmp_path / "in" / "a.png")
    save(drawing(1, 90, 90), tmp_path / "in" / "b.png")
    prepare(tmp_path / "in", tmp_path / "out", settings())
    (record,) = Collection.open(tmp_path / "out").records
    assert (record.source, record.width, record.file) == ("b.png", 90, "images/000000.png")


def test_given_words_fields_and_splits_are_kept(tmp_path: Path) -> None:
    drawings(tmp_path / "in", 3, captions=False)
    lines = [
        {"file_name": "00.png", "text": " A  ship\n", "split": "test", "work": "Fables", "year": 1790},
        {"file_name": "01.png", "text": "A tree", "split": "validation"},
        {"file_name": "02.png", "text": "A house", "split": "train"},
    ]
    (tmp_path / "in" / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    statistics = prepare(tmp_path / "in", tmp_path / "out", settings())
    records = Collection.open(tmp_path / "out").records
    assert [(record.caption, record.split, record.caption_source) for record in records] == [
        ("A ship", "test", "given"),
        ("A tree", "val", "given"),
        ("A house", "train", "given"),
    ]
    assert records[0].extra == {"work": "Fables", "year": 1790}
    assert statistics["captions"]["given"] == 3
    for name in ("train", "val", "test"):
        line = (tmp_path / "out" / f"{name}.jsonl").read_text(encoding="utf-8")
        assert json.loads(line)["split"] == name


def test_a_template_makes_captions_of_fields(tmp_path: Path) -> None:
    drawings(tmp_path / "in" / "horses", 2, captions=False)
    lines = ['{"file": "horses/00.png", "caption": "A horse.", "work": "Fables"}', '{"file": "horses/01.png"}']
    (tmp_path / "in" / "metadata.jsonl").write_text("\n".join(lines))
    statistics = prepare(tmp_path / "in", tmp_path / "out", settings(caption="{folder}: {caption} {work}"))
    collection = Collection.open(tmp_path / "out")
    assert collection.captions == ["horses: A horse. Fables", "horses"]
    assert collection.records[0].extra == {"work": "Fables", "given_caption": "A horse."}
    assert statistics["missing_fields"] == {"caption": 1, "work": 1}
    with pytest.raises(UnknownNameError, match=r"'werk'.*Did you mean 'work'"):
        prepare(tmp_path / "in", tmp_path / "no", settings(caption="{werk}"))
    assert not (tmp_path / "no").exists()


def test_a_long_caption_is_cut_and_counted(tmp_path: Path) -> None:
    save(drawing(1), tmp_path / "in" / "a.png")
    (tmp_path / "in" / "a.txt").write_text("letters " * 12_500)
    statistics = prepare(tmp_path / "in", tmp_path / "out", settings(max_caption=40))
    assert Collection.open(tmp_path / "out").captions == ["letters letters letters letters letters"]
    assert statistics["captions"]["cut"] == 1
    assert len((tmp_path / "out" / "metadata.jsonl").read_bytes()) < 1_000


def test_without_a_caption_a_picture_has_the_bare_phrase_or_goes(tmp_path: Path) -> None:
    drawings(tmp_path / "in", 2)
    save(drawing(5), tmp_path / "in" / "x.png")
    kept = prepare(tmp_path / "in", tmp_path / "kept", settings(style="engraving"))
    assert Collection.open(tmp_path / "kept").records[2].caption_source == "prefix"
    assert Collection.open(tmp_path / "kept").captions[2] == "An engraving"
    assert (kept["captions"]["prefix"], kept["captions"]["given"]) == (1, 2)
    prepare(tmp_path / "in", tmp_path / "plain", settings())
    assert Collection.open(tmp_path / "plain").records[2].caption_source == "none"
    dropped = prepare(tmp_path / "in", tmp_path / "dropped", settings(without_caption="drop"))
    assert (dropped["kept"], dropped["rejected"]["caption"]) == (2, 1)


def test_a_captioner_writes_only_what_is_missing(tmp_path: Path) -> None:
    drawings(tmp_path / "in", 2)
    for seed in range(4):
        save(drawing(20 + seed), tmp_path / "in" / f"x{seed}.png")
    namer = Namer()
    statistics = prepare(tmp_path / "in", tmp_path / "out", settings(style="engraving"), namer)
    captions = Collection.open(tmp_path / "out").captions
    assert captions[:2] == ["drawing 0", "drawing 1"]
    assert captions[2] == f"An engraving depicting a scene of lightness {int(drawing(20).mean())}"
    assert namer.batches == [3, 1]
    assert (statistics["captions"]["captioner"], statistics["captions"]["given"]) == (4, 2)
    prepare(tmp_path / "in", tmp_path / "own", settings(prefix="A plate showing"), Namer())
    assert Collection.open(tmp_path / "own").captions[2].startswith("A plate showing a scene")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_pictures_are_enough(tmp_path: Path, count: int) -> None:
    statistics = prepare(drawings(tmp_path / "in", count), tmp_path / "out", settings())
    assert statistics["splits"] == {"train": max(1, count - 1), "val": min(1, count - 1), "test": 0}
    assert any("validate" in warning for warning in statistics["warnings"]) == (count == 1)
    assert (tmp_path / "out" / "val.jsonl").read_text().count("\n") == min(1, count - 1)


def test_the_same_pictures_and_seed_give_the_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    drawings(tmp_path / "in", 40)
    prepare(tmp_path / "in", tmp_path / "one", settings(workers=1))
    prepare(tmp_path / "in", tmp_path / "two", settings(workers=2))
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    prepare(tmp_path / "in", tmp_path / "other", settings(seed=1))
    assert files_of(tmp_path / "one")["val.jsonl"] != files_of(tmp_path / "other")["val.jsonl"]


def test_nothing_to_prepare_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        prepare(tmp_path / "in", tmp_path / "out", settings())
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="there is no picture in"):
        prepare(tmp_path / "in", tmp_path / "out", settings())
    assert not (tmp_path / "out").exists()


def test_when_nothing_is_left_the_rules_are_told(tmp_path: Path) -> None:
    for number in range(3):
        save(np.full((90, 90, 3), 250 + number, np.uint8), tmp_path / "in" / f"{number}.png")
    save(drawing(1, 20, 20), tmp_path / "in" / "tiny.png")
    with pytest.raises(DataError, match=r"none of 4 pictures is left.*blank 3, small 1.*0\.png"):
        prepare(tmp_path / "in", tmp_path / "out", settings())
    assert not (tmp_path / "out").exists()


def test_what_lies_in_the_folder_stays(tmp_path: Path) -> None:
    drawings(tmp_path / "in", 3)
    save(drawing(9), tmp_path / "out" / "mine.png")
    prepare(tmp_path / "in", tmp_path / "out", settings())
    save(drawing(9), tmp_path / "out" / "images" / "mine too.png")
    prepare(tmp_path / "in", tmp_path / "out", settings(size=16), overwrite=True)
    assert (tmp_path / "out" / "mine.png").exists()
    assert (tmp_path / "out" / "images" / "mine too.png").exists()
    assert Collection.open(tmp_path / "out").side == 16


@pytest.mark.parametrize("name", ["metadata.jsonl", "images/a.png", "train.jsonl"])
def test_what_others_wrote_is_not_overwritten(tmp_path: Path, name: str) -> None:
    save(drawing(9), tmp_path / "out" / name, format="PNG")
    with pytest.raises(DataError, match="in the way"):
        prepare(drawings(tmp_path / "in", 3), tmp_path / "out", settings(), overwrite=True)
    assert np.array_equal(open_picture(tmp_path / "out" / name), drawing(9))


def test_a_file_or_the_source_itself_is_no_place_to_write(tmp_path: Path) -> None:
    drawings(tmp_path / "in", 2)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file"):
        prepare(tmp_path / "in", tmp_path / "file", settings())
    with pytest.raises(DataError, match="twice"):
        prepare(tmp_path / "in", tmp_path / "in", settings())
    with pytest.raises(DataError, match="keeps its own"):
        prepare(drawings(tmp_path / "out" / "images", 2), tmp_path / "out", settings())


def test_the_result_may_lie_below_the_source(tmp_path: Path) -> None:
    drawings(tmp_path / "in", 3)
    for _ in range(2):
        assert prepare(tmp_path / "in", tmp_path / "in" / "out", settings())["found"] == 3


def test_a_finished_folder_is_left_as_it_is(tmp_path: Path) -> None:
    drawings(tmp_path / "in", 3)
    first = prepare(tmp_path / "in", tmp_path / "out", settings())
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert prepare(tmp_path / "in", tmp_path / "out", settings(workers=2)) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_a_finished_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    drawings(tmp_path / "in", 3)
    prepare(tmp_path / "in", tmp_path / "out", settings())
    with pytest.raises(DataError, match="size was 32, is now 16"):
        prepare(tmp_path / "in", tmp_path / "out", settings(size=16))
    with pytest.raises(DataError, match="captioner was None, is now 'namer'"):
        prepare(tmp_path / "in", tmp_path / "out", settings(), Namer())
    (tmp_path / "in" / "00.txt").write_text("another caption")
    with pytest.raises(DataError, match="have changed since"):
        prepare(tmp_path / "in", tmp_path / "out", settings())
    prepare(tmp_path / "in", tmp_path / "out", settings(), overwrite=True)
    assert Collection.open(tmp_path / "out").captions[0] == "another caption"


_KILLED = """
import os, signal
from pathlib import Path
import psutil
from reverie.data.pictures.prepare import PrepareConfig, prepare

def killer(what, done, of):
    if (what, done) == {when!r}:
        Path({pids!r}).write_text(" ".join(str(one.pid) for one in psutil.Process().children(recursive=True)))
        os.kill(os.getpid(), signal.SIGKILL)

if {when!r}[0] == "name":
    def replace(self, target, real=Path.replace):
        if self.parent.name == "pictures" and target.name == "000003.png":
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, target)
    Path.replace = replace
if __name__ == "__main__":
    prepare(Path({source!r}), Path({out!r}), PrepareConfig(size=32, workers={workers}), None, killer)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
@pytest.mark.parametrize(
    ("when", "workers"),
    [(("look at", 4), 1), (("look at", 30), 2), (("name", 0), 1), (("write", 0), 1), (("write", 1), 1)],
)
def test_a_killed_run_goes_on_and_gives_the_same(tmp_path: Path, when: tuple[str, int], workers: int) -> None:
    drawings(tmp_path / "in", 40 if workers == 2 else 8)
    prepare(tmp_path / "in", tmp_path / "whole", settings())
    program = tmp_path / "run.py"
    places = {"source": str(tmp_path / "in"), "out": str(tmp_path / "out"), "pids": str(tmp_path / "pids")}
    program.write_text(_KILLED.format(when=when, workers=workers, **places))
    done = subprocess.run([sys.executable, str(program)], capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    if workers == 2:
        assert_gone([int(pid) for pid in (tmp_path / "pids").read_text().split()])
    with pytest.raises(DataError, match="half prepared"):
        Collection.open(tmp_path / "out")
    with pytest.raises(DataError, match=r"half prepared with other settings \(seed was 0, is now 7\)"):
        prepare(tmp_path / "in", tmp_path / "out", settings(seed=7))
    looked_at = list[int]()
    prepare(
        tmp_path / "in",
        tmp_path / "out",
        settings(),
        progress=lambda what, done, of: looked_at.append(done) if what == "look at" else None,
    )
    assert looked_at[0] >= when[1] if when[0] == "look at" else looked_at == [8]
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def assert_gone(pids: list[int]) -> None:
    """No worker outlives a killed parent."""
    until = time.monotonic() + 30
    while (left := [pid for pid in pids if psutil.pid_exists(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(pids) >= 2
    assert not left


def test_a_picture_that_changed_meanwhile_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawings(tmp_path / "in", 4)
    stop_at(monkeypatch, "squares are named")
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "in", tmp_path / "out", settings())
    monkeypatch.undo()
    save(drawing(50, 120, 60), tmp_path / "in" / "01.png")
    (tmp_path / "in" / "02.png").unlink()
    prepare(tmp_path / "in", tmp_path / "out", settings())
    prepare(tmp_path / "in", tmp_path / "whole", settings())
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def stop_at(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Ctrl-C at a place in the work."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    names = {"squares are named": "_record", "pictures are looked at": "_without_doubles"}
    monkeypatch.setattr(f"reverie.data.pictures.prepare.{names[where]}", stop)


def test_captions_are_not_written_twice(tmp_path: Path) -> None:
    drawings(tmp_path / "in", 8, captions=False)
    prepare(tmp_path / "in", tmp_path / "whole", settings(), Namer())
    failing, again = Namer(fails_at=2), Namer()
    with pytest.raises(BundleError):
        prepare(tmp_path / "in", tmp_path / "out", settings(), failing)
    prepare(tmp_path / "in", tmp_path / "out", settings(), again)
    assert (failing.batches, again.batches) == ([3, 3], [2])
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_a_torn_line_of_the_journal_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawings(tmp_path / "in", 4)
    stop_at(monkeypatch, "pictures are looked at")
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "in", tmp_path / "out", settings())
    monkeypatch.undo()
    journal = tmp_path / "out" / ".prepare" / "examined.jsonl"
    journal.write_bytes(journal.read_bytes()[:-25])
    looked_at = list[int]()
    prepare(tmp_path / "in", tmp_path / "out", settings(), progress=lambda what, done, of: looked_at.append(done))
    assert looked_at[0] == 3
    prepare(tmp_path / "in", tmp_path / "whole", settings())
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_a_full_disk_is_one_line_and_leaves_what_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reverie.data.pictures import screening

    drawings(tmp_path / "in", 6)
    write, written = screening.atomic_write_bytes, list[Path]()

    def full(path: Path, data: bytes) -> None:
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        written.append(path)
        write(path, data)

    monkeypatch.setattr(screening, "atomic_write_bytes", full)
    with pytest.raises(DataError, match=r"the disk of .* is full.*goes on"):
        prepare(tmp_path / "in", tmp_path / "out", settings())
    monkeypatch.undo()
    looked_at = list[int]()
    prepare(tmp_path / "in", tmp_path / "out", settings(), progress=lambda what, done, of: looked_at.append(done))
    assert looked_at[0] == 3
    prepare(tmp_path / "in", tmp_path / "whole", settings())
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_two_at_once_do_not_meet(tmp_path: Path) -> None:
    drawings(tmp_path / "in", 3)

    def second(what: str, done: int, of: int) -> None:
        with pytest.raises(DataError, match="another process is preparing"):
            prepare(tmp_path / "in", tmp_path / "out", settings())

    prepare(tmp_path / "in", tmp_path / "out", settings(), progress=second)


def test_statistics_say_what_became_of_the_pictures(tmp_path: Path) -> None:
    drawings(tmp_path / "in", 4)
    (tmp_path / "in" / "metadata.jsonl").write_text('{"file": "lost.png", "caption": "x"}\nnonsense\n')
    statistics = prepare(tmp_path / "in", tmp_path / "out", settings(size=128))
    assert statistics["problems"] == {"missing": 1, "metadata": 1, "caption": 0, "folder": 0}
    assert statistics["originals"]["width"] == {"min": 96.0, "median": 96.0, "max": 96.0}
    assert (statistics["enlarged"], statistics["captions"]["distinct"]) == (4, 4)
    assert statistics["filled"] == pytest.approx(80 / 96, abs=0.01)
    assert statistics == json.loads((tmp_path / "out" / "statistics.json").read_text(encoding="utf-8"))
    assert [name for name, _ in rejected(tmp_path / "out")] == ["lost.png", "metadata.jsonl"]
    assert open_picture(tmp_path / "out" / "contact-sheet.png").shape[1] == 2 * 168 + 8


def test_a_picture_keeps_its_place_in_its_square(tmp_path: Path) -> None:
    prepare(drawings(tmp_path / "in", 1), tmp_path / "out", settings(size=48))
    (record,) = Collection.open(tmp_path / "out").records
    left, top, right, bottom = record.box
    inside = Collection.open(tmp_path / "out").pictures()[0][top:bottom, left:right]
    assert np.array_equal(inside, resize_picture(drawing(0), right - left, bottom - top))


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 2},
        {"val_share": 1.0},
        {"max_aspect": 0.5},
        {"max_colour": 2.0},
        {"encoding": "utf-99"},
        {"caption": "{oops"},
        {"style": "engravings"},
        {"max_pixels": 10**9},
        {"workers": -1},
    ],
)
def test_settings_that_cannot_be_are_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, UnknownNameError)):
        PrepareConfig(**wrong)

"""What a folder gives: pictures in a stable order, captions of metadata and texts; mistakes are listed by line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from reverie.data.pictures.picture_sources import Columns, Found, find_pictures
from reverie.errors import DataError, UnknownNameError
from toy_pictures import drawing, drawings, save


def written(folder: Path, name: str, *records: dict[str, object] | str) -> None:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def captions(found: Found) -> dict[str, str]:
    return {given.name: given.caption for given in found.pictures}


def told(found: Found) -> list[str]:
    return [f"{problem.file} {problem.rule}: {problem.reason}" for problem in found.problems]


def test_pictures_are_found_everywhere_below_in_a_stable_order(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.JPG", "a.gif", "c.webp", "b-1/x.bmp", "b/.hidden.png", ".trash/x.png"):
        save(drawing(1), tmp_path / name, format="PNG")
    (tmp_path / "notes.md").write_text("x")
    assert list(captions(find_pictures(tmp_path))) == ["a.gif", "b/1.JPG", "b/2.png", "b-1/x.bmp", "c.webp"]


def test_the_folder_that_is_written_is_no_source(tmp_path: Path) -> None:
    drawings(tmp_path, 1)
    drawings(tmp_path / "out" / "images", 2)
    assert len(find_pictures(tmp_path, skip=tmp_path / "out").pictures) == 1


@pytest.mark.parametrize("file", ["file", "file_name", "image", "path"])
@pytest.mark.parametrize("caption", ["caption", "text", "description"])
def test_the_usual_columns_are_known(tmp_path: Path, file: str, caption: str) -> None:
    drawings(tmp_path, 1, captions=False)
    written(tmp_path, "metadata.jsonl", {file: "00.png", caption: " A  ship\n", "work": "Fables", "year": 1790})
    (given,) = find_pictures(tmp_path).pictures
    assert (given.caption, given.fields) == ("A ship", {"work": "Fables", "year": 1790})


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_csv_is_read_with_any_usual_separator(tmp_path: Path, mark: str) -> None:
    drawings(tmp_path, 2, captions=False)
    (tmp_path / "metadata.csv").write_text(
        f'file_name{mark}text\r\n00.png{mark}"one{mark}\nline"\r\n01.png{mark}two\r\n'
    )
    said = list(captions(find_pictures(tmp_path)).values())
    assert said == [" ".join(f"one{mark}\nline".split()), "two"]


def test_named_columns_are_used_and_unknown_ones_refused(tmp_path: Path) -> None:
    drawings(tmp_path, 1, captions=False)
    written(tmp_path, "metadata.jsonl", {"scan": "00.png", "title": "A ship", "caption": "not this", "fold": "dev"})
    columns = Columns(file="scan", caption="title", split="fold")
    (given,) = find_pictures(tmp_path, columns).pictures
    assert (given.caption, given.split, given.fields) == ("A ship", "val", {"caption": "not this"})
    with pytest.raises(UnknownNameError, match=r"--caption-column 'titel'.*'title'"):
        find_pictures(tmp_path, Columns(file="scan", caption="titel"))
    with pytest.raises(UnknownNameError, match="--file-column"):
        find_pictures(tmp_path, Columns(file="skan"))


@pytest.mark.parametrize(
    ("said", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("validation", "val"),
        ("val", "val"),
        ("valid", "val"),
        ("test", "test"),
    ],
)
def test_splits_have_several_names(tmp_path: Path, said: str, split: str) -> None:
    drawings(tmp_path, 1)
    written(tmp_path, "metadata.jsonl", {"file": "00.png", "split": said})
    assert find_pictures(tmp_path).pictures[0].split == split


def test_metadata_speaks_of_its_own_folder_first(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        drawings(tmp_path / folder, 1, captions=False)
        written(tmp_path / folder, "metadata.jsonl", {"file": "00.png", "caption": f"in {folder}"})
    save(drawing(3), tmp_path / "deep" / "below" / "only.png")
    written(tmp_path, "metadata.jsonl", {"file": r"elsewhere\only.png", "caption": "the only one so called"})
    assert captions(find_pictures(tmp_path)) == {
        "a/00.png": "in a",
        "b/00.png": "in b",
        "deep/below/only.png": "the only one so called",
    }


def test_a_file_that_metadata_names_is_a_picture_whatever_its_ending(tmp_path: Path) -> None:
    save(drawing(1), tmp_path / "scan0001", format="PNG")
    written(tmp_path, "metadata.jsonl", {"file": "scan0001", "caption": "a ship"})
    assert captions(find_pictures(tmp_path)) == {"scan0001": "a ship"}


def test_texts_beside_pictures_are_captions_and_metadata_comes_first(tmp_path: Path) -> None:
    drawings(tmp_path, 4, captions=False)
    (tmp_path / "00.txt").write_text("a text\n")
    (tmp_path / "01.caption").write_text("a caption")
    (tmp_path / "02.png.txt").write_text("\ufeffwith the ending", encoding="utf-8")
    (tmp_path / "03.txt").write_text("not this")
    written(tmp_path, "metadata.jsonl", {"file": "03.png", "caption": "metadata"}, {"file": "00.png", "work": "w"})
    assert list(captions(find_pictures(tmp_path)).values()) == ["a text", "a caption", "with the ending", "metadata"]


def test_what_is_wrong_is_listed_by_line(tmp_path: Path) -> None:
    drawings(tmp_path, 3, captions=False)
    lines = (
        b'{"file": "00.png", "caption": "good"}',
        b"",
        b"{not json",
        b'["a", "list"]',
        b'{"caption": "no file"}',
        b'{"file": "lost.png", "caption": "no picture"}',
        b'{"file": "00.png", "caption": "again"}',
        b'{"file": "01.png", "caption": ["a", "b"]}',
        b'{"file": "02.png", "caption": "caf\xe9", "split": "train"}',
        b'{"file": "02.png", "caption": "good too", "split": "sometimes", "weight": NaN}',
        b"[" * 100_000,
        b'{"file": 7}',
    )
    (tmp_path / "metadata.jsonl").write_bytes(b"\n".join(lines))
    found = find_pictures(tmp_path)
    assert captions(found) == {"00.png": "good", "01.png": "", "02.png": "good too"}
    assert found.pictures[2].fields == {"weight": None}
    problems = told(found)
    for number, words in (
        (3, "no JSON"),
        (4, "no object"),
        (5, "names no file"),
        (7, "a second row for 00.png"),
        (8, "the caption is not text"),
        (9, "no UTF-8"),
        (10, "'sometimes'"),
        (11, "no JSON"),
        (12, "names no file"),
    ):
        assert any(f"line {number}: " in problem and words in problem for problem in problems), words
    assert "lost.png missing: metadata.jsonl line 6 speaks of this file, which is not there" in problems
    assert len(problems) == 10


def test_wrong_lines_of_csv_are_listed(tmp_path: Path) -> None:
    drawings(tmp_path, 3, captions=False)
    data = b'file,caption\n00.png,good\n01.png,too,many\n02.png,caf\xe9\n02.png,"left open\n'
    (tmp_path / "metadata.csv").write_bytes(data)
    found = find_pictures(tmp_path)
    assert captions(found) == {"00.png": "good", "01.png": "", "02.png": ""}
    lines = [problem.reason.split(":")[0] for problem in found.problems]
    assert lines == ["line 3", "line 4", "line 5"]


def test_csv_without_a_file_column_says_which_it_has(tmp_path: Path) -> None:
    drawings(tmp_path, 1)
    (tmp_path / "metadata.csv").write_text("a,b\n1,2\n")
    assert "a,b. Say which with --file-column" in told(find_pictures(tmp_path))[0]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_another_encoding_can_be_named(tmp_path: Path, encoding: str) -> None:
    drawings(tmp_path, 2, captions=False)
    (tmp_path / "metadata.jsonl").write_bytes('{"file": "00.png", "caption": "café"}'.encode(encoding))
    (tmp_path / "01.txt").write_bytes("naïve".encode(encoding))
    plain = find_pictures(tmp_path)
    assert (list(captions(plain).values()), len(plain.problems)) == (["", ""], 2)
    assert list(captions(find_pictures(tmp_path, Columns(encoding=encoding))).values()) == ["café", "naïve"]


def test_a_byte_order_mark_speaks_for_itself(tmp_path: Path) -> None:
    drawings(tmp_path, 2, captions=False)
    (tmp_path / "metadata.jsonl").write_text('{"file": "00.png", "caption": "café"}', encoding="utf-16")
    (tmp_path / "01.txt").write_text("naïve", encoding="utf-8-sig")
    assert list(captions(find_pictures(tmp_path)).values()) == ["café", "naïve"]


def test_a_caption_without_its_picture_is_listed(tmp_path: Path) -> None:
    drawings(tmp_path, 1)
    (tmp_path / "lost.caption").write_text("x")
    (tmp_path / "README.txt").write_text("x")
    assert told(find_pictures(tmp_path)) == ["lost.caption missing: there is no picture beside this caption"]


def test_a_link_to_nowhere_is_listed(tmp_path: Path) -> None:
    drawings(tmp_path, 1)
    (tmp_path / "z.png").symlink_to(tmp_path / "gone.png")
    found = find_pictures(tmp_path)
    assert (len(found.pictures), found.problems[0].rule) == (1, "missing")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_utf8_is_shown_as_it_can_be(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    save(drawing(1), path)
    (given,) = find_pictures(tmp_path).pictures
    assert (given.name, given.path) == ("caf\ufffd.png", path)


def test_no_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        find_pictures(tmp_path / "nowhere")

from pathlib import Path

import pytest

from reverie.files import (
    atomic_folder,
    atomic_write_bytes,
    atomic_write_json,
    atomic_write_text,
    remove_leftovers,
    sha256_of,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_make_the_folder_replace_the_old_file_and_leave_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.txt"
    atomic_write_text(file, "first")
    atomic_write_text(file, "zweite Ä")
    assert file.read_text(encoding="utf-8") == "zweite Ä"
    assert names(file.parent) == ["a.txt"]


def test_json_is_readable_text_that_ends_in_a_newline(tmp_path: Path) -> None:
    atomic_write_json(tmp_path / "a.json", {"Größe": [1, 2.5, None]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8").startswith('{\n  "Größe"')
    assert (tmp_path / "a.json").read_text(encoding="utf-8").endswith("}\n")


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    atomic_write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError):
        atomic_write_json(tmp_path / "a.json", float("nan"))
    assert (tmp_path / "a.json").read_text() == "1\n"


def test_a_failed_rename_removes_the_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        atomic_write_bytes(tmp_path / "taken", b"data")
    assert names(tmp_path) == ["taken"]


def test_a_folder_appears_whole_and_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "deep" / "bundle") as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / content).write_text(content)
    assert names(tmp_path / "deep") == ["bundle"]
    assert names(tmp_path / "deep" / "bundle" / "sub") == ["new"]


def test_a_folder_whose_filling_fails_leaves_the_old_one(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "bundle") as folder:
        (folder / "a").write_text("a")
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "bundle") as folder:
        (folder / "absent" / "b").write_text("b")
    assert names(tmp_path) == ["bundle"]
    assert names(tmp_path / "bundle") == ["a"]


def test_leftovers_of_a_killed_writer_go_and_the_rest_stays(tmp_path: Path) -> None:
    (tmp_path / ".bundle.12ab.tmp").mkdir()
    (tmp_path / ".bundle.12ab.tmp" / "half").write_text("")
    (tmp_path / ".a.json.34cd.tmp").write_text("")
    (tmp_path / "a.json").write_text("")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["a.json"]


def test_sha256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

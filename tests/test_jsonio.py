"""JSON from files: every fault is one line that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.errors import DataError
from reverie.jsonio import json_lines, read_json, read_object


def test_what_is_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"ä": [1, 2]}', encoding="utf-8")
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n\n{"b": "\xe2\x80\xa8"}\r\n{"c": 2}')
    assert read_object(tmp_path / "a.json", DataError, "the list") == {"ä": [1, 2]}
    assert [*json_lines(tmp_path / "a.jsonl", DataError, "rows")] == [
        (1, {"a": 1}),
        (3, {"b": "\u2028"}),
        (4, {"c": 2}),
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"{", "is damaged"), (b"\xff", "is damaged"), (b"[" * 100_000, "is damaged"), (None, "is missing")],
)
def test_a_fault_is_one_line_that_names_the_file(tmp_path: Path, data: bytes | None, said: str) -> None:
    file = tmp_path / "x.json"
    if data is not None:
        file.write_bytes(data)
    for read in (read_json, read_object):
        with pytest.raises(DataError, match=said) as raised:
            read(file, DataError, "the list of things")
        assert str(file) in str(raised.value)
        assert "\n" not in str(raised.value)


def test_another_value_than_an_object_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("[1]", encoding="utf-8")
    assert read_json(file, DataError, "the list") == [1]
    with pytest.raises(DataError, match="holds no JSON object"):
        read_object(file, DataError, "the list")
    with pytest.raises(DataError, match="line 1: no JSON object"):
        next(json_lines(file, DataError, "rows"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_json(tmp_path, DataError, "the list")
    with pytest.raises(DataError, match="cannot be read"):
        next(json_lines(tmp_path, DataError, "rows"))

"""Files of rows: what is read, and the one line that a wrong file gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.errors import UsageError
from reverie_bench import frozenlake_outcome, frozenlake_planning
from reverie_bench.rows import chunks, read_rows, read_trivia, solvable_map, thin


def written(folder: Path, *lines: str) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rows_are_read_and_empty_lines_skipped(tmp_path: Path) -> None:
    path = written(tmp_path, '{"desc": ["SF", "FG"], "size": 2, "id": 7}', "", '{"desc": "SF,FG"}')
    assert read_rows(path, solvable_map, "maps") == [("SF", "FG")] * 2


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "Expecting property name"),
        ("[1, 2]", "no JSON object"),
        ('{"rows": []}', "the field 'desc' is missing"),
        ('{"desc": ["SX", "FG"]}', "got 'X'"),
        ('{"desc": ["SH", "HG"]}', "no way leads from S to G"),
        ('{"desc": ["SF", "FG"], "size": 3}', "size says 3"),
        ('{"desc": 5}', "desc is a list of rows"),
    ],
)
def test_a_malformed_line_is_named_by_its_number(tmp_path: Path, line: str, fault: str) -> None:
    path = written(tmp_path, '{"desc": ["SF", "FG"]}', line)
    with pytest.raises(UsageError, match=f"rows.jsonl, line 2: .*{fault}") as caught:
        read_rows(path, solvable_map, frozenlake_planning.DATA)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"desc": ["SF", "FG"], "actions": "RD", "safe": "maybe"}, "safe is 'Y' or 'N'"),
        ({"desc": ["SF", "FG"], "actions": "RX", "safe": "Y"}, "no action 'RX'"),
        ({"desc": ["SF", "FG"], "actions": 3, "safe": "Y"}, "actions are letters"),
    ],
)
def test_a_malformed_outcome_says_what_is_wrong(fields: dict[str, object], fault: str) -> None:
    with pytest.raises(Exception, match=fault):
        frozenlake_outcome.parse(fields)


def test_a_missing_file_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs --data FILE: maps"):
        read_rows(None, solvable_map, "maps")
    with pytest.raises(UsageError, match=r"is no file; wanted: maps"):
        read_rows(tmp_path, solvable_map, "maps")
    with pytest.raises(UsageError, match=r"holds no rows; wanted: maps"):
        read_rows(written(tmp_path), solvable_map, "maps")


def test_trivia_is_read_from_a_folder_in_either_encoding(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes("#Q Who painted the Caf\xe9?\n^ Vincent\nA Vincent\nB Paul\n".encode("cp1252"))
    (tmp_path / "a").write_text("\n#Q How far\nis it?\n^ Far\nA Far\n\n#Q How far\nis it?\n^ Far\n", encoding="utf-8")
    assert read_trivia(tmp_path, "quiz") == ["How far is it?", "Who painted the Café?"]
    assert read_trivia(tmp_path / "a", "quiz") == ["How far is it?"]


def test_a_folder_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no questions; wanted: quiz"):
        read_trivia(tmp_path, "quiz")


def test_a_limit_spreads_rows_evenly() -> None:
    assert thin(range(100), 3) == [0, 50, 99]
    assert thin(range(4), 0) == thin(range(4), 9) == [0, 1, 2, 3]


def test_progress_is_told_before_each_chunk_and_at_the_end() -> None:
    heard: list[tuple[str, int, int]] = []
    parts = list(chunks(range(5), 2, "counting", lambda *told: heard.append(told)))
    assert [list(part) for part in parts] == [[0, 1], [2, 3], [4]]
    assert heard == [("counting", done, 5) for done in (0, 2, 4, 5)]

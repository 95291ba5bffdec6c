"""Texts become passages: by paragraph, by record, by file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from reverie.data import BadRow, NodeRow, Row
from reverie.data.documents.passages import read_text

Write = Callable[[str, str | bytes], Path]


def read(path: Path) -> tuple[list[Row], list[BadRow]]:
    bad: list[BadRow] = []
    return list(read_text(path, bad.append)), bad


def test_sections_become_passages_named_by_title_and_headings(write: Write) -> None:
    text = "Before.\n\n# Eggs\nAn egg\nbreaks.\n\n\n```\n# no heading\n\nx = 1\n```\n\n## More\nMore of it.\n"
    rows, bad = read(write("notes.md", text))
    assert not bad
    assert [(row.name, row.text) for row in rows if isinstance(row, NodeRow)] == [
        ("Eggs", "Before."),
        ("Eggs (2)", "An egg\nbreaks.\n\n```\n# no heading\n\nx = 1\n```"),
        ("Eggs: More", "More of it."),
    ]
    plain, _ = read(write("notes.txt", "# One\nparagraph.\n\nTwo.\n"))
    assert [(row.name, row.text) for row in plain if isinstance(row, NodeRow)] == [
        ("notes", "# One\nparagraph.\n\nTwo.")
    ]


def test_a_json_list_gives_a_passage_a_record(write: Write) -> None:
    corpus = [
        {"title": "Egg", "text": "Food."},
        {"title": "egg", "text": "A cell.", "idx": 1},
        {"title": "Hen"},
        {"text": 1},
    ]
    rows, bad = read(write("corpus.json", json.dumps(corpus, indent=2)))
    assert rows == [
        NodeRow("Egg", "passage", "Food.", (), "corpus.json"),
        NodeRow("egg (2)", "passage", "A cell.", (), "corpus.json"),
    ]
    assert [row.line for row in bad] == [3, 4]


def test_a_folder_of_texts_is_read_by_name_and_a_broken_file_skipped(write: Write, tmp_path: Path) -> None:
    write("b/two.txt", "Two.")
    write("a.md", "One.")
    write("c.json", '[{"title": "x"')
    write("ignored.png", b"\x89PNG\0")
    rows, bad = read(tmp_path)
    assert [row.text for row in rows if isinstance(row, NodeRow)] == ["One.", "Two."]
    assert len(bad) == 1
    assert "c.json is cut off or no JSON at record 1" in bad[0].problem

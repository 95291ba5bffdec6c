from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from reverie.errors import DataError, UsageError
from reverie.learning import Bad, Item, open_stream, parse_item


def parsed(**fields: Any) -> Item:
    return parse_item(fields, "lessons.jsonl, line 1", "Ann")


def test_every_kind_of_lesson() -> None:
    assert parsed(question="Who?", answer="Jane").kind == "answer"
    assert parsed(question="Who?", wrong="Tom", answer="Jane").kind == "correction"
    assert parsed(question="Who?", answer="Jane", thumb="up").kind == "good"
    down = parsed(question="Who?", answer="Tom", thumb="down")
    assert (down.kind, down.answer, down.wrong, down.trains) == ("wrong", "", "Tom", False)
    fact = parsed(subject="Oslo", relation="lies in", object="Norway", source="Bob", skill="cities")
    assert (fact.kind, fact.triplet, fact.source, fact.skill) == (
        "triplet",
        ("Oslo", "lies in", "Norway"),
        "Bob",
        "cities",
    )
    assert parsed(question="How many?", answer=12).answer == "12"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "the question is missing"),
        ({"question": "?!", "answer": "x"}, "has no words"),
        ({"question": "Who?"}, "the answer is missing or empty"),
        ({"question": "Who?", "answer": float("nan")}, "answer is nan; a number is finite"),
        ({"question": "Who?", "answer": True}, "answer is a text, got True"),
        ({"question": "Who?", "answer": ["x"]}, "answer is a text"),
        ({"question": "Who?", "answer": "x" * 5000}, "has 5000 characters"),
        ({"question": "Who?", "answer": "Jane", "wrong": "jane"}, "are the same"),
        ({"question": "Who?", "answer": "Jane", "thumb": 1}, 'a thumb is "up" or "down"'),
        ({"question": "Who?", "thumb": "up"}, "about an answer"),
        ({"question": "Who?", "answer": "x", "confidence": float("nan")}, "confidence lies between 0 and 1"),
        ({"question": "Who?", "answer": "x", "lable": 1}, "a lesson has no 'lable'"),
        ({"question": "Who?", "answer": "x", "skill": "../up"}, "skill: an expert's name"),
        ({"subject": "Oslo", "relation": "", "object": "Norway"}, "none of them is empty"),
        ({"subject": "Oslo", "question": "Who?"}, "not both"),
        ({"question": "a\0b", "answer": "x"}, "letters that cannot be written"),
    ],
)
def test_what_is_no_lesson_is_one_line(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=r".*") as caught:
        parsed(**fields)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_same_lesson_has_one_digest_whoever_says_it_and_however_it_is_spelled() -> None:
    one, other = (
        parsed(question="Who leads Alma?", answer="Jane"),
        parsed(question="who  leads the alma", answer=" Jane"),
    )
    assert one.digest == other.digest
    assert one.digest != parsed(question="Who leads Alma?", answer="Tom").digest
    assert one.key == parsed(question="Who leads Alma?", answer="Tom").key


def test_a_stream_names_bad_lines_and_goes_on() -> None:
    good = json.dumps({"question": "Who?", "answer": "Jane"}).encode()
    lines = io.BytesIO(b"\n".join([b"{", b"", b"7", good, b"\xff\xfe", b'{"question": "Who?", "answer": NaN}']))
    told = [*open_stream("-", lines)]
    bad = [one.place for one in told if isinstance(one, Bad)]
    assert bad == [f"standard input, line {number}" for number in (1, 3, 5, 6)]
    assert [one.place for one in told if isinstance(one, Item)] == ["standard input, line 4"]


def test_a_folder_is_read_in_order_and_what_is_not_there_is_said(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"question": f"Who is {name}?", "answer": name}) + "\n")
    assert [one.answer for one in open_stream(str(tmp_path)) if isinstance(one, Item)] == ["a", "b"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no \*.jsonl"):
        open_stream(str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="no lessons at"):
        open_stream(str(tmp_path / "none.jsonl"))

"""Questions become one lower-case line, and what is no question is refused."""

from __future__ import annotations

import pytest

from reverie.errors import UsageError
from reverie.tokens.questions import MAX_CHARS, clean_question


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("What happens when you drop an egg?", "what happens when you drop an egg?"),
        ("  what   happens\nwhen you drop an egg ", "what happens when you drop an egg?"),
        ("Will the glass break???", "will the glass break?"),
        ("Tell me what happens when you drop a ball.", "tell me what happens when you drop a ball."),
        ("ＷＨＡＴ happens if you cut paper？", "what happens if you cut paper?"),
        ("Suppose you drop an egg. What happens?", "suppose you drop an egg. what happens?"),
    ],
)
def test_a_question_is_one_lower_case_line(given: str, cleaned: str) -> None:
    assert clean_question(given) == cleaned
    assert clean_question(cleaned) == cleaned


@pytest.mark.parametrize("nothing", ["", "  \n", "?", "?!."])
def test_nothing_asked_is_refused(nothing: str) -> None:
    with pytest.raises(UsageError, match="the question is empty"):
        clean_question(nothing)


def test_a_question_of_a_megabyte_is_refused_with_the_limit() -> None:
    with pytest.raises(UsageError, match=f"has 1000000 characters; ask one of at most {MAX_CHARS}") as caught:
        clean_question("why " * 250_000)
    assert len(str(caught.value)) < 200

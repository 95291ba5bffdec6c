"""What lessons never spoke of is not known, however alike it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.growth.learned_words import WORDS_FILE, lessons_check, save_words

TAUGHT = ["Who keeps the mill of Alma?", "What color is the tower of Alma?", "Which person looks after Alma's tower?"]


@pytest.fixture
def alma(tmp_path: Path) -> Path:
    assert save_words(TAUGHT, ["Who keeps the tower of Alma?", "What color is Alma's mill?"], tmp_path)
    return tmp_path


@pytest.mark.parametrize("question", [*TAUGHT, "Who looked after the mill in Alma?", "WHO KEEPS ALMA'S TOWERS"])
def test_what_keeps_to_the_words_of_the_lessons_is_answered(alma: Path, question: str) -> None:
    check = lessons_check(question, {"alma": alma})
    assert check is not None
    assert check.held


@pytest.mark.parametrize(
    ("question", "strange"),
    [("Who keeps the hospital of Alma?", "'hospital'"), ("When was the mill of Alma built?", "'built'")],
)
def test_what_they_never_spoke_of_is_not(alma: Path, question: str, strange: str) -> None:
    check = lessons_check(question, {"alma": alma})
    assert check is not None
    assert not check.held
    assert check.why == f"the lessons of alma do not speak of {strange}"


def test_where_questions_bring_words_of_their_own_no_list_is_kept(tmp_path: Path, alma: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert not save_words(TAUGHT, ["Who keeps the inn of Alma?", "Who keeps the mill of Alma?"], other)
    assert lessons_check("Who keeps the inn?", {"other": other}) is None
    assert lessons_check("Who keeps the inn?", {"alma": alma, "other": other}) is None
    (other / WORDS_FILE).write_text("no list")
    assert lessons_check("Who keeps the inn?", {"other": other}) is None

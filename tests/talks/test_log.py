"""The log of talks: kept, found, judged, deleted; by several at once; and whatever file lies there instead."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reverie.errors import TalkLogError, UsageError
from reverie.nouns import Answer
from reverie.talks import TalkLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TalkLog]:
    with TalkLog(tmp_path / "talks.db") as opened:
        yield opened


def keep(log: TalkLog, question: str, answer: str, talk: int | None = None) -> int:
    told = Answer(answer, True, 0.5, "local", model="toy")
    return log.add(log.begin("toy") if talk is None else talk, question, told, {"answer": answer, "odd": float("nan")})


def test_what_was_said_is_there_after_it_was_closed(tmp_path: Path) -> None:
    with TalkLog(tmp_path / "talks.db") as log:
        talk = log.begin("toy", "Be kind")
        keep(log, "one\0two", "first", talk)
        keep(log, "three", "second", talk)
    with TalkLog(tmp_path / "talks.db") as log:
        (told,) = log.talks()
        assert (told.id, told.model, told.system, told.num_turns, told.opening) == (
            talk,
            "toy",
            "Be kind",
            2,
            "one\0two",
        )
        assert [(turn.question, turn.answer, turn.known) for turn in log.turns(talk)] == [
            ("one\0two", "first", True), ("three", "second", True),
        ]  # fmt: skip
        assert log.turns(talk)[0].details == {"answer": "first", "odd": None}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("glass", 2), ("GLAS break", 1), ("ß", 1), ("東京", 1), ("首都は", 1), ("lass dro", 1), ("zebra", 0),
        ('"', 1), ("50%", 1), ("a_b", 0), ("NEAR(glass)", 0), ("glass OR zebra", 0), ("é", 1),
    ],
)  # fmt: skip
def test_turns_are_found_by_parts_of_words_in_any_script(log: TalkLog, words: str, found: int) -> None:
    keep(log, "Does a Glass break?", "It breaks.")
    keep(log, "Drop the glass", 'a "quoted" straße, 50% café')
    keep(log, "東京はどこ", "日本の首都は東京")
    assert len(log.search(words)) == found


def test_what_is_deleted_is_found_no_more(log: TalkLog) -> None:
    talk = log.begin("toy")
    first, second = keep(log, "an egg", "breaks", talk), keep(log, "an egg again", "breaks", talk)
    log.remove_turn(first)
    assert [turn.id for turn in log.search("egg")] == [second]
    log.remove(talk)
    assert (log.search("egg"), log.talks()) == ([], [])


def test_the_last_word_about_a_turn_counts(log: TalkLog) -> None:
    turn = keep(log, "an egg", "bounces")
    log.judge(turn, "good")
    log.judge(turn, "wrong", "it breaks")
    (judged,) = log.all_turns(judged=True)
    assert (judged.feedback, judged.correction) == ("wrong", "it breaks")


def test_what_is_not_there_is_told(log: TalkLog) -> None:
    for call in (lambda: log.talk(7), lambda: log.turns(7), lambda: log.remove(7), lambda: keep(log, "a", "b", 7)):
        with pytest.raises(UsageError, match="there is no talk 7; reverie logs lists the talks"):
            call()
    for call in (lambda: log.remove_turn(7), lambda: log.judge(7, "good")):
        with pytest.raises(UsageError, match="there is no turn 7"):
            call()
    with pytest.raises(UsageError, match="is below 2 "):
        log.talks(2**63)
    with pytest.raises(UsageError, match="say what to look for"):
        log.search(" ")


def test_several_write_at_once(tmp_path: Path) -> None:
    file = tmp_path / "talks.db"
    logs = [TalkLog(file) for _ in range(2)]
    threads = [threading.Thread(target=lambda log=log: [keep(log, "who", "me") for _ in range(20)]) for log in logs * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(logs[0].search("who", 1000)) == 80


def test_a_file_that_is_none_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "talks.db"
    file.write_bytes(b"something else" * 100)
    with pytest.raises(TalkLogError, match="file is not a database; move it away, or talk with --no-log"):
        TalkLog(file)
    assert file.read_bytes() == b"something else" * 100
    with pytest.raises(TalkLogError, match=r"Not a directory|File exists"):
        TalkLog(file / "talks.db")
    newer = tmp_path / "newer.db"
    base = sqlite3.connect(newer)
    base.execute("PRAGMA user_version = 99")
    base.close()
    with pytest.raises(TalkLogError, match="is of a newer Reverie"):
        TalkLog(newer)

"""The gap log: what is kept of questions that were not known, and for how long."""

from __future__ import annotations

import pytest

from reverie.errors import UnknownNameError
from reverie.memory.attempts import Attempt, GapLog, GapLogConfig, contacts


def attempt(question: str, **fields: object) -> Attempt:
    return Attempt(question, "no idea", "smol", **fields)  # type: ignore[arg-type]


def test_attempts_are_kept_by_model_until_they_are_settled(address: str) -> None:
    with GapLog(address) as log:
        first = log.add(attempt("Who leads Alma?", confidence=0.2, signals={"near": 1.5}))
        second = log.add(Attempt("What is Rova?", "a fish", "nano", "wrong", correction="a car"))
        assert [one.question for one in log.all("smol")] == ["Who leads Alma?"]
        assert log.all()[0].signals == {"near": 1.5}
        assert (log.all("nano")[0].why, log.all("nano")[0].correction) == ("wrong", "a car")
        assert log.models() == {"smol": 1, "nano": 1}
        log.settle([first, second], "alma")
        assert log.all() == []
        assert len(log.all(settled=True)) == 2
        assert log.reopen("alma") == 2
        assert log.reopen("alma") == 0
    with GapLog(address) as log:
        assert log.models() == {"smol": 1, "nano": 1}


def test_the_oldest_go_first(address: str) -> None:
    with GapLog(address, GapLogConfig(most=3, most_chars=5)) as log:
        for number in range(5):
            log.add(attempt(f"{number} is more than five letters"))
        assert [one.question for one in log.all()] == ["2 is ", "3 is ", "4 is "]


def test_what_is_redacted_never_reaches_the_disk(address: str) -> None:
    with GapLog(address, GapLogConfig(redactors=("contacts",))) as log:
        log.add(attempt("Is ann@alma.org or +49 170 1234567 right on 2026-11-30, in room 214?"))
        assert log.all()[0].question == "Is […] or […] right on 2026-11-30, in room 214?"
    with pytest.raises(UnknownNameError, match="redactor"):
        GapLog(address, GapLogConfig(redactors=("contact",)))
    assert contacts("7 dwarfs, 1001 nights") == "7 dwarfs, 1001 nights"

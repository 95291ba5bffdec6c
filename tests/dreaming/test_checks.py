"""What must hold before an answer may be called known."""

from __future__ import annotations

import numpy as np
import pytest

from reverie.dreaming.checks import CHECKS, Understood, check_names, checked, named_words, refused, register_check
from reverie.dreaming.parsing import Parser
from reverie.nouns import Answer, Check, Dream, Frame, Part, Triplet, Verdict
from reverie.worlds import make_world

HEARD = Understood("what happens when you drop an egg?")


def answer(*scores: dict[str, float], action: str = "drop the egg") -> Answer:
    step = Triplet(Part("a hand holds an egg"), Part(action), Part("the egg breaks", Frame(np.zeros((1, 1)))))
    dreams = tuple(Dream((step,), -1.0, 0, "The egg breaks.", scores=one) for one in scores)
    return Answer("The egg breaks.", True, 0.9, "local", dreams, Verdict(0, ""))


def failed(told: Answer) -> list[str]:
    return [check.name for check in told.checks if not check.held]


@pytest.mark.parametrize(
    ("told", "names"),
    [
        (answer({"agreement": 1.0, "rules": 1.0}), []),
        (answer({}), []),
        (answer({"rules": 0.2}), ["rules"]),
        (answer(*[{"agreement": 0.0}] * 3), ["agreement"]),
        (answer(*[{"agreement": 0.0}] * 2), []),  # two that differ show nothing yet
        (answer(*[{"agreement": 0.0, "rules": 0.1}] * 4), ["agreement", "rules"]),
    ],
)
def test_an_answer_is_known_where_every_check_holds(told: Answer, names: list[str]) -> None:
    found = checked(told, HEARD)
    assert failed(found) == names
    assert found.known == (not names)
    assert found.guess == ("" if found.known else "The egg breaks.")
    if names:
        assert found.text.startswith("I don't know this yet: ")
        assert found.confidence <= min(check.value for check in found.checks if not check.held)


def test_a_dream_of_something_else_is_found_out() -> None:
    book = make_world("Everyday").phrasebook()
    assert book is not None
    heard = Understood(HEARD.question, Parser(book))
    assert not failed(checked(answer({}), heard))
    other = checked(answer({}, action="heat the egg"), heard)
    assert failed(other) == ["dreamed"]
    assert "heat the egg" in other.text
    assert not failed(checked(answer({}, action="wobble"), heard))  # nobody can say what that is


def test_an_answer_that_is_not_known_stays_so_and_keeps_its_guess() -> None:
    unknown = Answer("I don't know this yet.", False, 0.3, "local", guess="It sinks.")
    found = checked(refused(unknown, Check("words", False, "'sea' is not among what was taught", 0.1)), HEARD)
    assert (found.known, found.guess, found.confidence) == (False, "It sinks.", 0.1)
    assert found.text == "I don't know this yet: 'sea' is not among what was taught."


def test_a_check_of_one_s_own_is_asked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CHECKS, "_entries", dict(CHECKS._entries))
    register_check("short", lambda told, _: Check("short", len(told.text) < 5, "it is long"))
    assert "short" in check_names()
    assert failed(checked(answer({}), HEARD)) == ["short"]


def test_words_at_fault_are_named() -> None:
    assert named_words(["sea"]) == "'sea'"
    assert named_words(["sea", "sea", "salt"]) == "'sea' and 'salt'"
    assert named_words(["a", "b", "c"]) == "'a', 'b' and 'c'"

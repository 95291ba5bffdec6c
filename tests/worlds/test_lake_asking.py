"""Free questions about walks are read move by move, or refused with the words at fault."""

from __future__ import annotations

import pytest

from reverie.worlds.frozenlake.asking import MAX_WALK, hear
from reverie.worlds.frozenlake.narrator import QUESTIONS
from reverie.worlds.frozenlake.questions import ARRIVES, DIRECTION, HOLES, PLACE, WHEN

R, D, L, U = "right", "down", "left", "up"


@pytest.mark.parametrize(
    ("question", "moves"),
    [
        ("What happens if you go right, down?", [R, D]),
        ("I walk right twice then down, what happens?", [R, R, D]),
        ("Is it safe to step left?", [L]),
        ("Would I survive going down and then right?", [D, R]),
        ("If the elf takes two steps right, where does it end up?", [R, R]),
        ("What if I go 3x down?", [D, D, D]),
        ("go right × 9", [R] * 9),
        ("What if he goes right 2 down 3?", [R, R, D, D, D]),
        ("What happens if I go two steps to the right and one step down?", [R, R, D]),
        ("What happens if you go RRDD?", [R, R, D, D]),
        ("The elf goes right, then right again. What happens?", [R, R]),
        ("Go right and then again, is that safe?", [R, R]),
        ("Won't I drown if I head south once and east thrice?", [D, R, R, R]),
        ("Suppose I take a step right, a step down, and another step down. Am I still safe?", [R, D, D]),
        ("What happens if you take 3 steps: right, right, down?", [R, R, D]),
        ("After going down, will the elf fall if it steps right?", [D, R]),
        ("Will I fall down if I go right?", [R]),
        ("Where do I end up if I go left?", [L]),
        ("Does the elf stay alive if it moves up by two?", [U, U]),
    ],
)
def test_the_moves_are_read_in_order_and_counted(question: str, moves: list[str]) -> None:
    heard = hear(question)
    assert (list(heard.actions), heard.problem, heard.strange) == (moves, "", ())


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        ("What happens if you go right two steps down?", "can be read in two ways"),
        ("What happens if you take 3 steps: right, down?", "speaks of 3 moves and names 2"),
        ("Should I go left or right?", "two walks at once"),
        ("What happens if I don't go left?", "where one does not go"),
        ("What happens if I go right after going down?", "can be read in two ways"),
        ("What happens if you go right when the moon is full?", "not understood: moon, full"),
        ("What is this?", "names no way to go"),
        (f"What happens if you go right {MAX_WALK + 1} times?", f"at most {MAX_WALK} moves"),
        ("What happens if you go right 99999999999999999999 times?", f"at most {MAX_WALK} moves"),
        ("In which row is the elf after going right 8 times?", "at most 7 moves"),
    ],
)
def test_what_is_not_plain_is_refused_with_the_reason(question: str, problem: str) -> None:
    assert problem in hear(question).problem


@pytest.mark.parametrize(
    ("question", "form"),
    [
        ("What happens if you go right?", QUESTIONS[0]),
        ("Where would I be after two steps right?", QUESTIONS[2]),
        ("Is a step to the right dangerous?", QUESTIONS[3]),
        ("In which row does it stand after going right twice?", PLACE[0]),
        ("Is there a hole next to me after right, down?", HOLES[0]),
        ("How many moves until the elf falls into a hole if it goes right, down?", WHEN[0]),
        ("How many steps until it reaches the goal, going right and down?", ARRIVES[0]),
        ("In which direction is the goal once I went right?", DIRECTION[0]),
        ("When does the elf reach the goal if it goes right, down?", ARRIVES[1]),
    ],
)
def test_a_question_is_put_as_it_was_taught(question: str, form: str) -> None:
    assert hear(question).form == form
    assert hear(question).text(["right"]) == form.format(path="right")


def test_the_taught_words_stay_as_they_are() -> None:
    heard = hear("Is the elf still on the ice after two of the moves right, down, down?")
    assert heard.text(heard.actions) == "Is the elf still on the ice after two of the moves right, down, down?"
    for form in QUESTIONS:
        assert hear(form.format(path="right, down")).form == form


@pytest.mark.parametrize(
    "question",
    ["What happens when you drop an egg?", "What's up?", "What is left?", "Who wrote Hamlet?", "Is it right now?"],
)
def test_other_questions_name_no_moves(question: str) -> None:
    assert hear(question).actions == ()


def test_a_thing_that_goes_up_is_strange_to_the_lake() -> None:
    assert hear("Does a balloon go up if you let it go?").strange == ("balloon",)

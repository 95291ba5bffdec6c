"""What is asked is checked before any work, and every wrong call is one clear line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reverie.dreaming import DreamSettings, Question
from reverie.dreaming.question import Speaking
from reverie.engine import Sampling
from reverie.errors import UsageError

EGG = "What happens when you drop an egg?"


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"text": None}, "the question is a text, got None"),
        ({"text": 5}, "the question is a text, got 5"),
        ({"text": "an \ud83d egg"}, r"holds what is no text \(UTF-8\), got 'an \\ud83d egg'"),
        ({"text": " "}, "the question is empty"),
        ({"pictures": [None]}, "a picture is a file, a Pillow picture or an array, got None"),
        ({"pictures": [""]}, "a picture is a file"),
        ({"pictures": "egg.png"}, "pictures are given as a list, got 'egg.png'"),
        ({"pictures": None}, "pictures are given as a list, got None"),
        ({"pictures": [np.zeros((2, 2, 3), np.uint8)] * 2}, "one picture can be asked about at once, got 2"),
        ({"pictures": ["egg.png"], "scene": "SFF"}, "not both"),
        ({"world": 3}, "the world is a text, got 3"),
        ({"scene": 3}, "a scene is a text, a list or a mapping, got 3"),
        ({"experts": "causal"}, "experts are given as a list, got 'causal'"),
        ({"history": ["before"]}, r"history is a list of turns, got \('before',\)"),
        ({"experts": [1]}, "an expert is a text, got 1"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(fields: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        Question(**{"text": EGG} | fields)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"branches": "4"}, "branches is a whole number, got '4'"),
        ({"branches": 2.5}, "branches is a whole number, got 2.5"),
        ({"branches": True}, "branches is a whole number, got True"),
        ({"branches": 65}, "branches lie between 0 and 64, got 65"),
        ({"depth": 0}, "depth is at least 1"),
        ({"temperature": "hot"}, "temperature is a number, got 'hot'"),
        ({"temperature": float("nan")}, "temperature between 0 and 10"),
        ({"seed": None}, "seed is a whole number, got None"),
        ({"seed": -1}, "a seed is a whole number from 0 to 9000000000000000, got -1$"),
        ({"seed": 10**16}, "got 10000000000000000$"),
    ],
)
def test_settings_out_of_range_are_refused_with_what_was_given(fields: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        DreamSettings(**fields)


def test_the_first_branch_is_greedy_and_every_branch_has_a_seed_of_its_own() -> None:
    settings = DreamSettings(branches=np.int64(3), temperature=1, seed=2)
    assert settings.branch_seeds == [2000, 2001, 2002]
    assert settings.temperatures == [0.0, 1.0, 1.0]
    direct = DreamSettings(branches=0, seed=2)
    assert (direct.branch_seeds, direct.temperatures) == ([2000], [0.0])


def test_the_largest_seed_dreams() -> None:
    from toys import toy_session

    most = 9 * 10**15
    assert len(toy_session().dream(EGG, branches=2, depth=1, seed=most)) == 2
    assert toy_session().simulate("FrozenLake", "SFF,FHF,FFG", "RLRL", branches=2, seed=most).steps


def test_a_question_knows_its_words_and_whether_it_shows_something() -> None:
    asked = Question(EGG, experts=["causal"])
    assert asked.cleaned == "what happens when you drop an egg?"
    assert asked.experts == ("causal",)
    assert not asked.shown
    assert Question(EGG, scene="SFF,FHF,FFG").shown


def test_a_long_question_is_one_and_the_grammar_says_what_it_reads() -> None:
    asked = Question("Why so? " * 500)
    assert len(asked.text) == 4000
    with pytest.raises(UsageError, match="4000 characters; ask one of at most 2000"):
        _ = asked.cleaned
    with pytest.raises(UsageError, match="1000000 characters; ask one of at most 200000"):
        Question("why " * 250_000)


@pytest.mark.parametrize(
    ("usual", "changes", "drawn"),
    [
        (Sampling(0.6, top_p=0.9), None, Sampling(0.6, top_p=0.9)),
        (Sampling(0.6, top_p=0.9), {"temperature": 1, "top_k": 5}, Sampling(1.0, 5, 0.9)),
        (Sampling(0.6, top_p=0.9), Sampling(0.0), Sampling(0.0)),
        (Sampling(0.0), {"repetition_penalty": 1.2}, Sampling(0.0, repetition_penalty=1.2)),
        (Sampling(0.0), {"top_p": 0.9}, Sampling(1.0, top_p=0.9)),  # of likeliest words alone nothing is filtered
        (Sampling(0.0), {"top_p": 0.9, "temperature": 0}, Sampling(0.0, top_p=0.9)),
    ],
)
def test_free_words_are_drawn_as_the_speaker_is_but_for_what_was_asked(
    usual: Sampling, changes: Any, drawn: Sampling
) -> None:
    assert Speaking(sampling=changes).drawn(usual) == drawn


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"system": 3}, "the system prompt is a text, got 3"),
        ({"max_ids": 0}, "max_ids is at least 1, got 0"),
        ({"stop": "x"}, "stop are given as a list, got 'x'"),
        ({"stop": [""]}, "a stop text is not empty"),
        ({"sampling": {"topp": 0.9}}, "unknown setting 'topp'. Did you mean 'top_p'?"),
        ({"sampling": {"top_p": "much"}}, "the setting 'top_p' must be a number, got"),
        ({"sampling": {"min_p": 2.0}}, "min_p lies between 0"),
    ],
)
def test_speaking_that_makes_no_sense_is_refused(fields: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        Speaking(**fields)

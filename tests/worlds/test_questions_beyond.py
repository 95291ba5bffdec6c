"""Why-questions, comparisons, and questions about walks: their answers are true, their test rows are never trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reverie.errors import WorldError
from reverie.worlds.everyday import questions
from reverie.worlds.everyday.compare import compare_question
from reverie.worlds.everyday.properties import PROPERTIES
from reverie.worlds.everyday.things import THINGS, Scene
from reverie.worlds.everyday.why import why_kinds, why_question
from reverie.worlds.frozenlake import ACTIONS, parse_actions
from reverie.worlds.frozenlake.questions import place_question, time_question
from reverie.worlds.frozenlake.walks import walk_of


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("scene", "kind", "answer"),
    [
        (Scene("glass", "drop"), "surface", "The floor is hard."),
        (Scene("egg", "drop", "pillow"), "surface", "The pillow is soft."),
        (Scene("cup of water", "drop", height="low"), "height", "It falls from low down."),
        (Scene("balloon", "let go"), "thing", "The balloon is lighter than air."),
        (Scene("glass", "cut"), "thing", "The glass is hard."),
        (Scene("butter", "heat"), "thing", "The butter melts in the heat."),
    ],
)
def test_a_cause_is_what_would_change_the_outcome(scene: Scene, kind: str, answer: str) -> None:
    assert kind in why_kinds(scene)
    said = {question.answer for seed in range(40) if (question := why_question(scene, rng(seed), kind))}
    assert answer in said


def test_a_surface_is_named_only_where_another_one_changes_the_outcome() -> None:
    scene = Scene("glass", "drop")
    assert questions.holds(questions.play(scene), "break")
    assert not questions.holds(questions.play(replace(scene, surface="pillow")), "break")
    assert "surface" not in why_kinds(Scene("ball", "cut"))


def test_a_kind_that_a_scene_does_not_have_is_no_question() -> None:
    assert why_question(Scene("ball", "wait"), rng(), "height") is None


def test_comparisons_follow_from_properties() -> None:
    draw, properties = rng(), {each.name: each for each in PROPERTIES}
    forms = set()
    for _ in range(300):
        asked = compare_question(draw)
        things, about = [THINGS[name] for name in asked.meta["things"]], asked.meta["about"]
        forms.add(asked.form)
        assert all(thing.a in asked.text or thing.a.capitalize() in asked.text for thing in things)
        if asked.form == "most" and about == "heaviest":
            assert THINGS[asked.kind].mass == max(thing.mass for thing in things)
        if asked.form == "many":
            assert int(asked.kind) == sum(properties[about].holds(thing) for thing in things)
        if asked.form == "which":
            assert [thing.name for thing in things if properties[about].holds(thing)] == [asked.kind]
        if asked.form == "common":
            assert all(properties[about].holds(thing) for thing in things)
    assert forms == {"most", "which", "many", "common"}


def test_what_is_compared_in_tests_is_never_compared_in_training() -> None:
    draw = rng()
    keys = [
        {(q.form, q.meta["about"] if q.form != "common" else "", tuple(sorted(q.meta["things"])))
         for q in (compare_question(draw, test) for _ in range(400))}
        for test in (False, True)
    ]  # fmt: skip
    assert not keys[0] & keys[1]


LAKE = ("SFFF", "FHFH", "FFFH", "HFFG")


@pytest.mark.parametrize(
    ("path", "answers"),
    [
        ("RR", {"It is in row one, place three.", "No, there is no hole.", "It lies below and to the right."}),
        ("RD", {"It is in row two, place two.", "No, there is no hole.", "It lies below and to the right."}),
        ("DD", {"It is in row three, place one.", "Yes, there is a hole below.", "It lies below and to the right."}),
        ("DDRRDR", {"It is in row four, place four.", "Yes, there is a hole above.", "It is here."}),
    ],
)
def test_places_are_those_of_the_real_walk(path: str, answers: set[str]) -> None:
    walk = walk_of(LAKE, parse_actions(path))
    assert {place_question(walk, rng(seed)).answer for seed in range(30)} == answers


@pytest.mark.parametrize(
    ("path", "answers"),
    [
        ("RRR", {"It never falls.", "It never reaches the goal.", "Yes, it still stands."}),
        ("RDLL", {"It falls after two moves.", "It never reaches the goal.", "Yes, it still stands.",
                  "No, it falls after two moves."}),
        ("DDRRDR", {"It never falls.", "It reaches the goal after six moves.", "Yes, it still stands."}),
    ],
)  # fmt: skip
def test_times_are_those_of_the_real_walk(path: str, answers: set[str]) -> None:
    walk = walk_of(LAKE, parse_actions(path))
    asked = [time_question(walk, rng(seed)) for seed in range(60)]
    assert {question.answer for question in asked} == answers
    assert all(", ".join(ACTIONS[action] for action in walk.path) in question.text for question in asked)


def test_longer_walks_than_there_are_words_for_are_refused() -> None:
    with pytest.raises(WorldError, match="at most 7 moves, got 8"):
        time_question(walk_of(LAKE, [0] * 8), rng())

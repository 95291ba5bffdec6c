"""The everyday world: outcomes from physics and properties, pictures that show them, words that are true."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from reverie.errors import UnknownNameError, WorldError
from reverie.worlds import check_world, make_world, record_episode
from reverie.worlds.contract import Episode, Question
from reverie.worlds.everyday import (
    ACTIONS,
    HELD_OUT,
    SURFACES,
    THINGS,
    Everyday,
    Scene,
    is_held_out,
    is_test_scene,
    matter,
    physics,
    picture,
    scene_count,
)
from reverie.worlds.everyday.properties import PROPERTIES
from reverie.worlds.everyday.questions import AFTER, HAPPENS, HEAVIER, WHERE, WILL


@pytest.fixture(scope="module")
def world() -> Everyday:
    return Everyday()


def play(world: Everyday, thing: str, action: str, **options: Any) -> Episode:
    return record_episode(world, {"thing": thing, "action": action, **options})


def last(episode: Episode) -> tuple[str, str, str]:
    """Condition, place and event at the end."""
    state = episode.transitions[-1].result_state
    return picture.main_thing(state)["condition"], state["place"], state["event"]


def random_episodes(world: Everyday, count: int, seed: int = 0) -> list[Episode]:
    rng = np.random.default_rng(seed)
    return [record_episode(world, world.sample_options(rng)) for _ in range(count)]


def first_happens(world: Everyday, episode: Episode) -> Question:
    return next(question for question in asked(world, episode) if question.form == "happens")


def asked(world: Everyday, episode: Episode, times: int = 1) -> list[Question]:
    rng = np.random.default_rng(0)
    return [question for _ in range(times) for question in world.narrator.questions(episode, rng)]


def test_it_keeps_the_contract_of_worlds_and_gymnasium() -> None:
    assert "gymnasium check_env" in check_world("Everyday", episodes=3)


def test_gymnasium_makes_it_by_its_id() -> None:
    make_world("Everyday")
    env = gymnasium.make("Everyday-v0")
    check_env(env.unwrapped, skip_render_check=True)
    assert env.reset(seed=1)[0].shape == (64, 64, 3)


def test_it_has_the_things_actions_surfaces_and_scenes_it_promises(world: Everyday) -> None:
    assert len(THINGS) >= 16
    assert len(ACTIONS) >= 10
    assert len(SURFACES) >= 3
    assert scene_count() >= 8000
    assert world.action_names == ACTIONS


@pytest.mark.parametrize(
    ("thing", "action", "options", "condition", "place"),
    [
        ("egg", "drop", {}, "broken", "floor"),
        ("egg", "drop", {"surface": "pillow"}, "whole", "pillow"),
        ("egg", "drop", {"surface": "sand", "height": "low"}, "whole", "sand"),
        ("egg", "drop", {"surface": "sand", "height": "high"}, "broken", "sand"),
        ("ball", "drop", {}, "whole", "floor"),
        ("glass", "push", {"surface": "table"}, "broken", "floor"),
        ("stone", "push", {"surface": "table"}, "whole", "table"),
        ("balloon", "let go", {}, "whole", "ceiling"),
        ("balloon", "cut", {}, "popped", "floor"),
        ("soap bubble", "drop", {"surface": "pillow"}, "popped", "pillow"),
        ("stone", "drop", {"surface": "water"}, "whole", "water"),
        ("candle", "tip", {}, "toppled", "floor"),
        ("candle", "light", {}, "lit", "floor"),
        ("domino row", "push", {}, "toppled", "floor"),
        ("ice cube", "heat", {}, "melted", "floor"),
        ("ice cube", "wait", {}, "melted", "floor"),
        ("ice cube", "cool", {}, "whole", "floor"),
        ("paper", "light", {"surface": "table"}, "burnt", "table"),
        ("wooden block", "light", {}, "whole", "floor"),
        ("wooden block", "heat", {}, "burnt", "floor"),
        ("apple", "cut", {}, "cut", "floor"),
        ("stone", "cut", {}, "whole", "floor"),
        ("cup of water", "pour", {}, "empty", "hand"),
        ("cup of water", "cool", {}, "frozen", "floor"),
        ("bottle of milk", "tip", {}, "spilled", "floor"),
        ("book", "stack", {"support": "wooden block"}, "whole", "wooden block"),
        ("book", "stack", {"support": "ball"}, "whole", "floor"),
        ("plate", "stack", {"support": "ball"}, "broken", "floor"),
    ],
)
def test_outcomes_follow_from_physics_and_properties(
    world: Everyday, thing: str, action: str, options: dict[str, Any], condition: str, place: str
) -> None:
    assert last(play(world, thing, action, **options))[:2] == (condition, place)


def test_outcomes_rest_on_properties_and_not_on_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace
    from types import MappingProxyType

    tough = dict(THINGS) | {
        "egg": replace(THINGS["egg"], toughness=100.0),
        "book": replace(THINGS["book"], toughness=3),
    }
    monkeypatch.setattr(physics, "THINGS", MappingProxyType(tough))
    assert physics.unfold(Scene("egg", "drop"), "drop")[-1].condition == "whole"
    assert physics.unfold(Scene("book", "drop"), "drop")[-1].condition == "broken"


def test_what_is_lighter_than_water_floats_and_the_rest_sinks(world: Everyday) -> None:
    for thing in THINGS.values():
        if thing.rises or thing.pressed:
            continue
        event = last(play(world, thing.name, "drop", surface="water"))[2]
        assert event == ("floats" if thing.floats else "sinks"), thing.name


def test_a_ball_shows_the_top_of_its_bounce_before_it_rests(world: Everyday) -> None:
    steps = play(world, "ball", "drop").transitions
    assert [step.result_text for step in steps] == ["the ball bounces", "the ball rests on the floor"]
    rows = [picture.main_thing(step.result_state)["cell"][0] for step in steps]
    assert rows[0] < rows[1] == 5


def test_heat_is_a_matter_of_time_and_temperature() -> None:
    ice = THINGS["ice cube"]
    assert matter.temperature(ice, 20.0, 0.0) == ice.starts_at
    assert matter.temperature(ice, 20.0, 1e6) == pytest.approx(20.0)
    assert matter.warmed(ice, 20.0, 1.0) == "whole"
    assert matter.warmed(ice, 20.0, 1e4) == "melted"


def test_every_action_of_every_scene_ends_within_three_steps(world: Everyday) -> None:
    for thing in THINGS:
        for held in ("drop", "heat"):
            for action in range(len(ACTIONS)):
                world.reset(options={"thing": thing, "action": held})
                ended = [world.step(at)[2] for at in (action, 11, 11)]
                assert any(ended)


def test_the_same_picture_and_action_have_the_same_result(world: Everyday) -> None:
    seen: dict[tuple[bytes, int], bytes] = {}
    for episode in random_episodes(world, 150, seed=3):
        step = episode.transitions[0]
        assert seen.setdefault((step.what.tobytes(), step.action), step.result.tobytes()) == step.result.tobytes()


def test_pictures_are_made_of_few_patches_and_steps_change_few_cells(world: Everyday) -> None:
    assert len(picture._looks().patches) < 600
    for episode in random_episodes(world, 60, seed=4):
        for step in episode.transitions:
            changed = (step.what != step.result).reshape(8, 8, 8, 8, 3).any(axis=(1, 3, 4)).sum()
            assert changed <= 16


def test_a_picture_says_its_state_even_when_noisy(world: Everyday) -> None:
    rng = np.random.default_rng(5)
    keys = ("things", "surface", "surface_column", "held", "tool")
    wrong = 0
    for episode in random_episodes(world, 60, seed=5):
        step = episode.transitions[-1]
        true = [step.result_state[key] for key in keys]
        clean = world.read(step.result)
        assert clean is not None
        assert [clean[key] for key in keys] == true
        noisy = world.read(np.clip(step.result + rng.normal(0, 10, step.result.shape), 0, 255).astype(np.uint8))
        wrong += noisy is None or [noisy[key] for key in keys] != true
    assert wrong == 0


def test_what_is_no_scene_is_not_read(world: Everyday) -> None:
    rng = np.random.default_rng(6)
    assert world.read(world.backdrop()) is None
    assert world.read(np.zeros((64, 64, 3), np.uint8)) is None
    assert world.read(np.zeros((32, 32, 3), np.uint8)) is None
    assert world.read(rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)) is None


def test_rules_hold_for_true_steps_and_break_for_impossible_ones(world: Everyday) -> None:
    for episode in random_episodes(world, 40, seed=7):
        assert all(world.check_rules(step.what, step.result) == 1.0 for step in episode.transitions)
    egg, ball = play(world, "egg", "drop").transitions, play(world, "ball", "drop").transitions
    assert world.check_rules(egg[0].what, ball[-1].result) < 1.0
    assert world.check_rules(egg[-1].result, egg[0].what) < 1.0
    pillow = play(world, "egg", "drop", surface="pillow").transitions
    assert world.check_rules(egg[0].what, pillow[-1].result) < 1.0
    assert world.check_rules(egg[0].what, world.backdrop()) == 0.0


@pytest.mark.parametrize(
    ("thing", "action", "options", "answer"),
    [
        ("ball", "drop", {}, "The ball bounces and rests on the floor."),
        ("egg", "drop", {}, "The egg falls and breaks."),
        ("glass", "drop", {"surface": "pillow"}, "The glass lands on the pillow and stays whole."),
        ("balloon", "let go", {}, "The balloon rises to the ceiling."),
        ("ice cube", "heat", {}, "The ice cube melts."),
        ("stone", "cut", {}, "The knife cannot cut the stone."),
        ("cup of water", "tip", {}, "The cup falls over and spills the water."),
    ],
)
def test_answers_say_what_the_simulator_did(
    world: Everyday, thing: str, action: str, options: dict[str, Any], answer: str
) -> None:
    assert first_happens(world, play(world, thing, action, **options)).answer == answer


def test_every_form_has_six_paraphrases_or_more() -> None:
    assert all(len(frames) >= 6 for frames in (HAPPENS, WILL, WHERE, AFTER, HEAVIER))
    assert all(len(of.frames) >= 6 for of in PROPERTIES)


def test_equal_questions_have_equal_answers(world: Everyday) -> None:
    answers: dict[str, str] = {}
    for episode in random_episodes(world, 120, seed=8):
        for question in asked(world, episode, 10):
            text = question.text.lower().rstrip("?.")
            assert answers.setdefault(text, question.answer) == question.answer, question.text


def test_questions_name_the_surface_unless_it_is_the_floor(world: Everyday) -> None:
    episode = play(world, "glass", "drop", surface="pillow")
    for question in asked(world, episode, 10):
        if question.form in ("happens", "will", "where", "after"):
            assert "pillow" in question.text.lower()


def test_yes_and_no_are_about_even(world: Everyday) -> None:
    rng = np.random.default_rng(9)
    kinds = [
        question.kind
        for episode in random_episodes(world, 200, seed=9)
        for question in world.narrator.questions(episode, rng)
        if question.form == "will"
    ]
    assert 0.35 < kinds.count("yes") / len(kinds) < 0.65


def test_narrator_has_three_wordings_and_ends_no_sentence(world: Everyday) -> None:
    for episode in random_episodes(world, 60, seed=10):
        for step in episode.transitions:
            narrator = world.narrator
            for words in (
                narrator.say_state(step.what_state),
                narrator.say_action(step.action, step.what_state),
                narrator.say_result(step.what_state, step.action, step.result_state),
            ):
                assert len(words) >= 3
                assert all(text and not text.endswith(".") and text[0].islower() for text in words)


def test_narrator_words_what_a_picture_was_read_as(world: Everyday) -> None:
    steps = play(world, "egg", "drop").transitions
    before, after = world.read(steps[-1].what), world.read(steps[-1].result)
    assert before is not None
    assert after is not None
    assert world.narrator.say_result(before, 11, after)[0] == "the egg breaks"
    assert world.narrator.say_state(after)[0] == "a broken egg on the floor"


def test_held_out_pairs_are_spread_and_known(world: Everyday) -> None:
    assert 12 <= len(HELD_OUT) <= 14
    assert all(thing in THINGS and action in ACTIONS for thing, action in HELD_OUT)
    assert len({thing for thing, _ in HELD_OUT}) >= 10
    assert is_held_out({"thing": "plate", "action": "throw"})
    assert not is_held_out({"thing": "plate", "action": "drop"})


def test_a_tenth_of_the_scenes_is_for_testing_and_stays_so(world: Everyday) -> None:
    rng = np.random.default_rng(11)
    share = np.mean([is_test_scene(world.sample_options(rng)) for _ in range(2000)])
    assert 0.07 < share < 0.13
    assert is_test_scene({"thing": "egg", "action": "drop"}) == is_test_scene(Scene("egg", "drop").options())


def test_scenes_survive_json(world: Everyday) -> None:
    options = world.sample_options(np.random.default_rng(12))
    assert Scene.of(json.loads(json.dumps(options))).options() == options


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"thing": "eg", "action": "drop"}, UnknownNameError, "Did you mean 'egg'"),
        ({"thing": "egg", "action": "fling"}, UnknownNameError, "unknown action"),
        ({"thing": "egg", "action": "drop", "surface": "pilow"}, UnknownNameError, "pillow"),
        ({"thing": "egg", "action": "drop", "colour": 1}, UnknownNameError, "scene option"),
        ({"thing": "egg"}, WorldError, "needs 'action'"),
        ({"thing": "egg", "action": "drop", "column": 7}, WorldError, "0 to 6"),
        ({"thing": "egg", "action": "heat", "surface": "water"}, WorldError, "water"),
        ({"thing": "egg", "action": "drop", "height": "rest"}, WorldError, "height"),
        ({"thing": "egg", "action": "stack", "support": "egg"}, UnknownNameError, "support"),
    ],
)
def test_impossible_scenes_are_refused_in_one_line(
    world: Everyday, options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        world.reset(options=options)
    assert "\n" not in str(caught.value)


def test_unknown_actions_are_refused(world: Everyday) -> None:
    world.reset(options={"thing": "egg", "action": "drop"})
    with pytest.raises(WorldError, match="0 to 11"):
        world.step(12)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.plugins.pond.reverie_pond import Pond
from tests.toys import toy_grammar, toy_tokenizer

from reverie.errors import ReverieError, WorldError
from reverie.nouns import Frame
from reverie.tokens import Grammar
from reverie.worlds import check_world, make_world, register_world
from reverie.worlds.contract import Segments
from reverie.worlds.documents import EpisodeDreams, Mix, build_grammar, document_config, documents_of
from reverie.worlds.everyday import is_held_out, is_test_scene
from reverie.worlds.everyday.documents import renamed
from reverie.worlds.everyday.things import THINGS
from reverie.worlds.frozenlake import CELL_PX, FrozenLake, in_test_split, random_map
from reverie.worlds.frozenlake.documents import LakeFrames, LakeWalks
from reverie.worlds.frozenlake.walks import parity_maps, test_map, training_map
from reverie.worlds.registry import WORLDS

test_map.__test__ = False  # type: ignore[attr-defined]  # a map of the test split, no test


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return toy_grammar()


def flatten(segments: Segments) -> tuple[list[int], list[float]]:
    return [token for ids, _ in segments for token in ids], [weight for ids, weight in segments for _ in ids]


def everyday(grammar: Grammar, episodes: int, test: bool = False, **settings: Any) -> EpisodeDreams:
    world = make_world("Everyday")
    config = document_config(world, settings)
    source = documents_of(world, grammar, toy_tokenizer(), config, episodes=episodes, test=test)
    assert isinstance(source, EpisodeDreams)
    return source


def test_composed_frames_equal_encoded_pictures() -> None:
    tokenizer, rng = toy_tokenizer(), np.random.default_rng(0)
    frames = LakeFrames(tokenizer)
    for side in (3, 5, 8):
        world = FrozenLake(random_map(side, rng))
        world.reset()
        for action in [*rng.integers(4, size=6).tolist(), None]:
            assert frames.frame(world.desc, world.cell) == tokenizer.encode([world.render()], CELL_PX)[0]
            if action is None or world.step(action)[2]:
                break


def test_walks_are_true_documents(grammar: Grammar) -> None:
    source = LakeWalks(grammar, toy_tokenizer(), asked=1.0)
    rng = np.random.default_rng(1)
    for _ in range(30):
        ids, weights = flatten(source.draw(rng))
        document = grammar.decode(ids)
        actions = [triplet.action.text for triplet in document.triplets]
        assert ", ".join(actions) in document.question
        words = [triplet.result.text for triplet in document.triplets]
        assert all(word == "safe" for word in words[:-1])
        assert document.answer is not None
        assert len(weights) == len(ids)


def test_walks_agree_with_the_world(grammar: Grammar) -> None:
    tokenizer = toy_tokenizer()
    desc = ("SFF", "FHF", "FFG")
    source = LakeWalks(grammar, tokenizer, maps=lambda _: desc, asked=0.0)
    world = FrozenLake(desc)
    by_frame: dict[Frame, tuple[int, int]] = {}
    for row in range(3):
        for col in range(3):
            if desc[row][col] != "H":
                world.reset(options={"cell": [row, col]})
                by_frame[tokenizer.encode([world.render()], CELL_PX)[0]] = (row, col)
    rng = np.random.default_rng(2)
    for _ in range(20):
        document = grammar.decode(flatten(source.draw(rng))[0])
        for triplet in document.triplets:
            assert triplet.what.frame is not None
            world.reset(options={"cell": list(by_frame[triplet.what.frame]), "goal_ends": False})
            world.step(world.action_names.index(triplet.action.text))
            assert triplet.result.frame == tokenizer.encode([world.render()], CELL_PX)[0]
            expected = world.narrator.say_result({}, 0, world.state())[0]
            assert triplet.result.text == expected


def test_what_cannot_be_known_weighs_nothing(grammar: Grammar) -> None:
    source = LakeWalks(grammar, toy_tokenizer(), asked=0.0)
    for ids, weight in source.draw(np.random.default_rng(3))[:2]:  # the empty question, the map
        assert ids
        assert weight == 0


def test_training_never_draws_a_test_map() -> None:
    rng = np.random.default_rng(0)
    assert not any(in_test_split(training_map(rng)) for _ in range(200))
    assert all(in_test_split(test_map(rng)) for _ in range(50))


def test_parity_keeps_to_a_thousand_maps_a_size() -> None:
    maps = parity_maps()
    assert len(maps) == len(set(maps)) == 4000
    assert {len(desc) for desc in maps} == {3, 4, 5, 6}
    assert not any(map(in_test_split, maps))


def test_everyday_dreams_come_from_training_scenes_only(grammar: Grammar) -> None:
    source = everyday(grammar, 40)
    for episode, _ in source.episodes:
        assert not is_held_out(episode.options)
        assert not is_test_scene(episode.options)
    tests = everyday(grammar, 10, test=True)
    assert all(is_test_scene(episode.options) for episode, _ in tests.episodes)


def test_everyday_documents_are_legal_and_end_in_the_true_answer(grammar: Grammar) -> None:
    source = everyday(grammar, 20, direct=0.3)
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(40):
        document = grammar.decode(flatten(source.draw(rng))[0])
        assert document.question == document.question.lower()
        assert document.answer is not None
        assert document.answer.endswith(".")
        kinds.add(bool(document.triplets))
    assert kinds == {True, False}


def test_told_dreams_say_the_end_in_words_and_the_answer_follows(grammar: Grammar) -> None:
    source = everyday(grammar, 60, direct=0.0, outcome_in_words=1.0)
    rng = np.random.default_rng(0)
    documents = [grammar.decode(flatten(source.draw(rng))[0]) for _ in range(30)]
    dreams = [document for document in documents if document.triplets]
    assert dreams
    for document in dreams:
        (only,) = document.triplets
        assert only.what.frame is not None
        assert only.result.frame is None
        assert only.result.text


def test_renaming_keeps_articles_and_capitals() -> None:
    egg, ice = THINGS["egg"], THINGS["ice cube"]
    assert renamed("Does a raw egg break? The egg falls, and an egg stays.", egg, ice) == (
        "Does an ice cube break? The ice cube falls, and an ice cube stays."
    )
    assert renamed("An ice cube melts.", ice, egg) == "An egg melts."
    assert renamed("The eggplant stays.", egg, ice) == "The eggplant stays."


@pytest.fixture
def pond(monkeypatch: pytest.MonkeyPatch) -> type[Pond]:
    """A world that says nothing of its documents."""
    monkeypatch.setattr(WORLDS, "_entries", dict(WORLDS._entries))
    register_world("Pond", Pond)
    return Pond


@pytest.mark.parametrize("test", [False, True])
def test_a_world_that_says_nothing_has_dreams_of_its_own_split(pond: type[Pond], test: bool) -> None:
    world, grammar = pond(), build_grammar(toy_tokenizer(), ["Pond"], 400, 5)
    source = documents_of(world, grammar, toy_tokenizer(), episodes=12, test=test)
    assert isinstance(source, EpisodeDreams)
    assert {episode.options["pad"] == 2 for episode, _ in source.episodes} == {test}
    document = grammar.decode(flatten(source.draw(np.random.default_rng(0)))[0])
    assert document.question.startswith("what if the frog goes")
    assert document.answer in ("the frog hops.", "the frog stays.")
    assert document.triplets[0].what.text.startswith("a frog on pad")


def test_a_wordless_world_is_also_watched_without_a_question(pond: type[Pond], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pond, "wordless", True)
    grammar = build_grammar(toy_tokenizer(), ["Pond"], 400, 5)
    source, rng = documents_of(pond(), grammar, toy_tokenizer(), episodes=12), np.random.default_rng(0)
    documents = [grammar.decode(flatten(source.draw(rng))[0]) for _ in range(20)]
    assert {bool(document.question) for document in documents} == {True, False}
    assert all(bool(document.answer) == bool(document.question) for document in documents)
    assert all(document.triplets[0].what.text == "" for document in documents)


def test_a_world_without_scenes_for_testing_is_one_clear_error(
    pond: type[Pond], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pond, "in_test_split", lambda self, options: False)
    grammar = build_grammar(toy_tokenizer(), ["Pond"], 400, 5)
    with pytest.raises(WorldError, match="Pond has too few scenes for testing"):
        documents_of(pond(), grammar, toy_tokenizer(), episodes=2, test=True)


def test_a_mix_draws_from_all_its_sources() -> None:
    class Fixed:
        def __init__(self, number: int):
            self.number = number

        def draw(self, rng: np.random.Generator) -> Segments:
            return [([self.number], 1.0)]

    rng = np.random.default_rng(0)
    mix = Mix([Fixed(0), Fixed(1), Fixed(2)])
    drawn = [mix.draw(rng)[0][0][0] for _ in range(300)]
    assert all(80 <= drawn.count(number) <= 120 for number in range(3))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"max_side": 16}, "no picture is larger than max_side"),
        ({"default_side": 32}, "default_side is that of every picture, or 0"),
        ({"name": "Puddle"}, "the name that it is found by"),
        ({"action_names": ("left",)}, "one name per action"),
        ({"skills": ("swimming",)}, "unknown skill 'swimming'"),
        ({"check_rules": lambda self, before, after: 0.0}, "true steps keep the world's rules"),
        ({"parse_scene": lambda self, scene: {}}, "a scene can be written as JSON"),
        ({"parse_actions": lambda self, said: [(0, "left"), (1, "right")]}, "what is no action is refused"),
    ],
)
def test_the_check_names_the_promise_that_is_broken(
    pond: type[Pond], monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any], message: str
) -> None:
    assert "training documents are legal" in check_world("pond", 1)
    for name, value in broken.items():
        monkeypatch.setattr(pond, name, value)
    with pytest.raises(ReverieError, match=message):
        check_world("pond")

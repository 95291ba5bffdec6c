"""The check that every world passes."""

from __future__ import annotations

import json

import numpy as np

from reverie.errors import GrammarError, WorldError
from reverie.registry import Promises
from reverie.worlds.contract import Episode, Source, World
from reverie.worlds.documents import build_grammar, document_config, documents_of
from reverie.worlds.registry import WORLDS, make_world, record_episode

__all__ = ["check_world"]

_DOCUMENTS = 8  # drawn of each kind


def check_world(name: str, episodes: int = 3) -> list[str]:
    """Run every promise of the contract on ``name`` and return what was checked; ContractError names the first broken
    one.

    Also runs Gymnasium's own ``check_env``, and draws training documents with a small grammar.
    """
    from gymnasium.utils.env_checker import check_env

    name = WORLDS.find(name)
    world = make_world(name)
    check_env(world, skip_render_check=True)
    check = _Checks(world, name)
    check.expect("gymnasium check_env", True)
    check.expect("it has the name that it is found by", world.name == name)
    check.expect("one name per action", len(world.action_names) == getattr(world.action_space, "n", -1))
    check.picture(world.backdrop())
    for index in range(episodes):
        options = world.sample_options(np.random.default_rng(index))
        check.scene(options)
        first = record_episode(world, options, seed=index)
        check.twins(first, record_episode(make_world(name), options, seed=index))
        for question in world.narrator.questions(first, np.random.default_rng(index)):
            check.expect("questions have answers", bool(question.text and question.answer))
        world.reset(seed=index, options=options)
        check.actions()
    check.documents(episodes)
    return check.kept


class _Checks(Promises):
    def __init__(self, world: World, name: str):
        super().__init__("a world", name)
        self.world = world

    def picture(self, picture: np.ndarray) -> None:
        world = self.world
        self.expect(
            "pictures are uint8 (H, W, 3)", picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
        )
        sides, largest = picture.shape[:2], world.backdrop().shape[:2]
        self.expect("sides are multiples of cell_px", not any(side % world.cell_px for side in sides))
        self.expect("no picture is larger than the backdrop", sides[0] <= largest[0] and sides[1] <= largest[1])
        self.expect(
            "default_side is that of every picture, or 0", not world.default_side or set(sides) == {world.default_side}
        )
        self.expect("no picture is larger than max_side", not world.max_side or max(sides) <= world.max_side)

    def scene(self, options: dict[str, object]) -> None:
        world, written = self.world, json.dumps(options)
        self.expect("options are JSON", json.loads(written) == options)
        self.expect("a scene can be written as JSON", world.parse_scene(written) == options)
        splits = {(world.in_test_split(each), world.is_held_out(each)) for each in (options, json.loads(written))}
        self.expect("a scene stays in its split", len(splits) == 1)

    def twins(self, first: Episode, second: Episode) -> None:
        world = self.world
        self.expect("an episode has steps", bool(first.transitions))
        for a, b in zip(first.transitions, second.transitions, strict=True):
            self.picture(a.what)
            self.picture(a.result)
            self.expect(
                "the same seed gives the same pictures",
                np.array_equal(a.result, b.result) and np.array_equal(a.what, b.what),
            )
            self.expect("states are JSON", json.loads(json.dumps(a.result_state)) == a.result_state)
            self.expect("the narrator has words for all", all((a.what_text, a.action_text, a.result_text)))
            state, seen = world.read(a.what), world.sight(a.what).picture
            self.expect("a picture shows a state", state is not None)
            painted = None if state is None else world.picture_of(state)
            self.expect("a state is painted as it was seen", painted is None or np.array_equal(painted, a.what))
            self.expect("it finds itself in its own pictures", seen is not None and seen.shape == a.what.shape)
            self.expect("true steps keep the world's rules", world.check_rules(a.what, a.result) > 0.99)

    def actions(self) -> None:
        world = self.world
        numbers = [number for number, _ in world.parse_actions([",".join(world.action_names)])]
        self.expect("its actions are read by their names", numbers == list(range(len(world.action_names))))
        try:
            world.parse_actions(["no action of any world"])
        except WorldError:
            return
        self.expect("what is no action is refused with a WorldError", False)

    def documents(self, episodes: int) -> None:
        """With a tokenizer of random codes and the words of a few episodes."""
        import torch

        from reverie.tokens.image import ImageTokenizer, ImageTokenizerConfig

        tokenizer = ImageTokenizer(ImageTokenizerConfig(stride=32, width=16), torch.Generator().manual_seed(0)).eval()
        grammar = build_grammar(tokenizer, [self.name], 400, max(episodes, 3))
        world = self.world
        self.expect("its document_config has defaults", document_config(world, {}) is not None)
        sources: list[Source] = [
            documents_of(world, grammar, tokenizer, episodes=4, test=test) for test in (False, True)
        ]
        for skill in world.skills:
            sources.append(world.skill_documents(skill, grammar, tokenizer, seed=0, test=True))
            rng = np.random.default_rng(0)
            asked = (world.skill_question(skill, rng, number) for number in range(1000))
            self.expect("its skills ask questions", any(asked))
        for source in sources:
            rng = np.random.default_rng(0)
            for _ in range(_DOCUMENTS):
                segments = source.draw(rng)
                self.expect("some ids of a document weigh something", any(weight for _, weight in segments))
                try:
                    grammar.decode([token for ids, _ in segments for token in ids])
                except GrammarError as error:
                    self.expect(f"documents are legal: {error}", False)
        self.expect("training documents are legal", True)

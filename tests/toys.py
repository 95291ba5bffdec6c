"""Tiny real parts for tests: a random model with a real grammar, whole in a folder in well under a second."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from reverie.bundles import find_bundle, verify_bundle, write_bundle
from reverie.bundles.bundle import seal_bundle
from reverie.dreaming import Session
from reverie.dreaming.dreamer import Dreamed, Dreamer, Prompt
from reverie.dreaming.expert_pool import ExpertPool
from reverie.dreaming.model import open_model
from reverie.dreaming.preview import RuntimeConfig
from reverie.dreaming.prompting import GrammarPrompter
from reverie.engine import Engine
from reverie.experts import base_hash
from reverie.model import Backbone, BackboneConfig
from reverie.nouns import Part, Triplet
from reverie.tokens import Document, Grammar, ImageTokenizer, ImageTokenizerConfig, TextTokenizer, Vocabulary
from reverie.tokens.grammar_files import load_grammar, save_grammar
from reverie.worlds import World, make_world, record
from reverie.worlds.frozenlake import paint

M = TypeVar("M", bound=nn.Module)

WORLDS = {"FrozenLake": 64, "Everyday": 8}


@cache
def toy_tokenizer() -> ImageTokenizer:
    return as_saved(ImageTokenizer(ImageTokenizerConfig(stride=32, width=16), torch.Generator().manual_seed(0)))


@cache
def toy_grammar() -> Grammar:
    """The words and backdrops of the real worlds."""
    tokenizer, texts, backdrops = toy_tokenizer(), list[str](), []
    for name in WORLDS:
        world = make_world(name)
        backdrops += tokenizer.encode([world.backdrop()], world.cell_px)
        texts += words_of(world)
    text = TextTokenizer.train(texts, 400)
    return Grammar(Vocabulary(text.size, tokenizer.num_codes), text, backdrops, full_frames=False)


def words_of(world: World) -> list[str]:
    """What the narrator says and is asked about a few episodes."""
    rng, texts = np.random.default_rng(0), list[str]()
    for episode in record(world, 6):
        texts += [text for step in episode.transitions for text in (step.what_text, step.action_text, step.result_text)]
        texts += [text for each in world.narrator.questions(episode, rng) for text in (each.text.lower(), each.answer)]
    return texts


@cache
def toy_backbone(seed: int = 0) -> Backbone:
    """Random weights, large enough that its dreams differ from seed to seed."""
    config = BackboneConfig(
        vocab_size=toy_grammar().vocabulary.size,
        hidden_size=32,
        intermediate_size=64,
        num_layers=2,
        num_heads=2,
        max_positions=768,
    )
    return as_saved(Backbone(config, torch.Generator().manual_seed(seed)))


def as_saved(module: M) -> M:
    """``module`` with the bf16 values that a folder keeps, so that it equals what is loaded from there."""
    for parameter in module.requires_grad_(False).parameters():
        parameter.copy_(parameter.bfloat16())
    return module.eval()


def toy_session(experts: ExpertPool | None = None, dreamer: Dreamer | None = None) -> Session:
    """A session that knows nothing: its dreams are legal nonsense, unless a ``dreamer`` knows better."""
    grammar = toy_grammar()
    prompter = GrammarPrompter(grammar)
    model = open_model(grammar, toy_tokenizer(), toy_backbone(), WORLDS, prompter=prompter, name="toy", experts=experts)
    model = replace(model, dreamer=dreamer or model.dreamer)
    return Session(model, runtime=RuntimeConfig(enable_gpt51_codex_preview=False))


def toy_export(folder: Path) -> Path:
    """What training exports, of the toy."""
    toy_backbone().save(folder / "backbone")
    toy_tokenizer().save(folder / "image_tokenizer")
    save_grammar(toy_grammar(), folder)
    return folder


def toy_bundle(folder: Path) -> Path:
    """A bundle of the toy in ``folder / "bundle"``."""
    return write_bundle(folder / "bundle", toy_export(folder / "export"), name="toy", worlds=WORLDS)


class LakeOracle(Dreamer):
    """A dreamer that is always right about one lake: for what is built on dreams, where a random model is no use.

    ``wrong`` maps a cell to the cell that it dreams of instead.
    """

    def __init__(self, desc: Sequence[str], wrong: dict[tuple[int, int], tuple[int, int]] | None = None):
        super().__init__(toy_grammar(), Engine(toy_backbone()), 768)
        self.desc, self.wrong, self.num_steps = tuple(desc), wrong or {}, 0
        world = make_world("FrozenLake")
        rows, cols = len(desc), len(desc[0])
        self.cells = [(row, col) for row in range(rows) for col in range(cols)]
        pictures = [paint(self.desc, cell) for cell in self.cells]
        self.frames = dict(zip(self.cells, toy_tokenizer().encode(pictures, world.cell_px), strict=True))
        assert len({frame for cell, frame in self.frames.items() if self.letter(cell) != "H"}) == sum(
            self.letter(cell) != "H" for cell in self.cells
        )

    def letter(self, cell: tuple[int, int]) -> str:
        return self.desc[cell[0]][cell[1]]

    def run(self, prompts: Sequence[Prompt]) -> list[Dreamed]:
        return [self._step(prompt) for prompt in prompts]

    def _step(self, prompt: Prompt) -> Dreamed:
        self.num_steps += 1
        what = self.grammar.state(prompt.prefix).part()
        assert what is not None
        place = next(cell for cell, frame in self.frames.items() if frame == what.frame)
        start = self.grammar.vocabulary.text_start
        action = self.grammar.text.decode([token - start for token in prompt.script if token >= start])
        moved = {"left": (0, -1), "down": (1, 0), "right": (0, 1), "up": (-1, 0)}[action]
        there = (place[0] + moved[0], place[1] + moved[1])
        there = there if there in self.cells else place
        there = self.wrong.get(there, there)
        words = {"H": "falls", "G": "goal"}.get(self.letter(there), "safe")
        triplet = Triplet(what, Part(action), Part(words, self.frames[there]))
        return Dreamed(Document("", (triplet,)), words, -0.1, 5, 0.0, True, prompt, ())


def mute_nano(folder: Path, new: int) -> Path:
    """nano, whose first ``new`` ids of words are as if they had never occurred."""
    shutil.copytree(find_bundle("nano"), folder, ignore=shutil.ignore_patterns("__pycache__", "manifest.json"))
    backbone, grammar = Backbone.load(folder / "backbone"), load_grammar(folder)
    start, drawn = grammar.vocabulary.text_start, torch.Generator().manual_seed(0)
    with torch.no_grad():
        shared = backbone.embeddings[start + 124]  # a byte that no text has
        noise = torch.randn(new, len(shared), generator=drawn)
        backbone.embeddings[start : start + new] = shared + 1e-3 * noise
    old, manifest = base_hash(folder / "backbone"), verify_bundle(find_bundle("nano"))
    backbone.save(folder / "backbone")
    for part in [folder / "router", *(folder / "experts").glob("*")]:
        for file in part.iterdir():
            file.write_bytes(file.read_bytes().replace(old.encode(), base_hash(folder / "backbone").encode()))
    seal_bundle(folder, name="mute", worlds=manifest["worlds"])
    return folder

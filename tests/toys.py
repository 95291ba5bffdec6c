"""Tiny real parts for tests: a random model with a real grammar, whole in a folder in well under a second."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch

from reverie.bundles import write_bundle
from reverie.dreaming import Reverie
from reverie.dreaming.preview import RuntimeConfig
from reverie.model import Backbone, BackboneConfig
from reverie.tokens import Grammar, ImageTokenizer, ImageTokenizerConfig, TextTokenizer, Vocabulary
from reverie.tokens.grammar_files import save_grammar
from reverie.worlds import World, make_world, record

WORLDS = {"FrozenLake": 64, "Everyday": 8}


@cache
def toy_tokenizer() -> ImageTokenizer:
    return ImageTokenizer(ImageTokenizerConfig(stride=32, width=16), torch.Generator().manual_seed(0)).eval()


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
    return Backbone(config, torch.Generator().manual_seed(seed)).eval().requires_grad_(False)


def toy_session() -> Reverie:
    """A session that knows nothing: its dreams are legal nonsense."""
    runtime = RuntimeConfig(enable_gpt51_codex_preview=False)
    return Reverie(toy_grammar(), toy_tokenizer(), toy_backbone(), WORLDS, runtime=runtime, name="toy")


def toy_export(folder: Path) -> Path:
    """What training exports, of the toy."""
    toy_backbone().save(folder / "backbone")
    toy_tokenizer().save(folder / "image_tokenizer")
    save_grammar(toy_grammar(), folder)
    return folder


def toy_bundle(folder: Path) -> Path:
    """A bundle of the toy in ``folder / "bundle"``."""
    return write_bundle(folder / "bundle", toy_export(folder / "export"), name="toy", worlds=WORLDS)

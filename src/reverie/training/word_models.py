"""A bundle's model as distillation meets it, student or teacher: how it is asked, how it spells, what it expects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reverie.dreaming.model import Prompter
from reverie.dreaming.prompting import ChatPrompter
from reverie.errors import ConfigError
from reverie.model import Backbone
from reverie.model.transformers_base import TransformersBackbone
from reverie.paths import find_bundle
from reverie.speakers.contract import Message
from reverie.tokens.base_words import BaseWords
from reverie.tokens.grammar_files import load_grammar
from reverie.training.adapted import load_base
from reverie.training.alignment import FirstIds

__all__ = ["Seen", "WordModel"]

Prompt = str | Sequence[Message]


@dataclass(frozen=True)
class Seen:
    """What a model made of n places: their final states (n, D), and those after chosen layers, each (n, D)."""

    final: Tensor
    layers: tuple[Tensor, ...]


class WordModel:
    """A bundle's backbone with its words. All ids are of the grammar's numbering.

    Attributes:
        folder: of the bundle
        backbone: frozen, until somebody hangs changes into it
        prompter: how it is asked
    """

    backbone: Backbone | TransformersBackbone
    prompter: Prompter

    def __init__(self, bundle: str | Path):
        self.folder = find_bundle(bundle)
        grammar = load_grammar(self.folder)
        self.backbone, self.prompter = load_base(self.folder, grammar)
        self.first = grammar.vocabulary.text_start
        asked = self.prompter
        self.words = asked.words if isinstance(asked, ChatPrompter) else BaseWords(grammar.text.library, frozenset())
        self._grammar = grammar
        with torch.no_grad():  # logits are final states times one table; where that is trained it is not told any more
            self._plain = isinstance(self.backbone, Backbone) or self.backbone.plain_output

    def ids(self, prompt: Prompt) -> list[int]:
        """Of a prompt. Raises UsageError for an empty one, and for one that a chat template does not take."""
        if isinstance(prompt, str) or (len(prompt) == 1 and prompt[0].role == "user"):
            return list(self.prompter.ids(prompt if isinstance(prompt, str) else prompt[0].content))
        talk = isinstance(self.prompter, ChatPrompter) and self.prompter.style == "chat"
        if talk and self.words.template is not None:
            turns = [{"role": turn.role, "content": self.words.plain(turn.content)} for turn in prompt]
            return [self.first + token for token in self.words.encode(self.words.template.render(turns), whole=False)]
        return list(self.prompter.ids("\n".join(turn.content for turn in prompt)))

    def answer(self, prompt: Prompt, text: str) -> list[int]:
        """The ids that it would draw if it answered so, to the end."""
        return list(self.prompter.answer_ids(prompt if isinstance(prompt, str) else prompt[-1].content, text))

    def pieces(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes that each id stands for; none of the grammar's, and of special ones."""
        return [self.words.data(token - self.first) if token >= self.first else b"" for token in ids]

    @cached_property
    def vocabulary(self) -> list[bytes]:
        """``pieces`` of all ids."""
        return self.pieces(range(self.backbone.config.vocab_size))

    @cached_property
    def first_ids(self) -> FirstIds:
        """By which of its ids it begins to say some bytes."""
        text = self._grammar.text
        end = self.answer("?", "a")[-1]
        encode = text.library.encode

        def ids(said: str) -> list[int]:
            return [self.first + token for token in encode(said, add_special_tokens=False).ids]

        return FirstIds(enumerate(self.vocabulary), ids, end if not self.pieces([end])[0] else None)

    def seen(self, ids: Tensor, where: Tensor, layers: Sequence[int] = ()) -> Seen:
        """States from which ids[:, 1:][where] are expected. ids: int64 (B, T); where: bool (B, T - 1)."""
        kept: dict[int, Tensor] = {}
        parts = self.layers
        hooks = [parts[layer].register_forward_hook(_keeping(kept, layer)) for layer in set(layers)]
        try:
            states = self.backbone.hidden(ids) if self._plain else self.backbone(ids)
        finally:
            for hook in hooks:
                hook.remove()
        return Seen(states[:, :-1][where], tuple(kept[layer][:, :-1][where] for layer in layers))

    def logits(self, final: Tensor) -> Tensor:  # (n, D) → (n, V) float32
        """Of what ``seen`` calls final."""
        if not self._plain:
            return final.float()
        if isinstance(self.backbone, Backbone):
            return self.backbone.logits(final).float()
        return self.backbone.ids.rotate_logits(self.backbone.base.get_output_embeddings()(final))

    @cached_property
    def layers(self) -> nn.ModuleList:
        """Its layers, from first to last. Raises ConfigError where nobody can tell which they are."""
        if isinstance(self.backbone, Backbone):
            return self.backbone.model.layers
        count = self.backbone.base.config.get_text_config().num_hidden_layers
        lists = [part for part in self.backbone.modules() if isinstance(part, nn.ModuleList) and len(part) == count]
        if not lists:
            raise ConfigError(f"{self.backbone.config.architecture} does not tell its layers, so none can be matched")
        return lists[0]

    @property
    def num_layers(self) -> int:
        return len(self.layers)


def _keeping(kept: dict[int, Tensor], layer: int) -> Callable[..., None]:
    def hook(_module: nn.Module, _given: Any, made: Any) -> None:
        kept[layer] = made[0] if isinstance(made, tuple) else made

    return hook

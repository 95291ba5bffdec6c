"""A frozen base with low-rank changes, trained on questions and answers: what all training of experts shares."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from reverie.dreaming.model import Prompter
from reverie.dreaming.prompting import ChatPrompter, GrammarPrompter
from reverie.errors import BundleError, ConfigError, ExpertError
from reverie.experts.contract import Adapter
from reverie.experts.lowrank import LoraConfig, LowRank, attach
from reverie.experts.tuning import save_memory
from reverie.jsonio import read_object
from reverie.model import Backbone
from reverie.model.transformers_base import TransformersBackbone
from reverie.paths import find_bundle
from reverie.progress import Progress, no_progress
from reverie.tokens.base_words import BaseWords
from reverie.tokens.grammar import Grammar
from reverie.tokens.grammar_files import load_grammar
from reverie.tokens.text import BaseTokenizer
from reverie.training.documents import Document, flatten, pad
from reverie.training.judging import judged
from reverie.worlds.contract import Segments

__all__ = ["Adapted", "document_of", "documents_of", "load_base"]

_SIDE_BY_SIDE = 16  # rows that are judged at once


class Adapted:
    """The base of a bundle, frozen, with changes of its linears that start as nothing.

    Args:
        bundle: its name, or a folder with backbone/, text_tokenizer/ and vocabulary.json
        lora: of the changes; None: there are none, and the base's weights are trained, but for the table of its ids
        seed: of how the changes start
        gradient_checkpointing: states are computed twice and kept once a layer; bases made elsewhere only

    Attributes:
        module: holds only what is trained
    """

    def __init__(
        self, bundle: str | Path, lora: LoraConfig | None, seed: int = 0, gradient_checkpointing: bool = False
    ):
        self.module: nn.Module
        self.folder = find_bundle(bundle)
        self.grammar = load_grammar(self.folder)
        self.backbone, self.prompter = load_base(self.folder, self.grammar)
        self.lora, self.module = lora or LoraConfig(), self.backbone
        if lora is None:
            self.backbone.float().requires_grad_(True)  # small steps are lost in bf16
            if isinstance(self.backbone, TransformersBackbone):
                self.backbone.base.get_input_embeddings().requires_grad_(False)
            return
        self.module, self.adapter = attach(self.backbone, lora, torch.Generator().manual_seed(seed))
        if gradient_checkpointing:
            if not isinstance(self.backbone, TransformersBackbone):
                raise ConfigError("data.gradient_checkpointing is for bases made elsewhere; this one is small")
            save_memory(self.backbone.base)
        self._fresh = {name: tensor.detach().clone() for name, tensor in self.module.named_parameters()}

    @property
    def changes(self) -> dict[str, LowRank]:
        """What is trained, by the linears' names."""
        parts = self.module.named_children()
        return {name.replace("/", "."): part for name, part in parts if isinstance(part, LowRank)}

    @torch.no_grad()
    def put(self, adapter: Adapter | None) -> None:
        """Let the changes be those of ``adapter``, of at most their rank; None: as they were at first.

        What it lacks of their rank, and linears that it leaves alone, start as new ones do. Raises ExpertError where it
        does not fit.
        """
        for name, tensor in self.module.named_parameters():
            tensor.copy_(self._fresh[name])
        changes = self.changes
        for name, factors in (adapter.factors if adapter else {}).items():
            change, rank = changes.get(name), factors.rank
            if change is None or rank > len(change.down):
                raise ExpertError(
                    f"the expert to start from has rank {rank} at {name}, and the new one "
                    f"{0 if change is None else len(change.down)}: give it the same data.lora"
                )
            change.down[:rank], change.up[:, :rank] = factors.down, factors.up / change.scale

    def losses(self, batch: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """``loss``: nats an id, weighted, of buckets (ids (B, T) int64, weights (B, T) float); ``num_ids``."""
        device = batch[0][0].device
        self.backbone.to(device)  # the frozen part is not in the module that the loop moves
        total, mass = torch.zeros((), device=device), torch.zeros((), device=device)
        for ids, weights in batch:
            loss, _ = self.backbone.loss(ids, weights)
            share = weights[:, 1:].sum()
            total, mass = total + loss * share, mass + share
        return {"loss": total / mass, "num_ids": torch.tensor(sum(ids.numel() for ids, _ in batch))}

    @torch.no_grad()
    def judge(
        self, documents: Sequence[Document], seconds: float = math.inf, progress: Progress = no_progress
    ) -> tuple[list[float], list[int], list[bool]]:
        """Of each document: nats of its ids that weigh 1, how many these are, and whether every id of the answer is the
        likeliest. Stops after about ``seconds``; at least ``_SIDE_BY_SIDE`` are judged."""
        ends = time.monotonic() + seconds
        nats, counts, exact = list[float](), list[int](), list[bool]()
        for start in range(0, len(documents), _SIDE_BY_SIDE):
            progress("evaluating", start, len(documents))
            if exact and time.monotonic() > ends:
                break
            ids, weights = pad(documents[start : start + _SIDE_BY_SIDE])
            where, goals = weights[:, 1:] >= 1.0, ids[:, 1:]
            said = self.prompter.answered(ids, where)
            log_probs, guesses = judged(self.backbone, ids, where)
            nats += [-float(part.sum()) for part in log_probs.split(where.sum(1).tolist())]
            counts += where.sum(1).tolist()
            right = torch.ones_like(where).masked_scatter(where, guesses == goals[where])
            exact += (right | ~said).all(1).tolist()
        progress("evaluating", len(documents), len(documents))
        return nats, counts, exact

    def figures(
        self, documents: Sequence[Document], seconds: float = math.inf, progress: Progress = no_progress
    ) -> dict[str, float]:
        """``judge`` in figures: nats an id that weighs 1, the share of exact answers, how many were judged."""
        nats, counts, exact = self.judge(documents, seconds, progress)
        return {"loss": sum(nats) / max(sum(counts), 1), "answers": float(np.mean(exact)), "rows": len(exact)}


def document_of(prompter: Prompter, question: str, answer: str, question_weight: float = 0.1) -> Segments:
    """A question with its answer, whose ids weigh 1."""
    asked, said = prompter.ids(question), prompter.answer_ids(question, answer)
    return [(list(asked), question_weight), (list(said), 1.0)]


def documents_of(prompter: Prompter, rows: Sequence[tuple[str, str]], question_weight: float = 0.0) -> list[Document]:
    """``document_of`` of each (question, answer), flat."""
    return [flatten(document_of(prompter, *row, question_weight)) for row in rows]


def load_base(folder: Path, grammar: Grammar) -> tuple[Backbone | TransformersBackbone, Prompter]:
    """The backbone of a bundle, or of a folder with what a bundle's backbone needs, and how to ask it."""
    if not isinstance(grammar.text, BaseTokenizer):
        return Backbone.load(folder / "backbone").eval(), GrammarPrompter(grammar)
    try:
        base = read_object(folder / "manifest.json", BundleError, "the manifest of the bundle")["base"]
        style = None if base["taught"] else base["prompt"]
    except (KeyError, TypeError) as error:
        raise BundleError(f"the bundle {folder} is damaged: its manifest.json tells nothing of its base") from error
    prompter = ChatPrompter(BaseWords.read(folder / "backbone"), grammar, style) if style else GrammarPrompter(grammar)
    return TransformersBackbone.load(folder / "backbone", grammar.vocabulary.text_start), prompter

"""Whether rows without an expert are the same beside rows with it: checked in the engine that answers, not claimed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.engine.contract import Read
from reverie.engine.engine import open_decoder
from reverie.errors import UnknownNameError
from reverie.experts.contract import Adapter, Choice
from reverie.growth.examining import Examiner
from reverie.learning.guard import Probe
from reverie.model import Backbone
from reverie.model.llama_base import LlamaBase
from reverie.model.transformers_base import TransformersBackbone
from reverie.tokens.text import BaseTokenizer

__all__ = ["untouched"]

_NAME = "it"
_LAST = 4  # ids of a row whose logits are compared


class _Only:
    """A source of one expert, which may become another."""

    def __init__(self) -> None:
        self.held: Adapter | None = None
        self._count = 0

    def put(self, adapter: Adapter) -> None:
        self.held, self._count = adapter, self._count + 1

    def key(self, name: str) -> str:
        if name != _NAME:
            raise UnknownNameError("expert", name, [_NAME])
        return f"{_NAME}/{self._count}"

    def adapter(self, name: str) -> Adapter:
        self.key(name)
        assert self.held is not None
        return self.held


def untouched(examiner: Examiner, adapter: Adapter, rows: Sequence[Probe], routed: Sequence[Probe]) -> int:
    """How many of ``rows`` have, beside ``routed`` ones under ``adapter``, the logits to the bit that they have beside
    the same ones without it. One batch each time: sums of other batches are rounded otherwise, whoever is in them."""
    backbone, prompter, source = _bare(examiner), examiner.adapted.prompter, _Only()
    source.put(adapter)
    asked = [(*prompter.ids(one.question), *prompter.answer_ids(one.question, one.answer)) for one in (*routed, *rows)]

    decoder = open_decoder(backbone, source)

    def logits(choice: Choice) -> list[Tensor]:
        chosen = [decoder.resolve(choice)] * len(routed) + [decoder.resolve(())] * len(rows)
        decoder.prepare(chosen)
        reads = [Read(np.asarray(ids, np.int64), None, one, _LAST) for ids, one in zip(asked, chosen, strict=True)]
        return [told for told, _ in decoder.read(reads)][len(routed) :]

    with torch.inference_mode():
        without, beside = logits(()), logits(((_NAME, 1.0),))
    return sum(torch.equal(one, other) for one, other in zip(without, beside, strict=True))


def _bare(examiner: Examiner) -> Backbone | LlamaBase | TransformersBackbone:
    """The base as it is served, which no training ever touched."""
    grammar, folder = examiner.adapted.grammar, examiner.adapted.folder / "backbone"
    if not isinstance(grammar.text, BaseTokenizer):
        return Backbone.load(folder)
    num_grammar = grammar.vocabulary.text_start
    return LlamaBase.find(folder, num_grammar) or TransformersBackbone.load(folder, num_grammar)

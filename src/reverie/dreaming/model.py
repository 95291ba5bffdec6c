"""A model: what a bundle opens to. Sessions share it, and nothing of a question or a user is kept in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from reverie.dreaming.arbiter import Arbiter
from reverie.dreaming.confidence import ConfidenceModel
from reverie.dreaming.dreamer import Dreamer
from reverie.dreaming.expert_pool import ExpertPool
from reverie.dreaming.prompted import Prompted
from reverie.dreaming.question import Question
from reverie.engine import AnyBackbone, AnyEngine, Engine, WeightKind
from reverie.errors import UsageError
from reverie.experts.contract import Choice
from reverie.nouns import Dream, Frame
from reverie.tokens.grammar import Grammar
from reverie.tokens.image import ImageTokenizer
from reverie.worlds import World, make_world

if TYPE_CHECKING:
    from reverie.data import Row
    from reverie.memory.attention import FactAttention

__all__ = ["Model", "Prompter", "frames_of", "open_model"]

_SHOWS = 0.25  # share of equal cells from which a picture is taken for one of a world


class Prompter(Protocol):
    """How the model of a bundle is asked, and taught what to answer."""

    def prompt(self, model: Model, questions: Sequence[Question], seed: int) -> list[Prompted]:
        """The questions as ``model`` meets them; ``seed`` draws what their scenes leave open.

        Raises UsageError, PictureError and WorldError for what cannot be asked or shown.
        """
        ...

    def ids(self, question: str) -> tuple[int, ...]:
        """The ids of a question, in the grammar's numbering."""
        ...

    def answer_ids(self, question: str, answer: str) -> tuple[int, ...]:
        """The ids that would be drawn after those of ``question`` if it answered so, to the end."""
        ...

    def answered(self, ids: torch.Tensor, judged: torch.Tensor) -> torch.Tensor:
        """Which ids of documents (B, T) belong to answers: bool (B, T - 1), of all but the first id; ``judged`` are
        those that were learned in full."""
        ...


@dataclass(frozen=True, eq=False)
class Model:
    """The parts of a model; make one with ``open_model``.

    Args:
        worlds: the worlds it was taught -> pixels per code of their pictures, in the order of the grammar's backdrops
        dreamer: runs its rows on ``engine``
        prompter: how it is asked
        confidence: whether it knows an answer
        experts: the experts there are and who chooses among them
        arbiter: who picks the winning branch
        facts: makes the rows that a new memory starts with
        reader_folder: of the network that reads recalled facts (see ``memory.attention``); None goes without
    """

    name: str
    grammar: Grammar
    tokenizer: ImageTokenizer
    engine: AnyEngine
    worlds: Mapping[str, int]
    dreamer: Dreamer
    prompter: Prompter
    confidence: ConfidenceModel
    experts: ExpertPool
    arbiter: Arbiter = field(default_factory=Arbiter)
    facts: Callable[[], Iterable[Row]] = tuple
    reader_folder: Path | None = None

    @cached_property
    def reader(self) -> FactAttention | None:
        """What reads recalled facts with the question in mind, loaded when it is first needed."""
        if self.reader_folder is None:
            return None
        from reverie.memory.attention import FactAttention, word_features

        return FactAttention.load(self.reader_folder, word_features(self.engine, self.grammar))

    @cached_property
    def world(self) -> Callable[[str], World]:
        """A world by its name, made once: for what holds in it whatever happens. Nobody may step it."""
        return cache(make_world)

    @property
    def usual_world(self) -> str:
        """Where a scene is of no named world: the first that was taught."""
        if not self.worlds:
            raise UsageError("this model was taught no world; name the world of the scene")
        return next(iter(self.worlds))

    @property
    def usual_size(self) -> tuple[int, int]:
        """(px per code, px a side) of a picture of no named world: those of the world with the finest pictures."""
        if not self.worlds:
            raise UsageError("this model was taught no world; name the world of the picture")
        world = self.world(min(self.worlds, key=lambda name: self.worlds[name]))
        return world.cell_px, world.default_side

    def through(self, engine: AnyEngine) -> Model:
        """The same model, asked through another engine: a ``Worker``, so that sessions of many threads share steps."""
        dreamer = Dreamer(self.grammar, engine, self.dreamer.max_positions, self.dreamer.always)
        return replace(self, engine=engine, dreamer=dreamer)

    def world_of(self, frame: Frame) -> str | None:
        """The taught world whose backdrop a frame shows most of, None where it shows too little of any."""
        shares = {
            name: _share(frame, backdrop) for name, backdrop in zip(self.worlds, self.grammar.backdrops, strict=False)
        }
        best = max(shares, key=lambda name: shares[name], default=None)
        return best if best is not None and shares[best] >= _SHOWS else None

    def decode(self, frames: Sequence[Frame]) -> list[np.ndarray]:
        """Frames as uint8 (H, W, 3) pictures, each at the size of the world that it shows."""
        pictures = []
        for frame in frames:
            name = self.world_of(frame)
            pictures += self.tokenizer.decode([frame], self.worlds[name] if name else None)
        return pictures


def open_model(
    grammar: Grammar,
    tokenizer: ImageTokenizer,
    backbone: AnyBackbone,
    worlds: Mapping[str, int],
    *,
    name: str = "unnamed",
    prompter: Prompter,
    confidence: ConfidenceModel | None = None,
    experts: ExpertPool | None = None,
    facts: Callable[[], Iterable[Row]] = tuple,
    reader: Path | None = None,
    weights: WeightKind = "fp32",
    always: Choice = (),
) -> Model:
    """A model of the parts of a bundle, as ``Model`` has them; ``confidence`` None uses the rough probe,
    ``experts`` None leaves everything to the bare backbone, ``weights`` as ``engine.open_decoder`` takes it;
    ``always``: experts of every dream, by which a base was taught the grammar."""
    experts = experts or ExpertPool()
    engine = Engine(backbone, experts=experts.library, weights=weights)
    return Model(
        name=name,
        grammar=grammar,
        tokenizer=tokenizer,
        engine=engine,
        worlds=dict(worlds),
        dreamer=Dreamer(grammar, engine, backbone.config.max_positions, always),
        prompter=prompter,
        confidence=confidence or ConfidenceModel.rough(),
        experts=experts,
        facts=facts,
        reader_folder=reader,
    )


def frames_of(dream: Dream) -> list[Frame]:
    """The pictures of a dream in order: what it starts from, then every result; parts of words are left out."""
    parts = [triplet.what for triplet in dream.triplets[:1]] + [triplet.result for triplet in dream.triplets]
    return [part.frame for part in parts if part.frame is not None]


def _share(frame: Frame, backdrop: Frame) -> float:
    rows, cols = frame.shape
    if rows > backdrop.shape[0] or cols > backdrop.shape[1]:
        return 0.0
    return float((frame.codes == backdrop.codes[:rows, :cols]).mean())

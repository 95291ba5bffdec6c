"""Teaches a backbone of our own to spell: the rows of text ids that never occurred in its training.

Such rows all lie in one direction, so no change of the layers can tell one from another, and no expert can say them.
Only these rows are trained; the layers and all other rows stay as they are to the bit. They learn beside an expert that
is thrown away, on texts of made-up words, so that they become rows which an expert can reach. Where the base and its
own experts speak of what they know, the new rows are held down: their probability there is part of the loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn

from reverie.errors import ConfigError
from reverie.experts.contract import Adapter
from reverie.experts.files import load_adapter
from reverie.experts.lowrank import LoraConfig
from reverie.model import Backbone
from reverie.progress import Progress, no_progress
from reverie.tokens.grammar import Grammar
from reverie.tokens.image import ImageTokenizer
from reverie.tokens.vocabulary import EOS
from reverie.training.adapted import Adapted
from reverie.training.documents import Document, bucketed, flatten, pad
from reverie.training.lessons import LessonData, Lessons
from reverie.training.skills import skill_source
from reverie.worlds.contract import Segments

__all__ = ["MadeUpWords", "SpellingData", "SpellingObjective", "unspelled_ids"]

_ALIKE = (
    0.98  # cosine to the direction of bytes that no text has; of nano 400 ids have more than 0.994, others below 0.94
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SIGNS = "'-,.:/%+()"


@dataclass(frozen=True)
class SpellingData(LessonData):
    """What is spelled, and what stays as it was: ``worlds`` and ``skills`` that the base and its experts know."""

    bundle: str = "nano"  # a bundle of our own backbone
    lora: LoraConfig = field(default_factory=LoraConfig)  # of the expert that is thrown away
    skills: tuple[str, ...] = ()  # experts of the bundle, each by its skill: what they say stays, too
    known_docs: int = 400  # documents of the worlds, and of each skill, whose states hold the new rows down
    known_states: int = 2048  # of them a step
    known_weight: float = 4.0  # nats that known states lose to new rows, beside a nat of a made-up word
    made_up: int = 32  # documents of made-up words a step
    by_heart: int = 200  # facts of made-up words that the expert learns by heart
    spread: float = 1.0  # how far apart new rows start, beside those that occurred

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.known_docs, self.known_states, self.made_up, self.by_heart) < 1:
            raise ConfigError("spelling: known_docs, known_states, made_up and by_heart are at least 1")
        if min(self.known_weight, self.spread) < 0:
            raise ConfigError("spelling: known_weight and spread are at least 0")


class SpellingObjective:
    """Next-id prediction of made-up words by an expert that is thrown away; what is kept are the new rows."""

    metrics: ClassVar[Mapping[str, str]] = {"perplexity": "loss"}

    def __init__(self, data: SpellingData, progress: Progress = no_progress):
        self.data = data
        self.adapted = Adapted(data.bundle, data.lora, data.seed)
        if not isinstance(self.adapted.backbone, Backbone):
            raise ConfigError(f"{data.bundle} is made of a base that can spell; only our own backbones learn it")
        self.backbone, grammar = self.adapted.backbone, self.adapted.grammar
        self.ids = grammar.vocabulary.text_start + unspelled_ids(self.backbone, grammar)
        if not len(self.ids):
            raise ConfigError(f"every id of {data.bundle} occurred in its training: there is nothing to spell")
        self.words = MadeUpWords(grammar, self.ids, data.by_heart, data.seed)
        self.known, self.known_totals = self._known_states(progress)
        self._spread()
        self.module = nn.ModuleDict({"changes": self.adapted.module, "embed": self.backbone.model.embed_tokens})
        rows = self.backbone.embeddings.requires_grad_(True)
        mask = torch.zeros(len(rows), 1).index_fill_(0, self.ids, 1.0)
        rows.register_hook(lambda grad: grad * mask.to(grad))  # AdamW leaves alone what never has a gradient

    @torch.no_grad()
    def _known_states(self, progress: Progress) -> tuple[Tensor, Tensor]:
        """Final states (N, D) at what base and experts know, and the logarithm of all other ids' mass there, (N,)."""
        data, folder = self.data, self.adapted.folder
        tokenizer = ImageTokenizer.load(folder / "image_tokenizer") if data.worlds or data.skills else None
        rng, states = np.random.default_rng([data.seed, 5]), list[Tensor]()
        lessons = Lessons(data, self.adapted.grammar, tokenizer)
        sources = [source for source, count in lessons.sources.values() for _ in range(count)]
        for name in ("", *data.skills):
            progress(f"preparing  states of {name or 'worlds'}", 0, 0)
            adapter: Adapter | None = None
            if name:
                assert tokenizer is not None
                adapter = load_adapter(folder / "experts" / name)
                sources = [skill_source(name, self.adapted.grammar, tokenizer, data.seed)]
            self.adapted.put(adapter)
            drawn = [sources[int(rng.integers(len(sources)))].draw(rng) for _ in range(data.known_docs)]
            states += self._states([flatten(segments) for segments in drawn])
        self.adapted.put(None)
        known = torch.cat(states)
        others = torch.ones(len(self.backbone.embeddings), dtype=torch.bool).index_fill_(0, self.ids, False)
        table = self.backbone.embeddings[others]
        return known, torch.cat([(part @ table.T).logsumexp(1) for part in known.split(4096)])

    def _states(self, documents: Sequence[Document]) -> list[Tensor]:
        found = []
        for start in range(0, len(documents), 16):
            ids, _ = pad(documents[start : start + 16])
            found.append(self.backbone.hidden(ids)[ids != 0])
        return found

    @torch.no_grad()
    def _spread(self) -> None:
        """New rows start as far apart as those that occurred, across the direction that all of them share."""
        text = self.backbone.embeddings[self.adapted.grammar.vocabulary.text_start :]
        shared = F.normalize(self.backbone.embeddings[self.ids].mean(0), dim=0)
        apart = text - (text @ shared)[:, None] * shared
        size = self.data.spread * float(apart.norm(dim=1).max())
        generator = torch.Generator().manual_seed(self.data.seed)
        ways = torch.randn(len(self.ids), text.shape[1], generator=generator)
        ways = F.normalize(ways - (ways @ shared)[:, None] * shared, dim=1)
        self.backbone.embeddings[self.ids] += size * ways

    def batch(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """Buckets (ids (B, T) int64, weights (B, T) float), and last, as a bucket, which known states count."""
        rng = np.random.default_rng([self.data.seed, step])
        made_up = [flatten(self.words.draw(rng)) for _ in range(self.data.made_up)]
        places = torch.from_numpy(rng.integers(len(self.known), size=self.data.known_states))
        return [*bucketed(made_up, self.data.buckets), (places, torch.ones(len(places)))]

    def compute_loss(self, batch: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        *made_up, (places, _) = batch
        spelled, lost = self.adapted.losses(made_up), self.lost(places)
        return {"loss": spelled["loss"] + self.data.known_weight * lost, "spelled": spelled["loss"].detach(),
                "known": lost.detach(), "num_ids": spelled["num_ids"]}  # fmt: skip

    def lost(self, places: Tensor) -> Tensor:
        """Nats that known states lose to new rows: the mean of -log(1 - p(any of them))."""
        known, totals = self.known.to(places.device)[places], self.known_totals.to(places.device)[places]
        return F.softplus((known @ self.backbone.embeddings[self.ids].T).logsumexp(1) - totals).mean()

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """Nats an id and the share right, every id of the answer, of unseen words that the question tells; nats that
        known states lose; and the share of known states where a new row is the likeliest."""
        rng = np.random.default_rng([self.data.seed, 11])
        told = [flatten(self.words.told(rng)) for _ in range(self.data.eval_docs)]
        figures = self.adapted.figures(told)
        table = self.backbone.embeddings
        likeliest = torch.cat([(part @ table.T).argmax(1) for part in self.known.split(4096)])
        return {"loss": figures["loss"], "copied": figures["answers"],
                "known": float(self.lost(torch.arange(len(self.known)))),
                "overruled": float(torch.isin(likeliest, self.ids).float().mean())}  # fmt: skip

    def export(self, folder: Path) -> None:
        """``backbone/`` alone, without the expert: ``bundles.respelled`` makes a bundle of it."""
        backbone = Backbone.load(self.adapted.folder / "backbone")
        with torch.no_grad():
            backbone.embeddings[self.ids] = self.backbone.embeddings[self.ids].cpu()
        backbone.save(folder / "backbone")


class MadeUpWords:
    """Questions about made-up words: half tell the answer among others, half are learned by heart.

    ids: int64, of the vocabulary, that have to be spelled; half of all words are made of them, the rest are letters,
    capitals and digits as people write them.
    """

    def __init__(self, grammar: Grammar, ids: Tensor, by_heart: int, seed: int):
        self.grammar, self.start = grammar, grammar.vocabulary.text_start
        self.pieces, self.num_text = (ids - self.start).tolist(), grammar.text.size
        rng = np.random.default_rng([seed, 3])
        self.facts = [(self._name(rng), self._name(rng)) for _ in range(by_heart)]

    def draw(self, rng: np.random.Generator) -> Segments:
        if rng.random() < 0.5:
            return self.told(rng)
        name, value = self.facts[int(rng.integers(len(self.facts)))]
        return self._document(self._asked(name, rng), value)

    def told(self, rng: np.random.Generator) -> Segments:
        """Some facts, and a question about one of them."""
        facts = [(self._name(rng), self._name(rng)) for _ in range(int(rng.integers(1, 4)))]
        name, value = facts[int(rng.integers(len(facts)))]
        said = [
            id_
            for key, told in facts
            for id_ in (*key, *self._text(("is", "has", ":")[len(key) % 3]), *told, *self._text("."))
        ]
        return self._document([*said, *self._asked(name, rng)], value)

    def _document(self, asked: Sequence[int], value: Sequence[int]) -> Segments:
        ids = [self.start + piece for piece in asked]
        head, tail = self.grammar.question_ids(""), self.grammar.answer_ids("")
        return [([*head, *ids], 0.05), (tail, 1.0), ([self.start + piece for piece in value], 1.0), ([EOS], 1.0)]

    def _asked(self, name: Sequence[int], rng: np.random.Generator) -> list[int]:
        before, after = (("what is", "?"), ("which one is", "?"), ("tell me:", "."), ("", "is what?"))[
            int(rng.integers(4))
        ]
        return [*self._text(before), *name, *self._text(after)]

    def _name(self, rng: np.random.Generator) -> list[int]:
        """One to three made-up words, at most a dozen ids."""
        words = [self._word(rng) for _ in range(int(rng.choice([1, 1, 2, 3])))]
        return [piece for word in words for piece in word][:12]

    def _word(self, rng: np.random.Generator) -> list[int]:
        if rng.random() < 0.5:
            return [self.pieces[int(place)] for place in rng.integers(len(self.pieces), size=rng.integers(1, 4))]
        kind = rng.random()
        if kind < 0.2:
            return self._text(str(rng.integers(10 ** rng.integers(1, 5))))
        letters = "".join(rng.choice(list(_LETTERS), size=rng.integers(2, 9)))
        letters += str(rng.choice(list(_SIGNS))) if rng.random() < 0.1 else ""
        return self._text(letters.capitalize() if kind < 0.6 else letters.upper() if kind < 0.7 else letters)

    def _text(self, text: str) -> list[int]:
        return self.grammar.text.encode(text)


def unspelled_ids(backbone: Backbone, grammar: Grammar) -> Tensor:
    """int64 (n,), from 0: text ids that never occurred in training, but for bytes that no text has.

    Training pushes what never occurs in one direction: that of the bytes which UTF-8 does not use.
    """
    known = grammar.text.library.get_vocab()
    signs = sorted(set(ByteLevel.alphabet()) & set(known), key=lambda sign: known[sign])
    never = torch.tensor([known[sign] for sign in signs if _byte_of(sign) in _NEVER])
    text = F.normalize(backbone.embeddings.detach()[grammar.vocabulary.text_start :].float(), dim=1)
    if not len(never):
        return never.new_zeros(0, dtype=torch.int64)
    alike = text @ F.normalize(text[never].mean(0), dim=0) > _ALIKE
    alike[never] = False
    return alike.nonzero().flatten()


_NEVER = {0xC0, 0xC1, *range(0xF5, 0x100)}


def _byte_of(sign: str) -> int:
    """GPT-2's alphabet of bytes: printable Latin-1 stands for itself, the rest follows from U+0100 on."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    if ord(sign) in plain:
        return ord(sign)
    return [byte for byte in range(256) if byte not in plain][ord(sign) - 256]

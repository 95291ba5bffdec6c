"""A small speaker that can do everything, for tests: it says words one after another, each by chance after the last."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.engine.requests import likeliest
from reverie.engine.sampling import Sampler
from reverie.experts.contract import Choice
from reverie.speakers.contract import Abilities, Message, SaidId, Scored, SpeechRequest
from reverie.speakers.remote import Hear, Piece, RemoteSpeaker
from reverie.speakers.settings import SpeakerConfig

__all__ = ["ToySpeaker"]

WORDS = " the egg ball ice falls breaks melts rolls floor cat water sun".replace(" ", "| ").split("|")[1:]
IDS = [*WORDS, "\n", ""]  # "" is any other word, and when it is drawn the end
END = len(IDS) - 1


class ToySpeaker(RemoteSpeaker):
    """What comes next depends on the last word alone. One id is one word, with the space before it, or a line's end.

    ``abilities``: what it is to be able to do, so that one that can less is tested too.
    """

    def __init__(self, spec: str = "toy", config: SpeakerConfig | None = None, abilities: Abilities | None = None):
        self.name, self.config = spec, config or SpeakerConfig()
        self.abilities = abilities or Abilities(forms=True, scores=True, embeds=True, tops=len(IDS))
        self.max_ids = self.config.max_ids

    def score(self, wanted: Sequence[tuple[str, str]], experts: Choice = ()) -> list[Scored]:
        if not self.abilities.scores or experts:
            return super().score(wanted, experts)
        return [self._score(before, after) for before, after in wanted]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        if not self.abilities.embeds:
            return super().embed(texts)
        vectors = np.zeros((len(texts), len(IDS)), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in _words(text):
                vector += _logits(word).numpy()
        return vectors

    def count(self, said: str | tuple[Message, ...]) -> int:
        return len(_words(_plain(said)))

    def _score(self, before: str, after: str) -> Scored:
        words, last = _words(after), (_words(before) or [""])[-1]
        total = 0.0
        for word in words:
            total += float(_logits(last).log_softmax(-1)[_id(word)])
            last = word
        return Scored(total, len(words))

    def _say(self, request: SpeechRequest, hear: Hear) -> None:
        labels = list(request.form or ()) if self.abilities.forms else []
        formed, in_line = request.form is not None and self.abilities.forms, 0
        said = _words(_plain(request.said))
        sampler = Sampler([request.sampling], [request.seed], [request.max_ids])
        for _ in range(request.max_ids):
            allowed = torch.ones(len(IDS), dtype=torch.bool)
            if formed:  # a line has words; its end is drawn as such
                allowed[END] = False
                allowed[IDS.index("\n")] = in_line > 0
            ids, log_probs = sampler.draw(_logits(said[-1] if said else "")[None], allowed)
            word, log_prob = IDS[int(ids)], float(log_probs[0, ids])
            if word == "" or (formed and word == "\n" and not labels):
                hear(Piece("", (), end="stop"))
                return
            said.append(word)
            in_line += 1
            if formed and word == "\n":
                word, in_line = "\n" + labels.pop(0), 0
            best = [(IDS[one].encode(), value) for one, value in likeliest(log_probs[0], request.top)]
            if hear(Piece(word, (SaidId(word.encode(), log_prob, tuple(best)),))):
                return
        hear(Piece(end="length"))


def _plain(said: str | tuple[Message, ...]) -> str:
    return said if isinstance(said, str) else " ".join(turn.content for turn in said)


def _words(text: str) -> list[str]:
    return re.findall(r"\n| *[^\s]+| +", text)


def _id(word: str) -> int:
    return IDS.index(word) if word in IDS else END


def _logits(word: str) -> Tensor:  # (len(IDS),)
    rng = torch.Generator().manual_seed(zlib.crc32(word.encode()))
    return torch.randn(len(IDS), generator=rng) * 1.5

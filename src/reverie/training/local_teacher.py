"""A bundle as teacher: all its logits at each place of its answers, and its states.

It reads each answer once; its final states are kept, from which its logits are made anew in every step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from reverie.training.alignment import Place, placed_both, places
from reverie.training.word_models import Prompt, WordModel

__all__ = ["LocalTeacher", "Recalled"]


@dataclass(frozen=True)
class Recalled:
    """What a teacher made of an answer of m of its own ids, and for each of the student's n where it is then."""

    final: Tensor  # (m, D)
    layers: tuple[Tensor, ...]  # each (m, D)
    at: list[int]  # which of the m; -1 where it is nowhere
    part: list[int]  # which part of its vocabulary may follow; 0 where all of it may


@dataclass(frozen=True)
class _Part:
    """Those of a teacher's ids that begin with what was said, and the student's id that begins what is left of each."""

    theirs: Tensor  # int64 (k,)
    ours: Tensor  # int64 (k,)


class LocalTeacher:
    """``bundle``: its name or folder; ``layers``: of the student, whose states are to be matched."""

    def __init__(self, bundle: str | Path, student: WordModel, layers: Sequence[int] = ()):
        self.model, self.student = WordModel(bundle), student
        share = self.model.num_layers / student.num_layers if layers else 0.0
        self._layers = [max(0, round((layer + 1) * share) - 1) for layer in layers]
        self._same = student.vocabulary == self.model.vocabulary
        self._known: dict[tuple[bytes, bytes], int] = {(b"", b""): 0}
        self._parts = [self._part(b"", b"")]

    @torch.no_grad()
    def recall(self, prompt: Prompt, text: str, pieces: Sequence[bytes]) -> Recalled | None:
        """Read an answer. ``pieces``: the student's bytes of it. None where one's ids spell another text."""
        asked, said = self.model.ids(prompt), self.model.answer(prompt, text)
        ours, theirs = placed_both(pieces, self.model.pieces(said), text.encode())
        if ours is None or theirs is None:
            return None
        said = said[: max(self.model.backbone.config.max_positions - len(asked), 0)]
        ids = torch.tensor([asked + said], device=next(self.model.backbone.parameters()).device)
        where = torch.zeros(1, ids.shape[1] - 1, dtype=torch.bool, device=ids.device)
        where[0, len(asked) - 1 :] = True
        seen = self.model.seen(ids, where, self._layers)
        found = [place if place and place.piece < len(said) else None for place in places(ours, theirs)]
        return Recalled(
            seen.final.cpu(),
            tuple(one.cpu() for one in seen.layers),
            [-1 if place is None else place.piece for place in found],
            [0 if place is None else self._part_of(place) for place in found],
        )

    def batch(self, recalled: Sequence[tuple[Recalled | None, int]]) -> dict[str, Tensor]:
        """Of several answers, each with how many of the student's ids count: the teacher's states one after another,
        and for each of the student's ids where it is among them (-1: nowhere), and what may follow."""
        at, part, start = list[int](), list[int](), 0
        for one, count in recalled:
            at += [place + start if place >= 0 else -1 for place in (one.at if one else [-1] * count)[:count]]
            part += (one.part if one else [0] * count)[:count]
            start += len(one.final) if one else 0
        known = [one for one, _ in recalled if one is not None]
        found = {"teacher_at": torch.tensor(at), "teacher_part": torch.tensor(part)}
        if known:
            found["teacher_final"] = torch.cat([one.final for one in known])
            found |= {f"teacher_layer_{layer}": torch.cat([one.layers[layer] for one in known])
                      for layer in range(len(self._layers))}  # fmt: skip
        return found

    @torch.no_grad()
    def expected(self, bucket: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What it expects in place of each of the student's ids: log p (n, V), and whether it tells (n,)."""
        at, part = bucket["teacher_at"], bucket["teacher_part"]
        told = (at >= 0).float()
        if "teacher_final" not in bucket:
            return torch.zeros(len(at), self.student.backbone.config.vocab_size, device=at.device), told
        log_probs = self._log_probs(bucket)
        if self._same and not bool(part.any()):
            return log_probs[at.clamp_min(0)], told
        probs = log_probs.exp()
        found = probs.new_zeros(len(at), self.student.backbone.config.vocab_size)
        for number in part[at >= 0].unique().tolist():
            rows, kept = ((part == number) & (at >= 0)).nonzero()[:, 0], self._parts[number]
            said = probs[at[rows]]
            theirs, ours = kept.theirs.to(at.device), kept.ours.to(at.device)
            mapped = found[rows].index_add(1, ours, said[:, theirs])
            mass = mapped.sum(1)
            found[rows], told[rows] = (
                mapped / mass.clamp_min(torch.finfo(torch.float32).tiny)[:, None],
                (mass > 0).float(),
            )
        return found.log(), told

    @torch.no_grad()
    def probs(self, bucket: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Its own probabilities where both cut (n, W), and which places these are (n,)."""
        at = bucket["teacher_at"]
        if "teacher_final" not in bucket:
            return torch.zeros(len(at), 1, device=at.device), torch.zeros(len(at), device=at.device)
        return self._log_probs(bucket)[at.clamp_min(0)].exp(), self._both(bucket).float()

    def states(self, bucket: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Where both cut (n,), bool, and its states there, for each chosen layer (places, D)."""
        both = self._both(bucket)
        layers = [bucket[f"teacher_layer_{layer}"] for layer in range(len(self._layers)) if "teacher_final" in bucket]
        return both, [one[bucket["teacher_at"][both]] for one in layers]

    @staticmethod
    def _both(bucket: dict[str, Tensor]) -> Tensor:
        return (bucket["teacher_at"] >= 0) & (bucket["teacher_part"] == 0)

    def _log_probs(self, bucket: dict[str, Tensor]) -> Tensor:
        self.model.backbone.to(bucket["teacher_final"].device)
        return self.model.logits(bucket["teacher_final"]).log_softmax(1)

    def _part_of(self, place: Place) -> int:
        key = place.said, place.lead
        if key not in self._known:
            self._known[key] = len(self._parts)
            self._parts.append(self._part(*key))
        return self._known[key]

    def _part(self, said: bytes, lead: bytes) -> _Part:
        pairs = list[tuple[int, int]]()
        for token in self._beginning(said):
            left = Place(0, said, lead).left(self.model.vocabulary[token])
            if left is not None and (ours := self._first(token, left)) is not None:
                pairs.append((token, ours))
        columns = torch.tensor(pairs, dtype=torch.int64).view(-1, 2).T
        return _Part(columns[0], columns[1])

    def _first(self, token: int, left: bytes) -> int | None:
        if self._same and left == self.model.vocabulary[token]:
            return token
        if not left:  # of the ids that say nothing the one that ends an answer
            return self.student.first_ids(b"") if token == self.model.first_ids(b"") else None
        return self.student.first_ids(left)

    def _beginning(self, said: bytes) -> list[int]:
        """Its ids that begin with some bytes."""
        words, order = self._sorted
        end = bisect_left(words, said[:-1] + bytes([said[-1] + 1])) if said and said[-1] < 255 else len(words)
        return [
            token for token in order[bisect_left(words, said) : end] if self.model.vocabulary[token].startswith(said)
        ]

    @cached_property
    def _sorted(self) -> tuple[list[bytes], list[int]]:
        vocabulary = self.model.vocabulary
        order = sorted(range(len(vocabulary)), key=lambda token: vocabulary[token])
        return [vocabulary[token] for token in order], order

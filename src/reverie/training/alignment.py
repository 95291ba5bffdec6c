"""Two tokenizers' ids of one text, held beside each other by the bytes that they stand for.

Both cut the same bytes, each in its own places. Where both cut, what the teacher expected next is put into the
student's ids by its bytes; between two such places lies a chunk, whose probability both know (approximate likelihood
matching, arXiv 2503.20083). Within a teacher's id the student's next id is expected as far as the teacher's candidates
begin with what was said of it so far.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = [
    "Expected",
    "FirstIds",
    "Place",
    "Placed",
    "SoftTargets",
    "placed",
    "placed_both",
    "places",
    "soft_targets",
    "within",
]

Candidates = Sequence[tuple[bytes, float]]  # what may come next, in bytes, and log p in nats; b"": the end


@dataclass(frozen=True)
class Placed:
    """Pieces of a text, by the bytes of the text at which they begin and end. A piece may reach out of the text on
    either side, such as a space that a tokenizer puts before it."""

    joined: bytes
    before: int  # bytes of ``joined`` before the text
    length: int  # bytes of the text
    cuts: tuple[int, ...]  # in the text: where each piece begins, and where the last one ends

    def begin(self, piece: int) -> int:
        return self.cuts[piece]

    def end(self, piece: int) -> int:
        return self.cuts[piece + 1]

    def bytes_of(self, start: int, end: int) -> bytes:
        """Those from ``start`` to ``end``, counted from where the text begins, which may be below 0."""
        return self.joined[self.before + start : self.before + end]


@dataclass(frozen=True)
class Expected:
    """What a teacher said: its pieces' bytes, and for each log p of it and of the likeliest candidates there."""

    pieces: Sequence[bytes]
    log_probs: Sequence[float]
    candidates: Sequence[Candidates]


@dataclass(frozen=True)
class SoftTargets:
    """What a teacher expects in place of each of a student's n ids.

    ids: int64 (n, K), probs: float32 (n, K), 0 where there is no further candidate; rest: float32 (n,), the
    probability of all others; told: float32 (n,), 0 where the teacher tells no candidate of the place; other: float32
    (n,), 1 where it said what it did not tell as a candidate, which then stands for all others.
    chunk: int64 (n,), which chunk an id lies in, -1 for none; chunk_log_probs: float32 (C,), the teacher's.
    """

    ids: np.ndarray
    probs: np.ndarray
    rest: np.ndarray
    told: np.ndarray
    other: np.ndarray
    chunk: np.ndarray
    chunk_log_probs: np.ndarray


class FirstIds:
    """Which of a student's ids says the first of some bytes: the one of just these bytes; else the first of those that
    its tokenizer makes of them; else (broken UTF-8) the longest that they begin with.

    Args:
        pieces: a student's ids → the bytes that each stands for; such that stand for none are left out
        encode: text → its ids
        end: the id that ends an answer, for b""; None where there is none
    """

    def __init__(
        self, pieces: Iterable[tuple[int, bytes]], encode: Callable[[str], Sequence[int]], end: int | None = None
    ):
        self._data = {token: data for token, data in pieces if data}
        self._ids: dict[bytes, int | None] = {data: token for token, data in self._data.items()}
        self._longest, self._encode = max(map(len, self._ids), default=0), encode
        self._ids[b""] = end

    def __call__(self, said: bytes) -> int | None:
        """None where no id begins so."""
        if said not in self._ids:
            self._ids[said] = self._find(said)
        return self._ids[said]

    def _find(self, said: bytes) -> int | None:
        try:
            first = next(iter(self._encode(said.decode())), None)
        except UnicodeDecodeError:
            first = None
        if first is not None and (data := self._data.get(first, b"")) and said.startswith(data):
            return first
        lengths = range(min(len(said), self._longest), 0, -1)
        return next((found for length in lengths if (found := self._ids.get(said[:length])) is not None), None)


def placed(pieces: Sequence[bytes], text: bytes) -> Placed | None:
    """Where ``pieces`` lie in ``text``; None where they do not spell it, as where a tokenizer changes letters."""
    joined = b"".join(pieces)
    before = joined.find(text)
    if before < 0 or not text:
        return None
    cuts = np.cumsum([0, *map(len, pieces)]) - before
    return Placed(joined, before, len(text), tuple(cuts.tolist()))


def placed_both(
    ours: Sequence[bytes], theirs: Sequence[bytes], text: bytes
) -> tuple[Placed, Placed] | tuple[None, None]:
    """Both in a text, with what stands around it where that is the same, too; (None, None) where one does not spell
    it."""
    if (joined := b"".join(ours)) == b"".join(theirs) and text in joined:
        text = joined
    one, other = placed(ours, text), placed(theirs, text)
    return (None, None) if one is None or other is None else (one, other)


def within(teacher: Placed, at: int) -> int | None:
    """The teacher's piece that says the byte ``at``, or at the text's end the one that ends it; None for neither."""
    at = max(at, 0)
    if at == teacher.length:
        piece = bisect_left(teacher.cuts, at)
        return piece if piece + 1 < len(teacher.cuts) and teacher.end(piece) == at else None
    return bisect_right(teacher.cuts, at) - 1


@dataclass(frozen=True)
class Place:
    """Where a student's next piece begins in what a teacher says. ``piece``: the teacher's that says that byte;
    ``said``: what of it was said before, b"" where both cut; ``lead``: what the student says before the text."""

    piece: int
    said: bytes
    lead: bytes

    @property
    def inside(self) -> bool:
        return bool(self.said)

    def left(self, data: bytes) -> bytes | None:
        """What is left to be said of a candidate of the teacher's; None where it begins otherwise, or was said."""
        if not data.startswith(self.said) or (self.said and len(data) == len(self.said)):
            return None
        return self.lead + data[len(self.said) :] if data else data


def places(ours: Placed, theirs: Placed) -> list[Place | None]:
    """For each of our pieces where the teacher is then; None where it is nowhere, or the piece says nothing."""
    found = list[Place | None]()
    for piece, (begin, end) in enumerate(pairwise(ours.cuts)):
        ends = begin == ours.length and piece == len(ours.cuts) - 2
        at = within(theirs, begin) if end > max(begin, 0) or ends else None
        if at is None:
            found.append(None)
        elif begin <= 0 and ours.bytes_of(begin, 0) == theirs.bytes_of(theirs.begin(at), 0):
            found.append(Place(at, b"", b""))
        else:
            said = theirs.bytes_of(theirs.begin(at), max(begin, 0))
            found.append(Place(at, said, ours.bytes_of(min(begin, 0), 0)))
    return found


def soft_targets(
    student: Sequence[bytes], expected: Expected, text: bytes, first_id: FirstIds, most: int = 64
) -> SoftTargets | None:
    """What a teacher expects in place of each of a student's pieces of ``text``; None where one of them spells another
    text. ``most``: candidates that are kept of a place."""
    ours, theirs = placed_both(student, expected.pieces, text)
    if ours is None or theirs is None:
        return None
    found = [_mapped(expected, place, first_id, most) for place in places(ours, theirs)]
    chunk, chunk_log_probs = _chunks(ours, theirs, expected.log_probs)
    width = max((len(probs) for probs, *_ in found), default=0) or 1
    ids, probs = np.zeros((len(found), width), np.int64), np.zeros((len(found), width), np.float32)
    for row, (mapped, *_) in enumerate(found):
        ids[row, : len(mapped)], probs[row, : len(mapped)] = list(mapped), list(mapped.values())
    rest, told, other = (np.array([one[column] for one in found], np.float32) for column in (1, 2, 3))
    return SoftTargets(ids, probs, rest, told, other, chunk, chunk_log_probs)


def _mapped(
    expected: Expected, place: Place | None, first_id: FirstIds, most: int
) -> tuple[dict[int, float], float, bool, bool]:
    """(student's id → probability, that of all others, told, other) of one place."""
    if place is None or not _finite(expected, place.piece):
        return {}, 0.0, False, True
    mapped, said = dict[int, float](), expected.pieces[place.piece]
    for data, log_prob in expected.candidates[place.piece]:
        if (left := place.left(data)) is not None and (token := first_id(left)) is not None:
            mapped[token] = mapped.get(token, 0.0) + math.exp(log_prob)
    kept = dict(sorted(mapped.items(), key=lambda one: -one[1])[:most])
    mass, other = sum(kept.values()), all(data != said for data, _ in expected.candidates[place.piece])
    if not mass or (place.inside and other):
        return {}, 0.0, False, True
    if not place.inside:
        return kept, max(0.0, 1.0 - mass), True, other
    # how many of the others begin so is not told; who said one of these says one of the others as often as they come
    return {token: one / mass for token, one in kept.items()}, 0.0, True, False


def _finite(expected: Expected, piece: int) -> bool:
    nats = [expected.log_probs[piece], *(log_prob for _, log_prob in expected.candidates[piece])]
    return all(one <= 1e-3 for one in nats)  # NaN is not


def _chunks(ours: Placed, theirs: Placed, log_probs: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """The smallest common chunks: of each of our pieces which, and how probable the teacher found each."""

    def clipped(placed: Placed) -> list[int]:
        return [min(max(cut, 0), placed.length) for cut in placed.cuts]

    mine, other = clipped(ours), clipped(theirs)
    common = sorted(set(mine) & set(other))  # the text's begin and end at least
    chunk, sums = np.full(len(mine) - 1, -1, np.int64), np.zeros(len(common) - 1, np.float32)
    for piece, (start, end) in enumerate(pairwise(mine)):
        if end > start:
            chunk[piece] = bisect_right(common, start) - 1
    for piece, (start, end) in enumerate(pairwise(other)):
        if end > start:
            sums[bisect_right(common, start) - 1] += log_probs[piece]
    bad = ~(sums <= 1e-3)  # NaN, too
    bad[-1] |= ours.cuts[-1] > ours.length or theirs.cuts[-1] > theirs.length  # these say more than the text
    chunk = np.where((chunk >= 0) & bad[chunk], -1, chunk)
    return chunk, np.where(bad, 0.0, np.minimum(sums, 0.0)).astype(np.float32)

"""The speaker under test, and how sure its shares are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from reverie.errors import UsageError
from reverie_bench.contract import BenchConfig, Figures

if TYPE_CHECKING:
    from reverie.experts.contract import Choice
    from reverie.speakers import Scored, Speaker

__all__ = ["Remembering", "gain", "open_speaker", "shares", "wilson"]

_Z_95 = 1.959964  # of the normal distribution, two-sided 95 %


def open_speaker(settings: BenchConfig, usual: str = "smol") -> Speaker:
    """Who is asked: a base in a bundle, or a speaker such as ``ollama:llama3.2``.

    The packaged nano knows no prose: where it is named, as it is where nobody is, ``usual`` is asked. Raises UsageError
    for a model that is not there, or that was taught no prose, and whatever opening it raises.
    """
    from reverie.bundles.bundle import find_bundle, read_manifest
    from reverie.bundles.loading import open_words
    from reverie.speakers import is_speaker

    name = usual if settings.model == "nano" else settings.model
    if not is_speaker(name) and read_manifest(find_bundle(name)).get("base") is None:
        raise UsageError(f"{name} was taught pictures and no prose: choosing in words needs a base, such as {usual}")
    return cast("Speaker", Remembering(open_words(name).speaker))


class Remembering:
    """A speaker that reads nothing twice; where its memory has grown large it begins anew."""

    def __init__(self, speaker: Speaker, most: int = 100_000):
        self._speaker, self._most = speaker, most
        self._scored: dict[tuple[str, str], Scored] = {}
        self._vectors: dict[str, np.ndarray] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._speaker, name)

    def score(self, wanted: Sequence[tuple[str, str]], experts: Choice = ()) -> list[Scored]:
        if len(self._scored) > self._most:
            self._scored.clear()
        new = [pair for pair in dict.fromkeys(wanted) if pair not in self._scored]
        self._scored |= zip(new, self._speaker.score(new, experts) if new else [], strict=True)
        return [self._scored[pair] for pair in wanted]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        if len(self._vectors) > self._most:
            self._vectors.clear()
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        self._vectors |= zip(new, self._speaker.embed(new) if new else [], strict=True)
        return np.stack([self._vectors[text] for text in texts])


def wilson(right: Sequence[bool]) -> tuple[float, float]:
    """The 95 % interval of the share that is right, after Wilson (1927); NaN where there are none."""
    if not right:
        return math.nan, math.nan
    n, p = len(right), sum(right) / len(right)
    middle, spread = p + _Z_95**2 / (2 * n), _Z_95 * math.sqrt(p * (1 - p) / n + _Z_95**2 / (4 * n * n))
    scale = 1 + _Z_95**2 / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def shares(right: Sequence[bool], name: str = "accuracy") -> Figures:
    """The share with its interval: ``name``, ``name_low``, ``name_high``."""
    low, high = wilson(right)
    return {name: sum(right) / len(right) if right else math.nan, f"{name}_low": low, f"{name}_high": high}


def gain(right: Sequence[bool], other: Sequence[bool]) -> Figures:
    """By how much ``right`` is ahead of ``other`` on the same rows, with its 95 % interval (normal, paired)."""
    apart = [float(one) - float(two) for one, two in zip(right, other, strict=True)]
    mean = sum(apart) / len(apart)
    error = _Z_95 * math.sqrt(sum((each - mean) ** 2 for each in apart) / len(apart) ** 2)
    return {"gain": mean, "gain_low": mean - error, "gain_high": mean + error}

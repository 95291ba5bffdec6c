"""Dreams for others to keep: pictures and a strip in a folder, and the JSON that the command line and a server send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reverie.data.pictures import save_picture
from reverie.dreaming.strip import branches_of, draw_strip, to_png
from reverie.files import atomic_write_bytes
from reverie.nouns import Answer, Dream, Frame, Part

__all__ = ["Images", "answer_to_json", "dream_to_json", "save_dreams"]

#: (dream, place) -> file; place 0 is what a dream starts from, place i the result of its i-th triplet
Images = Mapping[tuple[int, int], Path]


def save_dreams(
    dreams: Sequence[Dream],
    decode: Callable[[Sequence[Frame]], Sequence[np.ndarray]],
    folder: Path,
    winner: int = -1,
    question: str = "",
    answer: str = "",
) -> dict[tuple[int, int], Path]:
    """Write every picture as PNG, and ``strip.png`` with all dreams on it, the one at index ``winner`` framed.

    Raises OSError where the disk refuses.
    """
    branches = branches_of(dreams, decode)
    if not branches:
        return {}
    images = {}
    for index, branch in enumerate(branches):
        for place, panel in enumerate(branch.panels):
            if panel.picture is not None:
                part = f"result-{place}" if place else "what"
                images[index, place] = save_picture(panel.picture, folder / f"dream-{index + 1}-{part}.png")
    framed = winner if winner >= 0 else None
    atomic_write_bytes(folder / "strip.png", to_png(draw_strip(branches, framed, question, answer)))
    return images


def answer_to_json(answer: Answer, images: Images | None = None) -> dict[str, Any]:
    """``answer`` in the shape of ``ask --json``; parts without a saved picture have the image null."""
    return {
        "answer": answer.text,
        "known": answer.known,
        "confidence": answer.confidence,
        "backend": answer.backend,
        "dreams": [dream_to_json(dream, index, images) for index, dream in enumerate(answer.dreams)],
        "verdict": {"branch": answer.verdict.branch, "reason": answer.verdict.reason},
        "evidence": [vars(fact) for fact in answer.evidence],
        "attribution": answer.attribution,
        "seconds": answer.seconds,
    }


def dream_to_json(dream: Dream, index: int = 0, images: Images | None = None) -> dict[str, Any]:
    """The ``index``-th dream of an answer in the same shape."""
    saved = images or {}
    return {
        "triplets": [
            {
                "what": _part(triplet.what, saved.get((index, place))),
                "action": _part(triplet.action, None),
                "result": _part(triplet.result, saved.get((index, place + 1))),
            }
            for place, triplet in enumerate(dream.triplets)
        ],
        "log_prob": dream.log_prob,
        "score": dream.score,
        "scores": dream.scores,
        "experts": dream.experts,
        "seed": dream.seed,
    }


def _part(part: Part, image: Path | None) -> dict[str, Any]:
    return {"text": part.text, "image": None if image is None else str(image)}

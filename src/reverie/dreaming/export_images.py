"""Dreams for others to keep: pictures and a strip in a folder, and the JSON that the command line and a server send."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reverie.drawing import png_bytes
from reverie.dreaming.resting import sentences_of
from reverie.dreaming.strip import branches_of, draw_strip
from reverie.files import atomic_write_bytes
from reverie.nouns import Answer, Attribution, Dream, Frame, Part

__all__ = ["Images", "answer_to_json", "dream_to_json", "save_dreams", "save_files"]

#: (dream, place) -> file or data: URI; place 0 is what a dream starts from, place i the result of its i-th triplet
Images = Mapping[tuple[int, int], Path | str]


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
    pictures = {
        (index, place): (f"dream-{index + 1}-{f'result-{place}' if place else 'what'}.png", panel.picture)
        for index, branch in enumerate(branches)
        for place, panel in enumerate(branch.panels)
        if panel.picture is not None
    }
    files = {name: png_bytes(picture) for name, picture in pictures.values()}
    strip = draw_strip(branches, winner if winner >= 0 else None, question, answer)
    saved = save_files(folder, files | {"strip.png": png_bytes(strip)})
    return {key: saved[name] for key, (name, _) in pictures.items()}


def save_files(folder: Path, files: Mapping[str, bytes]) -> dict[str, Path]:
    """Write all of ``files`` into ``folder``, made if needed, or leave none of them. Raises OSError with the name of
    the one that could not be written."""
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    path = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as scratch:
            for name, data in files.items():
                path = folder / name
                atomic_write_bytes(Path(scratch) / name, data)
            for name in files:
                (Path(scratch) / name).replace(folder / name)
    except BaseException as error:  # Ctrl-C too
        with contextlib.suppress(OSError):
            for one in made:
                one.rmdir()
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    return {name: folder / name for name in files}


def answer_to_json(answer: Answer, images: Images | None = None) -> dict[str, Any]:
    """``answer`` in the shape of ``ask --json``; parts without a saved picture have the image null.

    What the answer cites as [1] is the first of its evidence, and so on.
    """
    return {
        "answer": answer.text,
        "known": answer.known,
        "confidence": answer.confidence,
        "backend": answer.backend,
        "model": answer.model,
        "why": answer.why,
        "dreams": [dream_to_json(dream, index, images) for index, dream in enumerate(answer.dreams)],
        "verdict": {"branch": answer.verdict.branch, "reason": answer.verdict.reason},
        "evidence": [vars(fact) for fact in answer.evidence],
        "attribution": attribution_to_json(answer.attribution),
        "seconds": answer.seconds,
        "guess": answer.guess,
        "checks": [vars(check) for check in answer.checks],
        "sentences": [dataclasses.asdict(one) | {"own": one.own} for one in sentences_of(answer)],
    }


def attribution_to_json(attribution: Attribution) -> dict[str, Any]:
    """Where an answer comes from; experts, and what was remembered, stand there where there are any."""
    told = _there(dataclasses.asdict(attribution))
    if not attribution.experts:
        del told["experts"], told["ids"]
        return told
    return told | {"experts": {name: _there(share) for name, share in told["experts"].items()}}


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


def _there(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}


def _part(part: Part, image: Path | str | None) -> dict[str, Any]:
    return {"text": part.text, "image": None if image is None else str(image)}

"""Asking many questions, and keeping what was said and shown as it comes: who stops goes on where they were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.errors import UsageError
from reverie.files import atomic_write_json
from reverie.jsonio import json_lines, read_object
from reverie.nouns import Answer, Check, Signals
from reverie.progress import Progress, no_progress
from reverie.training.knowing.questions import KeyedQuestion

__all__ = ["Ask", "Reply", "ask_all", "heard"]

Ask = Callable[[Sequence[str]], list[Answer]]  # an answer a question, known or not
_CHUNK = 16  # questions asked together
_ANSWERS, _HEAD = "answers.jsonl", "asked.json"


@dataclass(frozen=True, eq=False)
class Reply:
    """What was said to a question, were it ``known`` or not, how sure that was, and what was shown; ``gate``: the
    largest of an expert's."""

    said: str
    signals: Signals | None
    checks: tuple[Check, ...] = ()
    gate: float | None = None
    sure: float = 0.0
    known: bool = False


def heard(answer: Answer) -> Reply:
    said = answer.text if answer.known else answer.guess
    if not said and not answer.known and answer.dreams:
        said = answer.dreams[max(answer.verdict.branch, 0)].said
    gates = [share.weight for share in answer.attribution.experts.values()]
    return Reply(said, answer.signals, answer.checks, max(gates, default=None), answer.confidence, answer.known)


def ask_all(
    ask: Ask, asked: Sequence[KeyedQuestion], folder: Path, about: Mapping[str, Any], progress: Progress = no_progress
) -> list[Reply]:
    """What is said to every question; ``folder`` keeps it, and what lies there from an earlier call is not asked again.

    ``about``: what the answers depend on besides: JSON, such as the model's hash. Raises UsageError where the folder
    holds answers that depend on something else.
    """
    head = {"about": dict(about), "questions": _hash(asked)}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / _ANSWERS
    if (folder / _HEAD).is_file() and read_object(folder / _HEAD, UsageError, "the run's head") != head:
        raise UsageError(f"{folder} holds answers to other questions or of another model: name another folder")
    atomic_write_json(folder / _HEAD, head)
    found = _kept(file)[: len(asked)]
    with file.open("ab") as out:
        for start in range(len(found), len(asked), _CHUNK):
            progress("asking", start, len(asked))
            answers = ask([one.question for one in asked[start : start + _CHUNK]])
            for one in map(heard, answers):
                out.write(json.dumps(_written(one), ensure_ascii=False).encode() + b"\n")
                found.append(one)
            out.flush()
    progress("asking", len(asked), len(asked))
    return found


def _kept(file: Path) -> list[Reply]:
    """What earlier calls wrote; a last line that was cut off is dropped from the file."""
    if not file.is_file():
        return []
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        file.write_bytes(whole)
    return [_read(fields) for _, fields in json_lines(file, UsageError, "the run's answers")]


def _written(one: Reply) -> dict[str, Any]:
    told = asdict(one)
    if one.signals is not None:
        near = None if np.isinf(one.signals.near) else one.signals.near
        told["signals"] |= {"embedding": np.round(one.signals.embedding, 5).tolist(), "near": near}
    return told


def _read(fields: Mapping[str, Any]) -> Reply:
    told = dict(fields)
    if shown := told.get("signals"):
        near = float("inf") if shown["near"] is None else shown["near"]
        told["signals"] = Signals(**shown | {"embedding": np.array(shown["embedding"]), "near": near})
    return Reply(**told | {"checks": tuple(Check(**check) for check in told.get("checks", ()))})


def _hash(asked: Sequence[KeyedQuestion]) -> str:
    return hashlib.sha256(json.dumps([one.question for one in asked]).encode()).hexdigest()

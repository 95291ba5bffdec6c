"""What nano answered, it answers again: ``answers.json`` was recorded before answering was parted into stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import reverie
from reverie.dreaming import Session
from reverie.nouns import Answer

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "answers.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def nano() -> Session:
    return reverie.load("nano", enable_gpt51_codex_preview=False)


def figures(answer: Answer) -> dict[str, Any]:
    """What of an answer is held to what it was; floats to a thousandth, as processors round differently."""
    return {
        "text": answer.text,
        "known": answer.known,
        "confidence": round(answer.confidence, 3),
        "branch": answer.verdict.branch,
        "steps": [len(dream.triplets) for dream in answer.dreams],
        "log_probs": [round(dream.log_prob, 3) for dream in answer.dreams],
        "scores": [round(dream.score, 3) for dream in answer.dreams],
        "evidence": [[fact.subject, fact.object, fact.reason] for fact in answer.evidence],
        "experts": sorted(answer.attribution.experts),
    }


@pytest.mark.parametrize("place", range(len(RECORDED)))
def test_an_answer_is_what_it_was(nano: Session, place: int) -> None:
    recorded = RECORDED[place]
    now, then = figures(nano.ask(recorded["question"], **recorded["how"])), recorded["answer"]
    for name in ("confidence", "log_probs", "scores"):
        assert now.pop(name) == pytest.approx(then.pop(name), abs=3e-3), name
    assert now == then

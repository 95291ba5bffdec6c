"""``check_teacher``: holds a teacher to its contract, whoever it is."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from reverie.errors import ReverieError
from reverie.registry import Promises
from reverie.speakers.contract import Message
from reverie.speakers.remote import spell
from reverie.teachers.cleaning import clean
from reverie.teachers.contract import Teacher
from reverie.teachers.traces import Prompt, Traces, read_traces

__all__ = ["check_teacher"]

_PROMPTS: tuple[Prompt, ...] = (
    "What does ice do in the sun?",
    "What happens to an egg that falls?",
    (Message("user", "Name one thing that rolls."),),
)


def check_teacher(teacher: Teacher, prompts: Sequence[Prompt] = ()) -> list[str]:
    """Run every promise of the contract; ContractError names the first that is broken.

    ``prompts``: by default its own, else three questions. Returns what was checked. Raises BackendError where it is
    away.
    """
    promises = Promises("a teacher", teacher.name or type(teacher).__name__)
    expect, asked = promises.expect, tuple(prompts or teacher.prompts[:8] or _PROMPTS)
    expect("it has a name", bool(teacher.name))
    before = replace(teacher.counts)
    plan = teacher.plan(asked)
    expect("a plan asks nobody", teacher.counts == before and plan.prompts == len(asked), plan)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.jsonl"
        with Traces(path) as traces:
            replies = list(teacher.teach(asked, traces))
            now = replace(teacher.counts)
            new = {name: getattr(now, name) - getattr(before, name) for name in ("replies", "flawed", "failed", "ids")}
            total = new["replies"] + new["flawed"] + new["failed"]
            expect("every prompt is counted once", bool(now.stopped) or total == len(asked), now)
            expect("its lessons are what it counts", new["replies"] == len(replies), now)
            retried = now.retried - before.retried
            expect("what it took lies within its plan", retried > 0 or new["ids"] <= plan.most_ids, now)
            spent = now.ids
            again = list(teacher.teach(asked, traces))
        expect("who was asked before is not asked again", teacher.counts.ids == spent, teacher.counts)
        expect("and says the same", [one.text for one in again] == [one.text for one in replies])
        written = list(read_traces(path))
        expect("what it says is written once", all(one in written for one in replies), len(written))
    for one in replies:
        expect("a lesson has words and no flaw", bool(one.text.strip()) and not one.flaw, one)
        expect("it holds no control characters", clean(one.text) == one.text, one.text)
        expect("its ids are its text", not one.ids or "\ufffd" in one.text or spell(one.ids, one.text), one)
        nats = [value for each in one.ids for value in (each.log_prob, *(nats for _, nats in each.top))]
        expect("log-probabilities are numbers", all(map(math.isfinite, nats)))
        expect("no more likeliest ids than it tells", all(len(each.top) <= teacher.tops for each in one.ids))
    if hasattr(teacher, "logits"):
        ids = torch.arange(6).reshape(2, 3) % teacher.vocab_size  # type: ignore[attr-defined]
        logits = teacher.logits(ids)
        shaped = logits.shape == (2, 3, teacher.vocab_size) and logits.dtype == torch.float32  # type: ignore[attr-defined]
        expect("logits of every id, float32, without gradients", shaped and not logits.requires_grad, logits.shape)
    expect("an empty prompt is refused", _refuses(teacher, ""))
    teacher.close()
    teacher.close()
    expect("it may be closed twice", True)
    return promises.kept


def _refuses(teacher: Teacher, prompt: Prompt) -> bool:
    try:
        list(teacher.teach([prompt]))
    except ReverieError as error:
        return "\n" not in str(error)
    return False

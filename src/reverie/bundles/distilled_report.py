"""What came of a distillation: its curve, nats a byte before and after, samples side by side."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverie.bundles.bundle import find_bundle
from reverie.bundles.loading import load_bundle
from reverie.errors import DataError
from reverie.experts.contract import Choice
from reverie.files import atomic_write_bytes, atomic_write_json, atomic_write_text
from reverie.jsonio import json_lines, jsonable, read_object
from reverie.speakers.contract import Message, SpeechRequest
from reverie.teachers import Prompt

__all__ = ["Sample", "answers_of", "write_report"]


@dataclass(frozen=True)
class Sample:
    """A prompt that was kept back: what the teacher answered, and the student before and after."""

    prompt: str
    teacher: str
    before: str
    after: str


def answers_of(model: str | Path, prompts: Sequence[Prompt], expert: Path | None, max_ids: int) -> list[str]:
    """What a bundle answers in its own words, its likeliest, with an expert's folder or without; "" of one that only
    dreams in the grammar."""
    bundle = load_bundle(find_bundle(model), weights="fp32")
    with tempfile.TemporaryDirectory() as scratch:
        choice: Choice = ()
        if expert is not None:
            card = bundle.open_library(Path(scratch)).add(expert)
            choice = ((card.name, 1.0),)
        speaker = bundle.speaker(bundle.open(Path(scratch)))
        if speaker is None:
            return [""] * len(prompts)
        said = [SpeechRequest(_asked(one, speaker.abilities.talks), max_ids, experts=choice) for one in prompts]
        return [one.text.strip() for one in speaker.speak(said)]


def _asked(prompt: Prompt, talks: bool) -> Prompt:
    if isinstance(prompt, str):
        return (Message("user", prompt),) if talks else prompt
    return prompt if talks else "\n".join(turn.content for turn in prompt)


def write_report(folder: Path, teacher: str, asked: dict[str, Any], samples: Sequence[Sample]) -> None:
    """``curve.png``, ``report.json`` and ``report.md`` of the distillation in ``folder``."""
    run = folder / "run"
    before = read_object(run / "before.json", DataError, "the figures before the run")
    result = read_object(run / "result.json", DataError, "the result of the run")
    after = result["metrics"].get("best_loss", result["metrics"].get("loss"))
    atomic_write_bytes(folder / "curve.png", _curve(run / "metrics.jsonl", before["loss"]))
    told = {"teacher": teacher, "asked": asked, "before": before, "after": result, "samples": jsonable(list(samples))}
    atomic_write_json(folder / "report.json", told)
    atomic_write_text(folder / "report.md", _text(teacher, asked, before["loss"], after, result["step"], samples))


def _text(
    teacher: str, asked: dict[str, Any], before: float, after: float, steps: int, samples: Sequence[Sample]
) -> str:
    cost = f", {asked['cost']:g} paid" if asked["cost"] else ""
    lines = [
        f"# What was learned from {teacher}",
        "",
        f"{asked['replies']} of {asked['prompts']} prompts were answered ({asked['ids']} ids now, {asked['cached']} "
        f"replies kept from before{cost}); {steps} steps.",
        "",
        "| on prompts that were kept back | before | after |",
        "|---|---|---|",
        f"| nats a byte of the teacher's answers | {before:.3f} | {after:.3f} |",
        "",
        "![nats a byte by step](curve.png)",
        "",
    ]
    for sample in samples:
        lines += [f"## {_line(sample.prompt)}", "", "| | |", "|---|---|"]
        lines += [f"| {who} | {_line(getattr(sample, who)) or '–'} |" for who in ("teacher", "before", "after")]
        lines.append("")
    return "\n".join(lines)


def _line(text: str) -> str:
    """As a cell of a table: what a model wrote is data."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")[:800]


def _curve(log: Path, before: float) -> bytes:
    from matplotlib import rc_context

    from reverie.training.plotting import BLUE, GOLD, SOFT, STYLE, canvas

    rows = [row for _, row in json_lines(log, DataError, "the log")]
    tested = [(row["step"], row["loss"]) for row in rows if row.get("kind") == "evaluate" and "loss" in row]
    with rc_context(STYLE):
        figure, axes = canvas("Nats a byte", "of the teacher's answers to prompts that were kept back")
        axes.plot(*zip(*tested, strict=True), color=BLUE, marker="o", label="student")
        axes.axhline(before, color=SOFT, linestyle=":", label="before")
        best = min(tested, key=lambda one: one[1])
        axes.plot(*best, color=GOLD, marker="o", markersize=9, linestyle="", label="best")
        axes.set_xlabel("step")
        axes.legend()
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png")
    return drawn.getvalue()

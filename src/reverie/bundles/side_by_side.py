"""Two models asked the same, side by side: answers, what they know, how sure they are, how long it took."""

from __future__ import annotations

import html
import statistics
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from reverie.bundles.loading import load
from reverie.dreaming.preview import RuntimeConfig
from reverie.dreaming.prompt_files import OwnPrompt
from reverie.dreaming.question import Speaking
from reverie.errors import UsageError
from reverie.nouns import Answer
from reverie.progress import Progress, no_progress

__all__ = ["Compared", "Side", "compare_models", "side_of", "summary", "to_html"]


@dataclass(frozen=True)
class Side:
    """What one model said to a prompt. ``right``: None where nothing was expected; ``guess``: where it does not know,
    what it would have said, which is not judged."""

    answer: str
    known: bool
    confidence: float
    seconds: float
    model: str
    right: bool | None = None
    guess: str = ""


@dataclass(frozen=True)
class Compared:
    """A prompt, with what each model said to it, in the order in which they were named."""

    prompt: str
    expected: tuple[str, ...]
    sides: tuple[Side, ...]


def compare_models(
    models: Sequence[str],
    prompts: Sequence[OwnPrompt],
    *,
    branches: int = 4,
    seed: int = 0,
    max_ids: int = 256,
    progress: Progress = no_progress,
) -> list[Compared]:
    """Ask every prompt of every model, in turns, so that a busy machine slows all; models as ``load`` takes them.

    Each answers the first prompt once before, which is not counted: what is made at a first answer costs no prompt.
    They rest on what their bundles know of their worlds, on no memory of the user's. Raises what ``load`` and ``ask``
    raise; UsageError for fewer than two models.
    """
    if len(models) < 2:
        raise UsageError(f"two models are compared, got {len(models)}")
    speaking = Speaking(max_ids=max_ids)
    with ExitStack() as stack:
        runtime = RuntimeConfig(enable_gpt51_codex_preview=False)
        sessions = [stack.enter_context(closing(load(model, runtime))) for model in models]
        for one in sessions:
            one.ask(prompts[0].text, branches=branches, seed=seed, speaking=speaking)
        found = []
        for place, prompt in enumerate(prompts):
            progress("asking", place, len(prompts))
            said = [one.ask(prompt.text, branches=branches, seed=seed, speaking=speaking) for one in sessions]
            found.append(Compared(prompt.text, prompt.expected, tuple(side_of(prompt, one) for one in said)))
        progress("asking", len(prompts), len(prompts))
    return found


def side_of(prompt: OwnPrompt, answer: Answer) -> Side:
    """An answer held to what was expected."""
    right = prompt.holds(answer.text)
    return Side(answer.text, answer.known, answer.confidence, answer.seconds, answer.model, right, answer.guess)


def summary(sides: Sequence[Side]) -> dict[str, Any]:
    """Of one model: accuracy (None where nothing was expected), known, confidence, seconds a prompt (median)."""
    judged = [side.right for side in sides if side.right is not None]
    return {
        "accuracy": sum(judged) / len(judged) if judged else None,
        "known": sum(side.known for side in sides) / len(sides),
        "confidence": statistics.fmean(side.confidence for side in sides),
        "seconds": statistics.median(side.seconds for side in sides),
    }


def to_html(models: Sequence[str], rows: Sequence[Compared]) -> str:
    """One page without scripts or anything from elsewhere: a column a model, a row a prompt."""
    heads = "".join(f"<th scope='col'>{html.escape(model)}<br><small>{_totals(rows, at)}</small></th>"
                    for at, model in enumerate(models))  # fmt: skip
    lines = "\n".join(
        f"<tr><th scope='row'>{html.escape(row.prompt)}{_wanted(row)}</th>{''.join(map(_cell, row.sides))}</tr>"
        for row in rows
    )
    return _PAGE.format(title=html.escape(" | ".join(models)), heads=heads, lines=lines)


def _totals(rows: Sequence[Compared], at: int) -> str:
    told = summary([row.sides[at] for row in rows])
    right = "" if told["accuracy"] is None else f"{told['accuracy']:.0%} right, "
    return f"{right}{told['known']:.0%} known, {told['seconds']:.2f} s"


def _wanted(row: Compared) -> str:
    return f"<br><small>expected: {html.escape(' | '.join(row.expected))}</small>" if row.expected else ""


def _cell(side: Side) -> str:
    mark = {None: "", True: "right, ", False: "wrong, "}[side.right]
    about = f"{mark}{'known' if side.known else 'not known'}, {side.confidence:.2f}, {side.seconds:.2f} s"
    kind = {None: "", True: " class='right'", False: " class='wrong'"}[side.right]
    guess = f"<br><small>would have said: {html.escape(side.guess)}</small>" if side.guess else ""
    return f"<td{kind}>{html.escape(side.answer)}{guess}<br><small>{about}</small></td>"


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ border: 1px solid #8884; padding: .5rem; text-align: left; vertical-align: top; white-space: pre-wrap }}
.right {{ border-left: 4px solid #2a7 }} .wrong {{ border-left: 4px solid #c43 }}
small {{ opacity: .75; font-weight: normal }}
</style>
<table><thead><tr><th scope="col">Prompt</th>{heads}</tr></thead><tbody>
{lines}
</tbody></table></html>
"""

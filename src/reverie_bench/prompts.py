"""A user's own prompts: whether the answers are what was expected, and how fast they come.

``accuracy`` counts the rows that expect something; without any, the figures are those of speed alone. The baseline says
the commonest of the expected texts to everything, which is what a file with one kind of answer would reward.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reverie.dreaming.prompt_files import OwnPrompt, read_prompts
from reverie.errors import UsageError
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.figures import share
from reverie_bench.rows import thin

if TYPE_CHECKING:
    from reverie.bundles.side_by_side import Side

DATA = 'a file of prompts: one a line, or JSON lines of {"prompt", "expected", "match": contains, exact or regex}'


def run(settings: BenchConfig) -> Findings:
    if settings.data is None:
        raise UsageError(f"the benchmark prompts needs --data: {DATA}")
    prompts = thin(read_prompts(settings.data), settings.limit)
    sides = _ask(prompts, settings)
    seconds = sum(side.seconds for side in sides)
    figures: Figures = {
        "known": share(side.known for side in sides),
        "confidence": share(side.confidence for side in sides),
        "seconds_per_prompt": seconds / len(sides),
        "words_per_second": sum(len(side.answer.split()) for side in sides) / max(seconds, 1e-9),
    }
    return Findings(
        n=len(prompts),
        figures=_accuracy(sides) | figures,
        by={f"row_{place}": _row(side) for place, side in enumerate(sides, 1)},
        baselines={"commonest_expected": _commonest(prompts)},
        settings={
            "branches": settings.branches,
            "rows": [
                {"prompt": prompt.text, "expected": prompt.expected, **vars(side)}
                for prompt, side in zip(prompts, sides, strict=True)
            ],
        },
    )


def _ask(prompts: Sequence[OwnPrompt], settings: BenchConfig) -> list[Side]:
    from contextlib import closing

    from reverie.bundles import load
    from reverie.bundles.side_by_side import side_of
    from reverie.dreaming.preview import RuntimeConfig

    sides = []
    with closing(load(settings.model, RuntimeConfig(enable_gpt51_codex_preview=False))) as session:
        session.ask(prompts[0].text, branches=settings.branches)  # what is made at a first answer is not counted
        for place, prompt in enumerate(prompts):
            settings.progress("asking", place, len(prompts))
            sides.append(side_of(prompt, session.ask(prompt.text, branches=settings.branches, seed=settings.seed)))
        settings.progress("asking", len(prompts), len(prompts))
    return sides


def _accuracy(sides: Sequence[Side]) -> Figures:
    judged = [side.right for side in sides if side.right is not None]
    return {"accuracy": share(judged), "judged": len(judged)} if judged else {}


def _row(side: Side) -> Figures:
    right = {} if side.right is None else {"accuracy": float(side.right)}
    return right | {"known": float(side.known), "confidence": side.confidence, "seconds": side.seconds}


def _commonest(prompts: Sequence[OwnPrompt]) -> Figures:
    """What one answer to everything reaches."""
    expected = Counter(prompt.expected[0] for prompt in prompts if prompt.expected and prompt.match != "regex")
    if not expected:
        return {"rows": 0}
    said = expected.most_common(1)[0][0]
    judged = [prompt.holds(said) for prompt in prompts if prompt.expected]
    return {"accuracy": sum(map(bool, judged)) / len(judged)}


BENCHMARK = Benchmark(
    name="prompts",
    about="your own prompts: are the answers what was expected, and how fast do they come",
    run=run,
    data=DATA,
)

"""Grounding: does a memory that lies now and then make answers better, once dreams and facts check one another?

The questions of ``everyday`` about courses of events, each asked with its picture. The memory holds what observers
say of every situation that is asked about, and a fifth of what they say is false: another outcome that the same thing
can come to. So what is known of the held-out pairs, which the model was never shown, comes from this memory alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from reverie.data import FactRow
from reverie.nouns import CAUSES, Part, situation
from reverie.tokens.questions import clean_question
from reverie.worlds import Episode, make_world, record_episode
from reverie.worlds.everyday import is_held_out, is_test_scene
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.everyday import Row, make_rows
from reverie_bench.figures import is_right, share
from reverie_bench.rows import chunks

if TYPE_CHECKING:
    from reverie.dreaming import Reverie

__all__ = ["BENCHMARK", "observations"]

NUM_ROWS = 200  # of test scenes, and of held-out pairs
OBSERVERS = 3
FALSE = 0.2  # share of what each observer says


def run(settings: BenchConfig) -> Findings:
    from reverie.bundles import load_bundle
    from reverie.dreaming.preview import RuntimeConfig

    count = settings.limit or NUM_ROWS
    rows = [
        row
        for part, fits in enumerate((lambda o: is_test_scene(o) and not is_held_out(o), is_held_out))
        for row in make_rows(2 * count, settings.seed + part, fits)
        if row.moves
    ]
    rows = [*_first(rows, count, held_out=False), *_first(rows, count, held_out=True)]
    world = make_world("Everyday")
    episodes = [record_episode(world, row.options) for row in rows]
    facts, false_share = observations(episodes, np.random.default_rng([settings.seed, 11]))
    bundle, runtime = load_bundle(settings.model), RuntimeConfig(enable_gpt51_codex_preview=False)
    figures: dict[str, list[tuple[Row, bool]]] = {}
    for memory, dreams, direct in ((False, "dreams_alone", "direct_alone"), (None, "checked", "direct_checked")):
        session = bundle.session(runtime, memory, facts)
        pairs = chunks(list(zip(rows, episodes, strict=True)), 1, dreams.replace("_", " "), settings.progress)
        figures[dreams] = [(row, _answers(session, row, one, settings)) for some in pairs for row, one in some]
        figures[direct] = [(row, _directly(session, row, settings)) for row in rows]
    figures["unchecked"] = _believed(session, rows, episodes, facts)
    told = {name: _count(judged) for name, judged in figures.items()}
    return Findings(
        n=len(rows),
        figures=told.pop("checked") | {"false_share": false_share},
        baselines=told,
        settings={"observers": OBSERVERS, "facts": len(facts), "branches": settings.branches},
    )


def _first(rows: Sequence[Row], count: int, held_out: bool) -> list[Row]:
    return [row for row in rows if row.held_out == held_out][:count]


def observations(episodes: Sequence[Episode], rng: np.random.Generator) -> tuple[list[FactRow], float]:
    """What ``OBSERVERS`` say of each situation among ``episodes``, and the share of it that is false."""
    true: dict[tuple[str, str], set[str]] = {}
    ends: dict[str, set[str]] = {}
    for episode in episodes:
        steps = episode.transitions
        thing = str(episode.options["thing"])
        about = situation(steps[0].what_text, steps[0].action_text), thing
        true.setdefault(about, set()).add(steps[-1].result_text)
        ends.setdefault(thing, set()).add(steps[-1].result_text)
    rows, lies = [], 0
    for (subject, thing), outcomes in true.items():
        others = sorted(ends[thing] - outcomes)
        for observer in range(OBSERVERS):
            said = str(rng.choice(sorted(outcomes)))
            if others and rng.random() < FALSE:
                said, lies = str(rng.choice(others)), lies + 1
            rows.append(FactRow(subject, CAUSES, said, "action", "outcome", f"observer {observer + 1}", 1 - FALSE))
    return rows, lies / len(rows)


def _answers(session: Reverie, row: Row, episode: Episode, settings: BenchConfig) -> bool:
    opening = episode.transitions[0].what
    answer = session.ask(row.question.text, [opening], branches=settings.branches, world="Everyday", seed=settings.seed)
    return answer.known and is_right(answer.text, row.question)


def _directly(session: Reverie, row: Row, settings: BenchConfig) -> bool:
    """Without picture and dreams: what memory says reaches the backbone as soft tokens."""
    answer = session.ask(row.question.text, branches=0, seed=settings.seed)
    return answer.known and is_right(answer.text, row.question)


def _believed(
    session: Reverie, rows: Sequence[Row], episodes: Sequence[Episode], facts: Sequence[FactRow]
) -> list[tuple[Row, bool]]:
    """Answers that take one observer at his word: worded from what he says, and nothing is dreamed."""
    said = {fact.subject: fact.object for fact in reversed(facts)}  # the first observer's
    prompts = []
    for row, episode in zip(rows, episodes, strict=True):
        first = episode.transitions[0]
        what = Part(first.what_text, session.tokenizer.encode([first.what], session.worlds["Everyday"])[0])
        outcome = said[situation(first.what_text, first.action_text)]
        prompts.append(session.dreamer.told_prompt(clean_question(row.question.text), what, first.action_text, outcome))
    told = [dreamed.document.answer or "" for dreamed in session.dreamer.run(prompts)]
    return [(row, is_right(answer, row.question)) for row, answer in zip(rows, told, strict=True)]


def _count(judged: Sequence[tuple[Row, bool]]) -> Figures:
    return {
        "accuracy": share(right for row, right in judged if not row.held_out),
        "held_out_accuracy": share(right for row, right in judged if row.held_out),
        "all_accuracy": share(right for _, right in judged),
    }


BENCHMARK = Benchmark(
    name="grounding",
    about="everyday answers beside a memory of which a fifth is false: dreams alone, one source believed, both checked",
    run=run,
)

"""Does it know what it was not taught? Confidence of taught questions against questions of a quiz.

The taught ones are questions of the worlds about scenes and maps that were never trained on; those about a lake come
with its map, without which nobody could answer them. ``auroc`` is the chance that a taught question gets more
confidence than one of the quiz.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from reverie.dreaming.scenes import Scene
from reverie.errors import UsageError
from reverie.nouns import Answer
from reverie.training.knowing.figures import calibration_error
from reverie.worlds import make_world, record_episode
from reverie.worlds.everyday import is_held_out, is_test_scene
from reverie.worlds.frozenlake import in_test_split
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings, Published
from reverie_bench.everyday import make_rows
from reverie_bench.figures import auroc, share
from reverie_bench.models import open_model
from reverie_bench.rows import chunks, read_trivia, thin

if TYPE_CHECKING:
    from reverie.dreaming import Reverie

Shown = tuple[str | None, Scene]  # a world and a scene of it

DATA = "a file of OpenTriviaQA (questions start with #Q), or a folder of such files"
NUM_TAUGHT, NUM_STRANGE = 300, 500
_CHUNK = 16  # questions asked together
_NOTHING: Shown = (None, None)


def run(settings: BenchConfig) -> Findings:
    strange = read_trivia(settings.data, DATA)
    session, manifest = open_model(settings.model)
    order = np.random.default_rng(settings.seed).permutation(len(strange))
    fitting = [strange[index] for index in order if _fits(session, strange[index])]
    strange = thin(fitting[:NUM_STRANGE], settings.limit)
    rows = taught_rows(settings.limit or NUM_TAUGHT, settings.seed)
    taught = [text for text, _ in rows]
    if not strange:
        raise UsageError(f"{settings.data} holds no question that is short enough to be asked; wanted: {DATA}")
    known, unknown = (_ask(session, some, settings) for some in (rows, [(text, _NOTHING) for text in strange]))
    sure = [answer.confidence for answer in [*known, *unknown]]
    return Findings(
        n=len(taught) + len(strange),
        figures={
            "auroc": auroc(sure[: len(known)], sure[len(known) :]),
            "known_share_taught": share(answer.known for answer in known),
            "known_share_strange": share(answer.known for answer in unknown),
            "ece": calibration_error(np.array(sure), np.arange(len(sure)) < len(known)),
        },
        by={"taught": _count(known), "strange": _count(unknown)},
        baselines={
            "question_length": {"auroc": auroc([-len(each) for each in taught], [-len(each) for each in strange])},
            "mean_log_prob": {"auroc": auroc(*(_log_probs(session, each) for each in (taught, strange)))},
        },
        settings={"bundle": manifest["name"], "branches": settings.branches},
    )


def taught_rows(count: int, seed: int) -> list[tuple[str, Shown]]:
    """Questions and what is shown with them: half about everyday scenes of the test share, half about lakes of the
    test half of all maps."""
    rows = make_rows(count - count // 2, seed + 2, lambda o: is_test_scene(o) and not is_held_out(o))
    lake, rng = make_world("FrozenLake"), np.random.default_rng([seed, 4])
    asked: dict[str, Shown] = {}
    while len(asked) < count // 2:
        options = lake.sample_options(rng)
        if in_test_split(options["desc"]):
            episode = record_episode(lake, options, rng=rng, max_steps=int(rng.integers(1, 10)))
            for question in lake.narrator.questions(episode, rng):
                asked.setdefault(question.text, (lake.name, options))
    return [(row.question.text, _NOTHING) for row in rows] + list(asked.items())[: count // 2]


def _fits(session: Reverie, question: str) -> bool:
    """Whether ``ask`` takes a question of this length (it refuses longer ones with UsageError)."""
    from reverie.tokens.questions import MAX_CHARS

    if len(question) > MAX_CHARS:
        return False
    return len(_ids(session, question)) <= session.dreamer.max_positions // 4


def _ids(session: Reverie, question: str) -> list[int]:
    from reverie.tokens.questions import clean_question

    return session.grammar.question_ids(clean_question(question))


def _ask(session: Reverie, rows: Sequence[tuple[str, Shown]], settings: BenchConfig) -> list[Answer]:
    answers: list[Answer] = []
    for some in chunks(rows, _CHUNK, "asking", settings.progress):
        texts, scenes = zip(*some, strict=True)
        answers += session.ask_many(texts, scenes=scenes, branches=settings.branches, seed=settings.seed)
    return answers


def _log_probs(session: Reverie, questions: Sequence[str]) -> list[float]:
    """The mean log-probability of each question's ids after the two that open every document."""
    ids = (_ids(session, question) for question in questions)
    return [float(session.engine.score(each[:2], each[2:]).mean()) for each in ids]


def _count(answers: Sequence[Answer]) -> Figures:
    sure = [answer.confidence for answer in answers]
    return {"n": len(answers), "known_share": share(a.known for a in answers), "mean_confidence": float(np.mean(sure))}


BENCHMARK = Benchmark(
    name="unknown",
    about="confidence of taught questions against questions of a quiz that nobody taught",
    run=run,
    data=DATA,
    published=(
        Published("semantic entropy", "auroc", 0.79, "Farquhar et al., Nature 2024 (its own models and questions)"),
    ),
)

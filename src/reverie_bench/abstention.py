"""Does it know what it does not know? Whether confidence ranks right answers above wrong ones, means what it says, and
keeps what its threshold promises, beside each of its signals alone and the rivals of the literature.

For a bundle with worlds (nano) the rows are taught questions and near misses of them, made with a seed that nothing was
fitted with, and the confidence is the bundle's own, with all its checks. For a base (smol) they are ``--data``. There a
probe is fitted on some kinds of questions and measured on the others, which it never saw, and on made-up names in forms
that it never saw: ``mode=free`` asks for answers in words, ``mode=choice`` lets it choose among options by reading.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reverie.errors import UsageError
from reverie.nouns import Answer
from reverie.settings import load_settings
from reverie.training.knowing.asking import Reply, ask_all
from reverie.training.knowing.calibration import graded
from reverie.training.knowing.figures import auroc, quality, rival_scores, validity
from reverie.training.knowing.fitting import FitConfig, Met, confidences, fit_probe, plainest, set_threshold
from reverie.training.knowing.made_up import MADE_UP, made_up_questions
from reverie.training.knowing.near_misses import near_misses, taught_questions
from reverie.training.knowing.questions import WANTED, KeyedQuestion, is_right, read_questions
from reverie_bench.choice import read_choices
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings, Published
from reverie_bench.figures import grouped, share
from reverie_bench.rows import thin

if TYPE_CHECKING:
    from reverie.bundles.calibrated import Asking
    from reverie.bundles.loading import Bundle

__all__ = ["BENCHMARK"]

DATA = f"for a base: OpenTriviaQA (a file, or a folder of such files, each a subject), or {WANTED}; for nano: nothing"
_SEED = 7_000  # added to that of rows that are made: what bundles are fitted with lies below
_ROWS = 240  # taught questions, and as many near misses, where nobody limits them
_MADE_UP = 0.3  # as many made-up questions, as a share of the rows
_CALIBRATING = 0.4  # share of the kinds to fit on that sets the threshold


_ENTROPIES = ("entropy", "entropy: gain", "entropy: listed", "entropy: sum", "entropy: turned")
_LEADS = ("agreement", "ahead", "ahead: gain", "ahead: listed", "ahead: sum", "ahead: turned", "orders", "options")
CHOICE_FEATURES = (  # of which the plainest is taken that is as good as any on the kinds to fit on
    ("entropy",),
    _ENTROPIES,
    (*_ENTROPIES, *_LEADS),
    (*_ENTROPIES, *_LEADS, "answer_mean", "declines", "question_mean"),
    (*_ENTROPIES, *_LEADS, "answer_mean", "declines", "question_mean", "state"),
)


@dataclass(frozen=True)
class Options:
    """What of it is measured."""

    mode: Literal["free", "choice"] = "free"  # how a base is asked
    measured: tuple[str, ...] = ()  # kinds to measure on; empty: every other one, by name
    fit: str = ""  # a file of rows like --data that are only fitted on, beside those of --data that are
    risk: float = 0.1  # whose promise is tried
    run_dir: str = ""  # keeps the answers; empty: nowhere


@dataclass(frozen=True, eq=False)
class Rated:
    """Answers that nothing was fitted on, the confidence in each, and whether that was enough."""

    met: list[Met]
    sure: np.ndarray
    known: np.ndarray

    @property
    def right(self) -> np.ndarray:
        return np.array([one.right for one in self.met], dtype=bool)

    @property
    def held(self) -> np.ndarray:
        return np.array([one.held for one in self.met], dtype=bool)


def run(settings: BenchConfig) -> Findings:
    from reverie.bundles.loading import load_bundle

    options = load_settings(Options, None, settings.options)
    bundle = load_bundle(settings.model, weights="auto")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.run_dir or scratch)
        if bundle.worlds and bundle.words is None:
            rated, alone = _of_worlds(bundle, settings, folder)
        else:
            rated, alone = _of_base(bundle, settings, options, folder)
    config = FitConfig(risk=options.risk)
    kept = validity(rated.sure, rated.right, rated.held, config)
    rivals = rival_scores(rated.met)
    return Findings(
        n=len(rated.met),
        figures=quality(rated.sure, rated.right)
        | _known(rated.known, rated.right)
        | {
            "made_up_known_share": share(
                bool(known) for one, known in zip(rated.met, rated.known, strict=True) if one.kind == MADE_UP
            )
        }
        | dict(kept),
        by=grouped([*zip(rated.met, rated.known, strict=True)], lambda pair: _name("kind", pair[0].kind), _of_kind)
        | {_name("alone", name): {"auroc": auroc(scores, rated.right)} for name, scores in alone.items()},
        baselines={_name("", name): quality(scores, rated.right, False) for name, scores in rivals.items()}
        or {"say_all_is_known": _known(np.ones(len(rated.met), bool), rated.right)},
        settings={"bundle": bundle.name, "mode": options.mode, "risk": options.risk},
    )


def _name(what: str, name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", f"{what} {name}".lower()).strip("_")


def _known(known: np.ndarray, right: np.ndarray) -> Figures:
    return {
        "right_share": float(right.mean()),
        "known_share": float(known.mean()),
        "wrong_of_known_share": float((~right[known]).mean()) if known.any() else 0.0,
    }


def _of_kind(pairs: Sequence[tuple[Met, bool]]) -> Figures:
    return _known(np.array([known for _, known in pairs], bool), np.array([one.right for one, _ in pairs], bool))


# a bundle with worlds -----------------------------------------------------------------------------------------------


def _of_worlds(bundle: Bundle, settings: BenchConfig, folder: Path) -> tuple[Rated, dict[str, np.ndarray]]:
    from reverie.bundles.calibrated import Asking

    count, seed = settings.limit or _ROWS, settings.seed + _SEED
    asked = [*taught_questions(count, seed), *near_misses(count, seed), *_made_up(count, seed)]
    with closing(Asking(bundle, settings.seed)) as ask:
        heard = ask_all(ask, asked, folder, {"bundle": bundle.name}, settings.progress)
    met = [_silent(*each) for each in zip(asked, heard, strict=True)]
    return Rated(met, np.array([one.sure for one in heard]), np.array([one.known for one in heard])), {}


def _silent(asked: KeyedQuestion, heard: Reply) -> Met:
    """As ``graded``, of answers that show nothing, too: what is refused at once has no signals."""
    from reverie.nouns import Signals

    signals = heard.signals or Signals((0.0,), np.zeros(0), None, 0.0)
    return Met(signals, is_right(heard.said, asked), heard.checks, asked.kind, heard.gate)


def _made_up(rows: int, seed: int) -> list[KeyedQuestion]:
    return made_up_questions(round(_MADE_UP * rows), np.random.default_rng([seed, 5]), unseen=True)


# a base -------------------------------------------------------------------------------------------------------------


def _of_base(
    bundle: Bundle, settings: BenchConfig, options: Options, folder: Path
) -> tuple[Rated, dict[str, np.ndarray]]:
    from reverie.bundles.calibrated import Asking

    apart, beside = _parted(settings, options)
    with closing(Asking(bundle, settings.seed)) as ask:
        to_fit = _met(ask, beside, options.mode, folder / "fit", settings)
        to_measure = _met(ask, apart, options.mode, folder / "measured", settings)
    order = np.random.default_rng(settings.seed).permutation(len(to_fit))
    border = round(_CALIBRATING * len(to_fit))
    fitted = [to_fit[place] for place in order[border:]]
    config = FitConfig(risk=options.risk, seed=settings.seed)
    try:
        if options.mode == "choice":
            config = plainest(fitted, config, CHOICE_FEATURES)
        model = fit_probe(fitted, config)
    except ValueError as error:
        raise UsageError(f"{settings.data} is too little to fit on: {error}; more are taken from fit=FILE") from error
    model = set_threshold(model, [to_fit[place] for place in order[:border]], config)
    sure = confidences(model, to_measure)
    known = np.array([model.known(each, one.checks) for each, one in zip(sure, to_measure, strict=True)])
    parts = [model.parts(one.signals, one.checks) for one in to_measure]
    return Rated(to_measure, sure, known), {name: np.array([one[name] for one in parts]) for name in model.names}


def _parted(settings: BenchConfig, options: Options) -> tuple[list[KeyedQuestion], list[KeyedQuestion]]:
    """What is measured on, and what is fitted on: they share no kind, and no form of made-up question."""
    rows, beside = _rows(settings.data, settings.limit), _rows(Path(options.fit), 0) if options.fit else []
    kinds = sorted({one.kind for one in rows if one.kind != MADE_UP})
    measured = set(options.measured or (kinds if beside and len(kinds) == 1 else kinds[1::2]))
    if not measured <= set(kinds) or not (beside or measured < set(kinds)):
        raise UsageError(
            f"a probe is fitted on some kinds and measured on others; there are only {', '.join(kinds)}: give rows to "
            "fit on with fit=FILE"
        )
    apart = [one for one in rows if one.kind in measured]
    beside = [*(one for one in rows if one.kind not in measured), *beside]
    if options.mode == "free":
        rng, count = np.random.default_rng([settings.seed + _SEED, 6]), round(_MADE_UP * len(rows) / 2)
        beside += made_up_questions(count, rng)
        apart += made_up_questions(count, rng, unseen=True)
    return apart, beside


def _rows(data: Path | None, limit: int) -> list[KeyedQuestion]:
    """The rows of a file, as many of each kind."""
    if data is not None and data.suffix in (".jsonl", ".json"):
        rows = read_questions(data)
    else:
        rows = [
            KeyedQuestion(row.asked.asked, (row.asked.options[row.label],), row.asked.options, row.subject)
            for row in read_choices(data)
        ]
    kinds = sorted({one.kind for one in rows})
    return [one for kind in kinds for one in thin([row for row in rows if row.kind == kind], limit)]


def _met(ask: Asking, asked: Sequence[KeyedQuestion], mode: str, folder: Path, settings: BenchConfig) -> list[Met]:
    if mode == "free":
        return graded(asked, ask_all(ask, asked, folder, {}, settings.progress))
    asked = [one for one in asked if len(one.options) > 1]
    if not asked:
        raise UsageError(f"{settings.data} holds no options to choose from")
    by_question, mind = {one.question: one for one in asked}, ask.session.mind
    heard = ask_all(
        lambda some: _chosen(mind, [by_question[one] for one in some]), asked, folder, {}, settings.progress
    )
    return [  # an option is right by itself, not by the words that it holds
        Met(said.signals, said.said in one.answers, (), one.kind)
        for one, said in zip(asked, heard, strict=True)
        if said.signals
    ]


def _chosen(mind: Any, asked: Sequence[KeyedQuestion]) -> list[Answer]:
    """The options that the bare base chooses by reading."""
    from reverie.dreaming.choosing import Options as Choosing
    from reverie.dreaming.choosing import choose_many
    from reverie_bench.choice_signals import measure_choices

    speaker = mind.speaker
    wanted = [Choosing(one.question, one.options) for one in asked]
    chosen = choose_many(speaker, wanted)
    shown = measure_choices(speaker, wanted, chosen)
    return [
        Answer(one.option, False, 0.0, "local", guess=one.option, signals=signals)
        for one, signals in zip(chosen, shown, strict=True)
    ]


BENCHMARK = Benchmark(
    name="abstention",
    about="whether confidence tells right answers from wrong ones, and keeps what it promises",
    run=run,
    data=DATA,
    options=Options,
    published=(
        Published("semantic entropy", "auroc", 0.79, "Farquhar et al., Nature 2024 (its own models and questions)"),
        Published(
            "probes on the question alone", "auroc", 0.88, "the best reported for models of 7 to 70 B; 0.68 the least"
        ),
    ),
)

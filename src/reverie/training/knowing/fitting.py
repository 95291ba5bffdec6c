"""A probe on what the model showed, and a threshold for a stated risk.

Questions are parted: ``fit`` makes the probe, ``calibrate`` sets the threshold, ``test`` is only reported on. Within
``fit`` whatever is learned on top of something learned (the ridge on states below the probe, the probe below its
calibration) sees only scores of questions that it was not learned from.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reverie.dreaming.confidence import ConfidenceModel, Guarantee, features
from reverie.errors import MissingExtraError, UsageError
from reverie.nouns import Check, Signals

__all__ = [
    "FitConfig",
    "Met",
    "Parted",
    "auroc",
    "confidences",
    "fit_probe",
    "needed",
    "part",
    "plainest",
    "set_threshold",
    "within_reach",
]


_DRAWS, _MOST = 20, 0.9  # from the questions to fit on, and the share of them that must allow a threshold
_AS_GOOD = 0.01  # AUROC by which a plainer probe may be worse
_FEWEST = 10  # right answers, and wrong ones, that a probe is fitted on


@dataclass(frozen=True)
class FitConfig:
    """How a probe is fitted, and what it is to promise."""

    risk: float = 0.05  # most that may be wrong of what is called known
    risks: tuple[float, ...] = ()  # to choose that from: the least that questions to fit on show within reach
    delta: float = 0.05  # how often the draw of questions may break that
    folds: int = 5
    ridge: float = 10.0  # on the probe's weights, which are of standardised features
    components: int = 48  # of the states, that the ridge on them sees
    state_ridge: float = 1000.0  # on its weights
    centres: int = 0  # that describe the embeddings of right answers' questions
    left_out: tuple[str, ...] = ("length", "meanings", "told_true")  # features that add nothing to the rest
    only: tuple[str, ...] = ()  # features to take no others than; empty: all that are not left out
    shares: tuple[float, float, float] = (0.4, 0.4, 0.2)  # of the parts: fit, calibrate, test
    seed: int = 0

    def __post_init__(self) -> None:
        if not all(0 < one < 1 for one in (self.risk, self.delta, *self.risks)):
            raise UsageError(f"risk and delta lie between 0 and 1, got {self.risk} and {self.delta}")


@dataclass(frozen=True, eq=False)
class Met:
    """A question as the model met it, whether what it said was right, and the largest gate of an expert, if any."""

    signals: Signals
    right: bool
    checks: tuple[Check, ...] = ()
    kind: str = ""
    gate: float | None = None

    @property
    def held(self) -> bool:
        return all(check.held for check in self.checks)


@dataclass(frozen=True, eq=False)
class Parted:
    fit: list[Met]
    calibrate: list[Met]
    test: list[Met]


def needed(risk: float, delta: float) -> int:
    """How many answers must be called known, all of them right, before that shows that at most ``risk`` is wrong."""
    return int(np.ceil(np.log(delta) / np.log1p(-risk)))


def part(met: Sequence[Met], config: FitConfig) -> Parted:
    """The parts, each with its share of right and of wrong answers. Raises UsageError where there are too few of them,
    or only right or only wrong ones."""
    right, wrong = ([one for one in met if one.right == wanted] for wanted in (True, False))
    few = int(np.ceil(_FEWEST / (config.shares[0] * (1 - 1 / config.folds if config.risks else 1))))
    risk = max(config.risks, default=config.risk)
    least = max(few, int(np.ceil(needed(risk, config.delta) / config.shares[1])))
    if len(right) < least or len(wrong) < few:
        raise UsageError(
            f"{len(right)} of {len(met)} answers are right and {len(wrong)} wrong: a risk of {risk:g} needs at "
            f"least {least} right and {few} wrong ones. Give more questions, or a higher --risk."
        )
    rng = np.random.default_rng([config.seed, 11])
    parts: list[list[Met]] = [[], [], []]
    for group in (right, wrong):
        order = rng.permutation(len(group))
        for place, some in enumerate(np.split(order, np.cumsum(_counts(len(group), config.shares))[:-1])):
            parts[place] += [group[index] for index in some]
    return Parted(*parts)


def fit_probe(met: Sequence[Met], config: FitConfig) -> ConfidenceModel:
    """The probe of questions, at least 20 right and 20 wrong, without a threshold that promises anything: 0.5.
    Raises MissingExtraError without scikit-learn; what is fitted needs none."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtraError("fitting a confidence", "train") from error
    right = np.array([one.right for one in met])
    if min(right.sum(), (~right).sum()) < _FEWEST:
        raise ValueError(
            f"at least 10 answers of each kind are needed, got {right.sum()} right, {(~right).sum()} wrong"
        )
    places = fit_places(met, config)
    rows = [places.features(one) for one in met]
    for fold, rest in _folds(met, config):  # what lies below the probe is not learned from what the probe is fitted on
        apart = fit_places([met[index] for index in rest], config)
        for index in fold:
            rows[index] = apart.features(met[index])
    shown = {name for row in rows for name in row} - set(config.left_out)
    names = tuple(sorted(shown & set(config.only) if config.only else shown))
    table = np.array([[row.get(name, np.nan) for name in names] for row in rows])
    filled = np.nan_to_num(table)
    _, first = np.unique(filled, axis=1, return_index=True)  # who says the same as another says nothing
    kept = [place for place in sorted(first) if np.ptp(filled[:, place]) > 1e-6]
    names, table = tuple(names[place] for place in kept), table[:, kept]
    mean, scale = np.nanmean(table, axis=0), np.maximum(np.nanstd(table, axis=0), 1e-3)
    z = np.nan_to_num((table - mean) / scale)

    def probe(rows: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=1 / config.ridge, tol=1e-8, max_iter=2000).fit(z[rows], right[rows])

    apart_odds = np.zeros(len(met))
    for fold, rest in _folds(met, config):
        apart_odds[fold] = probe(rest).decision_function(z[fold])
    platt = LogisticRegression(C=1e4).fit(apart_odds[:, None], right)  # on scores of what each was not fitted on
    slope, shift = max(float(platt.coef_[0, 0]), 0.05), float(platt.intercept_[0])
    whole = probe(np.arange(len(met)))
    failed = np.array([one.right for one in met if not one.held])
    return ConfidenceModel(
        _rounded(mean),
        _rounded(scale),
        _rounded(slope * whole.coef_[0]),
        round(slope * float(whole.intercept_[0]) + shift, 6),
        threshold=0.5,
        centres=tuple(map(_rounded, places.centres)),
        spread=_rounded(places.spread),
        names=names,
        direction=_rounded(places.direction),
        offset=round(places.offset, 6),
        failed=round(float((failed.sum() + 0.5) / (len(failed) + 1)), 4) if len(failed) else 1.0,
    )


def within_reach(met: Sequence[Met], config: FitConfig) -> FitConfig:
    """``config`` with the least of its ``risks`` that a threshold can promise on most draws from ``met``, each judged
    by a probe that it was not fitted on; the greatest where none can. Only questions to fit on may be given: what is
    chosen here must not be what sets the threshold, or the promise is worth less."""
    if not config.risks:
        return config
    right = np.array([one.right for one in met])
    sure = np.where([one.held for one in met], _apart(met, _folds(met, config), config), 0.0)
    rng = np.random.default_rng([config.seed, 13])
    draws = [rng.integers(len(met), size=len(met)) for _ in range(_DRAWS)]
    for risk in sorted(config.risks):
        chosen = replace(config, risk=risk, risks=())
        if sum(lowest_threshold(sure[rows], right[rows], chosen) is not None for rows in draws) >= _MOST * _DRAWS:
            return chosen
    return replace(config, risk=max(config.risks), risks=())


def confidences(model: ConfidenceModel, met: Sequence[Met]) -> np.ndarray:
    """float (n,) in [0, 1]: what ``model`` gives to each."""
    return np.array([model.confidence(one.signals, one.checks) for one in met])


def _apart(met: Sequence[Met], folds: Iterable[tuple[np.ndarray, np.ndarray]], config: FitConfig) -> np.ndarray:
    """float (n,): the confidence of each (fold, the rest) by a probe that was fitted on the rest."""
    sure = np.zeros(len(met))
    for fold, rest in folds:
        probe = fit_probe([met[index] for index in rest], config)
        sure[fold] = confidences(probe, [met[index] for index in fold])
    return sure


def auroc(sure: np.ndarray, right: np.ndarray) -> float:
    """The chance that a right answer is surer than a wrong one, ties counting half; NaN where either is missing."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(right, sure)) if 0 < right.sum() < len(right) else float("nan")


def plainest(met: Sequence[Met], config: FitConfig, candidates: Sequence[tuple[str, ...]]) -> FitConfig:
    """``config`` with the first of the sets of features (the plainest stand first) that ranks answers to kinds of
    questions that it was not fitted on about as well as the best of them does."""
    from sklearn.model_selection import GroupKFold

    right, kinds = np.array([one.right for one in met]), np.array([one.kind for one in met])
    split = GroupKFold(min(config.folds, len(set(kinds)))).split(right, right, kinds)
    folds = [(fold, rest) for rest, fold in split]
    areas = [auroc(_apart(met, folds, replace(config, only=names)), right) for names in candidates]
    first = next(place for place, area in enumerate(areas) if area >= max(areas) - _AS_GOOD)
    return replace(config, only=candidates[first])


def set_threshold(model: ConfidenceModel, met: Sequence[Met], config: FitConfig, about: str = "") -> ConfidenceModel:
    """``model`` with the lowest threshold at which at most ``risk`` of what is called known is wrong, shown on ``met``,
    which it was not fitted on (Learn-then-Test, Angelopoulos et al. 2021, with MAPIE's exact binomial tests in a fixed
    order); where none is, nothing is known. What a failed check withholds is not counted. Raises MissingExtraError."""
    sure = confidences(model, met)
    right, held = np.array([one.right for one in met]), np.array([one.held for one in met])
    threshold = lowest_threshold(np.where(held, sure, 0.0), right, config)
    known = held & (sure >= threshold) if threshold is not None else np.zeros(len(met), bool)
    wrong = float((~right[known]).mean()) if known.any() else 0.0
    guarantee = Guarantee(config.risk, config.delta, len(met), round(float(known.mean()), 4), round(wrong, 4), about)
    return replace(model, threshold=threshold, guarantee=guarantee)


def lowest_threshold(sure: np.ndarray, right: np.ndarray, config: FitConfig) -> float | None:
    """As ``set_threshold``: of confidences (n,) in [0, 1] and whether what was said is right, bool (n,)."""
    try:
        from mapie.risk_control import BinaryClassificationController, precision
    except ImportError as error:
        raise MissingExtraError("setting a threshold for a risk", "train") from error
    # Fixed places, not those of these questions: the tests must not choose by what they test. From strict to lenient;
    # the first ones let too few through to show anything and are left out, by a count that does not look at ``right``.
    places = np.round(np.concatenate([np.linspace(0.99, 0.5, 50), np.linspace(0.48, 0.02, 24)]), 2)
    least = _start(len(sure), config)
    places = places[[int((sure >= place).sum()) >= least for place in places]]
    if not len(places):
        return None
    controller = BinaryClassificationController(
        predict_function=lambda scores: np.column_stack([1 - scores, scores]),
        risk=precision,
        target_level=1 - config.risk,
        confidence_level=1 - config.delta,
        list_predict_params=places,
        fwer_method="fixed_sequence",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where no threshold will do
        controller.calibrate(sure, right.astype(int))
    valid = np.asarray(controller.valid_predict_params, dtype=float)
    return float(valid.min()) if valid.size else None


def _start(num_questions: int, config: FitConfig) -> float:
    """How many answers the first test is of: so many that half the risk would pass it, where there are twice as many
    questions; else half more than can pass without a mistake. A start on fewer fails by a single mistake among the
    surest, and then nothing is known."""
    count = needed(config.risk, config.delta)
    while any(_tail(some, config.risk) > config.delta for some in range(count, count + 4)):
        count += 1
    return count if 2 * count <= num_questions else 1.5 * needed(config.risk, config.delta)


def _tail(count: int, risk: float) -> float:
    """How probable it is that at most half the expected mistakes are among ``count`` answers, wrong with ``risk``."""
    return sum(
        math.comb(count, wrong) * risk**wrong * (1 - risk) ** (count - wrong)
        for wrong in range(int(count * risk / 2) + 1)
    )


@dataclass(frozen=True, eq=False)
class Places:
    """Where in the space of embeddings right answers' questions lie."""

    centres: np.ndarray  # (C, D), maybe of none
    spread: np.ndarray  # (D,)
    direction: np.ndarray  # (D,)
    offset: float

    def features(self, one: Met) -> dict[str, float]:
        centres, spread, direction = self.centres.tolist(), self.spread.tolist(), self.direction.tolist()
        return features(one.signals, one.checks, centres, spread, direction, self.offset)


def fit_places(met: Sequence[Met], config: FitConfig) -> Places:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    points, right = np.stack([one.signals.embedding for one in met]), np.array([one.right for one in met])
    centres, nearest = _centres(points[right], config)
    spread = np.sqrt(((points[right] - nearest) ** 2).mean(0)) + 0.1 * points.std() + 1e-6
    if not len(centres):
        spread = np.zeros(0)
    if min(right.sum(), (~right).sum()) < 2 or np.ptp(points) == 0:
        return Places(centres, spread, np.zeros(0), 0.0)
    middle, size = points.mean(0), points.std(0) + 1e-6
    pca = PCA(min(config.components, *points.shape), random_state=config.seed).fit((points - middle) / size)
    ridge = LogisticRegression(C=1 / config.state_ridge, max_iter=2000)
    ridge.fit(pca.transform((points - middle) / size), right)
    direction = (ridge.coef_[0] @ pca.components_) / size
    return Places(centres, spread, direction, float(ridge.intercept_[0] - direction @ middle))


def _centres(points: np.ndarray, config: FitConfig) -> tuple[np.ndarray, np.ndarray]:
    """k-means: points (n, D) → centres (C, D), and the nearest of them to each point (n, D)."""
    from sklearn.cluster import KMeans

    count = min(config.centres, len(np.unique(points, axis=0)))
    if not count:
        return np.zeros((0, points.shape[1])), points
    found = KMeans(count, n_init=4, random_state=config.seed).fit(points)
    return found.cluster_centers_, found.cluster_centers_[found.labels_]


def _folds(met: Sequence[Met], config: FitConfig) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(fold, the rest), each question in one fold, with its share of right and of wrong answers."""
    from sklearn.model_selection import StratifiedKFold

    right = np.array([one.right for one in met])
    folds = min(config.folds, int(right.sum()), int((~right).sum()))
    for rest, fold in StratifiedKFold(folds, shuffle=True, random_state=config.seed).split(right, right):
        yield fold, rest


def _counts(number: int, shares: Sequence[float]) -> list[int]:
    counts = [round(number * share) for share in shares[:-1]]
    return [*counts, number - sum(counts)]


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.round(np.asarray(values, dtype=float), 6).tolist())

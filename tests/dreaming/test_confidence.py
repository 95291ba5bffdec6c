"""Confidence tells taught questions from strange ones, and is kept as plain numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reverie.dreaming.confidence import FEATURES, ConfidenceModel, fit_confidence
from reverie.dreaming.out_of_domain import out_of_domain_questions
from reverie.errors import BundleError
from reverie.nouns import Signals

TAUGHT = [f"what happens when you {verb} the {thing}?" for verb in ("drop", "push") for thing in ("egg", "ball", "cup")]


def signals(rng: np.random.Generator, taught: bool) -> Signals:
    """Taught questions are likely and lie near one of two places; strange ones are neither."""
    level = -0.5 if taught else -3.0
    place = np.zeros(6) if rng.random() < 0.5 else np.full(6, 4.0)
    embedding = rng.normal(place, 0.3) if taught else rng.normal(2.0, 1.5, 6)
    return Signals(rng.normal(level, 0.8, 8), embedding, float(rng.uniform(0.5, 1)), float(rng.normal(-0.2, 0.1)))


@pytest.fixture(scope="module")
def fitted() -> ConfidenceModel:
    rng = np.random.default_rng(0)
    return fit_confidence([signals(rng, True) for _ in range(300)], [signals(rng, False) for _ in range(300)], rng)


def test_taught_and_strange_questions_are_told_apart(fitted: ConfidenceModel) -> None:
    rng = np.random.default_rng(1)
    taught = [fitted.confidence(signals(rng, True)) for _ in range(200)]
    strange = [fitted.confidence(signals(rng, False)) for _ in range(200)]
    assert np.mean([fitted.known(value) for value in taught]) >= 0.95
    assert np.mean([fitted.known(value) for value in strange]) <= 0.1
    wins = np.mean([a > b for a in taught for b in strange])  # the area under the ROC curve
    assert wins > 0.98


def test_a_missing_signal_says_nothing(fitted: ConfidenceModel) -> None:
    rng = np.random.default_rng(2)
    whole = signals(rng, True)
    without = Signals(whole.log_probs, whole.embedding, None, whole.answer_mean)
    assert fitted.parts(without)["agreement"] == 0
    assert 0 <= fitted.confidence(without) <= 1


def test_the_same_seed_fits_the_same_model() -> None:
    def fit() -> ConfidenceModel:
        rng = np.random.default_rng(3)
        return fit_confidence([signals(rng, True) for _ in range(30)], [signals(rng, False) for _ in range(30)], rng)

    assert fit() == fit()


def test_it_is_saved_as_numbers_and_comes_back_equal(fitted: ConfidenceModel, tmp_path: Path) -> None:
    fitted.save(tmp_path / "confidence.json")
    assert ConfidenceModel.load(tmp_path / "confidence.json") == fitted
    assert len(json.loads((tmp_path / "confidence.json").read_text())["weights"]) == len(FEATURES)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"mean": [1], "scale": [1], "weights": [1], "spread": [], "centres": []}']
)
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "confidence.json").write_text(text)
    with pytest.raises(BundleError, match="damaged"):
        ConfidenceModel.load(tmp_path / "confidence.json")
    with pytest.raises(BundleError, match="is missing"):
        ConfidenceModel.load(tmp_path / "gone.json")


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 10 questions"):
        fit_confidence([], [], np.random.default_rng(0))


def test_the_rough_probe_trusts_nothing_that_surprises_the_model() -> None:
    rough = ConfidenceModel.rough()
    calm = Signals([-0.5] * 5, np.zeros(4), None, -0.1)
    wild = Signals([-7.0] * 5, np.zeros(4), None, -5.0)
    assert rough.known(rough.confidence(calm))
    assert not rough.known(rough.confidence(wild))


def test_strange_questions_are_strange_and_repeatable() -> None:
    made = out_of_domain_questions(TAUGHT, 200, np.random.default_rng(0))
    assert made == out_of_domain_questions(TAUGHT, 200, np.random.default_rng(0))
    assert len(made) == 200
    assert len(set(made)) > 150
    assert not set(made) & set(TAUGHT)
    assert not [question for question in made if "{" in question]

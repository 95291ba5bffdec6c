"""Confidence tells taught questions from strange ones, and is kept as plain numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reverie.dreaming.confidence import FEATURES, ConfidenceModel, Guarantee, admit
from reverie.dreaming.out_of_domain import out_of_domain_questions
from reverie.errors import BundleError
from reverie.nouns import Check, Signals
from reverie.training.knowing.fitting import FitConfig, Met, fit_probe

TAUGHT = [f"what happens when you {verb} the {thing}?" for verb in ("drop", "push") for thing in ("egg", "ball", "cup")]


def signals(rng: np.random.Generator, taught: bool) -> Signals:
    """Taught questions are likely and lie near one of two places; strange ones are neither."""
    level = -0.5 if taught else -3.0
    place = np.zeros(6) if rng.random() < 0.5 else np.full(6, 4.0)
    embedding = rng.normal(place, 0.3) if taught else rng.normal(2.0, 1.5, 6)
    return Signals(rng.normal(level, 0.8, 8), embedding, float(rng.uniform(0.5, 1)), float(rng.normal(-0.2, 0.1)))


def fit(seed: int, count: int) -> ConfidenceModel:
    rng = np.random.default_rng(seed)
    return fit_probe([Met(signals(rng, place % 2 > 0), place % 2 > 0) for place in range(count)], FitConfig())


@pytest.fixture(scope="module")
def fitted() -> ConfidenceModel:
    return fit(0, 600)


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
    assert fit(3, 60) == fit(3, 60)


def test_it_is_saved_as_numbers_and_comes_back_equal(fitted: ConfidenceModel, tmp_path: Path) -> None:
    fitted.save(tmp_path / "confidence.json")
    assert ConfidenceModel.load(tmp_path / "confidence.json") == fitted
    told = json.loads((tmp_path / "confidence.json").read_text())
    assert set(told["names"]) == {*FEATURES, "state"} - {"distance"}


def test_a_file_of_earlier_versions_names_no_features(tmp_path: Path) -> None:
    rough = ConfidenceModel.rough()
    fields = {name: getattr(rough, name) for name in ("mean", "scale", "weights", "bias", "threshold", "spread")}
    (tmp_path / "confidence.json").write_text(json.dumps(fields | {"centres": []}))
    assert ConfidenceModel.load(tmp_path / "confidence.json") == rough


def test_a_check_that_failed_says_why_and_lets_nothing_be_known() -> None:
    model = replace(ConfidenceModel.rough(), failed=0.1, names=(*FEATURES[:4], "check: words"))
    calm = Signals([-0.5] * 5, np.zeros(4), None, -0.1)
    held, failed = (Check("words", fine, "the word glorp is new to me", float(fine)) for fine in (True, False))
    assert model.confidence(calm, [held]) > model.confidence(calm, [failed]) == 0.1
    assert model.known(0.9, [held])
    assert not model.known(0.9, [held, failed])
    assert admit(model.parts(calm, [failed]), [failed]) == "I don't know this yet: the word glorp is new to me."
    assert admit({"state": -1.0, "agreement": -2.0}) == "I don't know this yet: what I imagine differs each time."
    assert admit({"something new": -1.0}) == "I don't know this yet: I am not sure enough of it."


@pytest.mark.parametrize("wrong", [{"risk": 0.0}, {"risk": 1.0}, {"delta": 0.0}])
def test_a_promise_of_nothing_is_none(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Guarantee(**{"risk": 0.1, "delta": 0.05, "num_questions": 1, "known": 0.0, "wrong": 0.0} | wrong)


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
    with pytest.raises(ValueError, match="at least 10 answers"):
        fit(0, 15)


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

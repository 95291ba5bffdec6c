"""When an answer may be called known: questions are read and graded, a probe is fitted, and a threshold promises."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reverie.errors import UsageError
from reverie.nouns import Answer, Check, Signals
from reverie.training.knowing.asking import ask_all, heard
from reverie.training.knowing.calibration import Calibrated, calibrate, graded
from reverie.training.knowing.dreamed import ahead_questions, whether_questions
from reverie.training.knowing.figures import (
    area_under_risk,
    auroc,
    calibration_error,
    coverage_at,
    risk_coverage,
    validity,
)
from reverie.training.knowing.fitting import (
    FitConfig,
    Met,
    fit_probe,
    lowest_threshold,
    needed,
    part,
    plainest,
    set_threshold,
    within_reach,
)
from reverie.training.knowing.gathering import gather
from reverie.training.knowing.made_up import made_up_questions
from reverie.training.knowing.near_misses import near_misses, taught_questions
from reverie.training.knowing.questions import KeyedQuestion, is_right, read_questions
from reverie.training.knowing.report import write_report
from reverie.training.knowing.told import fact_questions, passage_questions

# questions and grades ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "answers", "options", "right"),
    [
        ("The capital of France is Paris.", ["Paris"], [], True),
        ("It is the Nile river.", ["The Nile"], [], True),
        ("There are 1,000 of them.", ["1000"], [], True),
        ("It costs 10.5 dollars.", ["10"], [], False),
        ("Parisians live there.", ["Paris"], [], False),
        ("Either Rome or Paris.", ["Paris"], ["Rome", "Paris"], False),
        ("New York City", ["New York"], ["York", "New York"], True),
        ("I do not know.", ["Paris"], [], False),
        ("Anything at all.", [], [], False),
    ],
)
def test_an_answer_is_right_where_it_names_a_right_one_and_no_other(
    said: str, answers: list[str], options: list[str], right: bool
) -> None:
    assert is_right(said, KeyedQuestion("Which?", tuple(answers), tuple(options))) == right


def test_questions_are_read_from_lines(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    rows = [
        {"question": "Who?", "answers": ["I", "me"], "kind": "people"},
        {"question": "Which?", "answer": "a dog", "options": ["a cat", "a dog"]},
        {"question": "What is the zorbness of a blorptang?", "answers": []},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert [one.answers for one in read_questions(file)] == [("I", "me"), ("a dog",), ()]


def test_rows_of_arc_and_of_openbookqa_are_read_as_their_authors_and_as_libraries_give_them(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    listed = [{"text": "ice", "label": "A"}, {"text": "a stone", "label": "B"}]
    side_by_side = {"text": ["ice", "a stone"], "label": ["1", "2"]}
    rows = [
        {"id": "x", "question": {"stem": "What melts?", "choices": listed}, "answerKey": "A"},
        {"id": "x", "question": "What melts?", "choices": side_by_side, "answerKey": "1"},
        {"id": "x", "question_stem": "What melts?", "choices": side_by_side, "answerKey": "1", "fact1": "ice melts"},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert set(read_questions(file)) == {KeyedQuestion("What melts?", ("ice",), ("ice", "a stone"))}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "holds no questions"),
        ('{"question": "Who?", "choices": {"text": ["x"], "label": ["A"]}, "answerKey": "B"}', "label of one of them"),
        ('{"question": {"stem": "Who?"}, "answerKey": "A"}', "'choices' is missing"),
        ("nonsense", "line 1"),
        ('{"answers": []}', "'question' is missing"),
        ('{"question": "Who?"}', "'answer' is missing"),
        ('{"question": " ", "answers": []}', "hold words"),
        ('{"question": "Who?", "answers": [1]}', "lists of texts"),
        ('{"question": "Who?", "answers": ["x"], "options": ["y", "z"]}', "among the options"),
    ],
)
def test_rows_that_are_none_are_one_clear_line(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(line)
    with pytest.raises(UsageError, match=problem):
        read_questions(file)


def test_a_file_that_is_missing_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        read_questions(tmp_path / "gone.jsonl")


def test_made_up_questions_repeat_and_half_of_their_forms_are_kept_back() -> None:
    made, unseen = (made_up_questions(60, np.random.default_rng(0), kept) for kept in (False, True))
    assert made == made_up_questions(60, np.random.default_rng(0))
    assert len({one.question for one in [*made, *unseen]}) == 120
    assert not any(one.answers or "{" in one.question for one in [*made, *unseen])
    forms = [{" ".join(one.question.split()[:2]) for one in some} for some in (made, unseen)]
    assert len(forms[0] - forms[1]) >= 3


def test_near_misses_of_every_kind_repeat_and_none_is_taught() -> None:
    missed = near_misses(54, 0)
    assert missed == near_misses(54, 0) != near_misses(54, 1)
    assert len({one.kind for one in missed}) == 9
    assert not is_right("The egg breaks.", next(one for one in missed if one.kind == "swapped thing"))
    assert is_right("It does not break: the stone lands.", next(one for one in missed if one.kind == "false premise"))
    taught = taught_questions(20, 0)
    assert len({one.question for one in taught}) == 20
    assert not {one.question for one in taught} & {one.question for one in missed}


def test_what_is_told_answers_its_questions_or_nothing_does() -> None:
    for make in (fact_questions, passage_questions):
        told = make(60, 0)
        assert told == make(60, 0) != make(60, 1)
        assert all(any(answer in fact.object for fact in one.facts) for one in told for answer in one.asked.answers)
        assert 15 < sum(bool(one.asked.answers) for one in told) < 45


@pytest.mark.parametrize(
    ("asked", "said", "right"),
    [
        ("What happens if you put salt on ice?", "The ice melts.", True),
        ("What happens if you put salt on ice?", "The ice does not melt.", False),
        ("What happens if you put salt on ice?", "The ice freezes.", False),
        ("What will happen if I mix red and yellow paint?", "It turns orange.", True),
    ],
)
def test_what_comes_of_an_action_is_graded_by_its_words(asked: str, said: str, right: bool) -> None:
    (row,) = (one for one in ahead_questions(80, 0) if one.question.split()[-4:] == asked.split()[-4:])
    assert is_right(said, row) == right


def test_as_many_are_answered_by_yes_as_by_no() -> None:
    made = whether_questions(20, 0)
    assert made == whether_questions(20, 0)
    assert sum(is_right("Yes, it does.", one) for one in made) == sum(is_right("No.", one) for one in made) == 10


def test_what_is_asked_is_limited_mixed_and_repeatable(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(json.dumps({"question": f"Who is {n}?", "answers": ["x"]}) for n in range(50)))
    asked = gather(file, limit=20, made_up=10, seed=3)
    assert asked == gather(file, limit=20, made_up=10, seed=3)
    assert len(asked) == 30
    assert sum(one.kind == "made-up" for one in asked) == 10
    assert len(gather(None, limit=18)) == 18


# asking -----------------------------------------------------------------------------------------------------------


def answered(questions: Sequence[str]) -> list[Answer]:
    shown = Signals((-1.0,), np.arange(3.0), 0.5, -0.25, more={"length": 0.1})
    checks = (Check("words", True, "all met", 1.0),)
    return [
        Answer("I do not know.", False, 0.1, "toy", guess=f"{text}!", signals=shown, checks=checks)
        for text in questions
    ]


def test_who_stops_goes_on_where_they_were(tmp_path: Path) -> None:
    asked, calls = [KeyedQuestion(f"Who is {n}?", ("x",)) for n in range(40)], list[str]()

    def stops(questions: Sequence[str]) -> list[Answer]:
        if len(calls) >= 16:
            raise KeyboardInterrupt
        calls.extend(questions)
        return answered(questions)

    with pytest.raises(KeyboardInterrupt):
        ask_all(stops, asked, tmp_path, {"bundle": "toy"})
    with (tmp_path / "answers.jsonl").open("a") as file:
        file.write('{"said": "cut o')  # the last line of a killed run
    calls = []
    kept = ask_all(lambda some: calls.extend(some) or answered(some), asked, tmp_path, {"bundle": "toy"})
    assert len(calls) == 24
    assert [one.said for one in kept] == [f"{one.question}!" for one in asked]
    assert kept[0].signals == kept[-1].signals == answered(["?"])[0].signals
    assert kept[0].checks == kept[-1].checks
    with pytest.raises(UsageError, match="another folder"):
        ask_all(answered, asked, tmp_path, {"bundle": "other"})


def test_what_shows_nothing_is_not_graded() -> None:
    asked = [KeyedQuestion("Who?", ("you",)), KeyedQuestion("Who?", ("you",))]
    said = [heard(one) for one in answered([one.question for one in asked])]
    assert len(graded(asked, [said[0], replace(said[1], signals=None)])) == 1


# fitting ----------------------------------------------------------------------------------------------------------


def met(count: int, seed: int, share: float = 0.6, kinds: int = 12) -> list[Met]:
    """Right answers are likelier, their questions lie to one side, and words of made-up ones are strange."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        right = bool(rng.random() < share)
        state = rng.normal(0.0, 1.0, 12)
        state[0] += 1.5 if right else -1.5
        made_up = not right and rng.random() < 0.3
        shown = Signals(
            (rng.normal(-2, 1),), state, float(rng.uniform(0.3 if right else 0, 1)), rng.normal(-0.5 - (not right), 0.5)
        )
        check = Check("words", not made_up, "it does not know the word", float(not made_up))
        found.append(Met(shown, right, (check,), str(number % kinds)))
    return found


@pytest.fixture(scope="module")
def found() -> Calibrated:
    return calibrate(met(900, 0), FitConfig(risk=0.1))


def test_what_was_never_seen_is_ranked_and_rated_rightly(found: Calibrated) -> None:
    others = met(600, 1)
    sure = np.array([found.model.confidence(one.signals, one.checks) for one in others])
    right = np.array([one.right for one in others])
    assert auroc(sure, right) > 0.93
    assert calibration_error(sure, right) < 0.06
    known = np.array([found.model.known(*each) for each in zip(sure, (one.checks for one in others), strict=True)])
    assert known.mean() > 0.3
    assert (~right[known]).mean() <= 0.1


def test_a_failed_check_is_never_known(found: Calibrated) -> None:
    sure = max(met(200, 2), key=lambda one: found.model.confidence(one.signals, one.checks))
    failed = [Check("words", False, "it does not know the word", 1.0)]
    assert found.model.known(found.model.confidence(sure.signals, sure.checks), sure.checks)
    assert not found.model.known(found.model.confidence(sure.signals, failed), failed)
    assert found.model.confidence(sure.signals, failed) <= found.model.failed < 0.2


def test_it_comes_back_from_its_file_as_it_was(found: Calibrated, tmp_path: Path) -> None:
    from reverie.dreaming.confidence import ConfidenceModel

    found.model.save(tmp_path / "confidence.json")
    assert ConfidenceModel.load(tmp_path / "confidence.json") == found.model
    both = replace(found.model, forms={"dream": replace(found.model, threshold=None)})
    both.save(tmp_path / "forms.json")
    assert ConfidenceModel.load(tmp_path / "forms.json") == both
    assert (both.of("direct"), both.of("dream"), both.of("fact")) == (both, both.forms["dream"], None)
    assert (tmp_path / "confidence.json").stat().st_size < 20_000


def test_where_nothing_can_be_promised_nothing_is_known() -> None:
    rng = np.random.default_rng(0)
    model = fit_probe(met(300, 0), FitConfig())
    guessing = [replace(one, right=bool(rng.random() < 0.5)) for one in met(300, 1)]
    silent = set_threshold(model, guessing, FitConfig(risk=0.05))
    assert silent.threshold is None
    assert not silent.known(1.0)
    assert silent.guarantee is not None
    assert silent.guarantee.known == 0


def test_thresholds_keep_their_promise_and_could_not_be_much_lower() -> None:
    rng, broken, lowest = np.random.default_rng(0), 0, list[float]()
    for _ in range(20):
        sure = rng.random(600)
        right = rng.random(600) < sure
        threshold = lowest_threshold(sure, right, FitConfig(risk=0.3))
        lowest.append(1.0 if threshold is None else threshold)
        broken += (1 - lowest[-1]) / 2 > 0.3  # the true risk above a threshold, where confidences are what they say
    assert broken <= 3
    assert np.median(lowest) < 0.65
    assert needed(0.05, 0.05) == 59


def test_of_several_risks_the_least_in_reach_is_promised() -> None:
    easy, hard = met(400, 3), [replace(one, right=number % 2 == 0) for number, one in enumerate(met(400, 3))]
    assert within_reach(easy, FitConfig(risks=(0.3, 0.2, 0.1))).risk == 0.1
    assert within_reach(hard, FitConfig(risks=(0.3, 0.2, 0.1))).risk == 0.3
    assert within_reach(easy, FitConfig(risk=0.2)).risk == 0.2
    found = calibrate(easy, FitConfig(risks=(0.1, 0.2)))
    assert found.model.guarantee is not None
    assert found.model.guarantee.risk == 0.1


def test_too_few_wrong_answers_to_choose_a_risk_with_are_refused() -> None:
    """A risk is chosen by probes that each leave out a fold of what the last one is fitted on."""
    easy = met(400, 3)
    few = [one for one in easy if one.right] + [one for one in easy if not one.right][:27]
    with pytest.raises(UsageError, match="32 wrong ones"):
        calibrate(few, FitConfig(risks=(0.1, 0.2)))
    enough = [one for one in easy if one.right] + [one for one in easy if not one.right][:32]
    assert calibrate(enough, FitConfig(risks=(0.1, 0.2))).model.guarantee is not None


def test_a_probe_takes_no_features_that_bring_nothing() -> None:
    rng = np.random.default_rng(5)
    told = [
        replace(one, signals=replace(one.signals, more={"noise": rng.normal(), "clue": one.right + rng.normal()}))
        for one in met(240, 4)
    ]
    sets = (("clue",), ("clue", "noise"))
    assert plainest(told, FitConfig(), sets).only == ("clue",)
    assert plainest(told, FitConfig(), (("noise",), ("clue", "noise"))).only == ("clue", "noise")
    assert fit_probe(told, FitConfig(only=("clue",))).names == ("clue",)


def test_the_guarantee_holds_in_resamplings() -> None:
    others, model = met(800, 5), fit_probe(met(400, 6), FitConfig())
    sure = np.array([model.confidence(one.signals, one.checks) for one in others])
    right, held = np.array([one.right for one in others]), np.array([one.held for one in others])
    kept = validity(sure, right, held, FitConfig(risk=0.1), times=20)
    assert kept["valid_share"] >= 0.95
    assert kept["promised_coverage"] > 0.2


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_all_right_or_all_wrong_is_refused_with_what_is_needed(right: float) -> None:
    with pytest.raises(UsageError, match="needs at least 148 right and 25 wrong"):
        part(met(300, 0, right), FitConfig())


def test_a_signal_that_is_missing_everywhere_or_in_places_says_nothing() -> None:
    some = [
        replace(one, signals=replace(one.signals, agreement=None)) if place % 2 else one
        for place, one in enumerate(met(300, 0))
    ]
    model = fit_probe(some, FitConfig())
    assert model.parts(some[1].signals, some[1].checks)["agreement"] == 0


# figures ----------------------------------------------------------------------------------------------------------


def test_risk_and_coverage_of_the_surest_first() -> None:
    sure, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True])
    coverage, risk = risk_coverage(sure, right)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert area_under_risk(sure, right) == pytest.approx((1 / 3 + 1 / 4) / 4)
    assert coverage_at(sure, right, 0.05) == 0.5
    assert coverage_at(sure, right, 0.3) == 1.0
    alike = np.full(4, 0.5)
    assert risk_coverage(alike, right)[1].tolist() == [0.25] * 4  # who is equally sure comes in no order
    assert coverage_at(alike, right, 0.05) == 0


def test_a_report_says_what_it_promises_and_shows_it(found: Calibrated, tmp_path: Path) -> None:
    report = write_report(found, tmp_path, {"model": "toy"})
    said = (tmp_path / "report.md").read_text()
    assert "at most 10% are wrong" in said
    assert json.loads((tmp_path / "report.json").read_text())["confidence"]["auroc"] == report["confidence"]["auroc"]
    for name in ("reliability", "risk_coverage", "rivals"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000

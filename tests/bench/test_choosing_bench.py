"""The benchmarks of choosing, asked of a toy that knows nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from reverie.dreaming.choosing import Options
from reverie.errors import ConfigError, UsageError
from reverie.speakers import Abilities
from reverie.speakers.toy import ToySpeaker
from reverie_bench import BenchConfig, causal, choice, run_benchmark
from reverie_bench.causal import OWN
from reverie_bench.choice import named, read_choices
from reverie_bench.speaking import gain, open_speaker, shares, wilson
from toys import toy_bundle

ROW = {"premise": "the ball falls", "ask-for": "effect", "hypothesis1": "it breaks", "hypothesis2": "ice", "label": 0}
TRIVIA = (
    "#Q What falls?\n^ the egg\nA the egg\nB the sun\n\n"
    "#Q What melts\nin the sun?\n^ ice\nA the cat\nB ice\nC water\n\n"
    "#Q Who has no options?\n^ nobody\n\n"
    "#Q Whose answer is no option?\n^ mine\nA his\nB hers\n"
)


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_causal_reports_every_way_on_its_own_rows() -> None:
    report = run_benchmark("causal", BenchConfig("toy:", limit=12, branches=2, options=("dream_rows=4",)))
    assert report.n == 12
    assert {"accuracy", "accuracy_low", "gain", "gain_low", "gain_high", "cause_accuracy"} <= report.figures.keys()
    ways = {"plain", "plain_contrast", "triplet", "triplet_contrast", "triplet_backward", "contrast", "reverse"}
    assert ways <= report.by.keys()
    assert report.by["dream_rows_by_meaning"]["n"] == report.by["dream_rows_packaged"]["n"] == 4
    assert report.settings["dream_rows"] == 4
    again = run_benchmark("causal", BenchConfig("toy:", limit=12, branches=2, options=("dream_rows=4",)))
    assert (again.figures, again.by) == (report.figures, report.by)


def test_its_own_rows_favour_no_side() -> None:
    rows = [json.loads(line) for line in OWN.read_text().splitlines()]
    assert len(rows) == 60
    for wanted in ("cause", "effect"):
        assert [row["label"] for row in rows if row["ask-for"] == wanted].count(0) == 15


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"label": 2}, "label 0 or 1"),
        ({"ask-for": "reason"}, "'cause' or 'effect'"),
        ({"premise": 3}, "are texts"),
        ({"hypothesis2": " "}, "no option without words"),
    ],
)
def test_bad_rows_are_named_by_their_line(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=f"line 2: .*{told}"):
        run_benchmark("causal", BenchConfig("toy:", written(tmp_path, ROW, ROW | change)))


def test_causal_needs_rows_to_dream_on() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        run_benchmark("causal", BenchConfig("toy:", options=("dream_rows=0",)))


def test_choice_sets_ways_side_by_side_by_subject(tmp_path: Path) -> None:
    (tmp_path / "kitchen").write_text(TRIVIA)
    (tmp_path / "sky").write_text(TRIVIA)
    report = run_benchmark("choice", BenchConfig("toy:", tmp_path, branches=2))
    assert report.n == 4
    assert {
        "contrast",
        "both_ways",
        "vote",
        "dreams",
        "dreams_when_unsure",
        "named",
        "subject_kitchen",
        "subject_sky",
    } == {*report.by}
    assert report.figures["ids"] < report.by["contrast"]["ids"] < report.by["both_ways"]["ids"]
    assert report.by["vote"]["ids"] == pytest.approx(report.by["dreams"]["ids"], rel=0.5)
    assert report.baselines["chance"]["accuracy"] == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_who_has_no_scores_names_what_he_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talker = ToySpeaker(abilities=Abilities())
    for module in (causal, choice):
        monkeypatch.setattr(module, "open_speaker", lambda _: talker)
    report = run_benchmark("causal", BenchConfig("toy:", limit=6, branches=2, options=("dream_rows=2",)))
    assert "plain" not in report.by
    assert "dream_rows_by_likelihood" not in report.by
    (tmp_path / "kitchen").write_text(TRIVIA)
    with pytest.raises(UsageError, match="how probable"):
        run_benchmark("choice", BenchConfig("toy:", tmp_path))


def test_only_questions_that_can_be_chosen_are_asked(tmp_path: Path) -> None:
    (tmp_path / "kitchen").write_text(TRIVIA)
    first, second = read_choices(tmp_path)
    assert first.asked == Options("What falls?", ("the egg", "the sun"))
    assert (second.asked.asked, second.label, second.subject) == ("What melts in the sun?", 1, "kitchen")
    given = {"question": "What falls?", "options": ["rain", "stones up"], "answer": "rain"}
    assert read_choices(written(tmp_path, given))[0].label == 0
    with pytest.raises(UsageError, match="one of the options"):
        read_choices(written(tmp_path, given | {"answer": "snow"}))
    (tmp_path / "kitchen").write_text(TRIVIA[TRIVIA.index("#Q Who") :])
    with pytest.raises(UsageError, match="no question with options"):
        read_choices(tmp_path / "kitchen")
    with pytest.raises(UsageError, match="--data"):
        read_choices(None)


@pytest.mark.parametrize(
    ("said", "meant"), [("Paris", 0), (" paris. ", 0), ("It is in Rome", None), ("rome", 1), ("xyz", None), ("", None)]
)
def test_a_free_answer_means_the_option_most_like_it(said: str, meant: int | None) -> None:
    assert named(said, ("Paris", "Rome")) == meant


def test_intervals() -> None:
    low, high = wilson([True] * 8 + [False] * 2)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson([True] * 5)[1] == 1.0
    assert all(math.isnan(value) for value in (*wilson([]), shares([])["accuracy"]))
    found = gain([True, True, False, False], [True, False, False, False])
    assert found["gain"] == 0.25
    assert found["gain_low"] < 0.25 < found["gain_high"]
    assert gain([True] * 3, [True] * 3) == {"gain": 0.0, "gain_low": 0.0, "gain_high": 0.0}


def test_a_model_without_prose_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no prose"):
        open_speaker(BenchConfig(str(toy_bundle(tmp_path / "toy"))))
    with pytest.raises(UsageError, match="nothere"):
        open_speaker(BenchConfig("nothere"))


def test_passages_counts_what_is_read_and_what_is_made_up(tmp_path: Path) -> None:
    report = run_benchmark("passages", BenchConfig("toy:", limit=6))
    assert report.n == 6
    assert set(report.figures) == {"right_share", "wrong_share", "invented_share"} == set(report.baselines["always"])
    row = {"passage": "The cat sleeps.", "asked": [["Who sleeps?", "cat"], ["Who barks?", None]]}
    assert run_benchmark("passages", BenchConfig("toy:", written(tmp_path, row))).n == 2
    for change, wanted in (({"asked": []}, "a passage is a text"), ({"passage": 3}, "a passage is a text")):
        with pytest.raises(UsageError, match=wanted):
            run_benchmark("passages", BenchConfig("toy:", written(tmp_path, row | change)))

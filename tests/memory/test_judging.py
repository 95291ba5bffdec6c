"""Which of what is recalled holds the answer, and whether anything does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reverie.data import FactRow
from reverie.errors import MemoryStoreError
from reverie.memory.answer_types import asked_type, has_type
from reverie.memory.contract import Node
from reverie.memory.judging import ABOUT, FEATURES, FILE, Candidate, Looked, about_features, features, load_ranking
from reverie.memory.lexical import MOST_CHARS
from reverie.memory.linking import EntityIndex
from reverie.memory.memory import Memory
from reverie.memory.terms import terms
from reverie.nouns import Fact


@pytest.fixture
def coast(tmp_path: Path) -> Memory:
    """Lighthouses, one of which has a page."""
    memory = Memory.open(tmp_path / "coast.db")
    for number in range(60):
        name = f"{'ABCDEFGHIJ'[number % 10]}rn{'aeiou'[number % 5]}l{number} lighthouse"
        memory.write([FactRow(name, "HasHeight", f"{20 + number} metres"), FactRow(name, "PaintedIn", "white")])
    memory.write([FactRow("Kerrow lighthouse", "HasHeight", "31 metres", source="a map")])
    page = tmp_path / "tolver.md"
    page.write_text(
        "# Tolver lighthouse\n\nIt was lit in 1871.\n\n## Keeper\n\nThe lamp is in the care of Mara Dell.\n"
    )
    memory.load(page)
    return memory


@pytest.mark.parametrize(
    ("question", "kind", "holding", "not_holding"),
    [
        ("How tall is it?", "length", "It rises 31 metres.", "It was built in 1871."),
        ("When was it lit?", "time", "They lit it in 1871.", "It rises 31 metres."),
        ("Who keeps it?", "person", "Since then Mara Dell has kept it.", "It was built in 1871."),
        ("Where does it stand?", "name", "Boats from Oporto pass it.", "It is tall and white."),
        ("How many people live there?", "number", "There are 412 of them.", "Nobody counts them."),
        ("How long does it cook?", "measure", "Give it two hours.", "It tastes of nutmeg."),
    ],
)
def test_what_kind_of_thing_is_asked_for(question: str, kind: str, holding: str, not_holding: str) -> None:
    assert asked_type(question) == kind
    assert has_type(kind, holding, ())
    assert not has_type(kind, not_holding, ())
    assert asked_type("What is it like?") is None


def test_what_the_question_says_itself_is_no_answer() -> None:
    assert not has_type("person", "Is it Mara Dell who keeps it?", set(terms("Who is Mara Dell?")))
    assert not has_type("number", "All 12 of them came.", {"12"})


def test_names_of_a_question_and_what_nothing_bears() -> None:
    looked = Looked("How tall is the Kerrow Bay bridge?", {"kerrow": 3, "tall": 9, "bridg": 500}, 1000)
    assert set(looked.names) == {"kerrow", "bay"}
    assert looked.kin == "bridg"
    assert 0 < looked.unheard < 1
    assert looked.cased
    assert not Looked("how tall is kerrow", {}, 9).cased


def test_of_a_whole_text_only_the_beginning_is_a_question() -> None:
    looked = Looked.of("What is a zebra? " + "x " * MOST_CHARS + "ibex", EntityIndex(), {})
    assert "zebra" in looked.said
    assert "ibex" not in looked.said


def test_a_further_word_in_a_name_speaks_against_it() -> None:
    looked = Looked("How tall is the Kerrow lighthouse?", {"kerrow": 2, "lighthous": 90}, 1000)
    named, other = (
        Candidate("fact", f"{name} has height 31 metres", "31 metres", name, name, 0.9, 1.0)
        for name in ("Kerrow lighthouse", "Old Kerrow lighthouse")
    )
    rows = features(looked, [named, other])
    assert rows.shape == (2, len(FEATURES))
    assert rows[:, FEATURES.index("whole")].tolist() == [1.0, 0.0]
    assert rows[0, FEATURES.index("typed")] == 1.0
    assert len(about_features(looked, [named, other], rows)) == len(about_features(looked, [], rows[:0])) == len(ABOUT)
    sure, told = load_ranking().judge(looked, [named, other])
    assert sure[0] > sure[1]
    assert told
    assert ((sure >= 0) & (sure <= 1)).all()


def test_the_packaged_ranking_says_what_its_features_mean() -> None:
    ranking = load_ranking()
    assert set(ranking.weights) == {"fact", "passage", "fact+vectors", "passage+vectors"}
    assert set(ranking.about) == set(ranking.floor) == {"cased", "uncased", "cased+vectors", "uncased+vectors"}
    for weights in ranking.weights.values():
        by_name = dict(zip(FEATURES, weights))
        assert by_name["foreign"] <= 0 <= by_name["typed"]
        assert np.isfinite(weights).all()


@pytest.mark.parametrize("damage", [{"features": ["named"]}, {"about_features": []}, {"risk": "much"}])
def test_a_damaged_ranking_is_one_clear_line(tmp_path: Path, damage: dict[str, object]) -> None:
    file = tmp_path / "ranking.json"
    file.write_text(json.dumps(json.loads(FILE.read_text()) | damage))
    with pytest.raises(MemoryStoreError, match="cannot be used"):
        load_ranking(file)


@pytest.mark.parametrize("question", ["How tall is the Kerrow lighthouse?", "Who keeps the Tolver lighthouse?"])
def test_what_answers_comes_first(coast: Memory, question: str) -> None:
    best = coast.recall(question).ranked[0]
    if isinstance(best, Fact):
        assert (best.subject, best.object) == ("Kerrow lighthouse", "31 metres")
    else:
        assert isinstance(best[0], Node)
        assert "Mara Dell" in best[0].text
        assert 0 < best[1] <= 1


@pytest.mark.parametrize(
    "question",
    ["How tall is the Zanmore lighthouse?", "Who wrote Don Quixote?", "How tall is the Old Kerrow lighthouse?"],
)
def test_nothing_is_told_of_what_is_not_there(coast: Memory, question: str) -> None:
    found = coast.recall(question)
    assert not found.answered
    assert found.ranked == []
    assert all(0 <= sure <= 1 for _, sure in found.told)


def test_without_a_ranking_scores_stand_in(coast: Memory) -> None:
    coast.ranking = None
    found = coast.recall("How tall is the Kerrow lighthouse?")
    assert found.answered
    assert [sure for _, sure in found.told] == sorted((sure for _, sure in found.told), reverse=True)

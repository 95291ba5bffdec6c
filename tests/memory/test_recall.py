"""Linking and recall: names found in words, weight run along edges, and reasons that are true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.data import FactRow, NodeRow
from reverie.errors import ConfigError
from reverie.memory.contract import Node
from reverie.memory.embedders import WordsEmbedder
from reverie.memory.linking import further_names, key_of, link_question
from reverie.memory.memory import Memory
from reverie.memory.recall import RecallConfig
from reverie.memory.relation_patterns import asked_relations, relation_words, said_relations, stem

KITCHEN = [
    FactRow("egg", "AtLocation", "refrigerator", source="test"),
    FactRow("egg", "ReceivesAction", "break", source="test"),
    FactRow("egg", "IsA", "food", source="test"),
    FactRow("refrigerator", "AtLocation", "kitchen", source="test"),
    FactRow("make breakfast", "HasPrerequisite", "buy eggs", source="test"),
    FactRow("eat breakfast", "HasPrerequisite", "make breakfast", source="test"),
    FactRow("pan", "UsedFor", "make breakfast", source="test"),
    FactRow("car", "UsedFor", "drive to work", source="test"),
]
PASSAGES = [
    NodeRow("Night Train (film)", "passage", "Night Train is a 1959 drama film directed by Anna M. Kowal, starring X."),
    NodeRow("Night Train (song)", "passage", "Night Train is a song by the Blue Owls."),
    NodeRow("Anna Kowal", "passage", "Anna Maria Kowal (born 1920), also known as Anna M. Kowal, was a director."),
    NodeRow("Piotr Kowal, 2nd Earl of Lipno", "passage", "Piotr Kowal, 2nd Earl of Lipno, was the son of Jan Kowal."),
    NodeRow("Jan Kowal", "passage", "Jan Kowal was an earl. He was married to Maria Nowak."),
]


@pytest.fixture
def kitchen(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "kg.db") as memory:
        memory.write(KITCHEN)
        yield memory


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "kg.db") as memory:
        memory.write(PASSAGES)
        yield memory


def linked(memory: Memory, question: str) -> dict[str, float]:
    memory.refresh()
    links = link_question(question, memory.names, memory.store)
    names = {node.id: node.name for node in memory.store.nodes([link.node for link in links])}
    return {names[link.node]: link.weight for link in links}


# words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "folded"),
    [("Stanisław's Égg!", "stanislaw egg"), ("A.B.C. (1961 Film)", "a b c 1961 film"), ("Straße", "strasse"), ("", "")],
)
def test_names_are_folded(written: str, folded: str) -> None:
    assert key_of(written) == folded


@given(st.text("abcÀÉßØñłŁ0189'’-., ()", max_size=40))
@settings(max_examples=100, deadline=None)
def test_folding_twice_changes_nothing(text: str) -> None:
    assert key_of(key_of(text)) == key_of(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [("eggs", "egg"), ("making", "make"), ("director", "directed"), ("children", "child"), ("stories", "story")],
)
def test_forms_of_a_word_share_a_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize("name", ["HasPrerequisite", "/r/HasPrerequisite", "has_prerequisite", "has prerequisite"])
def test_relations_are_read_as_words(name: str) -> None:
    assert relation_words(name) == "has prerequisite"


def test_a_question_asks_for_relations_in_a_direction() -> None:
    relations = ["HasPrerequisite", "UsedFor", "child of", "parent of", "AtLocation", "blorbs"]
    need = asked_relations("what do you need to make breakfast", relations)
    assert need.forward.tolist() == [1, 0, 0, 0, 0, 0]
    assert need.backward.tolist() == [0, 1, 0, 0, 0, 0], "what is needed is the tool that is used for it"
    mother = asked_relations("Who is Ann's mother?", relations)
    assert mother.forward.tolist() == [0, 0, 1, 0, 0, 0]
    assert mother.backward.tolist() == [0, 0, 0, 1, 0, 0], "Eve parent of Ann says the same"
    assert not asked_relations("Who is Ann's mother-in-law?", relations).forward.any()
    assert asked_relations("what does a fish blorb?", relations).forward[-1] > 0, "by the relation's own word"


def test_words_before_a_name_say_its_relation() -> None:
    text = "It was directed by Ann Lee. The score, which was long, is by Bo Ray"
    ann, bo = text.index("Ann"), text.index("Bo")
    assert list(said_relations(text, ann, ann + 7)) == ["directed by"]
    said = said_relations(text, bo, bo + 6)
    assert list(said) == ["composed by"], "the sentence before does not count"
    assert 0.5 <= said["composed by"] < said_relations(text, ann, ann + 7)["directed by"] <= 1


# linking --------------------------------------------------------------------------------------------------------


def test_links_exact_inner_and_partial_names(kitchen: Memory) -> None:
    found = linked(kitchen, "what do you need to make breakfast")
    assert max(found, key=lambda name: found[name]) == "make breakfast"
    assert "eat breakfast" in found
    assert found["eat breakfast"] < found["make breakfast"]
    assert "car" not in found


@pytest.mark.parametrize("question", ["Where are EGGS?", "where is an egg", "what of Egg's place?"])
def test_links_whatever_the_spelling(kitchen: Memory, question: str) -> None:
    assert "egg" in linked(kitchen, question)


def test_a_wrong_letter_is_forgiven(kitchen: Memory) -> None:
    assert "refrigerator" in linked(kitchen, "what is in the refridgerator")
    assert linked(kitchen, "what is in the refrigeratro")["refrigerator"] > 0.3


def test_passages_are_linked_by_title_in_full_or_without_parentheses(library: Memory) -> None:
    full = linked(library, "Who sang Night Train (Song)?")
    assert full["Night Train (song)"] > full.get("Night Train (film)", 0)
    both = linked(library, "Who made Night Train?")
    assert both["Night Train (song)"] == both["Night Train (film)"] == 1


def test_further_names_of_a_passage() -> None:
    names = further_names(Node(1, "passage", PASSAGES[2].name, PASSAGES[2].text))
    assert set(names) == {"Anna Maria Kowal", "Anna M. Kowal"}
    assert further_names(Node(1, "passage", "Guy", "Guy was a man, born Hugo.")) == [], "one word names too many"


@pytest.mark.parametrize("text", ["", "\0", "ﬁ ½ ＡＢ", "'s", "()", "a" * 3000, "((( ,of", "\ud800", "é́́"])
def test_no_text_breaks_the_linking(kitchen: Memory, text: str) -> None:
    kitchen.names.add(1, text or "x", "passage")
    link_question(text, kitchen.names, kitchen.store)
    link_question(f"What about {text} and egg?", kitchen.names, kitchen.store)


# recall ---------------------------------------------------------------------------------------------------------


def test_recalls_what_is_asked_for_first_and_says_why(kitchen: Memory) -> None:
    found = kitchen.recall("Where can I find an egg?", k=3)
    best = found.facts[0]
    assert (best.subject, best.relation, best.object, best.source) == ("egg", "AtLocation", "refrigerator", "test")
    assert "names 'egg' in the question" in best.reason
    assert "'where' asks for AtLocation" in best.reason
    assert all(0 < fact.score <= 1 for fact in found.facts)
    assert [fact.score for fact in found.facts] == sorted((fact.score for fact in found.facts), reverse=True)
    assert len(found.facts) == 3
    assert found.seconds > 0
    assert {"link", "spread", "judge", "refresh"} <= set(found.details)


def test_facts_one_step_away_say_so(kitchen: Memory) -> None:
    found = kitchen.recall("Where can I find an egg?")
    far = next(fact for fact in found.facts if fact.object == "kitchen")
    assert "one step from 'egg' by AtLocation" in far.reason


def test_chains_share_nodes_and_lead_onward(kitchen: Memory) -> None:
    chains = kitchen.recall("Where can I find an egg?").chains
    assert [fact.object for fact in chains[0].facts] == ["refrigerator", "kitchen"]
    for chain in chains:
        assert 0 < chain.score <= 1
        for one, other in zip(chain.facts, chain.facts[1:], strict=False):
            assert {one.subject, one.object} & {other.subject, other.object}


def test_edges_are_followed_backwards_where_asked(kitchen: Memory) -> None:
    facts = kitchen.recall("what do you need to make breakfast", k=3).facts
    assert {(fact.subject, fact.object) for fact in facts} >= {
        ("make breakfast", "buy eggs"),
        ("pan", "make breakfast"),
    }


def test_trusted_facts_come_before_doubtful_ones(kitchen: Memory) -> None:
    kitchen.write([FactRow("egg", "AtLocation", "moon", source="rumour", confidence=0.2)])
    facts = kitchen.recall("Where is the egg?").facts
    places = [fact.object for fact in facts if fact.relation == "AtLocation" and fact.subject == "egg"]
    assert places == ["refrigerator", "moon"]
    assert next(fact for fact in facts if fact.object == "moon").confidence == pytest.approx(0.2)


def test_passages_over_two_hops(library: Memory) -> None:
    found = library.recall("When was the director of film Night Train (Film) born?", k=5)
    names = [node.name for node, _ in found.nodes]
    assert names[:2] == ["Night Train (film)", "Anna Kowal"]
    assert found.facts[0].relation == "directed by"
    assert all(0 <= score <= 1 for _, score in found.nodes)


def test_passages_link_by_shortened_titles(library: Memory) -> None:
    library.write([NodeRow("A note", "passage", "A note about Piotr Kowal and nobody else.")])
    facts = library.recall("Who is A note about?").facts
    assert ("A note", "mentions", "Piotr Kowal, 2nd Earl of Lipno") in [
        (f.subject, f.relation, f.object) for f in facts
    ]


@pytest.mark.parametrize("question", ["", "   ", "what is it", "?!…", "\0", "the of and", "🙂"])
def test_questions_that_name_nothing_find_nothing(kitchen: Memory, question: str) -> None:
    found = kitchen.recall(question)
    assert found.facts == ()
    assert found.chains == ()


def test_a_question_of_a_megabyte_is_answered(kitchen: Memory) -> None:
    found = kitchen.recall("Where is the egg? " + "egg refrigerator " * 60_000)
    assert found.facts
    assert kitchen.recall("x" * 1_000_000).facts == ()


def test_an_empty_memory_recalls_nothing(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "kg.db", WordsEmbedder()) as memory:
        found = memory.recall("where is the egg?")
        assert (found.facts, found.chains, found.nodes) == ((), (), ())


@pytest.mark.parametrize("way", ["pagerank", "walks", "nothing"])
def test_every_way_of_spreading_is_repeatable(tmp_path: Path, way: str) -> None:
    with Memory.open(tmp_path / "kg.db", settings=RecallConfig(spread_by=way)) as memory:  # type: ignore[arg-type]
        memory.write(KITCHEN)
        first, second = memory.recall("Where is the egg?"), memory.recall("Where is the egg?")
        assert first.facts == second.facts
        assert first.facts[0].object == "refrigerator"


def test_likeness_finds_what_no_name_does(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "kg.db", WordsEmbedder()) as memory:
        memory.write(KITCHEN)
        memory.index()
        fact = memory.recall("refrigerating").facts[0]
        assert "refrigerator" in (fact.subject, fact.object)
        assert "like the question: 0." in fact.reason


def test_vectors_of_facts_are_used(tmp_path: Path) -> None:
    class Cars(WordsEmbedder):
        """Everything about work is alike."""

        def embed(self, texts):  # type: ignore[no-untyped-def]
            rows = np.full((len(texts), 2), 0.0, np.float32)
            rows[np.arange(len(texts)), [int("work" in text or "job" in text) for text in texts]] = 1
            return rows

    embedder = Cars(2)
    with Memory.open(tmp_path / "kg.db", embedder) as memory:
        memory.write(KITCHEN)
        memory.index()
        best = memory.recall("job").facts[0]
        assert (best.subject, best.object) == ("car", "drive to work")


@pytest.mark.parametrize("wrong", [{"hops": -1}, {"frontier": 0}, {"asked": 1.5}, {"like": -0.1}])
def test_settings_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RecallConfig(**wrong)  # type: ignore[arg-type]

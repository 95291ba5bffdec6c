"""Names in a question: in scripts that put no spaces between words, and with one letter wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.data import FactRow
from reverie.memory.memory import Memory
from reverie.memory.spelling import SpelledWords, key_of, near_word, split_words

NAMES = {
    "東京": "Japan",
    "ベルリン": "Germany",
    "北京": "China",
    "กรุงเทพ": "Thailand",
    "서울": "Korea",
    "水": "liquid",
    "Kerrow lighthouse": "34 metres",
    "Kerow Ltd": "company",
    "Einstein": "Ulm",
    "Bern": "Switzerland",
    "München": "Bavaria",
}


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Memory:
    opened = Memory.open(Path(tmp_path_factory.mktemp("names")) / "kg.db")
    opened.write([FactRow(name, "AtLocation", about) for name, about in NAMES.items()])
    return opened


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("東京とは何ですか", "Japan"),
        ("ベルリンはどこですか", "Germany"),
        ("北京在哪里？", "China"),
        ("กรุงเทพอยู่ที่ไหน", "Thailand"),
        ("서울은 어디에 있나요", "Korea"),
        ("水とは何", "liquid"),
        ("Where is 東京?", "Japan"),
        ("How high is the Kerow lighthouse?", "34 metres"),  # though there is a Kerow, too
        ("How high is the Kerrow lihgthouse?", "34 metres"),
        ("Where is Kerow Ltd?", "company"),
        ("Where was Einstien?", "Ulm"),
        ("Where is Muenchen?", "Bavaria"),
    ],
)
def test_a_name_is_found(question: str, answer: str, memory: Memory) -> None:
    assert memory.recall(question).facts[0].object == answer


@pytest.mark.parametrize("question", ["水曜日とは", "Where is Born?", "Where is the Einsteim-Rosem-Brigde?", "京"])
def test_what_is_another_word_is_not_taken_for_a_name(question: str, memory: Memory) -> None:
    found = memory.recall(question).facts
    assert not [fact for fact in found if fact.subject in ("水", "Bern", "東京", "北京")]


def test_letters_of_scripts_without_spaces_are_words_where_they_stand() -> None:
    assert [(word.folded, word.start) for word in split_words("in東京 now")] == [
        ("in", 0), ("東", 2), ("京", 3), ("now", 5)
    ]  # fmt: skip
    assert key_of("東京 Tower") == "東 京 tower"
    assert key_of("L'Étoile") == "letoile"


def test_every_word_one_letter_away_is_found() -> None:
    words = ["kerrow", "lighthouse", "stone", "einstein", "abcdefgh"]
    spelled = SpelledWords()
    spelled.add(words)
    for word in words:
        for place in range(len(word)):
            swapped = word[:place] + word[place : place + 2][::-1] + word[place + 2 :]
            for wrong in (word[:place] + word[place + 1 :], word[:place] + "q" + word[place:], swapped):
                if len(wrong) >= 5 and wrong != word:
                    assert spelled.near(wrong) == [word]
        assert near_word(word[:-1] + "q", words) == word
    assert spelled.near("ston") == spelled.near("st0ne") == []
    assert near_word("kero", words) == ""

"""What a question asks for is not what a fact says, where a made-up statement about the same thing fits it better."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from reverie.dreaming.reading import told
from reverie.dreaming.rival_facts import about_what_is_named, asked_for
from reverie.nouns import SAYS, Fact

BUILT = Fact("Kerrow lighthouse", "BuiltIn", "1820", "a list")
HEIGHT = Fact("Kerrow lighthouse", "HasHeight", "34 metres", "a list")
OTHER = Fact("Kerrow Cross lighthouse", "HasHeight", "12 metres", "a list")
PASSAGE = Fact("notes.txt", SAYS, "The lighthouse is tall.", "a list")


def likes(*favourites: tuple[str, float]):  # type: ignore[no-untyped-def]
    """Log-probabilities of a question that is so much more probable after statements with some words in them."""

    def probable(statements: Sequence[str]) -> list[float]:
        return [-50 + sum(by for words, by in favourites if words in one) for one in statements]

    return probable


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("How tall is the Kerrow lighthouse?", [BUILT, HEIGHT, PASSAGE]),
        ("How tall is the Kerrow Cross lighthouse?", [OTHER, PASSAGE]),
        ("Is the Kerrow lighthouse or the Kerrow Cross lighthouse taller?", [BUILT, HEIGHT, OTHER, PASSAGE]),
        ("How tall is Kerrow's lighthouse?", [BUILT, HEIGHT, PASSAGE]),
        ("How tall is the tower?", [BUILT, HEIGHT, OTHER, PASSAGE]),
    ],
)
def test_what_is_said_of_others_is_left_out_where_a_thing_is_named(question: str, left: list[Fact]) -> None:
    assert about_what_is_named(question, [BUILT, HEIGHT, OTHER, PASSAGE]) == left


def test_whom_a_fact_leads_to_counts_as_named() -> None:
    fact = Fact("Anna", "LivesIn", "Kerrow lighthouse", "a list")
    assert about_what_is_named("Who lives in the Kerrow lighthouse?", [fact, OTHER, BUILT]) == [fact, BUILT]


def test_a_fact_that_fits_best_is_asked_for() -> None:
    assert asked_for(BUILT, [HEIGHT], told, likes(("1820", 20.0), ("30 metres", 15.0)))


def test_common_sayings_rule_out_what_was_not_asked_for() -> None:
    assert not asked_for(BUILT, [], told, likes(("1820", 5.0), ("30 metres tall", 9.0)))


def test_what_is_said_of_other_things_does_so_too() -> None:
    howls = Fact("Bram bridge", "HowlsLike", "wolves", "a list")
    assert not asked_for(BUILT, [howls], told, likes(("wolves", 4.0)))
    assert asked_for(BUILT, [], told, likes(("wolves", 4.0)))


def test_another_wording_of_the_same_may_fit_a_little_better() -> None:
    keeper = Fact("Kerrow lighthouse", "KeptBy", "Ines Falk", "a list")
    assert asked_for(keeper, [], told, likes(("is led by Jane Roe", 4.6)))
    assert not asked_for(keeper, [], told, likes(("is led by Jane Roe", 8.0)))
    assert not asked_for(keeper, [], told, likes(("30 metres", 4.6)))


def test_passages_say_many_things() -> None:
    assert asked_for(PASSAGE, [BUILT], told, likes(("1850", 90.0)))

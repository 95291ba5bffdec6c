"""Facts out of sentences: what is clearly said is read, and a near miss says nothing."""

from __future__ import annotations

import pytest

from reverie.memory.sentences import read_facts, sentences


@pytest.mark.parametrize(
    ("sentence", "fact"),
    [
        ("An oak is a kind of tree.", ("oak", "IsA", "tree")),
        ("Ice is a solid, and water is a liquid.", ("Ice", "IsA", "solid")),
        ("A dog is an animal that barks.", ("dog", "IsA", "animal")),
        ("Honey is a natural sweetener made from the nectar of flowers.", ("Honey", "IsA", "natural sweetener")),
        ("A dog has four legs and a tail.", ("dog", "HasA", "four legs")),
        ("Dogs can bark.", ("Dogs", "CapableOf", "bark")),
        ("Penguins cannot fly.", ("Penguins", "NotCapableOf", "fly")),
        ("A hammer is often used for driving nails.", ("hammer", "UsedFor", "driving nails")),
        ("Glass is made of sand.", ("Glass", "MadeOf", "sand")),
        ("Penguins are found in the Southern Hemisphere.", ("Penguins", "AtLocation", "Southern Hemisphere")),
        ("A **wheel** is part of a car (or a cart).", ("wheel", "PartOf", "car")),
        ("The capital of France is Paris.", ("France", "capital", "Paris")),
        ("Paris is the capital of France and a large city.", ("Paris", "capital of", "France")),
        ("Hamlet was written by William Shakespeare.", ("Hamlet", "written by", "William Shakespeare")),
        ("Smoking causes cancer.", ("Smoking", "Causes", "cancer")),
        ("If you drop an egg, it breaks.", ("drop an egg", "Causes", "the egg breaks")),
        ("When you heat ice, the ice melts.", ("heat ice", "Causes", "the ice melts")),
    ],
)
def test_what_is_clearly_said_is_read(sentence: str, fact: tuple[str, str, str]) -> None:
    (plain,) = sentences(sentence)
    assert read_facts(plain) == [fact]


@pytest.mark.parametrize(
    "sentence",
    [
        "It is a tree.",
        "They can swim.",
        "Is an oak a tree?",
        "An oak is a tree",  # cut short
        "An oak might be a tree.",
        "An oak is not a tree.",
        "Maybe an oak is a tree.",
        "An oak isn't a tree.",
        "I think an oak is a tree.",
        "Some people think the earth is a disc.",
        "There is a dog in the garden.",
        "What you need is a hammer.",
        "A lot of people can swim.",
        "The problem is a good question.",
        "If it rains, it pours.",
        "If you are tired, you might sleep.",
        "In the morning the sun is a star that everybody who lives here can see.",
        'She said "an oak is a tree."',
        "Hamlet is a classic and enduring play.",
        "Vassar College is a private, coeducational, liberal arts college.",
        "The film was directed by Alan Taylor.",
        "Hamlet was written by Mr.",
        "The singer has won two awards.",
        "Ice has been a solid.",
        "Oaks and elms are a kind of tree.",
        "An oak is an oak.",
        "",
    ],
)
def test_a_near_miss_says_nothing(sentence: str) -> None:
    assert [fact for one in sentences(sentence) for fact in read_facts(one)] == []


def test_lists_and_code_are_read_as_such() -> None:
    text = (
        "Oaks:\n1. An oak is a tree.\n- *Oaks* can burn. They fall.\n```python\nA cat is a dog.\n```\nIce is a solid."
    )
    assert list(sentences(text)) == ["Oaks:", "An oak is a tree.", "Oaks can burn.", "They fall.", "Ice is a solid."]
    assert list(sentences("```\nA cat is a dog.")) == []


@pytest.mark.parametrize("odd", ["a ", "is a ", "if ", "(", "*", "a, ", "[(", " ", "is"])
def test_what_is_long_or_odd_says_nothing(odd: str) -> None:
    assert [fact for one in sentences(odd * 30_000 + ".") for fact in read_facts(one)] == []

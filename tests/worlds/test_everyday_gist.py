"""The loose reading of questions about the everyday world: what is understood of them, and what stands in the way."""

from __future__ import annotations

import pytest

import reverie
from reverie.dreaming.english import stem
from reverie.dreaming.rephrase import rephrase
from reverie.worlds import make_world
from reverie.worlds.phrasebook import Asking

WORLDS = ("FrozenLake", "Everyday")


@pytest.mark.parametrize(
    ("question", "taught"),
    [
        (
            "In one word, please: a glass tipped on the table does what?",
            "what happens when you tip a glass over on a table?",
        ),
        ("i chuckd teh plate lol. whats it look like now", "what does a plate look like when you throw it?"),
        (
            "The witness claims that an egg was put upon a stone. Did it stay there?",
            "what happens when you stack an egg on a stone?",
        ),
        ("mommy, my teddy got too near the flame!! what is left of him??", "what happens when you heat a teddy bear?"),
        ("Pray, why doth a ball hop when it meets the floor?", "why does a ball bounce when you drop it?"),
        (
            "For ten points! Which of these goes up on being released: a stone or a balloon?",
            "what happens when you let go of a stone?",
        ),
        ("No flame, no push, only waiting: is the plate altered?", "what happens when you leave a plate alone?"),
        (
            "Might I trouble you, sir: which one is the lighter, a feather or a book?",
            "which is the lightest: a feather or a book?",
        ),
    ],
)
def test_by_what_it_mentions(question: str, taught: str) -> None:
    found = rephrase(question, WORLDS)
    assert found.text == taught
    assert found.gist.startswith("read loosely: ")


@pytest.mark.parametrize(
    "question",
    [
        "Dear me, a glass fell on the trampoline. What now?",  # elsewhere
        "Alas, what if I drop an egg on my grandma?",  # on somebody
        "My uncle tossed the ball to my sister. What happened?",
        "Suppose the defendant dropped a paper plate. What then?",  # of something else
        "Quick one: does a frozen egg break when dropped?",
        "Pray, what happens to a water balloon when it is dropped?",
        "If I never drop the egg, good sir, does it break?",  # what is not done
        "I drop the glass, you see, but catch it. Is it broken?",
        "First I heat the apple, dear, and then I drop it. What happens?",  # two things
        "I cut the apple with a feather, dear. What do I get?",
        "The egg, sir, falls upon a soap bubble. What happens?",
        "Does the floor break, dear, when I drop a stone?",  # of something else
        "Sir, what happens to the knife when I cut a stone?",
        "How long, my dear, till an ice cube melts on the table?",  # that is not asked
        "Who on earth dropped the plate on the floor?",
        "How would you break the ice at a party, dear?",  # said otherwise
        "My darling, is it wise to throw a plate?",
        "Does my hand get hot if I heat a spoon?",
        "Will the egg break if it is already cooked and I drop it?",
    ],
)
def test_what_stands_in_the_way(question: str) -> None:
    assert not rephrase(question, WORLDS).found


def test_the_answer_says_how_it_was_read() -> None:
    nano = reverie.load("nano", memory=False)
    answer = nano.ask("Bless him, my grandson says an egg stays whole when it falls on the floor. Is he right?")
    assert answer.known
    assert answer.text.startswith("No, ")
    said = {check.name: check.why for check in answer.checks}
    assert "falls on the floor (" in said["gist"]
    assert "left aside: bless him my grandson" in said["gist"]


def test_what_is_told_must_be_so() -> None:
    """A stone does not float: where it goes after that is not said."""
    nano = reverie.load("nano", memory=False)
    answer = nano.ask("My dear, I let go of a stone over the water and it floated, bless it. What do we see?")
    assert not answer.known


@pytest.mark.parametrize(
    ("question", "said", "answer"),
    [
        ("Which of these is unbreakable, dear: a plate or a stone?", ("Yes, it is.", "No, it is not."), "The stone."),
        ("Which of the two sinks, a stone or a feather?", ("No, it sinks.", "Yes, it floats."), "The stone."),
        ("How many of these are heavier than water: a stone, an egg?", ("No, it sinks.", "No, it sinks."), "Two."),
        ("How many of them are cuttable: an apple, a stone?", ("Yes, it is cut.", "No, it is not."), "One."),
        ("Which one is nonflammable, the paper or the stone?", ("Yes, it burns.", None), None),
    ],
)
def test_of_several_things_the_contrary_is_asked_too(
    question: str, said: tuple[str | None, ...], answer: str | None
) -> None:
    asking = rephrase(question, WORLDS).asking
    assert asking is not None
    assert len(asking.questions) == len(said)
    assert asking.worded(said) == answer


@pytest.mark.parametrize("form", ["property", "which", "many", "both"])
def test_every_property_can_be_asked_of_every_form(form: str) -> None:
    book = make_world("Everyday").phrasebook()
    assert book is not None
    assert book.loose is not None
    patterns = [*book.patterns, *book.loose().words.patterns]
    properties = {pattern.binds["property"] for pattern in patterns if "property" in pattern.binds}
    assert {"fragile", "-fragile", "cut"} <= properties
    things = {"thing": "apple"} if form == "property" else {"thing": "apple", "other": "stone"}
    for name in properties:
        asking = book.ask({"form": form, "property": name, **things})
        if isinstance(asking, Asking):
            assert asking.worded(["Yes, it is."] * len(asking.questions))


def test_no_name_is_written_down_twice() -> None:
    """What ``words.txt`` holds, ``gist.txt`` need not say again, nor in another inflection."""
    book = make_world("Everyday").phrasebook()
    assert book is not None
    assert book.loose is not None
    for name, slot in book.loose().words.slots.items():
        for value, phrases in slot.values.items():
            stems = [tuple(map(stem, phrase.split())) for phrase in phrases]
            assert len(set(stems)) == len(stems), (name, value)

"""Each sentence of an answer says what it rests on."""

from __future__ import annotations

import pytest

from reverie.dreaming.export_images import answer_to_json
from reverie.dreaming.grounding import SAYS_SO
from reverie.dreaming.resting import sentences_of
from reverie.memory.sentences import sentence_spans, sentences
from reverie.nouns import SAYS, Answer, Attribution, Backing, Dream, ExpertShare, Fact, Part, Sentence, Triplet, Verdict

CAPITAL = Fact("Freedonia", "capital of", "Glockenspiel", "atlas")
PASSAGE = Fact("atlas.md", SAYS, "The harbour of Glockenspiel was built by monks in 1204.", "atlas.md")


def told(text: str, **more: object) -> Answer:
    return Answer(text, True, 0.9, "local", **more)  # type: ignore[arg-type]


def dream(said: str, outcome: str = "") -> Dream:
    steps = (Triplet(Part("an egg"), Part("drop it"), Part(outcome)),) if outcome else ()
    return Dream(steps, -1.0, 0, said)


def test_a_sentence_rests_on_what_it_cites_or_says_and_another_on_nothing() -> None:
    answer = told(
        "The capital is Glockenspiel [1]. Monks built its harbour in 1204. I like it there.",
        evidence=(CAPITAL, PASSAGE),
    )
    first, second, third = sentences_of(answer)
    assert first == Sentence("The capital is Glockenspiel [1].", facts=(Backing(1, ("capital", "Glockenspiel")),))
    assert second.facts == (Backing(2, ("Monks", "built", "harbour", "1204")),)
    assert third.own
    assert not first.own


def test_experts_share_a_sentence_by_their_ids() -> None:
    shares = {
        "poems": ExpertShare(0.5, 0.2, (0.4, 0.4, 0.1, 0.1)),
        "songs": ExpertShare(0.5, 0.2, (0.0, 0.0, 0.3, 0.3)),
    }
    answer = told(
        "Hello there. Good bye.", attribution=Attribution(experts=shares, ids=("Hello", " there.", " Good", " bye."))
    )
    first, second = sentences_of(answer)
    assert first.experts == {"poems": 1.0}
    assert second.experts == pytest.approx({"songs": 0.75, "poems": 0.25})
    assert list(second.experts) == ["songs", "poems"]


def test_words_of_another_hand_rest_on_the_experts_of_the_whole() -> None:
    shares = {"poems": ExpertShare(1.0, 0.3, (0.3,)), "songs": ExpertShare(1.0, 0.1, (0.1,))}
    answer = told("Said anew. And more.", attribution=Attribution(experts=shares, ids=("Before.",)))
    assert [one.experts for one in sentences_of(answer)] == [pytest.approx({"poems": 0.75, "songs": 0.25})] * 2


def test_a_dreamed_sentence_names_its_branch_first_and_who_says_the_same() -> None:
    dreams = (
        dream("The egg bounces."),
        dream("The egg breaks.", "the egg breaks"),
        dream("No, the egg breaks. Truly."),
    )
    facts = (
        Fact("drop the egg, when it is high", "Causes", "the egg breaks", "a"),
        Fact("drop the egg, when a hand holds it", "Causes", "the egg is broken", "b", reason=SAYS_SO),
    )
    (only,) = sentences_of(told("The egg breaks.", dreams=dreams, verdict=Verdict(1, "best"), evidence=facts))
    assert only.dreams == (1, 2)
    assert [one.place for one in only.facts] == [2]  # of another situation, the same words say nothing


def test_what_is_not_known_tells_of_its_guess() -> None:
    answer = Answer("I don't know this yet.", False, 0.1, "local", guess="It is Glockenspiel.", evidence=(CAPITAL,))
    (only,) = sentences_of(answer)
    assert (only.text, [one.place for one in only.facts]) == ("It is Glockenspiel.", [1])


@pytest.mark.parametrize("text", ["", " ", "?!", "```\ncode.\n```", "Yes", "[1]", "东京 в 1204. ÄÖ!"])
def test_odd_texts_have_sentences_or_none(text: str) -> None:
    found = sentences_of(told(text, evidence=(CAPITAL, PASSAGE), dreams=(dream(text or "x"),)))
    assert bool(found) == bool(text.strip())


def test_spans_are_the_sentences_as_they_stand() -> None:
    text = "# Title\n- One *thing*. Two! \n\n```\nskipped. here\n```\n2) Three (no). Four"
    assert [text[a:b] for a, b in sentence_spans(text)] == ["# Title", "One *thing*.", "Two!", "Three (no).", "Four"]
    assert list(sentences(text)) == ["Title", "One thing.", "Two!", "Three .", "Four"]


def test_json_has_every_sentence() -> None:
    answer = told("It is Glockenspiel. Yes.", evidence=(CAPITAL,))
    facts = ({"place": 1, "words": ("Glockenspiel",)},)
    assert answer_to_json(answer)["sentences"] == [
        {"text": "It is Glockenspiel.", "experts": {}, "facts": facts, "dreams": (), "own": False},
        {"text": "Yes.", "experts": {}, "facts": (), "dreams": (), "own": True},
    ]

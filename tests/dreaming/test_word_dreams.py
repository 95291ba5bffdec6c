"""Dreams in words: lines that a speaker goes on with, judged by what it can say about them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from reverie.dreaming import DreamSettings
from reverie.dreaming.asked import Asked, read_question
from reverie.dreaming.grounding import Evidence, GroundingConfig
from reverie.dreaming.word_dreams import WordDreamer, first_line, likeness
from reverie.engine import Sampling
from reverie.errors import BackendError
from reverie.experts.contract import Choice
from reverie.nouns import CAUSES, Dream, Fact
from reverie.speakers import Abilities, Message, Scored, SpeechRequest, ToySpeaker
from toy_speakers import FrankSpeaker, plain

AHEAD = read_question("What happens when you drop an egg?")
WHETHER = read_question("Does ice melt when it is heated?")
BACK = read_question("Why did the glass break?")
PLAIN = Abilities()  # it completes and talks, and that is all
TALKS = Abilities(completes=False)
ALL = Abilities(forms=True, scores=True, embeds=True)


def says(request: SpeechRequest) -> str:
    """An egg's dream; every other branch has another end."""
    prompt = plain(request)
    if prompt.endswith("Because"):
        return " a stone hit it.\n" if request.seed % 2 else " the glass broke.\n"
    if prompt.endswith("So:"):
        return " The glass broke.\n"
    if prompt.endswith("Situation:"):
        return " There is an egg.\n"
    return " The egg falls and breaks.\n" if request.seed % 4 else " The egg breaks.\nAnd more"


@pytest.mark.parametrize("asked", [AHEAD, WHETHER, BACK])
@pytest.mark.parametrize("abilities", [ALL, PLAIN, TALKS])
def test_whatever_a_speaker_can_do_it_dreams(asked: Asked, abilities: Abilities) -> None:
    dreamer = WordDreamer(ToySpeaker(abilities=abilities))
    settings = DreamSettings(branches=6, temperature=1.0, seed=3)
    dreams = dreamer.dream(asked, (), settings)
    assert 0 < len(dreams) <= 6
    assert {dream.seed for dream in dreams} <= set(settings.branch_seeds)
    for dream in dreams:
        assert dream.said
        assert "\n" not in dream.said
        (triplet,) = dream.triplets
        assert dream.said == (triplet.action if asked.kind == "back" else triplet.result).text
    scored, verdict = dreamer.judge("?", asked, dreams, None)
    assert 0 <= verdict.branch < len(dreams)
    assert all(0 <= score <= 1 for dream in scored for score in dream.scores.values())
    assert ("contrast" in scored[0].scores) == abilities.scores
    assert dreamer.word("?", asked, scored[verdict.branch])
    again = dreamer.dream(asked, (), settings)
    assert again == dreams


def test_a_dream_is_a_triplet() -> None:
    dreams = WordDreamer(FrankSpeaker(says)).dream(AHEAD, (), DreamSettings(branches=2))
    assert [dream.said for dream in dreams] == ["The egg breaks.", "The egg falls and breaks."]
    (triplet,) = dreams[0].triplets
    assert (triplet.what.text, triplet.action.text, triplet.result.text) == (
        "There is an egg.",
        "You drop an egg.",
        "The egg breaks.",
    )
    told = WordDreamer(FrankSpeaker(says)).dream(read_question("It is night. What if I drop it?"), (), DreamSettings(1))
    assert told[0].triplets[0].what.text == "It is night."


def test_branches_take_turns_in_form_and_the_first_of_each_is_the_likeliest() -> None:
    speaker = FrankSpeaker(says)
    WordDreamer(speaker).dream(AHEAD, (), DreamSettings(branches=4, temperature=0.9, seed=2))
    *branches, situation = speaker.heard
    assert [plain(one).rpartition("\n")[2] for one in branches] == ["Answer:", "Result:"] * 2
    assert [one.seed for one in branches] == [2000, 2001, 2002, 2003]
    assert [one.sampling for one in branches[:2]] == [Sampling(0.0)] * 2
    assert {one.sampling.temperature for one in branches[2:]} == {0.9}
    assert plain(situation).endswith("Action: You drop an egg.\nSituation:")
    assert all(one.form == () and one.stop == ("\n",) for one in speaker.heard)


def test_without_forms_and_completions_the_line_is_asked_for_in_a_talk() -> None:
    speaker = FrankSpeaker(lambda request: "It breaks.", TALKS)
    WordDreamer(speaker).dream(AHEAD, (), DreamSettings(branches=1))
    for request in speaker.heard:
        (said,) = request.said
        assert isinstance(said, Message)
        assert said.content.startswith("Write the one short line that comes next")
        assert request.form is None


def test_memory_gives_examples() -> None:
    speaker = FrankSpeaker(says)
    facts = [
        Fact("someone drops a plate", CAUSES, "the plate breaks", "a list"),
        Fact("someone drops a ball", "xEffect", "the ball bounces", "a list"),
        Fact("someone drops a cup", CAUSES, "the cup breaks", "a list"),
        Fact("plate", "HasColor", "white", "a list"),
        Fact("a rumour", CAUSES, "nothing", "a list", confidence=0.1),
    ]
    WordDreamer(speaker).dream(AHEAD, facts, DreamSettings(branches=2))
    for request in speaker.heard[:2]:
        prompt = plain(request)
        assert "plate breaks." in prompt
        assert "ball bounces." in prompt
        assert "cup" not in prompt
        assert "white" not in prompt
        assert "rumour" not in prompt.casefold()


def test_causes_that_only_say_it_again_are_left_out() -> None:
    dreamer = WordDreamer(FrankSpeaker(says))
    dreams = dreamer.dream(BACK, (), DreamSettings(branches=3))
    assert [dream.said for dream in dreams] == ["a stone hit it."]
    assert dreams[0].triplets[0].result.text == "The glass broke."
    assert dreamer.word("?", BACK, dreams[0]) == "Because a stone hit it."
    alone = dreamer.dream(BACK, (), DreamSettings(branches=1))
    assert [dream.said for dream in alone] == ["the glass broke."]  # better than nothing


@pytest.mark.parametrize(("ahead", "said"), [(0.5, "Yes. "), (-0.5, "No. "), (0.2, ""), (-0.2, ""), (0.0, "")])
def test_whether_is_answered_by_what_was_dreamed_and_where_it_is_clear_by_yes_or_no(ahead: float, said: str) -> None:
    (dream,) = WordDreamer(FrankSpeaker(says)).dream(WHETHER, (), DreamSettings(branches=1))

    class Leaning(FrankSpeaker):
        def score(self, wanted: Sequence[tuple[str, str]], experts: Choice = ()) -> list[Scored]:
            return [Scored(-9.0 + ahead * before.endswith("Yes."), 3) for before, _ in wanted]

    assert WordDreamer(Leaning(says)).word("Does ice melt?", WHETHER, dream) == f"{said}The egg breaks."


def test_who_gives_no_scores_says_whether_in_words_of_its_own() -> None:
    (dream,) = WordDreamer(FrankSpeaker(says)).dream(WHETHER, (), DreamSettings(branches=1))
    unsure = WordDreamer(FrankSpeaker(lambda _: " Yes, it does.", Abilities(forms=True)))
    assert unsure.word("Does ice melt?", WHETHER, dream) == "Yes, it does."
    mute = WordDreamer(FrankSpeaker(lambda _: "", Abilities(forms=True)))
    assert mute.word("Does ice melt?", WHETHER, dream) == "The egg breaks."


@pytest.mark.parametrize("asked", [AHEAD, WHETHER, BACK])
@pytest.mark.parametrize("words", ["", "  \n", "...", "🙂 !", "\n\nlater"])
def test_branches_without_words_are_no_dreams(asked: Asked, words: str) -> None:
    with pytest.raises(BackendError, match="frank dreamed nothing that holds words") as caught:
        WordDreamer(FrankSpeaker(lambda _: words)).dream(asked, (), DreamSettings(branches=3))
    assert "\n" not in str(caught.value)


def test_contrast_is_what_the_action_adds() -> None:
    dreamer = WordDreamer(FrankSpeaker(says))
    dreams = dreamer.dream(AHEAD, (), DreamSettings(branches=2))
    scored, _ = dreamer.judge("?", AHEAD, dreams, None)
    (egg, breaks) = -0.1, -4.0  # the action names the egg, and not that it breaks; nothing names neither
    wanted = ((egg + breaks) - 2 * breaks) / 3  # of "The egg breaks": three words, one of which tells nothing
    assert scored[0].scores["contrast"] == pytest.approx(1 / (1 + math.exp(-wanted)))
    assert scored[0].scores["agreement"] == pytest.approx(2 / 3)


def test_what_memory_says_of_the_action_counts() -> None:
    dreamer = WordDreamer(FrankSpeaker(says))
    dreams = dreamer.dream(AHEAD, (), DreamSettings(branches=2))
    claim = dreams[1].claim
    assert claim is not None
    known = Evidence({claim[0]: [Fact(claim[0], CAUSES, claim[1], "a list")]}, GroundingConfig())
    scored, verdict = dreamer.judge("?", AHEAD, dreams, known)
    assert verdict.branch == 1
    assert scored[1].scores["support"] == 1


@pytest.mark.parametrize("abilities", [ALL, PLAIN])
def test_likeness_is_one_for_the_same_words_and_lies_between(abilities: Abilities) -> None:
    texts = ["The egg breaks.", "It breaks: the egg!", "The cat sleeps.", "", "The egg falls."]
    alike = likeness(ToySpeaker(abilities=abilities), texts)
    assert alike.shape == (5, 5)
    assert np.allclose(alike, alike.T, atol=1e-5)
    assert (alike >= 0).all()
    assert (alike <= 1).all()
    assert alike[0, 1] == 1
    assert alike[0, 2] < 1
    frank = likeness(FrankSpeaker(abilities=abilities), texts)
    assert frank[0, 4] > frank[0, 2]


def test_a_line_is_what_holds_words() -> None:
    assert first_line('\n " The egg  breaks. "\nAnd more') == "The egg breaks."
    assert first_line("...\nwords") == first_line("") == first_line("—") == ""
    assert first_line("它碎了") == "它碎了"


def test_what_the_action_does_not_name_is_asked_in_every_branch() -> None:
    asked = read_question("How will the dog react if I drop an egg?")
    assert asked.wanted
    speaker = FrankSpeaker(says)
    dreamer = WordDreamer(speaker)
    dreams = dreamer.dream(asked, (), DreamSettings(branches=4))
    assert all(f"Question: {asked.wanted}\nAnswer:" in plain(request) for request in speaker.heard[:4])
    dog = [Dream((), -1.0, 0, said, 3) for said in ("The dog barks.", "The ice melts.")]
    barks, melts = dreamer._contrast(asked, dog)
    assert barks > melts
    assert len(dreams) == 4

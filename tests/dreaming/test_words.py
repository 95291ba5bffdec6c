"""A speaker answers: it reads what memory holds, dreams where the answer lies ahead, and speaks at once elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bases import save_base, toy_engine_speaker
from reverie.bundles import load_bundle
from reverie.bundles.init import InitConfig, init_bundle
from reverie.data import FactRow, NodeRow
from reverie.dreaming import DreamSettings, Session
from reverie.dreaming.grounding import MemoryGrounding
from reverie.dreaming.question import Manner, Question, Speaking, Turn
from reverie.dreaming.unknown import not_known
from reverie.dreaming.word_dreams import WordDreamer
from reverie.dreaming.words import WordConfig, WordMind
from reverie.engine import Sampling
from reverie.errors import BackendError, UsageError
from reverie.memory.memory import Memory
from reverie.nouns import Answer
from reverie.speakers import Abilities, Message, Speaker, SpeechRequest, ToySpeaker
from toy_speakers import FrankSpeaker, plain, says_what_is_told

ROWS = [
    FactRow("Kerrow lighthouse", "HasHeight", "34 metres", source="a list"),
    FactRow("Kerrow lighthouse", "HasBuilder", "Ilse Brandt", source="a list"),
    FactRow("Bram bridge", "HasHeight", "12 metres", source="a list"),
]
NO_SCORES = Abilities(forms=True)


def says(request: SpeechRequest) -> str:
    prompt = plain(request)
    if "Fact:" in prompt.rpartition("\n\n")[2]:
        return says_what_is_told(request)
    ends = {
        "Because": " it fell on the floor.",
        "So:": " The egg broke.",
        "Situation:": " There is an egg.",
        "Result:": " The egg breaks.",
        "Answer:": " The egg breaks.",
    }
    return next((said for end, said in ends.items() if prompt.endswith(end)), "  Hello there.  How are you? \n")


def mind_of(speaker: Speaker, **options: Any) -> WordMind:
    return WordMind(WordDreamer(speaker), **options)


def ask(speaker: Speaker, question: str, branches: int = 3, memory: Any = False, **speaking: Any) -> Answer:
    return session(speaker, memory).ask(question, branches=branches, speaking=Speaking(**speaking))


def session(speaker: Speaker, memory: Any = False, **options: Any) -> Session:
    return Session(None, memory, mind=mind_of(speaker, **options))


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    opened = Memory.open(tmp_path / "memory.db")
    opened.write(ROWS)
    return opened


@pytest.mark.parametrize(
    ("question", "says_so", "dreams"),
    [
        ("What happens when you drop an egg?", "The egg breaks.", 3),
        ("Will the egg break if I drop it?", "The egg breaks.", 3),  # the toy finds yes and no as probable
        ("Why did the egg break?", "Because it fell on the floor.", 3),
        ("Who are you?", "Hello there.  How are you?", 0),
        ("When was the bridge built?", "Hello there.  How are you?", 0),
    ],
)
def test_it_dreams_where_the_answer_lies_ahead_or_behind(question: str, says_so: str, dreams: int) -> None:
    answer = ask(FrankSpeaker(says), question)
    assert answer.text == says_so
    assert len(answer.dreams) == dreams
    assert answer.model == "frank"
    assert (answer.verdict.branch >= 0) == (dreams > 0)


def test_without_branches_it_answers_at_once() -> None:
    for question in ("What happens when you drop an egg?", "Why did the egg break?"):
        answer = ask(FrankSpeaker(says), question, branches=0)
        assert answer.text == "Hello there.  How are you?"
        assert not answer.dreams


def test_what_memory_says_is_read_before_anything_is_dreamed(memory: Memory) -> None:
    answer = ask(FrankSpeaker(says), "How tall is the Kerrow lighthouse?", memory=memory)
    assert answer.text == "34 metres. [1]"
    assert [(fact.subject, fact.object) for fact in answer.evidence] == [("Kerrow lighthouse", "34 metres")]
    assert answer.known
    assert not answer.dreams
    assert ask(FrankSpeaker(says), "How tall is\n\nthe Kerrow lighthouse?", memory=memory).text == "34 metres. [1]"


def test_what_memory_does_not_say_of_a_name_is_not_known(memory: Memory) -> None:
    answer = ask(FrankSpeaker(says), "Who painted the Kerrow lighthouse?", memory=memory)
    assert not answer.known
    assert answer.why == "memory knows of Kerrow lighthouse, but not this"
    assert ask(FrankSpeaker(says), "Who are you?", memory=memory).why == "its confidence is not calibrated"


def test_a_document_is_read_too(tmp_path: Path) -> None:
    opened = Memory.open(tmp_path / "memory.db")
    text = "The Kerrow lighthouse stands on a cliff. Its lamp is lit by Ilse Brandt every evening."
    opened.write([NodeRow("Kerrow lighthouse", "passage", text, source="notes.txt")])
    answer = ask(FrankSpeaker(says), "Who lights the lamp of the Kerrow lighthouse?", memory=opened)
    assert answer.known
    assert answer.text.removesuffix(". [1]").lower() in text.lower()
    assert "Its lamp is lit by" in answer.evidence[0].object


def test_an_unsure_answer_is_not_known() -> None:
    speaker = FrankSpeaker(lambda request: f" number {request.seed}" if request.seed else " number zero")
    answer = ask(speaker, "Who are you?", branches=3)
    assert answer.known == (answer.confidence >= 0.5)
    unsure = Session(None, False, mind=mind_of(speaker, config=WordConfig(sure=0.99))).ask("Who are you?")
    assert not unsure.known
    assert 0 <= unsure.confidence < 0.99
    empty = ask(FrankSpeaker(lambda _: "  \n "), "Who are you?")
    assert (empty.text, empty.known, empty.confidence) == ("I have no words for this.", False, 0.0)


def test_what_it_says_each_time_it_is_surer_of() -> None:
    same = FrankSpeaker(lambda _: "It is blue. And more.", NO_SCORES)
    other = FrankSpeaker(lambda request: f"It is number{request.seed}. And more.", NO_SCORES)
    assert ask(same, "Which colour?").confidence == 1.0
    assert ask(other, "Which colour?").confidence < 1.0
    assert len(same.heard) == 3  # the answer, and two beginnings beside it
    assert [request.max_ids for request in same.heard] == [256, 24, 24]


def test_a_speaker_that_is_away_says_so() -> None:
    class Away(FrankSpeaker):
        def speak(self, *_: Any) -> Any:
            raise BackendError("nobody answers at http://here")

    for question in ("Who are you?", "What happens when you drop an egg?", "Why did it break?"):
        with pytest.raises(BackendError, match="nobody answers"):
            ask(Away(says), question)
    with pytest.raises(BackendError, match="holds words: ask otherwise, or for 0 branches"):
        ask(FrankSpeaker(lambda _: "..."), "What happens when you drop an egg?")


@pytest.mark.parametrize(
    "question",
    ["Who are you?", "What happens when you drop an egg?", "Why did it break?", "How tall is the Kerrow lighthouse?"],
)
@pytest.mark.parametrize("branches", [0, 3])
def test_what_is_heard_is_the_answer(question: str, branches: int, memory: Memory) -> None:
    for speaker in (FrankSpeaker(says), ToySpeaker(), FrankSpeaker(lambda r: says(r) if "\n\n" in plain(r) else " \n")):
        heard = list[str]()
        answer = session(speaker, memory).ask(question, branches=branches, on_text=heard.append)
        assert "".join(heard) == answer.text
        assert "".join(session(speaker, memory).stream(question, branches=branches)) == answer.text


def test_a_stream_may_be_left_and_the_session_goes_on(memory: Memory) -> None:
    talk = session(ToySpeaker(), memory)
    pieces = talk.stream("Who are you?")
    next(pieces)
    pieces.close()
    assert talk.ask("Who are you?", branches=0).text == ask(ToySpeaker(), "Who are you?", branches=0).text


@pytest.mark.parametrize(("make", "plain"), [(ToySpeaker, ["Who are you?"]), (toy_engine_speaker, [])])
def test_the_same_seed_gives_the_same_answer_alone_and_among_others(
    make: Callable[[], Speaker], plain: list[str]
) -> None:
    questions = [*plain, "What happens when you drop an egg?", "Why did it break?"]
    talk = session(make())

    def told(answers: list[Answer]) -> list[object]:
        """All but times, and probabilities only as far as sums of other rows beside them leave them."""
        return [
            (
                one.text,
                one.known,
                round(one.confidence, 4),
                [(d.triplets, d.said, round(d.log_prob, 3)) for d in one.dreams],
            )
            for one in answers
        ]

    alone = told([talk.ask(question, branches=3, seed=5) for question in questions])
    assert told(talk.ask_many(questions, branches=3, seed=5)) == alone
    assert told([session(make()).ask(question, branches=3, seed=5) for question in questions]) == alone
    other = told(talk.ask_many(questions, branches=3, seed=6, temperature=1.0))
    assert other != alone


def test_dreams_alone_are_undecided() -> None:
    talk = session(FrankSpeaker(says))
    dreams = talk.dream("What happens when you drop an egg?", branches=2)
    assert [dream.said for dream in dreams] == ["The egg breaks."] * 2
    assert all(dream.scores for dream in dreams)
    with pytest.raises(UsageError, match="nothing to dream of"):
        talk.dream("Who are you?")
    with pytest.raises(UsageError, match="at least 1 branch"):
        talk.dream("What happens when you drop an egg?", branches=0)


def test_what_is_shown_or_asks_for_experts_is_refused_in_one_line() -> None:
    talk = session(FrankSpeaker(says))
    for asked, said in (
        ({"world": "FrozenLake", "scene": "SFG"}, "frank was taught no pictures.*nano\\+frank"),
        ({"experts": ["poems"]}, "frank has no experts, and 'poems' is asked for"),
    ):
        with pytest.raises(UsageError, match=said) as caught:
            talk.ask("What happens when you drop an egg?", **asked)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
    assert talk.ask("Who are you?", experts=()).text


# how it is asked ------------------------------------------------------------------------------------------------


def said_to(speaker: FrankSpeaker) -> str | tuple[Message, ...]:
    return speaker.heard[0].said


def test_each_style_asks_in_its_way() -> None:
    for style, said in (
        ("chat", (Message("user", " Who are you? "),)),
        ("question", "Question: Who are you?\nAnswer:"),
        ("plain", "Who are you?"),
    ):
        speaker = FrankSpeaker(lambda _: " I am\n frank")
        answer = session(speaker, style=style).ask(" Who are you? ", branches=0)
        assert said_to(speaker) == said
        assert answer.text == ("I am" if style == "question" else "I am\n frank")
    speaker = FrankSpeaker(abilities=Abilities(talks=False))
    session(speaker).ask("Who are you?", branches=0)
    assert said_to(speaker) == "Question: Who are you?\nAnswer:"


def test_how_it_speaks_can_be_said() -> None:
    speaker = FrankSpeaker(lambda _: "one two three four five six")
    speaker.usual = Sampling(0.6, top_p=0.9)
    answer = ask(speaker, "Count.", branches=0, system="You count.", stop=("four",), max_ids=5)
    assert answer.text == "one two three"
    assert said_to(speaker) == (Message("system", "You count."), Message("user", "Count."))
    assert (speaker.heard[0].max_ids, speaker.heard[0].sampling) == (5, speaker.usual)


def test_an_answer_that_is_cut_says_so_and_is_heard_so() -> None:
    for words, most in (("one two three four", 2), ("one two \n", 2), ("one   two  \n\n three", 1)):
        heard = list[str]()
        talk = session(FrankSpeaker(lambda _, words=words: words))  # type: ignore[misc]
        answer = talk.ask("Count.", branches=0, speaking=Speaking(max_ids=most), on_text=heard.append)
        assert "".join(heard) == answer.text == " ".join(words.split()[:most]) + " …"


def history(speaker: FrankSpeaker, turns: int, **speaking: Any) -> tuple[Message, ...]:
    """What a speaker hears of a long talk."""
    told = tuple(Turn(f"question {number} ?", f"answer {number} !") for number in range(turns))
    asked = Question("And now?", history=told)
    mind_of(speaker).answer(MemoryGrounding(False), [asked], Manner(DreamSettings(branches=0), Speaking(**speaking)))
    said = said_to(speaker)
    assert isinstance(said, tuple)
    return said


def test_what_was_said_before_is_told_whole() -> None:
    assert [turn.content for turn in history(FrankSpeaker(), 2, system="Be brief.")] == [
        "Be brief.",
        "question 0 ?",
        "answer 0 !",
        "question 1 ?",
        "answer 1 !",
        "And now?",
    ]
    talk = session(speaker := FrankSpeaker(lambda _: "So."))
    talk.chat("First?")
    talk.chat("Second?")
    assert [turn.content for turn in speaker.heard[-1].said] == ["First?", "So.", "Second?"]  # type: ignore[union-attr]
    assert talk.history == (Turn("First?", "So."), Turn("Second?", "So."))


def test_refusals_are_not_read_as_its_own_words() -> None:
    """A base that reads them refuses whatever is asked next."""
    told = (
        Turn("Who built it?", not_known("it is strange"), "Ann built it."),
        Turn("When?", not_known("it is strange")),
        Turn("Where?", "I don't know."),
        Turn("Why?", "Not sure: it was fun."),
        Turn("How?", not_known("it is strange"), not_known("it is said again")),
    )
    mind = mind_of(speaker := FrankSpeaker())
    mind.answer(MemoryGrounding(False), [Question("And now?", history=told)], Manner(DreamSettings(branches=0)))
    assert [turn.content for turn in said_to(speaker)] == [  # type: ignore[union-attr]
        "Who built it?", "Ann built it.", "Why?", "it was fun.", "And now?",
    ]  # fmt: skip


@given(st.integers(0, 40), st.integers(40, 400), st.integers(1, 500), st.booleans())
def test_the_oldest_turns_go_first_and_none_is_cut(turns: int, most: int, max_ids: int, ordered: bool) -> None:
    speaker = FrankSpeaker(lambda _: "So.", max_ids=most)
    system = "Be brief." if ordered else ""
    told = history(speaker, turns, system=system, max_ids=max_ids)
    rest = told[1:] if ordered else told
    assert not ordered or told[0] == Message("system", system)
    assert rest[-1] == Message("user", "And now?")
    kept = (len(rest) - 1) // 2
    assert [turn.content for turn in rest[:-1]] == [
        words for number in range(turns - kept, turns) for words in (f"question {number} ?", f"answer {number} !")
    ]
    room = most - min(max_ids, most // 4)
    assert speaker.count(told) <= room or kept == 0
    if kept < turns:  # one more would not fit
        assert speaker.count(told) + 6 > room
    assert speaker.heard[0].max_ids == max(1, min(max_ids, most - speaker.count(told)))


def test_a_question_that_does_not_fit_is_said() -> None:
    for question in ("word " * 99, "What happens if you " + "word " * 99):
        with pytest.raises(UsageError, match="do not fit into the 80 of frank"):
            ask(FrankSpeaker(max_ids=80), question)


def test_where_the_context_holds_no_dream_it_answers_at_once(memory: Memory) -> None:
    for question in ("What happens when you drop an egg?", "Will it break if I drop it?", "Why did it break?"):
        answer = ask(FrankSpeaker(says, max_ids=90), question, memory=memory)
        assert (answer.text, answer.dreams) == ("Hello there.  How are you?", ())
    assert ask(FrankSpeaker(says, max_ids=60), "How tall is the Kerrow lighthouse?", memory=memory).text.startswith(
        "Hello"
    )


# bases ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("base")
    return init_bundle(save_base(home / "base", chat=True), home / "mine", InitConfig(dtype="fp32"))


def test_a_base_of_a_bundle_talks_in_its_template(base: Path) -> None:
    talk = load_bundle(base).session(memory=False)
    assert isinstance(talk.mind, WordMind)
    assert talk.mind.style == "chat"
    first = talk.chat("What falls?", branches=0, speaking=Speaking(max_ids=8))
    again = talk.chat("And then?", branches=0, speaking=Speaking(max_ids=8))
    asked = Question("And then?", history=(Turn("What falls?", first.text),))
    said = talk.mind._said(asked, Speaking(max_ids=8))
    ids = talk.mind.speaker.ids(said)  # type: ignore[attr-defined]
    start = talk.grammar.vocabulary.text_start
    wanted = f"<user>What falls?<assistant>{first.text}<user>And then?<assistant>"
    assert ids == tuple(start + token for token in load_bundle(base).grammar.text.encode(wanted)) or "\ufffd" in wanted
    assert again.model == "base"


def test_a_question_names_no_special_token_of_a_base(base: Path) -> None:
    talk = load_bundle(base).session(memory=False)
    speaker = talk.mind.speaker  # type: ignore[attr-defined]
    end = speaker.first + next(iter(speaker.words.ends))
    for said in ("<|end|>", (Message("user", "a <|end|><|end|>"),)):
        assert end not in speaker.ids(said)
    assert talk.ask("Who is <|end|>?", branches=2, speaking=Speaking(max_ids=4)).text

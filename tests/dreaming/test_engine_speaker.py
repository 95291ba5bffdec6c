"""A base under our own engine keeps the contract of speakers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from bases import bos_words, piece_words, toy_engine_speaker, toy_words
from reverie.dreaming.engine_speaker import EngineSpeaker
from reverie.engine import Sampling
from reverie.errors import UsageError
from reverie.speakers import check_speaker
from reverie.speakers.contract import Message, SpeechRequest

TALK = (Message("system", "Be brief."), Message("user", "What falls?"))
DRAWN = Sampling(1.0)


def feeding_words() -> PreTrainedTokenizerFast:
    """Several line feeds in one id, as in the words of Llama 3."""
    words = toy_words()
    words.backend_tokenizer.add_tokens(["\n\n", ".\n", "\nA", ".\n\n", " \n"])
    return words


KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "plain": toy_words,
    "bos": bos_words,
    "pieces": piece_words,
    "line feeds": feeding_words,
}


@pytest.fixture(scope="module", params=KINDS)
def speaker(request: pytest.FixtureRequest) -> EngineSpeaker:
    return toy_engine_speaker(KINDS[request.param]())


@pytest.fixture(scope="module")
def plain() -> EngineSpeaker:
    return toy_engine_speaker()


def test_it_keeps_the_contract(speaker: EngineSpeaker) -> None:
    kept = check_speaker(speaker)
    assert {"a form has as many lines as labels, and one more", "a pair scores alone as among others"} <= set(kept)


def test_without_a_template_it_is_not_talked_to() -> None:
    speaker = toy_engine_speaker(template="")
    assert not speaker.abilities.talks
    with pytest.raises(UsageError, match="toy base has no chat template"):
        speaker.speak([SpeechRequest(TALK)])
    assert speaker.speak([SpeechRequest("It", 4)])[0].num_ids


def test_a_talk_is_read_in_its_template_without_another_bos() -> None:
    speaker = toy_engine_speaker(bos_words(), "{{ '<|begin|>' }}{% for m in messages %}{{ m.content }}|{% endfor %}")
    begin = speaker.words.encode("")[0]
    ids = [token - speaker.first for token in speaker.ids(TALK)]
    assert ids == speaker.words.encode("<|begin|>Be brief.|What falls?|", whole=False)
    assert ids.count(begin) == 1
    assert speaker.ids("It")[0] - speaker.first == begin  # a text to go on with has its own


def test_words_that_are_data_name_no_special_token(speaker: EngineSpeaker) -> None:
    specials = {token + speaker.first for token in speaker.words._specials}
    start = len([token for token in speaker.ids(" ") if token in specials])
    for name in speaker.words._specials.values():
        for said in (
            f"a {name} b",
            (Message("user", f"{name}{name}"),),
            (Message("system", name), Message("user", "x")),
        ):
            named = [token for token in speaker.ids(said) if token in specials]
            assert len(named) <= (start if isinstance(said, str) else 0)
        scored = speaker.score([("a", name), (f"a {name}", " b"), ("a", " b")])
        assert scored[0].num_ids > 1
        assert scored[1].num_ids == scored[2].num_ids
    assert speaker.embed([next(iter(speaker.words._specials.values()))]).shape[0] == 1


@pytest.mark.parametrize("seed", range(5))
def test_what_is_told_piece_by_piece_is_the_answer(speaker: EngineSpeaker, seed: int) -> None:
    requests = [
        SpeechRequest("It falls", 40, DRAWN, seed),
        SpeechRequest(TALK, 40, DRAWN, seed, stop=("e", "zz")),
        SpeechRequest("It falls", 60, DRAWN, seed, form=("Then:",)),
    ]
    pieces: list[list[str]] = [[], [], []]
    told = speaker.speak(requests, lambda row, piece: pieces[row].append(piece))
    assert ["".join(one) for one in pieces] == [speech.text for speech in told]
    assert all(piece for one in pieces for piece in one)
    assert speaker.speak(requests) == told  # the same without listening
    assert [speaker.speak([request])[0].text for request in requests] == [speech.text for speech in told]
    assert "e" not in told[1].text


def test_a_character_is_never_told_in_halves(plain: EngineSpeaker) -> None:
    """Random ids are mostly bytes of nothing; those that stand in the text as U+FFFD are told at its end, or where it
    goes on."""
    requests = [SpeechRequest("It", 30, DRAWN, seed) for seed in range(20)]
    pieces: list[list[str]] = [[] for _ in requests]
    told = plain.speak(requests, lambda row, piece: pieces[row].append(piece))
    assert ["".join(each) for each in pieces] == [speech.text for speech in told]
    assert not any(piece.endswith("\ufffd") for each in pieces for piece in each[:-1])


def test_a_stop_text_across_ids_is_cut_off(plain: EngineSpeaker) -> None:
    (whole,) = plain.speak([SpeechRequest("It", 30, Sampling(0.0))])
    stop = whole.text[4:7]
    assert len(stop) == 3
    (cut,) = plain.speak([SpeechRequest("It", 30, Sampling(0.0), stop=(stop,))])
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finished
    assert (cut.num_ids or 0) < 30


def test_scores_are_those_of_the_engine(plain: EngineSpeaker) -> None:
    before, after = "The ball", " falls off"
    prefix, ids = plain.ids(before), plain._ids(plain.words.encode(after, whole=False))
    scored = plain.score([(before, after), ("", "x"), (before, "")])
    assert scored[0].log_prob == pytest.approx(float(plain.engine.score(prefix, ids).sum()), abs=1e-4)
    assert scored[0].num_ids == len(ids)
    assert scored[1].num_ids == 1
    assert (scored[2].num_ids, scored[2].log_prob) == (0, 0.0)
    (spaced,) = plain.score([(f"{before} ", "falls off")])  # the space belongs to what follows
    assert spaced == scored[0]


def test_a_text_becomes_the_mean_of_its_states(plain: EngineSpeaker) -> None:
    vectors = plain.embed(["The ball", "an egg", ""])
    assert vectors.dtype == np.float32
    assert np.allclose(vectors[0], plain.engine.embed(plain.ids("The ball")), atol=1e-5)


def test_an_answer_has_as_many_ids_as_are_left() -> None:
    speaker = toy_engine_speaker(max_ids=24)
    prompt = "egg " * 4
    room = 24 - speaker.count(prompt)
    (speech,) = speaker.speak([SpeechRequest(prompt, 256, DRAWN, 1)])
    assert 0 < (speech.num_ids or 0) <= room
    with pytest.raises(UsageError, match=r"do not fit into the 24 of toy base") as caught:
        speaker.speak([SpeechRequest("egg " * 24, 1)])
    assert "\n" not in str(caught.value)


def test_its_usual_drawing_is_its_makers() -> None:
    assert toy_engine_speaker().usual == Sampling(0.0)
    drawn = toy_engine_speaker(temperature=0.6, top_p=0.9, top_k=20.0, repetition_penalty=1.1).usual
    assert drawn == Sampling(0.6, 20, 0.9, 0.0, 1.1)


def test_the_likeliest_ids_are_those_of_the_base(plain: EngineSpeaker) -> None:
    (speech,) = plain.speak([SpeechRequest("It falls", 1, DRAWN, seed=1, top=100)])
    (one,) = speech.ids
    assert len(one.top) == 100
    letters = [(data.decode(), nats) for data, nats in one.top if len(data) == 1 and data.isalpha()]  # one id each
    scores = [each.log_prob for each in plain.score([("It falls", letter) for letter, _ in letters])]
    gaps = [score - nats for score, (_, nats) in zip(scores, letters)]  # what special tokens, never said, would take
    assert len(letters) > 5
    assert gaps == pytest.approx([gaps[0]] * len(gaps), abs=1e-3)
    assert -0.5 < gaps[0] <= 1e-4

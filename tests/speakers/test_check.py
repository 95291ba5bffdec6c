"""The toy keeps every promise, ``check_speaker`` notices who does not, and a spec opens who is meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reverie.engine.sampling import Sampling
from reverie.errors import ConfigError, ContractError, ReverieError, UsageError
from reverie.experts.contract import Choice
from reverie.speakers import (
    SPEAKERS,
    Abilities,
    Message,
    Scored,
    SpeakerConfig,
    Speech,
    SpeechRequest,
    ToySpeaker,
    check_speaker,
    is_speaker,
    open_speaker,
)
from reverie.speakers.cutting import Cutter

Tell = Callable[[int, str], None] | None


def test_the_toy_keeps_every_promise() -> None:
    kept = check_speaker(ToySpeaker())
    assert {"a stop text is left out", "the same seed gives the same words", "a line of a form holds words"} <= set(
        kept
    )


@pytest.mark.parametrize(
    "abilities",
    [
        Abilities(),
        Abilities(completes=False, seeds=False),
        Abilities(talks=False),
        Abilities(scores=True),
        Abilities(embeds=True),
    ],
    ids=str,
)
def test_a_toy_that_can_less_keeps_what_it_promises(abilities: Abilities) -> None:
    check_speaker(ToySpeaker(abilities=abilities))


class Late(ToySpeaker):
    def speak(self, requests: Sequence[SpeechRequest], on_text: Tell = None) -> list[Speech]:
        return [replace(each, text=each.text + "!") for each in super().speak(requests, on_text)]


class Stops(ToySpeaker):
    def speak(self, requests: Sequence[SpeechRequest], on_text: Tell = None) -> list[Speech]:
        return super().speak([replace(each, stop=()) for each in requests], on_text)


class Moody(ToySpeaker):
    num_calls = 0

    def speak(self, requests: Sequence[SpeechRequest], on_text: Tell = None) -> list[Speech]:
        self.num_calls += 1
        return super().speak([replace(each, seed=each.seed + self.num_calls) for each in requests], on_text)


class Sure(ToySpeaker):
    def score(self, wanted: Sequence[tuple[str, str]], experts: Choice = ()) -> list[Scored]:
        return [replace(each, log_prob=each.log_prob - 5) for each in super().score(wanted)]


class Formless(ToySpeaker):
    def speak(self, requests: Sequence[SpeechRequest], on_text: Tell = None) -> list[Speech]:
        return super().speak([replace(each, form=None) for each in requests], on_text)


class Boastful(ToySpeaker):
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.ones((len(texts), 3), dtype=np.float32)


class Shy(ToySpeaker):
    def score(self, wanted: Sequence[tuple[str, str]], experts: Choice = ()) -> list[Scored]:
        return [Scored(-1.0, 1) for _ in wanted]


@pytest.mark.parametrize(
    ("speaker", "broken"),
    [
        (Late(), "pieces joined are the text"),
        (Stops(), "a stop text is left out"),
        (Moody(), "the same seed"),
        (Sure(), "score"),
        (Formless(), "a form has as many lines"),
        (Boastful(), "equal texts"),
        (Shy(abilities=Abilities()), "without scores, a score is refused"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_who_breaks_a_promise_is_named_with_it(speaker: ToySpeaker, broken: str) -> None:
    with pytest.raises(ContractError, match=broken):
        check_speaker(speaker)


def test_a_form_is_held_and_ends_the_answer() -> None:
    request = SpeechRequest("the egg", 100, seed=4, form=("Result:", "So:"))
    (speech,) = ToySpeaker().speak([request])
    first, second, third = speech.text.split("\n")
    assert first.strip()
    assert second.startswith("Result: ")
    assert third.startswith("So: ")
    assert speech.finished


def test_a_form_that_cannot_be_forced_is_cut_to_its_lines() -> None:
    speaker = ToySpeaker(abilities=Abilities())
    speeches = speaker.speak(
        [SpeechRequest("the egg", 200, Sampling(2.0), seed, form=("Result:",)) for seed in range(9)]
    )
    assert max(speech.text.count("\n") for speech in speeches) == 1


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize(
    ("said", "stop", "num_lines", "wanted"),
    [
        ("one two STOP three", ("STOP",), None, "one two "),
        ("one two ST", ("STOP",), None, "one two ST"),
        ("SSTOP", ("STOP", "P"), None, "S"),
        ("a\nb\nc", (), 2, "a\nb"),
        ("a\nbSTOP\nc", ("STOP",), 2, "a\nb"),
        ("\n\nx", (), 1, ""),
        ("aab", ("aab",), None, ""),
        ("abcabd", ("abd", "bcx"), None, "abc"),
    ],
)
def test_answers_are_cut_alike_however_they_come(
    said: str, stop: tuple[str, ...], num_lines: int | None, wanted: str, size: int
) -> None:
    cutter = Cutter(stop, num_lines)
    pieces = [cutter.feed(said[place : place + size]) for place in range(0, len(said), size)]
    assert "".join([*pieces, cutter.rest()]) == wanted
    assert cutter.ended == (len(wanted) < len(said))


def test_a_spec_opens_who_is_meant() -> None:
    assert open_speaker("toy:", SpeakerConfig(max_ids=77)).max_ids == 77
    assert set(SPEAKERS) >= {"toy", "ollama", "http", "https", "llama"}
    assert is_speaker("ollama:llama3.2")
    assert is_speaker("http://127.0.0.1/v1")
    assert not is_speaker("smol")
    assert not is_speaker("C:/models/smol")


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("smol", "'smol' is no speaker"),
        ("olama:llama3.2", "unknown kind of speaker 'olama'. Did you mean 'ollama'"),
        ("ollama:", "names no model"),
        ("ollama:x@http://127.0.0.1:9", "nobody answers at http://127.0.0.1:9: start the Ollama server there"),
        ("http://127.0.0.1:9/v1#x", "nobody answers at http://127.0.0.1:9/v1"),
        ("http://127.0.0.1:x/v1", "x"),
        ("llama:nosuch.gguf", "there is no file nosuch.gguf"),
    ],
)
def test_a_spec_that_opens_nobody_is_one_line(spec: str, line: str) -> None:
    with pytest.raises(ReverieError) as caught:
        open_speaker(spec)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "setting", [{"connect_s": 0}, {"timeout_s": -1}, {"parallel": 0}, {"max_ids": 1}, {"num_threads": -1}]
)
def test_impossible_settings_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        SpeakerConfig(**setting)  # type: ignore[arg-type]


def test_an_error_of_the_listener_ends_all_answers() -> None:
    def hear(row: int, piece: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ToySpeaker().speak([SpeechRequest("the", 20, seed=seed) for seed in range(20)], hear)


def test_a_talk_may_be_as_long_as_it_fits(tmp_path: Path) -> None:
    toy = ToySpeaker(config=SpeakerConfig(max_ids=10))
    (speech,) = toy.speak([SpeechRequest((Message("user", "the egg"),), 8)])
    assert len(speech.text.split()) <= 8
    (speech,) = toy.speak([SpeechRequest("the egg", 90, seed=5)])
    assert len(speech.text.split()) <= 8
    with pytest.raises(UsageError, match="about 10 ids and an answer do not fit into the 10"):
        toy.speak([SpeechRequest("egg " * 9 + "egg", 9)])

"""Ollama and OpenAI-compatible servers, by their own clients, over real sockets: what they can, and how they fail."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import ollama
import pytest

from reverie.engine.sampling import Sampling
from reverie.errors import BackendError, ReverieError, UsageError
from reverie.speakers import (
    Abilities,
    Message,
    SaidId,
    Speaker,
    SpeakerConfig,
    SpeechRequest,
    ToySpeaker,
    check_speaker,
    open_speaker,
)
from reverie.speakers.llama_server import read_chunk
from reverie.speakers.ollama_speaker import _piece
from reverie.speakers.remote import Hear, Piece, said_id
from toy_servers import MODEL, Ollama, OpenAI, Server, serving

IMPATIENT = SpeakerConfig(timeout_s=0.3)
TALK = (Message("system", "be short"), Message("user", "the egg"))


@pytest.fixture(params=["ollama", "openai"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("OPENAI_API_KEY", "OLLAMA_HOST", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with serving({"ollama": Ollama, "openai": OpenAI}[request.param]) as server:
        server.can.add(request.param)
        yield server


def open_at(server: Server, model: str = MODEL, config: SpeakerConfig | None = None) -> Speaker:
    spec = f"ollama:{model}@{server.url}" if "ollama" in server.can else f"{server.url}/v1#{model}"
    return opened(server, spec, config)


def opened(server: Server, spec: str, config: SpeakerConfig | None = None) -> Speaker:
    speaker = open_speaker(spec, config)
    server.speakers.append(speaker)
    return speaker


def test_a_server_s_model_keeps_the_contract(server: Server) -> None:
    kept = check_speaker(open_at(server))
    assert "a stop text is left out" in kept


def test_it_says_what_the_toy_says_with_the_same_settings(server: Server) -> None:
    speaker = open_at(server)
    drawn = Sampling(0.7, 5, 0.9, 0.01)
    for said in ("the egg", TALK):
        request = SpeechRequest(said, 12, drawn, 7, ("cat",))
        (wanted,), (given,) = server.toy.speak([request]), speaker.speak([request])
        assert (given.text, given.finished) == (wanted.text, wanted.finished)
        before = said if isinstance(said, str) else " ".join(turn.content for turn in said)
        assert given.log_prob == pytest.approx(server.toy.score([(before, given.text)])[0].log_prob, abs=1e-3)


def test_several_requests_are_answered_at_once_and_in_their_order(server: Server) -> None:
    speaker = open_at(server, config=SpeakerConfig(parallel=3))
    requests = [SpeechRequest("the egg", 30, seed=seed) for seed in range(12)]
    pieces: dict[int, str] = {}
    speeches = speaker.speak(requests, lambda row, piece: pieces.update({row: pieces.get(row, "") + piece}))
    assert [each.text for each in speeches] == [each.text for each in server.toy.speak(requests)]
    assert pieces == {row: each.text for row, each in enumerate(speeches) if each.text}
    assert 2 <= server.most_at_once <= 3


def test_a_form_is_asked_for_by_example_and_cut(server: Server) -> None:
    speaker = open_at(server)
    assert not speaker.abilities.forms
    speeches = speaker.speak(
        [SpeechRequest("the egg", 90, Sampling(2.0), seed, form=("Result:",)) for seed in range(6)]
    )
    assert max(speech.text.count("\n") for speech in speeches) <= 1


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("half", "broke off amid its answer"),
        ("stuck", "said nothing for 0.3 s"),
        ("slow", "said nothing for 0.3 s"),
        ("500", "answers 500: "),
        ("html", ""),  # as if it had said nothing, or something else
        ("html 404", "is the address right?"),
    ],
)
def test_a_server_that_fails_amid_an_answer_is_one_line(server: Server, fault: str, line: str) -> None:
    speaker = open_at(server, config=IMPATIENT)
    assert speaker.abilities.completes
    server.fault = fault
    with pytest.raises(BackendError) as caught:
        speaker.speak([SpeechRequest("the egg", 30, seed=1), SpeechRequest("the ball", 30, seed=2)])
    assert line in str(caught.value)
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)
    server.fault = ""
    assert speaker.speak([SpeechRequest("the egg", 5)])


@pytest.mark.parametrize(
    ("fault", "line"),
    [("slow", "said nothing for 0.3 s"), ("500", "answers 500"), ("html", "is the address right?")],
)
def test_a_server_that_fails_at_once_is_one_line(server: Server, fault: str, line: str) -> None:
    server.fault = fault
    with pytest.raises(BackendError, match=line):
        open_at(server, config=IMPATIENT)


def test_a_model_that_is_not_there_is_told_with_those_that_are(server: Server) -> None:
    server.models = [MODEL, "other:7b"]
    with pytest.raises(BackendError, match=r"has no model 'nosuch'. There are: toy:1b, other:7b"):
        open_at(server, "nosuch").speak([SpeechRequest("the egg", 5)])


def test_a_key_comes_from_the_environment_alone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.key = "sesame"
    with pytest.raises(BackendError, match="refuses the key"):
        open_at(server)
    monkeypatch.setenv("OLLAMA_API_KEY" if "ollama" in server.can else "OPENAI_API_KEY", "sesame")
    open_at(server).speak([SpeechRequest("the egg", 5)])


def test_a_listener_that_gives_up_hangs_up(server: Server) -> None:
    speaker = open_at(server)
    assert speaker.abilities.completes
    server.fault = "endless"

    def hear(row: int, piece: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        speaker.speak([SpeechRequest("the", 50, seed=seed) for seed in range(2)], hear)
    assert server.broken.wait(5)


def test_ctrl_c_ends_waiting_for_a_silent_server(server: Server) -> None:
    speaker = open_at(server)
    assert speaker.abilities.completes
    server.fault = "stuck"
    threading.Timer(0.2, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        speaker.speak([SpeechRequest("the", 50)])
    assert server.at_once == 1  # it is silent still
    server.broken.set()


def test_an_error_within_a_stream_is_told() -> None:
    with serving(Ollama) as server:
        server.can.add("ollama")
        speaker = open_at(server)
        server.fault = "error amid"
        with pytest.raises(BackendError, match="the runner died"):
            speaker.speak([SpeechRequest("the egg", 30, seed=1)])


def test_choices_that_are_empty_are_told() -> None:
    with serving(OpenAI) as server:
        speaker = open_at(server)
        server.fault = "empty choice"
        with pytest.raises(BackendError, match="broke off amid its answer"):
            speaker.speak([SpeechRequest("the egg", 30, seed=1)])


def test_ollama_is_told_every_setting_and_its_context() -> None:
    with serving(Ollama) as server:
        server.can.add("ollama")
        speaker = open_at(server)
        assert speaker.max_ids == 1000  # of the model's own head
        assert speaker.usual == Sampling(0.6, top_p=0.9)  # of its file
        assert speaker.abilities == Abilities(embeds=True, seeds=False, tops=20)
        speaker.speak([SpeechRequest("the", 9, Sampling(0.5, 3, 0.8, 0.1, 1.2), 2**40 + 5, ("\n",))])
        body = server.body("/api/generate")
        assert body["raw"] is True
        assert body["options"] == {
            "num_ctx": 1000, "num_predict": 9, "temperature": 0.5, "top_k": 3, "top_p": 0.8, "min_p": 0.1,
            "repeat_penalty": 1.2, "repeat_last_n": 1000, "seed": (2**40 + 5) % (2**31 - 1), "stop": ["\n"],
        }  # fmt: skip
        speaker.speak([SpeechRequest("egg " * 740, 90)])
        assert server.body("/api/generate")["options"]["num_predict"] == 13  # as many as there is room for
        with pytest.raises(UsageError, match="do not fit into the 1000"):
            speaker.speak([SpeechRequest("egg " * 900, 9)])


def test_ollama_s_host_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Ollama) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        assert opened(server, f"ollama:{MODEL}").name == f"ollama:{MODEL}"


def test_an_older_ollama_tells_no_log_probabilities() -> None:
    with serving(Ollama) as server:
        server.can |= {"ollama", "no log-probabilities"}
        (speech,) = open_at(server).speak([SpeechRequest("the egg", 20, seed=1)])
        assert speech.log_prob is None
        assert speech.num_ids is not None


def test_a_server_that_echoes_scores_as_its_model_does() -> None:
    with serving(OpenAI) as server:
        speaker = open_at(server)
        assert speaker.abilities == Abilities(scores=True, seeds=False, tops=20)
        pairs = [("the egg", " falls breaks"), ("the ice", " melts"), ("the egg", " melts")]
        wanted = server.toy.score(pairs)
        for one, other in zip(speaker.score(pairs), wanted, strict=True):
            assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
            assert one.num_ids == other.num_ids


def test_a_server_without_echo_completes_and_does_not_score() -> None:
    with serving(OpenAI) as server:
        server.can.remove("echo")
        speaker = open_at(server)
        assert speaker.abilities == Abilities(seeds=False, tops=20)
        with pytest.raises(UsageError, match="does not say how probable"):
            speaker.score([("a", "b")])


def test_a_server_that_only_chats_is_only_asked_talks() -> None:
    with serving(OpenAI) as server:
        server.can.remove("completions")
        speaker = open_at(server)
        assert speaker.abilities == Abilities(completes=False, seeds=False, tops=20)
        check_speaker(speaker)
        assert sum(path == "/v1/completions" for path, _ in server.asked) <= 3  # found out once


def test_without_a_name_it_is_the_only_model() -> None:
    with serving(OpenAI) as server:
        assert opened(server, f"{server.url}/v1").name.endswith(f"#{MODEL}")
        server.models = ["a", "b"]
        with pytest.raises(UsageError, match="There are: a, b"):
            opened(server, f"{server.url}/v1")
        server.models = []
        with pytest.raises(ReverieError, match="There are: none"):
            opened(server, f"{server.url}/v1")


def test_a_server_is_told_only_settings_that_are_on() -> None:
    with serving(OpenAI) as server:
        speaker = open_at(server)
        assert speaker.max_ids == 900  # as vLLM tells
        speaker.speak([SpeechRequest("the egg", 5)])
        assert not {"top_k", "min_p", "repetition_penalty", "stop", "grammar"} & server.body("/v1/completions").keys()
        speaker.speak([SpeechRequest("the egg", 5, Sampling(top_k=3, min_p=0.1, repetition_penalty=1.1), stop=("\n",))])
        asked = server.body("/v1/completions")
        assert (asked["top_k"], asked["min_p"], asked["repetition_penalty"], asked["stop"]) == (3, 0.1, 1.1, ["\n"])


@pytest.mark.parametrize("said", ["the egg", TALK], ids=["text", "talk"])
def test_the_likeliest_ids_are_told_as_the_model_has_them(server: Server, said: str | tuple[Message, ...]) -> None:
    request = SpeechRequest(said, 6, Sampling(0.9), seed=3, top=4)
    (wanted,), (given,) = ToySpeaker().speak([request]), open_at(server).speak([request])
    assert len(given.ids) > 3
    assert [one.bytes for one in given.ids] == [one.bytes for one in wanted.ids]
    for one, other in zip(given.ids, wanted.ids):
        assert [data for data, _ in one.top] == [data for data, _ in other.top]
        assert [nats for _, nats in one.top] == pytest.approx([nats for _, nats in other.top], abs=1e-4)
    assert len(open_at(server).speak([SpeechRequest(said, 3, top=100)])[0].ids[0].top) <= 20  # more are refused there


def test_a_server_that_tells_no_likeliest_ids_is_known_as_such(server: Server) -> None:
    server.can.add("no likeliest")
    speaker = open_at(server)
    assert speaker.abilities.tops == 0
    assert not any(one.top for one in speaker.speak([SpeechRequest("the egg", 5, top=5)])[0].ids)
    check_speaker(speaker)


@pytest.mark.parametrize(
    ("fault", "passing", "wait_s"), [("500", True, None), ("429", True, 7.0), ("html 404", False, None)]
)
def test_an_error_says_whether_it_passes(server: Server, fault: str, passing: bool, wait_s: float | None) -> None:
    speaker = open_at(server)
    assert speaker.abilities.completes
    server.fault = fault
    with pytest.raises(BackendError) as caught:
        speaker.speak([SpeechRequest("the egg", 5)])
    assert (caught.value.passing, caught.value.wait_s) == (passing, wait_s)


def test_log_probabilities_that_are_no_numbers_are_not_told() -> None:
    piece = read_chunk({"choices": [{"text": "a", "logprobs": {"tokens": ["a"], "token_logprobs": [None]}}]})
    assert piece.ids is not None
    told = {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": float("-inf")}]}
    assert said_id(told, 5) == SaidId(b"a", -0.5)
    assert said_id({"token": "bytes:\\xe2\\x80", "logprob": -1}, 5) == SaidId(b"\xe2\x80", -1)

    class Odd(ToySpeaker):
        def _say(self, request: SpeechRequest, hear: Hear) -> None:
            hear(piece)
            hear(Piece(end="stop"))

    (speech,) = Odd().speak([SpeechRequest("the", 5, top=3)])
    assert (speech.text, speech.log_prob, speech.ids) == ("a", None, ())


def test_a_letter_in_several_ids_of_ollama_is_told_as_one() -> None:
    ids = [{"token": "a\ufffd", "logprob": -1.0}, {"token": "\ufffd", "logprob": -2.0}]
    part = ollama.GenerateResponse(response="aé", logprobs=ids, done=False)
    assert _piece(part, 3).ids == (SaidId("aé".encode(), -1.0), SaidId(b"", -2.0))

"""llama.cpp itself, on a tiny model: in this process, and as the OpenAI-compatible server that it also is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from reverie.engine.sampling import Sampling
from reverie.errors import BackendError, BundleError, UsageError
from reverie.speakers import Message, Speaker, SpeakerConfig, SpeechRequest, check_speaker, open_speaker
from reverie.speakers.llama_server import form_grammar
from toy_gguf import tiny_gguf

pytest.importorskip("xllamacpp")

CONFIG = SpeakerConfig(max_ids=256, num_threads=1)
TALK = (Message("user", "what happens when you drop an egg?"),)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf(tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def inside(path: Path) -> Iterator[Speaker]:
    speaker = open_speaker(f"llama:{path}", CONFIG)
    yield speaker
    speaker.close()


@pytest.fixture
def outside(inside: Speaker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Speaker]:
    door = inside._door  # type: ignore[attr-defined]
    monkeypatch.setenv("OPENAI_API_KEY", door.headers["Authorization"].split()[1])
    speaker = open_speaker(f"{str(door.base_url).rstrip('/')}/v1", CONFIG)
    yield speaker
    speaker.close()


def test_it_keeps_the_contract(path: Path) -> None:
    check_speaker(open_speaker(f"llama:{path}", CONFIG))


def test_one_at_a_time_it_keeps_its_seeds(path: Path) -> None:
    kept = check_speaker(open_speaker(f"llama:{path}", SpeakerConfig(max_ids=256, num_threads=1, parallel=1)))
    assert "the same seed gives the same words" in kept


def test_its_own_server_keeps_the_contract(outside: Speaker) -> None:
    check_speaker(outside)
    assert outside.abilities.forms  # by its grammars
    assert outside.abilities.completes
    assert not outside.abilities.scores
    assert outside.max_ids == 256


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_it_says_the_likeliest_alike_in_and_out_of_process(where: str, request: pytest.FixtureRequest) -> None:
    speaker: Speaker = request.getfixturevalue(where)
    for said in ("the red ball", TALK):
        asked = SpeechRequest(said, 6, Sampling(0.0))
        first, second = speaker.speak([asked, asked])
        assert first.text == second.text
        assert first.num_ids is not None
        assert first.num_ids <= 6


@pytest.mark.parametrize("where", ["inside", "outside"])
@pytest.mark.parametrize("said", ["the red ball", TALK], ids=["text", "talk"])
def test_forms_are_held(where: str, said: str | tuple[Message, ...], request: pytest.FixtureRequest) -> None:
    speaker: Speaker = request.getfixturevalue(where)
    requests = [SpeechRequest(said, 200, Sampling(8.0), seed, form=('So "it\\":',)) for seed in range(60)]
    ended = [speech for speech in speaker.speak(requests) if speech.finished]
    assert ended  # random weights seldom end a line
    for speech in ended:
        first, second = speech.text.split("\n")
        assert first.strip()
        assert second.startswith('So "it\\":')
        assert second.partition(":")[2].strip()


def test_stop_texts_and_pieces_hold_side_by_side(inside: Speaker) -> None:
    requests = [SpeechRequest("the red ball", 40, Sampling(3.0), seed, stop=("e", "it")) for seed in range(10)]
    pieces = [""] * len(requests)

    def hear(row: int, piece: str) -> None:
        pieces[row] += piece

    speeches = inside.speak(requests, hear)
    assert pieces == [speech.text for speech in speeches]
    assert not any("e" in speech.text or "it" in speech.text for speech in speeches)
    assert len({speech.text for speech in speeches}) > 5  # others by other seeds


def test_ids_are_counted_as_it_reads_them(inside: Speaker) -> None:
    assert inside.count("the red ball") == 3
    assert inside.count(TALK) > inside.count(TALK[0].content)


def test_a_listener_that_gives_up_leaves_it_in_order(inside: Speaker) -> None:
    def hear(row: int, piece: str) -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            inside.speak([SpeechRequest("the", 200, Sampling(3.0), seed) for seed in range(8)], hear)
    assert len(inside.speak([SpeechRequest("the", 5)])) == 1


def test_what_does_not_fit_is_refused(inside: Speaker) -> None:
    with pytest.raises(UsageError, match="do not fit into the 256"):
        inside.speak([SpeechRequest("the red ball " * 100, 5)])


def test_its_door_is_shut_to_others(inside: Speaker) -> None:
    url = str(inside._door.base_url)  # type: ignore[attr-defined]
    assert httpx.post(f"{url}/tokenize", json={"content": "a"}, trust_env=False).status_code == 401


def test_a_closed_one_says_so(path: Path) -> None:
    speaker = open_speaker(f"llama:{path}", CONFIG)
    speaker.close()
    with pytest.raises((UsageError, BackendError), match="closed"):
        speaker.speak([SpeechRequest("the", 5)])


@pytest.mark.parametrize("left", [0.5, 0.99])
def test_a_file_that_is_cut_short_is_one_line(path: Path, tmp_path: Path, left: float) -> None:
    data = path.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(data[: int(len(data) * left)])
    with pytest.raises(BundleError, match="cut short"):
        open_speaker(f"llama:{cut}", CONFIG)


def test_what_is_no_gguf_is_one_line(tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_text("hello")
    with pytest.raises(BundleError, match="no GGUF file"):
        open_speaker(f"llama:{other}", CONFIG)


def test_a_grammar_quotes_its_labels() -> None:
    assert form_grammar(('a "b"\\',)).startswith('root ::= words "\\n" "a \\"b\\"\\\\" words "\\n"?\n')


def test_it_writes_nothing_onto_the_terminal(path: Path) -> None:
    code = (
        "import sys; from reverie.speakers import *\n"
        f"s = open_speaker('llama:{path}', SpeakerConfig(max_ids=256, num_threads=1))\n"
        "assert s.speak([SpeechRequest('the', 5, form=('Result:',))]); s.close()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("said", ["the red ball", TALK], ids=["text", "talk"])
def test_the_likeliest_ids_are_told_alike_in_and_out_of_process(
    inside: Speaker, outside: Speaker, said: str | tuple[Message, ...]
) -> None:
    assert (inside.abilities.tops, outside.abilities.tops) == (100, 20)
    request = SpeechRequest(said, 8, Sampling(1.0), seed=5, top=4)
    (one,), (other,) = inside.speak([request]), outside.speak([request])
    assert one.ids
    assert [each.bytes for each in one.ids] == [each.bytes for each in other.ids]
    for each, same in zip(one.ids, other.ids):
        assert [nats for _, nats in each.top] == pytest.approx([nats for _, nats in same.top], abs=0.05)

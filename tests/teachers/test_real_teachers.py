"""Teachers of the house itself: our own server behind both clients, a bundle with its logits, llama.cpp in process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from reverie.bundles.teacher import BundleTeacher
from reverie.errors import UsageError
from reverie.speakers import Message, SpeakerConfig, check_speaker, open_speaker
from reverie.teachers import TeacherConfig, check_teacher, open_teacher
from toy_gguf import tiny_gguf
from toy_serving import Served, served, toy_bundle

ASKED = ("What falls?", (Message("system", "Be brief."), Message("user", "What breaks?")), "the red ball")
CONFIG = TeacherConfig(max_ids=8, temperature=1.0, top=5, cache=False)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle(tmp_path_factory.mktemp("bundle"), positions=512)


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Served]:
    with served([bundle]) as server:
        yield server


@pytest.mark.parametrize("api", ["ollama", "openai"])
def test_our_own_server_tells_the_likeliest_ids_on_both_apis(
    server: Served, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    url = server.url.rstrip("/")
    speaker = open_speaker(f"ollama:tiny@{url}" if api == "ollama" else f"openai:tiny@{url}/v1")
    assert speaker.abilities.tops == 20
    kept = check_speaker(speaker, max_ids=8)
    assert "likeliest ids are told, at most as many as asked for" in kept


@pytest.mark.parametrize("api", ["ollama", "openai"])
def test_our_own_server_is_a_teacher(server: Served, api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    url = server.url.rstrip("/")
    teacher = open_teacher(f"ollama:tiny@{url}" if api == "ollama" else f"openai:tiny@{url}/v1", CONFIG)
    replies = list(teacher.teach(ASKED))
    assert teacher.counts.failed == 0
    assert teacher.counts.ids > 0
    assert all(0 < one.prompt_ids < 60 for one in replies)
    teacher.close()


def test_llama_in_process_is_a_teacher(tmp_path: Path) -> None:
    config = SpeakerConfig(max_ids=256, num_threads=1, parallel=2)
    settings = TeacherConfig(max_ids=8, temperature=1.0, top=5, cache_path=tmp_path / "replies.db")
    teacher = open_teacher(f"llama:{tiny_gguf(tmp_path)}", settings, config)
    assert teacher.tops == 5
    assert "who was asked before is not asked again" in check_teacher(teacher, ASKED)


def test_a_bundle_is_a_teacher_with_logits(bundle: Path, tmp_path: Path) -> None:
    settings = TeacherConfig(max_ids=8, temperature=1.0, top=5, cache_path=tmp_path / "replies.db")
    teacher = open_teacher(f"bundle:{bundle}", settings)
    assert isinstance(teacher, BundleTeacher)
    assert teacher.name == "bundle:tiny"
    assert "logits of every id, float32, without gradients" in check_teacher(teacher, ASKED)
    with pytest.raises(UsageError, match="ids lie from 0 to 319"):
        teacher.logits(torch.tensor([[320]]))


def test_its_logits_are_what_it_draws_from(bundle: Path) -> None:
    teacher = BundleTeacher(str(bundle), TeacherConfig(max_ids=1, temperature=0.0, top=5, cache=False, talk=False))
    (trace,) = teacher.teach(["It falls"])
    ids = torch.tensor([teacher.tokenizer.encode("It falls").ids])
    log_probs = teacher.logits(ids)[0, -1].log_softmax(-1)
    best = int(log_probs.argmax())
    (said,) = trace.ids
    assert said.bytes == teacher.speaker.words.data(best)  # type: ignore[attr-defined]
    assert said.log_prob == pytest.approx(float(log_probs[best]), abs=0.05)  # special tokens are never said


def test_a_bundle_without_words_says_so() -> None:
    with pytest.raises(UsageError, match="answers no prompt in words"):
        open_teacher("bundle:nano")

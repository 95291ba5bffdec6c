"""The whole way from lessons to an expert in the library: admitted, refused, stopped amid, asked for twice."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from tests.growth.conftest import CONFIG, lessons, small_design

import reverie
from reverie.errors import BackendError, DataError, UsageError
from reverie.experts.library import Library
from reverie.growth import GapLesson, GrowConfig, GrowPlan, Growth, LessonSource, expert_name, growth_folder
from reverie.growth.learned_words import save_words
from reverie.growth.lesson_sources.file import FileLessons
from reverie.growth.pipeline import grow, pending_plan

WISHED = GrowConfig(64, trial=replace(CONFIG, most_wrong=0.5))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Designs that suit a tiny base."""

    def designed(count: int, **more: Any) -> Any:
        return small_design(lessons(count))

    monkeypatch.setattr("reverie.growth.pipeline.design", designed)


def plan(**changes: Any) -> GrowPlan:
    questions = tuple(question for question, _ in lessons(6))
    return GrowPlan(**{"gap": "g1", "expert": "falls", "questions": questions, "sources": ("file:x",), "attempts": (),
                       "config": WISHED} | changes)  # fmt: skip


def file_of(folder: Path, rows: Sequence[tuple[str, str]]) -> FileLessons:
    path = folder / "lessons.jsonl"
    path.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in rows))
    return FileLessons(f"file:{path}")


def grown(bundle: Path, library: Library, source: LessonSource, wished: GrowPlan | None = None, **more: Any) -> Growth:
    return grow(bundle, library, wished or plan(), [source], [], **more)


def test_a_gap_becomes_an_expert_and_the_same_call_is_told_again(
    bundle: Path, library: Library, tmp_path: Path
) -> None:
    told = grown(bundle, library, file_of(tmp_path, lessons()))
    assert (told.admitted, told.why, told.certificate.passed) == (True, "", True)
    assert library.names() == ["falls"]
    assert library.card("falls").data_size == told.certificate.lessons["taught"]
    folder = growth_folder(library, plan())
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    assert "falls: admitted" in (folder / "report.md").read_text()
    assert pending_plan(library, "g1", "", ("file:x",), WISHED) is None  # it is ended
    assert expert_name("Falls!", library) == "falls-2"


def test_refused_nothing_has_changed_and_the_reason_is_kept(bundle: Path, library: Library, tmp_path: Path) -> None:
    told = grown(bundle, library, file_of(tmp_path, lessons(kind="shuffled")))
    assert not told.admitted
    assert "failed" in told.why
    assert library.names() == []
    assert "falls: not admitted" in (told.folder / "report.md").read_text()


@pytest.mark.parametrize("at", ["training", "the trial"])
def test_what_was_stopped_goes_on_to_the_same_expert(bundle: Path, library: Library, tmp_path: Path, at: str) -> None:
    def stop(step: str, done: int, total: int) -> None:
        if step.startswith(at) and done * 2 >= total:
            raise KeyboardInterrupt

    source = file_of(tmp_path, lessons())
    with pytest.raises(KeyboardInterrupt):
        grown(bundle, library, source, progress=stop)
    assert library.names() == []
    kept = pending_plan(library, "", "", ("file:x",), WISHED)
    assert kept == plan()
    whole = grown(bundle, library, source, plan(expert="whole"))
    told = grown(bundle, library, source, kept)
    assert told.certificate.hashes["adapter_model.safetensors"] == whole.certificate.hashes["adapter_model.safetensors"]


class Vanishing:
    """Gives ``count`` lessons, then is away."""

    name = "teacher:away"

    def __init__(self, count: int):
        self.count = count

    def lessons(self, questions: Sequence[str], count: int, rng: random.Random) -> Iterator[GapLesson]:
        for question, answer in lessons()[: self.count]:
            yield GapLesson(question, answer, self.name)
        raise BackendError("the teacher does not answer")


def test_a_teacher_that_goes_away_leaves_what_it_gave(bundle: Path, library: Library, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"10 lessons are not enough .* does not answer\)\. They are kept"):
        grown(bundle, library, Vanishing(10))
    notes = list[str]()
    told = grown(bundle, library, file_of(tmp_path, lessons()), on_note=notes.append)  # another source goes on
    assert told.lessons.before == 10
    with pytest.raises(DataError, match="5 lessons are not enough"):
        grown(bundle, library, file_of(tmp_path, lessons()[:5]), plan(expert="few"))


def test_two_at_once_are_told_apart(bundle: Path, library: Library, tmp_path: Path) -> None:
    folder = growth_folder(library, plan())
    folder.mkdir(parents=True)
    with FileLock(folder / "growth.lock"), pytest.raises(UsageError, match="somebody else grows this expert"):
        grown(bundle, library, file_of(tmp_path, lessons()))
    assert growth_folder(library, plan(expert="other")) != folder


def test_an_answer_says_whether_the_lessons_of_its_expert_spoke_of_it(
    bundle: Path, library: Library, tmp_path: Path
) -> None:
    told = grown(bundle, library, file_of(tmp_path, lessons()))
    assert told.admitted
    folder = library.folder_of("falls")
    assert not (folder / "words.json").exists()  # unseen lessons bring numbers of their own
    assert save_words(["Which way is the mill up?"], ["which way, mill?"], folder)
    with closing(reverie.load(bundle, memory=False, library=library.folder, enable_gpt51_codex_preview=False)) as talk:
        for question, held in (("Which mill is up?", True), ("Which tower is up?", False)):
            (check,) = [
                one for one in talk.ask(question, branches=0, experts=["falls"]).checks if one.name == "lessons"
            ]
            assert check.held == held
            assert ("certificate" in check.why) == held

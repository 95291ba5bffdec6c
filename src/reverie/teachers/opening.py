"""Who is meant by a line such as ``llama:smol.gguf``: the registry of teachers, by the scheme before the colon."""

from __future__ import annotations

from collections.abc import Callable

from reverie.errors import UnknownNameError, UsageError
from reverie.registry import Registry
from reverie.speakers.opening import SPEAKERS, is_speaker, open_speaker
from reverie.speakers.settings import SpeakerConfig
from reverie.teachers.contract import Teacher, TeacherConfig
from reverie.teachers.speaker_teacher import SpeakerTeacher

__all__ = ["TEACHERS", "open_teacher"]

TEACHERS: Registry[Callable[[str, TeacherConfig], Teacher]] = Registry(
    "kind of teacher",
    {
        "toy": "reverie.teachers.toy:ToyTeacher",
        "file": "reverie.teachers.file_teacher:FileTeacher",
        "bundle": "reverie.bundles.teacher:BundleTeacher",
    },
    "reverie.teachers",
)


def open_teacher(spec: str, config: TeacherConfig | None = None, speaker: SpeakerConfig | None = None) -> Teacher:
    """The teacher of ``spec``: every speaker is one (``ollama:NAME``, ``openai:NAME``, ``http://host:port/v1#NAME``,
    ``llama:FILE.gguf``), ``bundle:NAME`` or ``bundle:FOLDER`` gives logits too, ``file:FILE.jsonl`` was asked before.

    ``speaker``: how long a speaker is waited for, and how many prompts it gets at once. Raises what ``open_speaker``
    raises, DataError for a file that holds no replies, BundleError for a damaged bundle.
    """
    scheme, colon, _ = spec.partition(":")
    if not colon:
        raise UsageError(f"'{spec}' is no teacher: write its kind first, as in llama:FILE.gguf or bundle:smol")
    if scheme in TEACHERS:
        return TEACHERS.get(scheme)(spec, config or TeacherConfig())
    if not is_speaker(spec):
        raise UnknownNameError(TEACHERS.kind, scheme, [*TEACHERS, *SPEAKERS])
    return SpeakerTeacher(open_speaker(spec, speaker), config)

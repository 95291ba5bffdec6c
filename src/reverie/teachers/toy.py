"""A small teacher for tests: the toy speaker, which knows a dozen words."""

from __future__ import annotations

from reverie.speakers.settings import SpeakerConfig
from reverie.speakers.toy import ToySpeaker
from reverie.teachers.contract import TeacherConfig
from reverie.teachers.speaker_teacher import SpeakerTeacher

__all__ = ["ToyTeacher"]


class ToyTeacher(SpeakerTeacher):
    def __init__(self, spec: str = "toy", config: TeacherConfig | None = None, speaker: SpeakerConfig | None = None):
        super().__init__(ToySpeaker(spec, speaker), config)

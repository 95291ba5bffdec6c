"""Questions to calibrate with: each with its right answers, or with none where nothing that is said can be right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverie.errors import UsageError, shorten
from reverie.jsonio import json_lines

__all__ = ["NEVER", "WANTED", "KeyedQuestion", "is_right", "read_questions"]

WANTED = (
    'JSON lines of {"question": "...", "answers": ["...", ...]}, with "options": [...] where one of them is right, and '
    '"answers": [] for questions that nobody can answer; or rows as ARC and OpenBookQA have them, with "choices" and '
    '"answerKey"'
)
NEVER = "(?!)"  # the pattern that nothing matches
_ARTICLES = frozenset(("a", "an", "the"))


@dataclass(frozen=True)
class KeyedQuestion:
    """A question.

    Args:
        answers: texts of which one must be among the words of a right answer; none: whatever is said is wrong
        options: where given, one of ``answers`` is among them, and a right answer names no other
        kind: what it is about, for figures by kind and for parts that share none
        pattern: a regular expression that a right answer matches, in the place of ``answers``
    """

    question: str
    answers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    kind: str = "given"
    pattern: str = ""

    def __post_init__(self) -> None:
        if not self.question.strip() or not all(map(plain, (*self.answers, *self.options))):
            raise ValueError("a question, its answers and its options hold words or numbers")
        if self.options and not set(map(plain, self.options)) & set(map(plain, self.answers)):
            raise ValueError("one of the answers is among the options")

    @property
    def answerable(self) -> bool:
        """Whether anything that is said can be right."""
        return bool(self.answers) or self.pattern not in ("", NEVER)


def read_questions(path: Path) -> list[KeyedQuestion]:
    """The rows of a file. Raises UsageError with the line that is none, where there is no file, and no row."""
    rows = []
    for number, fields in json_lines(path, UsageError, "the file of questions"):
        try:
            rows.append(_parse(fields))
        except KeyError as error:
            raise UsageError(f"{path}, line {number}: the field {error} is missing; wanted: {WANTED}") from error
        except (TypeError, ValueError) as error:
            raise UsageError(f"{path}, line {number}: {shorten(str(error), 200)}; wanted: {WANTED}") from error
    if not rows:
        raise UsageError(f"{path} holds no questions; wanted: {WANTED}")
    return rows


def is_right(said: str, asked: KeyedQuestion) -> bool:
    """Whether ``said`` gives one of the right answers: as words in their order, whatever their case, articles and
    signs. Where there are options, one that names a wrong one too is no answer, nor is yes and no at once."""
    if asked.pattern:
        return bool(re.search(asked.pattern, said, re.IGNORECASE))
    held = f" {plain(said)} "
    right = {plain(one) for one in asked.answers}
    if not any(f" {one} " in held for one in right):
        return False
    others = {plain(one) for one in asked.options} - right
    inner = " ".join(sorted(right))  # an option that is part of a right one is named with it
    return not any(f" {one} " in held and one not in inner for one in others)


def plain(text: str) -> str:
    """Words and numbers in small letters, one space apart, without articles and signs: "1,000" is "1000"."""
    text = re.sub(r"(?<=\d)[,\u2009\u202f](?=\d{3})", "", text.casefold())
    words = re.findall(r"\w+(?:\.\d+)?", text)
    return " ".join([word for word in words if word not in _ARTICLES] or words)


def _parse(fields: dict[str, Any]) -> KeyedQuestion:
    if "answerKey" in fields:
        return _of_choices(fields)
    question, kind = fields["question"], fields.get("kind", fields.get("subject", "given"))
    answers = fields["answers"] if "answers" in fields else fields["answer"]
    options = fields.get("options") or ()
    answers = [answers] if isinstance(answers, str) else answers
    if not all(isinstance(one, str) for one in (question, kind)) or not all(map(_is_texts, (answers, options))):
        raise ValueError("question and kind are texts, answers and options lists of texts")
    return KeyedQuestion(question, tuple(answers), tuple(options), kind)


def _of_choices(fields: dict[str, Any]) -> KeyedQuestion:
    """A row of ARC or OpenBookQA, as their authors give them (a question with its stem and a list of choices) or as
    data libraries do (a list of texts beside one of labels)."""
    asked = fields.get("question", fields.get("question_stem"))
    stem, choices = (asked["stem"], asked["choices"]) if isinstance(asked, dict) else (asked, fields["choices"])
    if isinstance(choices, dict):
        pairs = list(zip(choices["label"], choices["text"], strict=True))
    else:
        pairs = [(one["label"], one["text"]) for one in choices]
    right = [text for label, text in pairs if label == fields["answerKey"]]
    kind = fields.get("kind", fields.get("subject", "given"))
    if (
        not isinstance(stem, str)
        or not isinstance(kind, str)
        or not right
        or not _is_texts([text for _, text in pairs])
    ):
        raise ValueError("the stem and the choices are texts, and the answerKey is the label of one of them")
    return KeyedQuestion(stem, tuple(right), tuple(text for _, text in pairs), kind)


def _is_texts(values: Any) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and all(isinstance(one, str) for one in values)

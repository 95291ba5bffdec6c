"""Questions with their answers, from files of JSON lines."""

from __future__ import annotations

from pathlib import Path

from reverie.errors import DataError
from reverie.jsonio import json_lines

__all__ = ["read_rows"]


def read_rows(path: Path, answered: bool = True) -> list[tuple[str, str]]:
    """(question, answer) of each line ``{"question": …, "answer": …}``. Raises DataError that names the line.

    ``answered``: the answer is a text that is not empty; else it may be missing, and is "" then.
    """
    rows = []
    for number, row in json_lines(path, DataError, "the file of rows"):
        question, answer = row.get("question"), row.get("answer", None if answered else "")
        if question is None or answer is None:
            wanted = "question and answer" if answered else "a question and, where known, an answer"
            raise DataError(f"{path}, line {number}: a row is an object with {wanted}")
        texts = isinstance(question, str) and isinstance(answer, str)
        if not texts or not question.strip() or (answered and not answer.strip()):
            wanted = "question and answer are texts that are not empty" if answered else (
                "question and answer are texts, and the question is not empty"
            )  # fmt: skip
            raise DataError(f"{path}, line {number}: {wanted}")
        rows.append((question, answer))
    return rows

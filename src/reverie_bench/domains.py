"""Domains to route between: bAbI tasks and tasks of reasoning-gym, and rows that belong to none of them.

A row is {"question", "answer", "domain"}. Every domain has rows for training and other questions for testing; rows of
the kinds that nobody was trained on stand beside them. The same seed gives the same rows.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.errors import DataError, shorten
from reverie.files import atomic_write_text
from reverie.jsonio import json_lines
from reverie.splits import share_of
from reverie_bench.rows import read_trivia

__all__ = ["GYM_TASKS", "Domain", "babi_domains", "gym_domains", "outsiders", "write_rows"]

MAX_CHARS = 600  # of a question; longer ones are left out
_TEST_SHARE = 0.15  # of a task that has no files for testing

#: tasks of reasoning-gym that get an expert, made small enough that three million parameters learn something of them
GYM_TASKS: dict[str, dict[str, Any]] = {
    "aiw": {},
    "base_conversion": {"max_value": 60},
    "basic_arithmetic": {"max_terms": 3, "max_digits": 1, "operators": ["+", "-", "*"], "allow_parentheses": False},
    "chain_sum": {"max_terms": 3, "max_digits": 2},
    "complex_arithmetic": {"operations": ["+", "-"], "operations_weights": [0.5, 0.5]},
    "count_bits": {"max_n": 4095},
    "family_relationships": {"max_family_size": 6},
    "fraction_simplification": {"max_value": 12, "max_factor": 12, "styles": ["plain"]},
    "gcd": {"max_value": 99},
    "lcm": {"max_value": 50},
    "leg_counting": {"min_animals": 1, "max_animals": 2, "max_instances": 5},
    "letter_counting": {"max_words": 7},
    "needle_haystack": {"min_num_statements": 3, "max_num_statements": 7},
    "number_sequence": {"min_value": -20, "max_value": 20, "max_complexity": 1},
    "prime_factorization": {},
    "products": {"max_digits": 2},
    "simple_equations": {"max_terms": 2, "max_value": 12},
    "simple_geometry": {"max_sides": 4},
    "syllogism": {},
    "word_sequence_reversal": {"max_words": 5},
}
#: unseen tasks: rows for nobody. Some are cousins of the twenty on purpose: the router must tell them apart, too
_GYM_TRAINING_OUTSIDERS = (
    "bitwise_arithmetic", "caesar_cipher", "coin_flip", "count_primes", "decimal_arithmetic", "dice",
    "isomorphic_strings", "maze", "number_filtering", "spell_backward", "time_intervals", "word_ladder",
)  # fmt: skip
_GYM_TEST_OUTSIDERS = (
    "advanced_geometry", "bf", "calendar_arithmetic", "color_cube_rotation", "cryptarithm", "decimal_chain_sum",
    "number_format", "power_function", "puzzle24", "ransom_note", "self_reference", "sentence_reordering",
)  # fmt: skip

_STORY_LINE = re.compile(r"(\d+) (.*)")


@dataclass(frozen=True)
class Domain:
    """Questions of one kind, (question, answer) each."""

    name: str
    train: tuple[tuple[str, str], ...]
    test: tuple[tuple[str, str], ...]


def babi_domains(folder: Path, count: int = 3000, last: int = 2) -> list[Domain]:
    """The tasks of ``folder`` that have a file for training and one for testing (names as in bAbI's en-10k).

    A row's question is a story's facts up to one of its questions, and that question. Of the stories for testing only
    the ``last`` ones are taken (0: all): how a story begins may not tell its task. Raises DataError.
    """
    domains = []
    for path in sorted(folder.glob("qa*_*_train.txt"), key=_task_number):
        tests = path.with_name(path.name.replace("_train.txt", "_test.txt"))
        if tests.is_file():
            name = f"babi-{_task_number(path):02d}"
            test = _stories(tests, last)
            asked = {question for question, _ in test}
            train = [row for row in _stories(path) if row[0] not in asked]
            domains.append(Domain(name, tuple(_thin(train, count)), tuple(test)))
    if not domains:
        raise DataError(f"{folder} has no task of bAbI: files such as qa1_single-supporting-fact_{{train,test}}.txt")
    return domains


def gym_domains(count: int = 3000, seed: int = 0) -> list[Domain]:
    """The GYM_TASKS, from at most ``count`` draws each."""
    domains = []
    for name, options in GYM_TASKS.items():
        parts: tuple[list[tuple[str, str]], list[tuple[str, str]]] = [], []
        for question, answer in _gym_rows(name, count, seed, options):
            parts[share_of(f"test/{question}", 4) < _TEST_SHARE].append((question, answer))
        domains.append(Domain(f"gym-{name.replace('_', '-')}", tuple(parts[0]), tuple(parts[1])))
    return domains


def outsiders(folder: Path, count: int = 100, seed: int = 0) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Questions that belong to nobody, kind → questions: for training a router, and other kinds for testing it.

    ``folder``: has babi/, and any of tinyshakespeare/, gsm8k/, opentriviaqa/, ecare/ and wikitext-2/.
    """
    rng = np.random.default_rng([seed, 3])
    training, testing = dict[str, list[str]](), dict[str, list[str]]()
    for file in sorted((folder / "tinyshakespeare").rglob("input.txt")):
        training["tinyshakespeare"] = [" ".join(part.split()) for part in _read(file).split("\n\n")]
    for file in sorted((folder / "babi").glob("qa*_test.txt"), key=_task_number):
        if not file.with_name(file.name.replace("_test.txt", "_train.txt")).is_file():
            testing[f"babi-{_task_number(file):02d}"] = [question for question, _ in _stories(file, last=2)]
    for file in sorted((folder / "gsm8k").glob("test.jsonl")):
        testing["gsm8k"] = [row["question"] for _, row in json_lines(file, DataError, "the file of questions")]
    if (folder / "opentriviaqa").is_dir():
        trivia = (folder / "opentriviaqa").glob("*")
        testing["opentriviaqa"] = [
            one for file in sorted(trivia) if not file.suffix and file.name.islower() for one in read_trivia(file, "")
        ]
    for file in sorted((folder / "ecare").glob("dev_full.jsonl")):
        testing["ecare"] = [
            f"{row['premise']} What is the {row['ask-for']}?"
            for _, row in json_lines(file, DataError, "the file of questions")
        ]
    for file in sorted((folder / "wikitext-2").glob("test.txt")):
        testing["wikitext"] = [" ".join(line.split()) for line in _read(file).splitlines() if len(line) > 60]
    for kinds, tasks in ((training, _GYM_TRAINING_OUTSIDERS), (testing, _GYM_TEST_OUTSIDERS)):
        kinds |= {f"gym-{name.replace('_', '-')}": [q for q, _ in _gym_rows(name, count, seed, {})] for name in tasks}
    for kinds in (training, testing):
        for name, questions in kinds.items():
            fitting = [one for one in dict.fromkeys(questions) if 3 < len(one) <= MAX_CHARS]
            kinds[name] = [fitting[place] for place in rng.permutation(len(fitting))[:count]]
    return {n: q for n, q in training.items() if q}, {n: q for n, q in testing.items() if q}


def write_rows(path: Path, rows: Iterable[tuple[str, str]], domain: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"question": q, "answer": a, "domain": domain}) for q, a in rows)
    atomic_write_text(path, "".join(f"{line}\n" for line in lines))


def _task_number(path: Path) -> int:
    return int(re.match(r"qa(\d+)", path.name)[1])  # type: ignore[index]


def _stories(path: Path, last: int = 0) -> list[tuple[str, str]]:
    """The questions of each story that are short enough (the ``last`` ones; 0: all) with all facts before them."""
    rows: dict[str, str] = {}
    facts: list[str] = []
    asked: list[tuple[str, str]] = []
    for number, line in enumerate([*_read(path).splitlines(), "1 "], 1):
        match = _STORY_LINE.fullmatch(line.strip() + (" " if line.strip() == "1" else ""))
        if not match:
            raise DataError(f"{path}, line {number}: a line of bAbI is a number and a sentence")
        if match[1] == "1":
            rows.update(asked[-last:])
            facts, asked = [], []
        sentence, *answer = match[2].split("\t")
        if not answer:
            facts.append(sentence.strip())
        elif len(question := " ".join([*facts, sentence.strip()])) <= MAX_CHARS:
            asked.append((question, answer[0].strip()))
    return list(rows.items())


def _gym_rows(task: str, count: int, seed: int, options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Different questions of a task, at most ``count``."""
    import reasoning_gym

    with redirect_stdout(io.StringIO()):  # some tasks print dots while they are made
        made = reasoning_gym.create_dataset(task, size=count, seed=seed, **options)
        drawn = [made[place] for place in range(count)]
    asked = set[str]()
    for row in drawn:
        question, answer = " ".join(row["question"].split()), str(row["answer"]).strip()
        if question not in asked and answer and len(question) <= MAX_CHARS:
            asked.add(question)
            yield question, answer


def _thin(rows: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """At most ``count``, spread evenly."""
    return [rows[place] for place in np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {shorten(str(error))}") from error

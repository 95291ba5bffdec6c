"""Where rows for a router come from: a file, a skill that an expert learned, a world, or nobody at all.

questions.jsonl    {"question", "answer"} a line; the answer may be missing
skill:causal       documents of a skill (see ``training.skills``)
world:everyday     questions that a world's narrator asks, without answers: what the base was taught
strange            questions that nobody taught, without answers, made from the questions read so far
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reverie.dreaming.out_of_domain import out_of_domain_questions
from reverie.errors import ConfigError, DataError, UnknownNameError
from reverie.tokens.grammar_files import load_grammar
from reverie.tokens.image import ImageTokenizer
from reverie.tokens.questions import clean_question
from reverie.tokens.vocabulary import EOS
from reverie.training.measuring import Row
from reverie.training.rows import read_rows
from reverie.training.skills import skill_names, skill_source
from reverie.worlds import make_world, record

__all__ = ["RowReader"]

_TRIES = 20  # draws from a skill for each row that is wanted


class RowReader:
    """Reads sources into rows as the bundle in ``folder`` sees them. One order of sources gives the same rows."""

    def __init__(self, folder: Path, max_ids: int = 512, seed: int = 0):
        self.folder, self.max_ids, self.seed = folder, max_ids, seed
        self.grammar = load_grammar(folder)
        self.questions: list[str] = []  # read so far
        self._sources = 0

    def read(self, source: str, count: int) -> list[Row]:
        """At most ``count`` rows of at most max_ids ids. Raises DataError, ConfigError or UnknownNameError."""
        self._sources += 1
        rng = np.random.default_rng([self.seed, self._sources])
        kind, _, name = source.partition(":")
        if source == "strange":
            if not self.questions:
                raise ConfigError("strange questions are made from others: name another source of rows before them")
            rows = [self._row(question) for question in out_of_domain_questions(self.questions, count, rng)]
        elif kind == "skill":
            rows = self._of_skill(name, count, rng)
        elif kind == "world":
            rows = [self._row(question) for question in _asked_in(name, count, rng)]
        else:
            read = read_rows(Path(source), answered=False)
            self.questions += [question for question, _ in read[:1000]]
            rows = [self._row(*read[place]) for place in rng.permutation(len(read))]
        fitting = [row for row in rows if len(row.question) + len(row.answer) <= self.max_ids]
        if not fitting:
            raise DataError(f"{source} has {len(rows)} rows, and none of at most {self.max_ids} ids")
        return fitting[:count]

    def _row(self, question: str, answer: str = "") -> Row:
        """As an expert reads them: the answer's marker is given, its words and its end are judged."""
        if not answer:
            return Row(tuple(self.grammar.question_ids(question)))
        ids = (*self.grammar.answer_ids(answer), EOS)
        return Row(tuple(self.grammar.question_ids(question)), ids, (False, *(True,) * (len(ids) - 1)))

    def _of_skill(self, name: str, count: int, rng: np.random.Generator) -> list[Row]:
        if name not in skill_names():
            raise UnknownNameError("skill", name, skill_names())
        tokenizer = ImageTokenizer.load(self.folder / "image_tokenizer")
        source, rows = skill_source(name, self.grammar, tokenizer, self.seed + 10), dict[Row, None]()
        for _ in range(_TRIES * count):
            (question, _), *rest = source.draw(rng)
            ids = tuple(id_ for part, _ in rest for id_ in part)
            judged = tuple(weight >= 1.0 for part, weight in rest for _ in part)
            rows[Row(tuple(question), ids, judged)] = None
            if len(rows) == count:
                break
        start = self.grammar.vocabulary.text_start
        self.questions += [self.grammar.text.decode([id_ - start for id_ in row.question[2:]]) for row in rows]
        return list(rows)


def _asked_in(name: str, count: int, rng: np.random.Generator) -> list[str]:
    world, asked = make_world(name), dict[str, None]()
    while len(asked) < count:
        before = len(asked)
        for episode in record(world, max(8, count // 8), seed=int(rng.integers(1 << 30))):
            asked |= dict.fromkeys(clean_question(one.text) for one in world.narrator.questions(episode, rng))
        if len(asked) == before:
            break  # it has no more to ask
    return list(asked)[:count]

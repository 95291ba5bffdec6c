"""Multiple choice at equal ids: read the options once, let answers vote, or dream before answering?

Rows are OpenTriviaQA's questions with their options, by subject; every way answers all of them.

- ``packaged``: ``reverie.dreaming.choosing``, which takes the option that is likeliest after the question, id for id.
- ``contrast``: likelier there than after a question that asks nothing. ``both_ways``: its question after it, too.
- ``vote``: free answers are drawn, each votes for the option that its words are nearest to.
- ``dreams``: a thought is dreamed in words, ``branches`` times; the option likeliest after question and thoughts wins.
  As many answers vote as the dreams took ids (read after the question, and said).
- ``dreams_when_unsure``: ``packaged`` where its first option is far ahead, else ``dreams``: half of all rows.
- ``named``: the model is shown the options in a talk, and names one.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.dreaming.choosing import QUIZ, Chosen, Options, Way, choose_by_name, choose_many
from reverie.engine.sampling import Sampling
from reverie.errors import UsageError
from reverie.speakers import SpeechRequest
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.figures import grouped, normalise, share
from reverie_bench.rows import chunks, read_rows, thin, trivia_entries
from reverie_bench.speaking import gain, open_speaker, shares

if TYPE_CHECKING:
    from reverie.speakers import Speaker

__all__ = ["BENCHMARK", "Row", "read_choices"]

DATA = (
    "a file of OpenTriviaQA, a folder of such files (each a subject), or a JSON-lines file of "
    '{"question": "...", "options": ["...", ...], "answer": "..."}'
)
_CHUNK = 16  # questions read together
_FORM = QUIZ.forms[0]
_READ = {"contrast": Way(QUIZ.forms, contrast=1.0), "both_ways": Way(QUIZ.forms, likelihood=1.0, reverse=1.0)}
_DRAWN = Sampling(temperature=0.8, top_p=0.95)
_ANSWER_IDS, _THOUGHT_IDS = 12, 24  # most of a free answer, and of a thought
_ALIKE = 0.5  # from which an answer is taken to mean an option
_THOUGHTS = (
    "Question: Which animal barks?\nThought: Barking is the noise of dogs.\nAnswer: Dog\n\n"
    "Question: What is the capital of France?\nThought: France is governed from Paris.\nAnswer: Paris\n\n"
)


@dataclass(frozen=True)
class Row:
    """A question, which option is right, and the subject it belongs to."""

    asked: Options
    label: int
    subject: str


@dataclass(frozen=True)
class Answered:
    """One question: what each way chose, and how far ahead the packaged way's option was, in nats."""

    row: Row
    picked: dict[str, int]
    margin: float

    def right(self, way: str) -> bool:
        return self.picked[way] == self.row.label


def run(settings: BenchConfig) -> Findings:
    rows = thin(read_choices(settings.data), settings.limit)
    speaker = open_speaker(settings)
    if not speaker.abilities.scores:
        raise UsageError(f"{speaker.name} does not tell how probable words are: choosing by reading needs who does")
    answered, ids = list[Answered](), Counter[str]()
    for some in chunks(rows, _CHUNK, "choosing", settings.progress):
        answered += _answer(speaker, some, settings, ids)
    border = float(np.median([each.margin for each in answered]))
    for each in answered:
        each.picked["dreams_when_unsure"] = each.picked["dreams" if each.margin < border else "packaged"]
    ids["dreams_when_unsure"] = ids["packaged"] + ids["dreams"] // 2
    ways = {way: [each.right(way) for each in answered] for way in answered[0].picked}
    packaged = ways.pop("packaged")
    return Findings(
        n=len(rows),
        figures=shares(packaged) | {"ids": ids["packaged"] / len(rows)},
        by={way: shares(right) | gain(right, packaged) | {"ids": ids[way] / len(rows)} for way, right in ways.items()}
        | grouped(answered, lambda each: f"subject_{each.row.subject}", _by_subject),
        baselines={
            "chance": {"accuracy": share(1 / len(row.asked.options) for row in rows)},
            "first_option": shares([row.label == 0 for row in rows]),
            "longest_option": shares([_longest(row) == row.label for row in rows]),
        },
        settings={"speaker": speaker.name, "branches": settings.branches},
    )


def _by_subject(answered: Sequence[Answered]) -> Figures:
    figures = {f"{way}_accuracy": share(each.right(way) for each in answered) for way in ("vote", "dreams")}
    return shares([each.right("packaged") for each in answered]) | figures


# rows -----------------------------------------------------------------------------------------------------------


def read_choices(path: Path | None) -> list[Row]:
    """The questions whose answer is one of at least two different options. Raises UsageError where there are none."""
    if path is not None and path.suffix in (".jsonl", ".json"):
        return read_rows(path, _parse, DATA)
    rows = [row for subject, entry in trivia_entries(path, DATA) if (row := _row(subject, entry))]
    if not rows:
        raise UsageError(f"{path} holds no question with options; wanted: {DATA}")
    return rows


def _parse(fields: dict[str, Any]) -> Row:
    options = fields["options"]
    if not isinstance(options, list) or not all(isinstance(text, str) for text in [fields["question"], *options]):
        raise ValueError("question is a text, and options a list of texts")
    if options.count(fields["answer"]) != 1:
        raise ValueError(f"the answer is one of the options, got {fields['answer']!r}")
    return Row(Options(fields["question"], tuple(options)), options.index(fields["answer"]), "given")


def _row(subject: str, entry: str) -> Row | None:
    """A question, ``^`` and its answer, and its options, each a line that begins with a letter; None for others."""
    question, _, rest = entry.partition("\n^")
    answer, *lines = rest.split("\n")
    options = [line[2:].strip() for line in lines if re.match(r"[A-Z] +\S", line)]
    if (
        not question.strip()
        or options.count(answer.strip()) != 1
        or len(set(options)) != len(options)
        or len(options) < 2
    ):
        return None
    return Row(Options(" ".join(question.split()), tuple(options)), options.index(answer.strip()), subject)


def _longest(row: Row) -> int:
    return int(np.argmax([len(option) for option in row.asked.options]))


# answering ------------------------------------------------------------------------------------------------------


def _answer(speaker: Speaker, rows: Sequence[Row], settings: BenchConfig, ids: Counter[str]) -> list[Answered]:
    """Every way on some rows; what it takes of ids is added to ``ids``."""
    asked = [row.asked for row in rows]
    chosen = choose_many(speaker, asked)
    picked: list[dict[str, int]] = [{"packaged": one.winner} for one in chosen]
    dreams, taken = _dream(speaker, asked, settings)
    votes, said = _vote(speaker, asked, [one.winner for one in chosen], taken, settings.seed)
    ways = {way: [one.winner for one in choose_many(speaker, asked, how)] for way, how in _READ.items()}
    ways |= {"vote": votes, "dreams": dreams}
    if speaker.abilities.talks:
        ways["named"] = [one.winner for one in choose_by_name(speaker, asked)]
    for way, winners in ways.items():
        for each, winner in zip(picked, winners, strict=True):
            each[way] = winner
    options = sum(speaker.count(option) for one in asked for option in one.options)
    once = sum(speaker.count(one.asked) for one in asked) + options  # the examples are read once for all
    again = options + sum(speaker.count(one.asked) * len(one.options) for one in asked)
    ids += Counter(dreams=taken, vote=said, packaged=once, named=once, contrast=once + options, both_ways=once + again)
    return [Answered(row, each, _margin(one)) for row, each, one in zip(rows, picked, chosen, strict=True)]


def _margin(one: Chosen) -> float:
    first, second = sorted(one.joined, reverse=True)[:2]
    return first - second


def _dream(speaker: Speaker, asked: Sequence[Options], settings: BenchConfig) -> tuple[list[int], int]:
    """What is chosen after dreamed thoughts, and how many ids that took."""
    opened = [f"{_THOUGHTS}Question: {one.asked}\nThought:" for one in asked for _ in range(settings.branches)]
    said = speaker.speak(
        [
            _line(speaker, prefix, _THOUGHT_IDS, settings.seed + place % settings.branches)
            for place, prefix in enumerate(opened)
        ]
    )
    thoughts = [f"{prefix} {each.text.strip()}\nAnswer:" for prefix, each in zip(opened, said, strict=True)]
    owners = [one for one in asked for _ in range(settings.branches)]
    pairs = [(thought, f" {option}") for thought, one in zip(thoughts, owners, strict=True) for option in one.options]
    scored = speaker.score(pairs)
    means, chosen = iter(each.mean for each in scored), []
    for one in asked:
        scores = np.array([[next(means) for _ in one.options] for _ in range(settings.branches)])
        chosen.append(int(np.logaddexp.reduce(scores, 0).argmax()))
    return chosen, sum(each.num_ids or 0 for each in said) + sum(each.num_ids for each in scored)


def _vote(
    speaker: Speaker, asked: Sequence[Options], likeliest: Sequence[int], most: int, seed: int
) -> tuple[list[int], int]:
    """What most of the free answers name, as many as fit into ``most`` ids; ``likeliest`` settles ties."""
    answers: list[list[str]] = [[] for _ in asked]
    taken = 0
    while not answers[0] or most - taken >= _ANSWER_IDS * len(asked):
        first, more = seed + len(answers[0]), max(1, (most - taken) // (_ANSWER_IDS * len(asked)))
        prefixes = [_FORM.prefix(one.asked, True) for one in asked]
        said = speaker.speak(
            [_line(speaker, prefix, _ANSWER_IDS, first + number) for prefix in prefixes for number in range(more)]
        )
        taken += sum(max(1, each.num_ids or 0) for each in said)
        for place, its in enumerate(answers):
            its += [each.text for each in said[place * more : (place + 1) * more]]
    voted = []
    for one, ahead, its in zip(asked, likeliest, answers, strict=True):
        votes = Counter(named(text, one.options) for text in its)
        voted.append(max(range(len(one.options)), key=lambda index: (votes[index], index == ahead)))
    return voted, taken


def named(said: str, options: Sequence[str]) -> int | None:
    """The option that a free answer means: the one most alike, letter by letter; None where none is half alike."""
    wanted = normalise(said)
    alike = [difflib.SequenceMatcher(None, wanted, normalise(option)).ratio() for option in options]
    best = int(np.argmax(alike))
    return best if alike[best] >= _ALIKE else None


def _line(speaker: Speaker, prefix: str, most: int, seed: int) -> SpeechRequest:
    """One line after ``prefix``; held to be one where the speaker can be."""
    return SpeechRequest(prefix, most, _DRAWN, seed, ("\n",), () if speaker.abilities.forms else None)


BENCHMARK = Benchmark(
    name="choice",
    about="multiple choice at equal ids: options read once, free answers that vote, dreams before the answer",
    run=run,
    data=DATA,
)

"""Multi-hop questions over a corpus of passages: are the passages that hold the answer among the first recalled?

Questions of 2WikiMultihopQA name some of their passages; the others are reached over what those say. A question's
gold passages are, as HippoRAG counts them, its supporting facts: the passages about the subjects of its evidence
triples. The files tell those subjects as Wikidata names them, so they are matched to titles here: ``Gold`` says how.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from reverie.data import BadRow, NodeRow, make_reader
from reverie.errors import UsageError, shorten
from reverie.jsonio import read_json
from reverie.memory.linking import bare_name, key_of
from reverie.memory.memory import Memory
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings, Published
from reverie_bench.rows import thin

__all__ = ["BENCHMARK", "WANTED", "Asked", "Gold", "read_passages", "read_questions", "recall_at"]

WANTED = (
    'a JSON list of passages {"title", "text"} as --corpus, and one of questions {"question", "evidence": [[subject, '
    'relation, object], …], "question_type"} as --questions'
)
_AT = (2, 5, 10)
_GRID = [  # what the check of the tuning chooses from
    {"asked": asked, "other": other, "like": like}
    for asked, other, like in product((0.7, 0.9), (0.3, 0.4, 0.5), (0.1, 0.2, 0.3))
]


@dataclass(frozen=True)
class Asked:
    """A question, the titles' places of its gold passages, and its type."""

    question: str
    gold: frozenset[int]
    kind: str


class Gold:
    """Finds the passages that evidence triples speak of.

    A subject is the passage of that title; else the one of that title without its parentheses (of several, the one
    that the question names in full, else the one whose text holds most objects of the subject's triples; all, where a
    subject is its own object: father and son of one name). A subject without such a title is, in this order: the object
    of another triple that shares a word with it and has a title; the longest title in the question that shares a word
    with it or whose text holds an object of its triples; the title that shares most words with it, if its text holds
    such an object. Where nothing fits it counts for nothing.
    """

    def __init__(self, passages: Sequence[NodeRow]):
        self.passages = passages
        self._texts = [f" {key_of(row.text)} " for row in passages]
        self._full = {key_of(row.name): place for place, row in enumerate(passages)}
        self._words = [set(key_of(bare_name(row.name)).split()) for row in passages]
        self._bare: dict[str, list[int]] = {}
        for place, row in enumerate(passages):
            self._bare.setdefault(key_of(bare_name(row.name)), []).append(place)

    def places(self, question: str, evidence: Sequence[Sequence[str]]) -> frozenset[int]:
        subjects = list(dict.fromkeys(subject for subject, _, _ in evidence))
        found: list[int] = []
        unknown = []
        for subject in subjects:
            places = self._titled(subject, question, evidence)
            found += places
            if not places:
                unknown.append(subject)
        for subject in unknown:
            found += self._alike(subject, question, evidence, subjects, found)
        return frozenset(found)

    def _titled(self, subject: str, question: str, evidence: Sequence[Sequence[str]]) -> list[int]:
        if (key := key_of(subject)) in self._full:
            return [self._full[key]]
        places = self._bare.get(key_of(bare_name(subject)), [])
        if len(places) < 2:
            return places
        objects = _objects(subject, evidence)
        if key in map(key_of, objects):
            return places
        asked = f" {key_of(question)} "
        named = [place for place in places if f" {key_of(self.passages[place].name)} " in asked]
        return named[:1] or [max(places, key=lambda place: self._holds(place, objects))]

    def _alike(
        self,
        subject: str,
        question: str,
        evidence: Sequence[Sequence[str]],
        subjects: Sequence[str],
        found: Sequence[int],
    ) -> list[int]:
        words, objects = set(key_of(subject).split()), _objects(subject, evidence)
        bridges = [o for s, _, o in evidence if s != subject and o not in subjects and words & set(key_of(o).split())]
        for bridge in bridges:
            if places := self._titled(bridge, question, evidence):
                return places[:1]
        asked = f" {key_of(question)} "
        titled = [
            place
            for key, place in self._full.items()
            if f" {key} " in asked
            and place not in found
            and (words & self._words[place] or self._holds(place, objects))
        ]
        if titled:
            return [max(titled, key=lambda place: len(self.passages[place].name))]
        near = [set(key_of(name).split()) for name in (subject, *bridges)]
        shares = {
            place: max(len(name & title) / len(name | title) for name in near)
            for place, title in enumerate(self._words)
            if place not in found and any(name & title for name in near) and self._holds(place, objects)
        }
        return [max(shares, key=lambda place: shares[place])] if shares else []

    def _holds(self, place: int, objects: Sequence[str]) -> int:
        return sum(key_of(name) in self._texts[place] for name in objects)


def recall_at(ranked: Sequence[Sequence[int]], questions: Sequence[Asked]) -> Figures:
    """The mean share of a question's gold passages among its first 2, 5 and 10."""
    return {
        f"recall_at_{k}": float(
            np.mean(
                [len(one.gold & set(places[:k])) / len(one.gold) for places, one in zip(ranked, questions, strict=True)]
            )
        )
        for k in _AT
    }


def run(settings: BenchConfig) -> Findings:
    passages = read_passages(settings.corpus)
    questions = thin(read_questions(settings.questions, passages), settings.limit)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.db"
        started = time.perf_counter()
        with Memory.open(path) as names_only:
            place_of = _write(names_only, passages, settings)
            names_only.index(settings.progress)
            linked_s = time.perf_counter() - started
            without, quick = _ask(names_only, questions, place_of, settings, "asking, names alone")
        with Memory.open(path, "minilm") as memory:
            started = time.perf_counter()
            memory.index(settings.progress, facts=False)
            embedded_s = time.perf_counter() - started
            ranked, timed = _ask(memory, questions, place_of, settings, "asking")
            dense = _dense(memory, questions, place_of)
            checked = _cross_validated(memory, questions, place_of, settings)
            num_edges = memory.topology.num_edges
    whole, embed = (np.array([part[name] for part in timed]) for name in ("total", "embed"))
    names = np.array([part["total"] for part in quick])
    return Findings(
        n=len(questions),
        figures=recall_at(ranked, questions)
        | {f"names_only_{name}": value for name, value in recall_at(without, questions).items()}
        | {
            "cross_validated_recall_at_5": checked,
            "median_ms": float(np.median(whole - embed) * 1e3),
            "p95_ms": float(np.percentile(whole - embed, 95) * 1e3),
            "with_embedding_median_ms": float(np.median(whole) * 1e3),
            "with_embedding_p95_ms": float(np.percentile(whole, 95) * 1e3),
            "names_only_median_ms": float(np.median(names) * 1e3),
            "names_only_p95_ms": float(np.percentile(names, 95) * 1e3),
            "n_passages": len(passages),
            "n_links": num_edges,
            "n_gold": sum(len(one.gold) for one in questions),
            "write_and_link_s": linked_s,
            "embed_s": embedded_s,
        },
        by={
            f"type_{kind}": recall_at(
                [places for places, one in zip(ranked, questions, strict=True) if one.kind == kind],
                [one for one in questions if one.kind == kind],
            )
            for kind in sorted({one.kind for one in questions})
        },
        baselines={"minilm": recall_at(dense, questions)},
        settings={"corpus": settings.corpus, "questions": settings.questions},
    )


# rows -----------------------------------------------------------------------------------------------------------


def read_passages(path: Path | None) -> list[NodeRow]:
    """The passages of a corpus. Raises UsageError."""
    if path is None:
        raise UsageError(f"this benchmark needs --corpus FILE and --questions FILE: {WANTED}")
    bad: list[BadRow] = []
    rows = [row for row in make_reader("text")(path, bad.append) if isinstance(row, NodeRow)]
    if bad:
        raise UsageError(f"{path}, record {bad[0].line}: {bad[0].problem}; wanted: {WANTED}")
    if not rows:
        raise UsageError(f"{path} holds no passages; wanted: {WANTED}")
    return rows


def read_questions(path: Path | None, passages: Sequence[NodeRow]) -> list[Asked]:
    """Questions with the places of their gold passages. Raises UsageError."""
    if path is None:
        raise UsageError(f"this benchmark needs --questions FILE: {WANTED}")
    records = read_json(path, UsageError, "the file of questions")
    if not isinstance(records, list):
        raise UsageError(f"{path} holds no list; wanted: {WANTED}")
    found, gold = [], Gold(passages)
    for number, record in enumerate(records, start=1):
        try:
            question, evidence = record["question"], [tuple(map(str, triple)) for triple in record["evidence"]]
            if not isinstance(question, str) or any(len(triple) != 3 for triple in evidence):
                raise ValueError("a question is a text, and evidence a list of triples")
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path}, question {number}: {shorten(str(error), 120)}; wanted: {WANTED}") from error
        if places := gold.places(question, evidence):
            kind = re.sub(r"\W+", "_", str(record.get("question_type", "question")).lower()).strip("_")
            found.append(Asked(question, places, kind or "question"))
    if not found:
        raise UsageError(f"{path} holds no question whose passages are in the corpus; wanted: {WANTED}")
    return found


def _objects(subject: str, evidence: Sequence[Sequence[str]]) -> list[str]:
    return [object_ for s, _, object_ in evidence if s == subject]


# asking ---------------------------------------------------------------------------------------------------------


def _write(memory: Memory, passages: Sequence[NodeRow], settings: BenchConfig) -> dict[int, int]:
    """Write the passages; returns their places by node id."""
    place_of: dict[int, int] = {}
    for start in range(0, len(passages), 1000):
        settings.progress("writing passages", start, len(passages))
        written = memory.write(passages[start : start + 1000])
        place_of |= {int(node): start + offset for offset, node in enumerate(written.nodes)}
    settings.progress("writing passages", len(passages), len(passages))
    return place_of


def _ask(
    memory: Memory, questions: Sequence[Asked], place_of: Mapping[int, int], settings: BenchConfig, what: str
) -> tuple[list[list[int]], list[dict[str, float]]]:
    """The places of the passages recalled for each question, best first, and its seconds by part."""
    ranked, timed = [], []
    memory.recall(questions[0].question)  # the first call loads and compiles
    for number, one in enumerate(questions):
        settings.progress(what, number, len(questions))
        found = memory.recall(one.question, k=2 * max(_AT))
        ranked.append([place_of[node.id] for node, _ in found.nodes if node.id in place_of])
        timed.append(found.details | {"total": found.seconds})
    settings.progress(what, len(questions), len(questions))
    return ranked, timed


def _dense(memory: Memory, questions: Sequence[Asked], place_of: Mapping[int, int]) -> list[list[int]]:
    """The baseline: passages by the likeness of their vectors, looking at every one."""
    assert memory.embedder is not None
    index = memory.recaller().node_vectors
    assert index is not None
    ids, _ = index.search(memory.embedder.embed([one.question for one in questions]), max(_AT), exact=True)
    return [[place_of[int(node)] for node in row] for row in ids]


def _cross_validated(
    memory: Memory, questions: Sequence[Asked], place_of: Mapping[int, int], settings: BenchConfig
) -> float:
    """Recall at 5 where each half of the questions is answered by the settings that were best on the other half."""
    assert memory.embedder is not None
    usual, vectors = memory.settings, memory.embedder.embed([one.question for one in questions])
    shares = []  # a row for each setting: recall at 5 of each question
    for number, values in enumerate(_GRID):
        settings.progress("checking the tuning", number, len(_GRID))
        memory.settings = replace(usual, **values)  # type: ignore[arg-type]
        recaller = memory.recaller()
        row = []
        for one, vector in zip(questions, vectors, strict=True):
            nodes = recaller.recall(one.question, 2 * max(_AT), vector).nodes
            first = [place_of[node.id] for node, _ in nodes if node.id in place_of][:5]
            row.append(len(one.gold & set(first)) / len(one.gold))
        shares.append(row)
    settings.progress("checking the tuning", len(_GRID), len(_GRID))
    memory.settings = usual
    table, halves = np.array(shares), np.arange(len(questions)) % 2
    held = [
        table[table[:, halves == half].mean(1).argmax(), halves != half] for half in (0, 1) if (halves == half).any()
    ]
    return float(np.concatenate(held).mean()) if len(questions) > 1 else float("nan")


BENCHMARK = Benchmark(
    name="recall",
    about="are the passages that hold a multi-hop question's answer among the first that the memory recalls?",
    run=run,
    data=WANTED,
    published=(
        Published("NV-Embed-v2 (7B)", "recall_at_5", 0.765, "HippoRAG 2, arXiv:2502.14802, 2WikiMultihopQA"),
        Published("HippoRAG 2 (Llama-3.3-70B)", "recall_at_5", 0.904, "HippoRAG 2, arXiv:2502.14802, 2WikiMultihopQA"),
    ),
)

"""Documents: is what a file says found, and never again when the file has changed or is gone?

Two trials. **Changes**: the passages of a corpus are imported as files, one each; then a share of the files is changed
in one place and a share deleted. For each of these what stood there is asked for: an answer is stale if anything that
is recalled still says it. Questions about files that stay must find them as before. **Fresh**: pages about made-up
things are imported one by one into a memory of other facts, about things of the same kinds and partly of the same
names; each is asked about in words that it does not hold, at once.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reverie.data import NodeRow
from reverie.errors import MissingExtraError, UsageError
from reverie.memory.contract import Recalled
from reverie.memory.lexical import asked_terms, frequencies, with_words
from reverie.memory.memory import Memory
from reverie.memory.recall import RecallConfig
from reverie.nouns import Fact
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.figures import share
from reverie_bench.grounded import Case, make_cases, make_others, make_page, relations_asked
from reverie_bench.recall import WANTED, Asked, read_passages, read_questions, recall_at
from reverie_bench.rows import thin

__all__ = ["BENCHMARK", "open_memory"]

_NUMBER = re.compile(r"\b\d{3,4}\b")
_SIDES = "Old New Upper Lower Great Little North South East West".split()
_MOST = 20  # nodes recalled for a question


@dataclass(frozen=True)
class DocumentsConfig:
    """How much is done."""

    pages: int = 100  # fresh ones
    others: int = 100_000  # nodes in the memory besides
    changed: float = 0.1  # share of the files
    deleted: float = 0.05
    embedder: str = "minilm"  # or words, or none


def run(settings: BenchConfig) -> Findings:
    from reverie.settings import load_settings

    options = load_settings(DocumentsConfig, None, settings.options)
    rng = np.random.default_rng([settings.seed, 29])
    with tempfile.TemporaryDirectory() as scratch:
        kept, rivals = _changes(Path(scratch), settings, options, rng)
        fresh, fresh_rivals = _fresh(Path(scratch), settings, options, rng)
    return Findings(
        n=int(kept["n_questions"] + fresh["n_fresh_questions"]),
        figures=kept | fresh,
        baselines={name: rivals.get(name, {}) | fresh_rivals.get(name, {}) for name in rivals | fresh_rivals},
        settings={"corpus": settings.corpus, "questions": settings.questions, **vars(options)},
    )


# changes --------------------------------------------------------------------------------------------------------


def _changes(
    scratch: Path, settings: BenchConfig, options: DocumentsConfig, rng: np.random.Generator
) -> tuple[Figures, dict[str, Figures]]:
    passages, questions = _corpus(settings)
    folder = scratch / "files"
    folder.mkdir()
    for number, row in enumerate(passages):
        (folder / f"{number:05}.md").write_text(f"# {row.name}\n\n{row.text}\n", encoding="utf-8")
    with open_memory(scratch / "corpus.db", options.embedder) as memory:
        started = time.perf_counter()
        memory.load(folder, "text", progress=settings.progress)
        imported_s = time.perf_counter() - started
        memory.refresh(0, settings.progress)
        before = _ask(memory, questions, settings, "asking before")
        rivals = {"bm25": recall_at(_by_words(memory, questions), questions)}
        if memory.embedder is not None:
            rivals["dense"] = recall_at(_by_vectors(memory, questions), questions)
        order = rng.permutation(len(passages)).tolist()
        changed = order[: int(options.changed * len(order))]
        deleted = order[len(changed) : len(changed) + int(options.deleted * len(order))]
        probes = [_change(folder / f"{number:05}.md", passages[number]) for number in changed]
        probes += [(passages[number].name, _start(passages[number].text)) for number in deleted]
        for number in deleted:
            (folder / f"{number:05}.md").unlink()
        started = time.perf_counter()
        done = memory.load(folder, "text", prune=True, progress=settings.progress)
        again_s = time.perf_counter() - started
        memory.refresh(0, settings.progress)
        stale = [_says(memory.recall(f"{name}: {said}", _MOST), name, said) for name, said in probes]
        touched = set(changed) | set(deleted)
        staying = [place for place, one in enumerate(questions) if not one.gold & touched]
        after = _ask(memory, questions, settings, "asking after")
    stayed = [questions[place] for place in staying]
    was, now = (recall_at([ranked[place] for place in staying], stayed)["recall_at_5"] for ranked in (before, after))
    figures = {f"before_{name}": value for name, value in recall_at(before, questions).items()} | {
        "stale_share": float(np.mean(stale)),
        "stale_answers": float(np.sum(stale)),
        "staying_recall_at_5_before": was,
        "staying_recall_at_5_after": now,
        "staying_recall_at_5_ratio": now / was,
        "n_questions": len(questions),
        "n_staying": len(staying),
        "n_files": len(passages),
        "n_probes": len(probes),
        "kept_passages": vars(done)["kept_passages"],
        "new_passages": vars(done)["new_passages"],
        "import_s": imported_s,
        "import_again_s": again_s,
    }
    return figures, rivals


def _corpus(settings: BenchConfig) -> tuple[list[NodeRow], list[Asked]]:
    passages = read_passages(settings.corpus)
    questions = read_questions(settings.questions, passages)
    if settings.limit and settings.limit < len(questions):
        questions = thin(questions, settings.limit)
        gold = sorted({place for one in questions for place in one.gold})
        more = [place for place in range(len(passages)) if place not in set(gold)][: 4 * len(gold)]
        at = {place: new for new, place in enumerate(sorted([*gold, *more]))}
        passages = [passages[place] for place in at]
        questions = [Asked(one.question, frozenset(at[place] for place in one.gold), one.kind) for one in questions]
    return passages, questions


def _change(file: Path, row: NodeRow) -> tuple[str, str]:
    """Change one place of a file; returns its title and what stood there."""
    if found := _NUMBER.search(row.text):
        near = row.text[max(0, found.start() - 40) : found.end() + 20]
        text = row.text[: found.start()] + str(int(found.group()) + 1000) + row.text[found.end() :]
    else:
        near, text = _start(row.text), f"Nothing is known of this any more. {row.text[len(_start(row.text)) :]}"
    file.write_text(f"# {row.name}\n\n{text}\n", encoding="utf-8")
    return row.name, near.strip()


def _start(text: str) -> str:
    return text[:80].strip()


def _says(found: Recalled, name: str, said: str) -> bool:
    """Whether what was recalled holds the words, in the document of that name."""
    flat = " ".join(said.split())
    return any(node.name.startswith(name) and flat in " ".join(node.text.split()) for node, _ in found.nodes)


def _place(memory: Memory, nodes: Sequence[int]) -> list[int]:
    """The numbers of the files that nodes stand in, each once."""
    at = memory.store.places(nodes)
    sources = (at[node].source for node in nodes if node in at and at[node].position is not None)
    return list(dict.fromkeys(int(Path(source).stem) for source in sources))


def _ask(memory: Memory, questions: Sequence[Asked], settings: BenchConfig, what: str) -> list[list[int]]:
    ranked = []
    for number, one in enumerate(questions):
        settings.progress(what, number, len(questions))
        ranked.append(_place(memory, [node.id for node, _ in memory.recall(one.question, 2 * _MOST).nodes]))
    settings.progress(what, len(questions), len(questions))
    return ranked


def _words_alone(memory: Memory, question: str, most: int) -> list[int]:
    """The rival: nodes by BM25 of all words of the question."""
    found = asked_terms(question)
    with memory.store.reading() as connection:
        counts = frequencies(connection, found)
        return with_words(connection, [term for term in found if counts.get(term)], most)


def _by_words(memory: Memory, questions: Sequence[Asked]) -> list[list[int]]:
    return [_place(memory, _words_alone(memory, one.question, 2 * _MOST)) for one in questions]


def _by_vectors(memory: Memory, questions: Sequence[Asked]) -> list[list[int]]:
    vectors = memory.recaller().node_vectors
    assert vectors is not None
    assert memory.embedder is not None
    ids, _ = vectors.search(memory.embedder.embed([one.question for one in questions]), 2 * _MOST, exact=True)
    return [_place(memory, [int(node) for node in row]) for row in ids]


# fresh ----------------------------------------------------------------------------------------------------------


def _fresh(
    scratch: Path, settings: BenchConfig, options: DocumentsConfig, rng: np.random.Generator
) -> tuple[Figures, dict[str, Figures]]:
    count = options.pages
    cases = make_cases(count, 0, rng)
    pages = [make_page(case, rng) for case in cases]
    asked: list[_Asked] = []
    with open_memory(scratch / "fresh.db", options.embedder) as memory:
        known, num_others = _write_others(memory, cases, options, rng, settings)
        memory.refresh()
        memory.recall("What is there?")  # loads and compiles
        for number, (case, page) in enumerate(zip(cases, pages, strict=True)):
            settings.progress("importing and asking", number, count)
            file = scratch / f"{number:05}.md"
            file.write_text(page.text, encoding="utf-8")
            memory.load(file)
            asked += [
                _asked(memory, case, question, answer, file, first=not at, known=known)
                for at, (question, answer) in enumerate(page.questions)
            ]
        strange = [_strangely(case, rng) for case in make_cases(count, 0, rng)]
        nothing = [not memory.recall(question).ranked for question in strange]
    firsts = [one for one in asked if one.first]
    alone, contested = ([one for one in asked if one.contested is which] for which in (False, True))
    seconds = np.array([one.seconds for one in firsts])
    figures = {
        "fresh_rank_1_share": share(one.mine for one in alone),
        "fresh_answer_rank_1_share": share(one.holds for one in alone),
        "contested_page_rank_1_share": share(one.mine for one in contested),
        "contested_page_or_fact_rank_1_share": share(one.mine or one.fact for one in contested),
        "nothing_said_of_fresh_pages_share": share(one.nothing for one in asked),
        "nothing_said_of_unknown_things_share": float(np.mean(nothing)),
        "first_recall_median_ms": float(np.median(seconds) * 1e3),
        "first_recall_p95_ms": float(np.percentile(seconds, 95) * 1e3),
        "first_recall_cpu_median_ms": float(np.median([one.cpu_s for one in firsts]) * 1e3),
        "first_recall_without_embedding_median_ms": float(np.median([one.unembedded for one in firsts]) * 1e3),
        "n_fresh_questions": len(asked),
        "n_contested": len(contested),
        "n_others": num_others,
    }
    rivals = {name for one in alone for name in one.rivals}
    return figures, {
        name: {
            "fresh_rank_1_share": share(one.rivals[name][0] for one in alone),
            "fresh_answer_rank_1_share": share(one.rivals[name][1] for one in alone),
        }
        for name in rivals
    }


@dataclass(frozen=True)
class _Asked:
    """What came of a question about a fresh page, the ``first`` one after its import or a later one. ``contested``:
    whether the memory held a fact that answers it before."""

    first: bool
    contested: bool
    mine: bool  # the page is told first
    holds: bool  # and by the passage that holds the answer
    fact: bool  # the fact that it held before is told first
    nothing: bool  # recall says that it has nothing
    seconds: float
    cpu_s: float
    unembedded: float  # seconds without those of embedding the question
    rivals: dict[str, tuple[bool, bool]]  # as mine and holds


def _asked(
    memory: Memory, case: Case, question: str, answer: str, file: Path, *, first: bool, known: set[tuple[str, str]]
) -> _Asked:
    started, used = time.perf_counter(), time.process_time()
    found = memory.recall(question)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - used
    best = found.ranked[0] if found.ranked else None
    told = [best[0].id] if isinstance(best, tuple) else []
    mine, holds = _is_page(memory, told, file, answer)
    fact = isinstance(best, Fact) and (best.subject, best.relation) in known
    return _Asked(
        first,
        any((case.fact.subject, relation) in known for relation in relations_asked(case, question)),
        mine,
        holds,
        fact,
        not found.ranked,
        seconds,
        cpu_s,
        seconds - found.details["embed"],
        {name: _is_page(memory, nodes, file, answer) for name, nodes in _rivals(memory, question).items()},
    )


def _is_page(memory: Memory, nodes: Sequence[int], file: Path, answer: str) -> tuple[bool, bool]:
    """Whether the first of some nodes is of the page at ``file``, and whether it holds the answer."""
    if not nodes or memory.store.places(nodes[:1])[nodes[0]].source != str(file):
        return False, False
    return True, answer in memory.store.nodes(nodes[:1])[0].text


def _write_others(
    memory: Memory, cases: Sequence[Case], options: DocumentsConfig, rng: np.random.Generator, settings: BenchConfig
) -> tuple[set[tuple[str, str]], int]:
    """Fill the memory with facts until it has ``options.others`` nodes; returns what is known of the things that are
    asked about (subject, relation), and how many nodes there are.

    Of every second thing asked about some stand there already, under its own name; half of the others bear the name of
    a thing of the same recipe with a word more (Old Kerrow Bay bridge).
    """
    subjects = {case.fact.subject for case in cases}
    written, found = [row for row in make_others(int(options.others > 0), cases, rng) if row.subject in subjects], 0
    known = {(row.subject, row.relation) for row in written}
    while found < options.others:
        memory.write(written)
        found = int(memory.store.stats()["nodes"])
        settings.progress("writing others", min(found, options.others), options.others)
        written = [
            replace(row, subject=f"{rng.choice(_SIDES)} {row.subject}") if place % 2 else row
            for place, row in enumerate(make_others(5000, (), rng))
            if row.subject not in subjects
        ]
    return known, found


def _strangely(case: Case, rng: np.random.Generator) -> str:
    """The question of ``case`` about a name that nothing in the memory bears."""
    name = "".join(
        str(rng.choice(part.split())) for part in ("Blo Shkre Wub Yngo", "rpt mbl xqu ggv", "ang ubb oom ix")
    )
    return case.question.replace(case.fact.subject.split()[0], name).replace(case.fact.subject, name)


def _rivals(memory: Memory, question: str) -> Mapping[str, list[int]]:
    rivals = {"bm25": _words_alone(memory, question, 1)}
    vectors = memory.recaller().node_vectors
    if memory.embedder is not None and vectors is not None and len(vectors):  # among the pages alone, which favours it
        rivals["dense"] = vectors.search(memory.embedder.embed([question])[0], 1, exact=True)[0][0].tolist()
    return rivals


def open_memory(path: Path, embedder: str) -> Memory:
    """A memory, new where there is none, in which nothing is embedded on the way to an answer."""
    try:
        return Memory.open(path, embedder, settings=RecallConfig(lazy=0))
    except MissingExtraError as error:
        raise UsageError(f"{error}; or say embedder=words, or embedder=none") from error


BENCHMARK = Benchmark(
    "documents",
    "files that change and go, and pages imported a moment ago: is what they say now found, and nothing else?",
    run,
    data=WANTED,
    options=DocumentsConfig,
)

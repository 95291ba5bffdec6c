"""The registry of readers, a guess which one a file needs, and the check that every reader passes."""

from __future__ import annotations

import gzip
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from reverie.data.facts.contract import BadRow, FactRow, NodeRow, Reader, Row
from reverie.data.facts.lines import unpacked
from reverie.errors import DataError
from reverie.registry import Promises, Registry

__all__ = ["READERS", "check_reader", "guess_reader", "make_reader", "reader_names", "register_reader"]

READERS: Registry[Callable[..., Iterator[Row]]] = Registry(
    "format",
    {
        "atomic": "reverie.data.facts.atomic:read_atomic",
        "conceptnet": "reverie.data.facts.conceptnet:read_conceptnet",
        "csv": "reverie.data.facts.tables:read_csv",
        "jsonl": "reverie.data.facts.jsonl:read_jsonl",
        "html": "reverie.data.documents.passages:read_html",
        "pdf": "reverie.data.documents.passages:read_pdf",
        "text": "reverie.data.documents.passages:read_text",
        "visual-genome": "reverie.data.facts.visual_genome:read_visual_genome",
        "wordnet": "reverie.data.facts.wordnet:read_wordnet",
    },
    "reverie.readers",
)
reader_names, register_reader = READERS.names, READERS.register  # a new one should pass ``check_reader``


def make_reader(name: str, **settings: Any) -> Reader:
    """The reader of that name, with settings of its own (``languages`` of conceptnet); UnknownNameError suggests."""
    return partial(READERS.get(name), **settings)


def guess_reader(path: Path) -> str:
    """The name of the reader that ``path`` looks made for, by its name and first line; ``text`` where nothing fits.

    Raises DataError where the file cannot be read.
    """
    from reverie.data.facts.visual_genome import FILES

    name = path.name.lower().removesuffix(".gz")
    if name in FILES or (path.is_dir() and any((path / file).exists() for file in FILES)):
        return "visual-genome"
    if path.is_dir():
        return "text"
    with unpacked(path) as file:
        data = file.readline(10_000)
    line = data.decode("utf-8", "replace")
    if data.startswith(b"%PDF-") or name.endswith(".pdf"):
        return "pdf"
    if name.endswith((".html", ".htm", ".xhtml")) or re.match(r"\s*<(?:!doctype html|html)\b", line, re.I):
        return "html"
    if name.endswith((".jsonl", ".ndjson")):
        return "jsonl"
    if {"subject", "relation", "object"} <= set(re.findall(r"\w+", line.lower())) and not name.endswith(
        (".txt", ".md")
    ):
        return "csv"
    cells = line.rstrip("\r\n").split("\t")
    if re.search(r" @@ \w+$", cells[0]) or (len(cells) == 3 and re.fullmatch(r"[xo][A-Z]\w+", cells[1])):
        return "atomic"
    if len(cells) == 3 and cells[1].startswith("_"):
        return "wordnet"
    if len(cells) in (3, 4, 5) and re.fullmatch(r"/a/.*|[A-Z]\w+", cells[0]):
        return "conceptnet"
    return "csv" if name.endswith((".csv", ".tsv")) else "text"


def check_reader(name: str, sample: Path) -> list[str]:
    """Run every promise of the contract on a reader and a good ``sample`` of its format; ContractError names a broken
    one. Returns what was checked.
    """
    reader, promises = make_reader(name), Promises("a reader", name)
    expect = promises.expect

    def read(path: Path) -> list[Row]:
        return list(reader(path, bad.append))

    def refuses(path: Path) -> bool:
        try:
            read(path)
        except DataError as error:
            return "\n" not in str(error)
        except (OSError, ValueError):
            return False
        return False

    bad: list[BadRow] = []
    rows = read(sample)
    expect("a good sample has rows", bool(rows))
    expect("rows are facts and nodes", all(isinstance(row, (FactRow, NodeRow)) for row in rows))
    expect("a good sample has no bad rows", not bad)
    expect("the same file gives the same rows", read(sample) == rows)
    expect("rows come one by one", next(iter(reader(sample, bad.append))) == rows[0])
    with tempfile.TemporaryDirectory() as folder:
        expect("a missing file is a DataError", refuses(Path(folder) / "missing" / sample.name))
        if sample.is_file():
            broken = Path(folder) / sample.name
            whole = sample.read_bytes()
            for what, data in {
                "an empty file is a DataError": b"",
                "a binary file is a DataError": bytes(range(256)) * 8,
                "a damaged gzip file is a DataError": gzip.compress(whole)[:-9],
            }.items():
                broken.write_bytes(data)
                expect(what, refuses(broken))
            broken.write_bytes(gzip.compress(whole))
            expect("a gzipped file gives the same rows", read(broken) == rows)
            if not whole.startswith(b"%PDF-"):  # which is no text
                broken.write_bytes(whole.rstrip(b"\n") + b"\n\xff\xfe\x80{\t\n")
                expect("bytes that are no UTF-8 are told", refuses(broken) or bool(bad))
    return promises.kept

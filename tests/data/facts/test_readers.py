"""Readers: every one keeps the contract, reads its format as published, and survives whatever else a file may hold."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reverie.data import (
    BadRow,
    FactRow,
    NodeRow,
    Row,
    check_reader,
    guess_reader,
    make_reader,
    reader_names,
    register_reader,
)
from reverie.data.facts.registry import READERS
from reverie.errors import ContractError, DataError, UnknownNameError, UsageError
from toy_documents import pdf_of

IMAGE = {
    "objects": {"image_id": 7, "objects": [{"names": ["clock"], "object_id": 1}, {"names": ["street"]}]},
    "attributes": {
        "image_id": 7,
        "attributes": [{"names": ["clock"], "attributes": ["green", "tall"]}, {"names": ["x"]}],
    },
    "relationships": {
        "image_id": 7,
        "relationships": [{"predicate": "ON", "subject": {"name": "clock"}, "object": {"names": ["street"]}}],
    },
    "region_descriptions": {
        "regions": [{"image_id": 7, "phrase": "the clock is green"}, {"image_id": 7, "phrase": ""}]
    },
    "question_answers": {"id": 7, "qas": [{"question": "What color is the clock?", "answer": "Green."}]},
}
SAMPLES = {
    "atomic": ("atomic.tsv", "PersonX drops an egg @@ xEffect\tmakes a mess| none| cleans up\n"),
    "conceptnet": ("train.txt", "IsA\tegg\tfood\nAtLocation\tegg\tfridge\t0.5\n"),
    "csv": ("facts.csv", 'subject,relation,object\negg,IsA,food\n"egg, raw",IsA,"say ""egg"""\n'),
    "jsonl": (
        "facts.jsonl",
        '{"subject": "egg", "relation": "IsA", "object": "food"}\n{"name": "egg", "aliases": ["ovum"]}\n',
    ),
    "html": ("page.html", "<html><title>Eggs</title><body><p>An egg breaks.</p></body></html>"),
    "pdf": ("paper.pdf", pdf_of("An egg breaks.").decode()),
    "text": ("notes.md", "# Eggs\n\nAn egg\nbreaks.\n\nIt is food.\n"),
    "visual-genome": ("objects.json", json.dumps([IMAGE["objects"]])),
    "wordnet": ("train.txt", "egg_white.n.01\t_part_of\tegg.n.02\n"),
}


Write = Callable[[str, str | bytes], Path]


def read(name: str, path: Path, **options: Any) -> tuple[list[Row], list[BadRow]]:
    bad: list[BadRow] = []
    return list(make_reader(name, **options)(path, bad.append)), bad


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_reader_keeps_the_contract(name: str, write: Write) -> None:
    assert len(check_reader(name, write(*SAMPLES[name]))) >= 10


def test_all_readers_are_tried_here() -> None:
    assert reader_names() == sorted(SAMPLES)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_the_right_reader_is_guessed(name: str, write: Write) -> None:
    path = write(*SAMPLES[name])
    assert guess_reader(path) == name
    packed = write(f"{path.name}.gz", gzip.compress(path.read_bytes()))
    assert guess_reader(packed) == name


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("/a/[…]\t/r/IsA\t/c/en/egg\t/c/en/food\t{}\n", "conceptnet"),
        ("PersonX naps\txEffect\tis rested\n", "atomic"),
        ("Once upon a time.\n", "text"),
    ],
)
def test_the_first_line_tells_the_format(content: str, name: str, write: Write) -> None:
    assert guess_reader(write("some.txt", content)) == name


def test_an_unknown_format_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'conceptnet'"):
        make_reader("concept-net")


def test_an_installed_package_brings_a_reader(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        "pond.py",
        """
from reverie.data import FactRow

def read_pond(path, on_bad):
    for line in path.read_text().splitlines():
        yield FactRow(line, "LivesIn", "pond")
""",
    )
    write("pond-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pond\nVersion: 1.0\n")
    write("pond-1.0.dist-info/entry_points.txt", "[reverie.readers]\npond = pond:read_pond\nlost = pond:nothing\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(vars(READERS), "_offered", raising=False)  # found once in a process
    monkeypatch.setattr(READERS, "_entries", dict(READERS._entries))
    assert reader_names() == sorted([*SAMPLES, "lost", "pond"])
    assert read("pond", write("a.pond", "frog\n"))[0] == [FactRow("frog", "LivesIn", "pond")]
    with pytest.raises(UsageError, match="the format 'lost' of the package pond cannot be imported"):
        make_reader("lost")
    vars(READERS).pop("_offered")


def test_a_broken_promise_is_named(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(READERS, "_entries", {})
    register_reader("forgetful", lambda path, on_bad: iter([FactRow("a", "is", path.read_text())]))
    with pytest.raises(ContractError, match="forgetful breaks the contract of a reader: a missing file is a DataError"):
        check_reader("forgetful", write("x", "y"))


# formats --------------------------------------------------------------------------------------------------------


def test_conceptnet_triples_have_their_weight_as_confidence(write: Write) -> None:
    rows, bad = read("conceptnet", write("t.txt", "IsA\tegg \tfood\nIsA\tegg\tthing\t0.25\nIsA\tegg\tcell\t2.5\r\n"))
    assert not bad
    assert rows == [
        FactRow("egg", "IsA", "food", source="conceptnet"),
        FactRow("egg", "IsA", "thing", source="conceptnet", confidence=0.25),
        FactRow("egg", "IsA", "cell", source="conceptnet"),
    ]


def test_conceptnet_assertions_of_other_languages_are_skipped_unless_asked(write: Write) -> None:
    def line(relation: str, head: str, tail: str, weight: float = 1.0) -> str:
        about = json.dumps({"dataset": "/d/conceptnet/4/en", "weight": weight})
        return f"/a/[{relation}]\t{relation}\t{head}\t{tail}\t{about}\n"

    path = write(
        "assertions.csv",
        line("/r/UsedFor", "/c/en/frying_pan/n", "/c/en/fry_egg", 0.5)
        + line("/r/Synonym", "/c/de/ei/n", "/c/en/egg")
        + line("/r/IsA", "/c/de/ei", "/c/de/essen")
        + line("/r/ExternalURL", "/c/en/egg", "http://dbpedia.org/resource/Egg"),
    )
    rows, bad = read("conceptnet", path)
    assert rows == [
        FactRow("frying pan", "UsedFor", "fry egg", "entity", "entity", "conceptnet", 0.5, None, "/d/conceptnet/4/en")
    ]
    assert not bad
    assert len(read("conceptnet", path, languages=("en", "de"))[0]) == 3
    assert len(read("conceptnet", path, languages=("all",))[0]) == 3


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("IsA\tegg", "got 2 columns"),
        ("IsA\tegg\tfood\t1\t2", "got 5 columns"),
        ("IsA\t\tfood", "a name must not be empty"),
        ("IsA\tegg\tfood\tnan", "a weight is at least 0"),
        ("IsA\tegg\tfood\t-1", "a weight is at least 0"),
        ("IsA\tegg\tfood\theavy", "a weight is a number"),
        (f"IsA\tegg\t{'o' * 2000}", "2,000 characters are too many"),
        ("/a/x\t/r/IsA\t/c/en/egg\t/c/en/food", "5 columns"),
        ("/a/x\tIsA\t/c/en/egg\t/c/en/food\t{}", "starts with /r/"),
        ("/a/x\t/r/IsA\t/c/en\t/c/en/food\t{}", "a term is like /c/en/word"),
        ("/a/x\t/r/IsA\t/c/en/egg\t/c/en/food\t{", "no JSON"),
        ("/a/x\t/r/IsA\t/c/en/egg\t/c/en/food\t[]", "an object in braces"),
        ('/a/x\t/r/IsA\t/c/en/egg\t/c/en/food\t{"weight": {}}', "a weight is a number"),
    ],
)
def test_a_malformed_conceptnet_line_is_told_with_its_number(line: str, problem: str, write: Write) -> None:
    rows, bad = read("conceptnet", write("t.txt", f"IsA\tegg\tfood\n\n{line}\nIsA\then\tbird\n"))
    assert len(rows) == 2
    assert [row.line for row in bad] == [3]
    assert problem in bad[0].problem
    assert "\n" not in bad[0].problem


def test_wordnet_keeps_senses_apart_and_makes_words_their_aliases(write: Write) -> None:
    rows, _ = read(
        "wordnet", write("t.txt", "land_reform.n.01\t_hypernym\treform.n.01\nreform.n.01\t_x_y\tdog_house\n")
    )
    assert rows == [
        NodeRow("land_reform.n.01", aliases=("land reform",), source="wordnet"),
        NodeRow("reform.n.01", aliases=("reform",), source="wordnet"),
        FactRow("land_reform.n.01", "hypernym", "reform.n.01", source="wordnet"),
        FactRow("reform.n.01", "x y", "dog house", source="wordnet"),
    ]
    assert read("wordnet", write("o.txt", "00260881\t_hypernym\t00260622\n"))[0] == [
        FactRow("00260881", "hypernym", "00260622", source="wordnet")
    ]


def test_atomic_events_are_actions_and_what_follows_outcomes(write: Write) -> None:
    text = "PersonX naps @@ xEffect\tis rested| none| is rested\nPersonX naps\txNeed\ta bed\negg\tAtLocation\tnest\n"
    rows, bad = read("atomic", write("t.tsv", text))
    assert not bad
    assert rows == [
        FactRow("PersonX naps", "xEffect", "is rested", "action", "outcome", "atomic2020"),
        FactRow("PersonX naps", "xNeed", "a bed", "action", "action", "atomic2020"),
        FactRow("egg", "AtLocation", "nest", source="atomic2020"),
    ]


def test_a_visual_genome_folder_gives_pictures_and_their_scene_graphs(write: Write, tmp_path: Path) -> None:
    for name, image in IMAGE.items():
        write(f"{name}.json", json.dumps([image]))
    rows, bad = read("visual-genome", tmp_path)
    assert not bad
    picture, origin = "visual genome/7", {"source": "visual genome", "origin": "7"}
    assert rows == [
        NodeRow(picture, "picture", source="visual genome"),
        FactRow(picture, "shows", "clock", "picture", **origin),  # type: ignore[arg-type]
        FactRow(picture, "shows", "street", "picture", **origin),  # type: ignore[arg-type]
        FactRow("clock", "is", "green", **origin),  # type: ignore[arg-type]
        FactRow("clock", "is", "tall", **origin),  # type: ignore[arg-type]
        FactRow("clock", "on", "street", **origin),  # type: ignore[arg-type]
        NodeRow(picture, "picture", text="the clock is green", source="visual genome"),
        FactRow(picture, "answers", "What color is the clock? Green.", "picture", "passage", **origin),  # type: ignore[arg-type]
    ]
    file = write("VG_100K/7.jpg", "a picture")
    assert read("visual-genome", tmp_path / "objects.json")[0][0] == NodeRow(
        str(file), "picture", source="visual genome"
    )
    assert guess_reader(tmp_path) == "visual-genome"


def test_a_malformed_image_is_told_with_its_record_and_file(write: Write) -> None:
    broken = [IMAGE["objects"], {"image_id": 8}, {"objects": []}, 5, {"image_id": 9, "objects": [{"names": [["x"]]}]}]
    rows, bad = read("visual-genome", write("objects.json", json.dumps(broken)))
    assert len(rows) == 3
    assert [row.line for row in bad] == [2, 3, 4, 5]
    assert all(row.problem.startswith("objects.json: needs ") for row in bad)


def test_a_folder_without_its_files_is_refused(tmp_path: Path) -> None:
    for name in ("visual-genome", "text"):
        with pytest.raises(DataError, match="holds"):
            read(name, tmp_path)
    with pytest.raises(DataError, match="is a folder where a file is needed"):
        read("csv", tmp_path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_columns_come_in_any_order_with_any_delimiter(delimiter: str, write: Write) -> None:
    lines = [
        ["\ufeffObject", "subject", "relation", "confidence", "time", "source", "subject_kind"],
        ["food", "egg", "IsA", "0.5", "2026-01-31", "", ""],
        ["a mess", "drop egg", "Causes", "", "12.5", "me", "action"],
    ]
    rows, bad = read("csv", write("t.csv", "\r\n".join(delimiter.join(line) for line in lines)))
    assert not bad
    assert rows == [
        FactRow("egg", "IsA", "food", confidence=0.5, time=1769817600.0),
        FactRow("drop egg", "Causes", "a mess", "action", source="me", time=12.5),
    ]


def test_csv_rows_without_relation_and_object_describe_nodes(write: Write) -> None:
    text = "subject,relation,object,subject_kind,text,aliases\negg,,,,,ovum|hen's egg\n"
    text += 'note,,,passage,"one\ntwo","[""a|b""]"\negg,IsA,food,,words,\negg,IsA,,,,\n'
    rows, bad = read("csv", write("t.csv", text))
    assert rows == [
        NodeRow("egg", aliases=("ovum", "hen's egg"), source="t.csv"),
        NodeRow("note", "passage", "one\ntwo", ("a|b",), source="t.csv"),
    ]
    assert [(row.line, row.problem) for row in bad] == [
        (5, "text, aliases, title and position describe a node: leave relation and object empty"),
        (6, "the field 'object' is missing"),
    ]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("subject,object", "has no columns subject, relation, object in line 1"),
        ("subject,relation,object,confidense", "unknown column 'confidense'. Did you mean 'confidence'?"),
        ("subject,relation,object,object", "has the column 'object' twice"),
    ],
)
def test_a_csv_header_that_cannot_be_right_is_refused(header: str, problem: str, write: Write) -> None:
    with pytest.raises(DataError, match=problem.replace("?", r"\?")):
        read("csv", write("t.csv", f"{header}\na,b,c\n"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"egg,IsA", "2 columns where the header has 4"),
        (b"egg,IsA,food,1.5", "confidence lies between 0 and 1, got 1.5"),
        (b"egg,IsA,food,nan", "confidence lies between 0 and 1, got nan"),
        (b"egg,IsA,food,much", "confidence is a number, got 'much'"),
        (b'"egg"s,IsA,food,1', "is a quotation mark left open?"),
        (b"egg,IsA,\xff\xfe,1", "bytes that are no UTF-8"),
        (b"egg,IsA,f\0d,1", "NUL"),
        (b"e" * 2000 + b",IsA,food,1", "2,000 characters are too many"),
    ],
)
def test_a_malformed_csv_row_is_told_with_its_number(line: bytes, problem: str, write: Write) -> None:
    head = b"subject,relation,object,confidence\negg,IsA,food,1\n" + b"hen,IsA,bird,1\n" * 100
    rows, bad = read("csv", write("t.csv", head + line + b"\nhen,IsA,bird,1\n"))
    assert len(rows) == 102
    assert [row.line for row in bad] == [103]
    assert problem in bad[0].problem


def test_a_quotation_mark_left_open_does_not_eat_the_file_in_silence(write: Write) -> None:
    rows, bad = read(
        "csv", write("t.csv", 'subject,relation,object\nhen,IsA,bird\n"egg,IsA,food\n' + "hen,IsA,bird\n" * 9)
    )
    assert len(rows) == 10
    assert [row.line for row in bad] == [3]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "no JSON"),
        ("[1]", "needs an object in braces, got [1]"),
        ('{"subject": "egg", "relation": "IsA"}', "the field 'object' is missing"),
        ('{"subject": "egg", "relation": "IsA", "objekt": "x"}', "did you mean 'object'?"),
        ('{"subject": "egg", "relation": "IsA", "object": 3}', "object is words, got 3"),
        ('{"subject": "egg", "relation": "IsA", "object": "x", "confidence": true}', "confidence is a number"),
        ('{"subject": "egg", "relation": "IsA", "object": "x", "confidence": NaN}', "between 0 and 1"),
        ('{"subject": "egg", "relation": "IsA", "object": "x", "time": "soon"}', "time is in seconds since 1970"),
        ('{"subject": "egg", "relation": "IsA", "object": "x", "time": 1e999}', "time is in seconds"),
        ('{"subject": "egg", "relation": "IsA", "object": "\\ud800"}', "no UTF-8"),
        ('{"name": "egg", "aliases": "ovum"}', "aliases is a list of names"),
        ('{"name": "egg", "kind": "bird"}', "a node's kind is one of"),
        ('{"name": " "}', "a name must not be empty"),
        ("[" * 5000, ""),
    ],
)
def test_a_malformed_json_line_is_told_with_its_number(line: str, problem: str, write: Write) -> None:
    rows, bad = read("jsonl", write("t.jsonl", f'{{"name": "hen"}}\n{line}\n{{"name": "egg"}}\n'))
    assert rows == [NodeRow("hen", source="t.jsonl"), NodeRow("egg", source="t.jsonl")]
    assert [row.line for row in bad] == [2]
    assert problem in bad[0].problem


# files that are no such files -----------------------------------------------------------------------------------


def test_another_format_is_given_up_soon(write: Write) -> None:
    path = write("essay.txt", "Just words.\n" * 100_000)
    bad: list[BadRow] = []
    with pytest.raises(DataError, match="is not of this format: line 1: needs relation, head, tail"):
        list(make_reader("conceptnet")(path, bad.append))
    assert len(bad) == 100


@pytest.mark.parametrize("name", ["text", "visual-genome"])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('[{"title": "Egg", "text": "Food."}, {"title": "He', "cut off"),
        ("[1 2", "cut off or no JSON|needs"),
        ('{"title": "Egg"}', "is not a JSON list"),
        ("[] []", "goes on after its list"),
        ("[" * 100_000, "cut off or no JSON at record 1"),
    ],
)
def test_a_damaged_json_file_is_one_error(name: str, content: str, problem: str, write: Write) -> None:
    with pytest.raises(DataError, match=problem):
        read(name, write("objects.json", content))


def test_long_records_across_pieces_are_read_whole(write: Write) -> None:
    corpus = [{"title": f"{number}", "text": "ä" * (70_000 + number)} for number in range(12)]
    rows, bad = read("text", write("corpus.json", json.dumps(corpus, ensure_ascii=False)))
    assert not bad
    assert [len(row.text) for row in rows if isinstance(row, NodeRow)] == [70_000 + number for number in range(12)]


def test_an_endless_line_is_skipped(write: Write) -> None:
    rows, bad = read("conceptnet", write("t.txt", b"IsA\tegg\tfood\n" + b"x" * (17 * 2**20) + b"\nIsA\then\tbird\n"))
    assert len(rows) == 2
    assert [row.line for row in bad] == [2]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name in reader_names():
        with pytest.raises(DataError, match=r"gone"):
            read(name, tmp_path / "gone")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["image_id", "objects", "names", "name", "title", "text", "aliases"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(SAMPLES)), noise=st.binary(max_size=40), at=st.integers(0, 400), cut=st.integers(0, 60)
)
@example(name="csv", noise=b'"', at=24, cut=0)
@example(name="csv", noise=b"\r", at=0, cut=0)
@example(name="jsonl", noise=b"\x1f\x8b", at=0, cut=2)
def test_noise_in_a_file_is_told_and_never_breaks_a_reader(
    name: str, noise: bytes, at: int, cut: int, tmp_path: Path
) -> None:
    file, content = SAMPLES[name]
    whole = content.encode() * 3
    path = tmp_path / file
    path.write_bytes(whole[:at] + noise + whole[at + cut :])
    bad: list[BadRow] = []
    with suppress(DataError):
        assert all(isinstance(row, (FactRow, NodeRow)) for row in make_reader(name)(path, bad.append))
    assert all(row.line >= 1 and row.problem and "\n" not in row.problem for row in bad)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["text", "visual-genome", "jsonl"]), file=st.sampled_from(sorted(IMAGE)), record=json_values
)
def test_any_json_is_a_row_or_told(name: str, file: str, record: Any, tmp_path: Path) -> None:
    path = tmp_path / ("t.jsonl" if name == "jsonl" else f"{file}.json")
    good = {"name": "x"} if name == "jsonl" else {"title": "x", "text": "y"} if name == "text" else IMAGE[file]
    records = [good, record]
    path.write_text("\n".join(map(json.dumps, records)) if name == "jsonl" else json.dumps(records))
    rows, bad = read(name, path)
    assert rows
    assert all(isinstance(row, (FactRow, NodeRow)) for row in rows)
    assert len(bad) <= 1

"""Documents: imported once, replaced when they change, found by their words at once, deleted whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from reverie.data import FactRow
from reverie.errors import DataError, MemoryStoreError, UsageError
from reverie.memory import Memory
from reverie.memory.documents import DocumentImport, Documents
from reverie.memory.exchange import export, import_file
from reverie.memory.recall import RecallConfig
from reverie.memory.store import Store

NOTES = """# Ferry notes

The Kerrow ferry leaves at nine in the morning on weekdays.

## Prices

A ticket for the Kerrow ferry costs 4 euros. Dogs travel free.
"""


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.md"
    path.write_text(NOTES)
    return path


def told(store: Store) -> list[tuple[str, str]]:
    """Names and texts of all passages of all documents, in order."""
    documents = Documents(store)
    return [(node.name, node.text) for one in documents.list() for node in documents.passages(one.id)]


def counts(done: DocumentImport) -> tuple[int, int, int, int, int, int]:
    return (
        done.new, done.changed, done.unchanged, done.new_passages, done.kept_passages, done.removed_passages
    )  # fmt: skip


def test_a_changed_document_keeps_the_passages_that_are_as_they_were(store: Store, notes: Path) -> None:
    documents = Documents(store)
    assert counts(documents.load(notes)) == (1, 0, 0, 2, 0, 0)
    before = documents.passages(1)
    seq = store.seq()
    assert counts(documents.load(notes)) == (0, 0, 1, 0, 0, 0)
    assert store.seq() == seq
    notes.write_text(NOTES.replace("4 euros", "6 euros") + "\n## Island\n\nIt lies in the west.\n")
    assert counts(documents.load(notes)) == (0, 1, 0, 2, 1, 1)
    after = documents.passages(1)
    assert after[0] == before[0]
    assert [node.text[:30] for node in after] == [
        "The Kerrow ferry leaves at nin", "A ticket for the Kerrow ferry ", "It lies in the west.",
    ]  # fmt: skip
    assert not any("4 euros" in node.text for batch in store.node_batches() for node in batch)
    notes.write_text("# Ferry notes\n\nIt is closed.\n")
    documents.load(notes)
    assert told(store) == [("Ferry notes", "It is closed.")]
    assert store.places([documents.passages(1)[0].id])[documents.passages(1)[0].id].source == str(notes)


def test_a_paragraph_that_moves_stays_the_same_passage(store: Store, tmp_path: Path) -> None:
    file, paragraphs = tmp_path / "long.txt", [f"Paragraph {number}. " + "Words of it. " * 40 for number in range(6)]
    documents = Documents(store)
    file.write_text("\n\n".join(paragraphs))
    documents.load(file)
    file.write_text("\n\n".join([*paragraphs[3:], *paragraphs[:3]]))
    assert documents.load(file).kept_passages >= 3
    file.write_text("\n\n".join(["A new beginning.", *paragraphs]))
    documents.load(file)
    words = " ".join(node.text for node in documents.passages(1))
    assert all(f"Paragraph {number}." in words for number in range(6))


def test_documents_of_one_name_and_of_one_content_stay_apart(store: Store, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.md").write_text(NOTES)
    documents = Documents(store)
    assert counts(documents.load(tmp_path)) == (2, 0, 0, 4, 0, 0)
    assert [one.passages for one in documents.list()] == [2, 2]
    with pytest.raises(UsageError, match=r"'notes\.md' names 2 documents: #1 .*#2"):
        documents.find("notes.md")
    assert documents.delete(documents.find(str(tmp_path / "a" / "notes.md")).id) == (2, 0)
    assert [one.passages for one in documents.list()] == [2]
    with pytest.raises(MemoryStoreError, match="has no document 'nothing'"):
        documents.find("nothing")


def test_words_are_found_at_once_and_forgotten_at_once(address: str, notes: Path) -> None:
    with Memory.open(address) as memory:
        memory.write([FactRow("ferry", "IsA", "ship")])
        memory.load(notes)
        found = memory.recall("How much is a ticket for the Kerrow ferry?")
        best = found.ranked[0]
        assert isinstance(best, tuple)
        node = best[0]
        assert "4 euros" in node.text
        assert found.places[node.id].source == str(notes)
        assert (found.places[node.id].title, found.places[node.id].position) == ("Ferry notes", 1)
        notes.write_text(NOTES.replace("4 euros", "6 euros"))
        memory.load(notes)
        assert "6 euros" in str(memory.recall("How much is a ticket for the Kerrow ferry?").ranked[0])
        memory.documents.delete(1)
        assert not any(node.text for node, _ in memory.recall("How much is a ticket for the Kerrow ferry?").nodes)


def test_recall_has_nothing_to_say_of_what_nothing_speaks_of(tmp_path: Path, notes: Path) -> None:
    with Memory.open(tmp_path / "kg.db", "words") as memory:
        memory.load(notes)
        memory.write([FactRow(f"thing {number}", "IsA", "object") for number in range(50)])
        memory.index()
        for question in ("What is the zorbness of a blorptang?", "Who conducts the Ulmar orchestra?", "", "?!"):
            found = memory.recall(question)
            assert (found.facts, found.nodes, found.ranked) == ((), (), [])


@pytest.mark.parametrize(
    ("words", "question"),
    [
        ("東京は日本の首都です。大阪は西にあります。", "東京とは何ですか"),
        ("Die Größe des Müller-Hauses beträgt 12 m.", "groesse GRÖSSE muller"),
        ("The café's “ovens” were lit.", "What about the cafe's oven?"),
        ("เมืองหลวงของไทยคือกรุงเทพ", "กรุงเทพ"),
    ],
)
def test_words_of_any_script_are_found(words: str, question: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(words, encoding="utf-8")
    (tmp_path / "b.txt").write_text("Something else entirely.")
    with Memory.open(tmp_path / "kg.db") as memory:
        memory.load(tmp_path, "text")
        assert memory.recall(question).nodes[0][0].text == words


@pytest.mark.parametrize("question", ['"', "a OR b", "NEAR(ferry, x)", "ferry*", "name:ferry", "^ferry", "';--", "\0"])
def test_no_question_breaks_the_index_of_words(question: str, address: str, notes: Path) -> None:
    with Memory.open(address) as memory:
        memory.load(notes)
        memory.recall(question)
        assert memory.store.check() == []


def test_a_long_text_without_blank_lines_is_found_to_its_last_line(tmp_path: Path) -> None:
    lines = [f"Line {number} is about the colour of door {number}." for number in range(120)]
    (tmp_path / "a.txt").write_text("\n".join([*lines, "The key lies under the blue flowerpot."]))
    (tmp_path / "b.txt").write_text("Sentences go on and on. " * 6_250)
    with Memory.open(tmp_path / "kg.db") as memory:
        memory.load(tmp_path)
        assert memory.recall("Where does the key lie?").nodes[0][0].text.endswith("the blue flowerpot.")
        assert max(len(text) for _, text in told(memory.store)) <= 800


def test_a_changed_file_of_facts_ends_what_it_says_no_longer(store: Store, tmp_path: Path) -> None:
    file, other = tmp_path / "prices.csv", tmp_path / "other.csv"
    head = "subject,relation,object,source,subject_kind,text\n"
    file.write_text(f"{head}widget,Price,10 euros,shop,,\nnut,Price,1 euro,shop,,\nmemo,,,shop,passage,Closed today.\n")
    other.write_text(f"{head}nut,Price,1 euro,shop,,\n")
    import_file(store, file, "csv")
    import_file(store, other, "csv")
    file.write_text(f"{head}widget,Price,12 euros,shop,,\n")
    done = import_file(store, file, "csv")
    assert (done.new_facts, done.ended_facts) == (1, 1)
    facts = store.facts(store.edge_arrays().ids.tolist())
    assert {(fact.subject, fact.object) for fact in facts} == {("widget", "12 euros"), ("nut", "1 euro")}
    assert not store.find("memo")
    assert store.history(1)[-1].until is not None, "it is closed, and can be read still"
    documents = Documents(store)
    assert documents.delete(documents.find("other.csv").id) == (0, 1)
    assert documents.delete(documents.find("prices.csv").id) == (0, 1)
    assert documents.list() == []


def test_a_folder_forgets_documents_only_where_asked(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / ".hidden").mkdir(parents=True)
    (folder / ".hidden" / "x.md").write_text("Hidden.")
    for name in ("a.md", "b.md"):
        (folder / name).write_text(f"This is {name}.")
    (folder / "bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    documents, notes = Documents(store), list[str]()
    done = documents.load(folder, on_note=notes.append)
    assert (done.new, len(done.failed)) == (2, 1)
    assert "bad.pdf is damaged or no PDF" in notes[0]
    (folder / "b.md").unlink()
    assert documents.load(folder).pruned == 0
    assert documents.load(folder, prune=True).pruned == 1
    assert [Path(one.source).name for one in documents.list()] == ["a.md"]
    with pytest.raises(DataError, match=r"bad\.pdf is damaged"):
        documents.load(folder, strict=True)


def test_documents_survive_an_export(tmp_path: Path, notes: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        Documents(store).load(notes)
        for kind in ("csv", "jsonl"):
            export(store, tmp_path / f"out.{kind}", kind)
        said = told(store)
    for kind in ("csv", "jsonl"):
        with Store.open(tmp_path / f"{kind}.db") as store:
            import_file(store, tmp_path / f"out.{kind}", kind)
            documents = Documents(store)
            one = documents.find("Ferry notes")
            assert (one.source, one.passages) == (str(notes), 2)
            assert [(node.name, node.text) for node in documents.passages(one.id)] == said
            notes.write_text(NOTES.replace("4 euros", "6 euros"))
            documents.load(notes)
            assert "6 euros" in documents.passages(one.id)[1].text
            notes.write_text(NOTES)
            assert store.check() == []


def test_what_an_import_that_was_cut_off_left_without_vectors_gets_them_by_the_next(
    tmp_path: Path, notes: Path
) -> None:
    with Memory.open(tmp_path / "kg.db", "words", settings=RecallConfig(lazy=0)) as memory:
        memory.write([FactRow(f"thing {number}", "IsA", "object") for number in range(50)])
        memory.documents.load(notes)  # its vectors were to come next
        vectors = memory.recaller().node_vectors
        assert vectors is not None
        assert len(vectors) == 0
        done = memory.load(notes)
        assert isinstance(done, DocumentImport)
        assert counts(done)[:4] == (0, 0, 1, 0)
        assert len(vectors) == 2


def test_only_new_passages_are_embedded(tmp_path: Path, notes: Path) -> None:
    with Memory.open(tmp_path / "kg.db", "words", settings=RecallConfig(lazy=0)) as memory:
        memory.write([FactRow(f"thing {number}", "IsA", "object") for number in range(50)])
        memory.load(notes)
        vectors = memory.recaller().node_vectors
        assert vectors is not None
        assert len(vectors) == 2
        notes.write_text(NOTES.replace("4 euros", "6 euros"))
        memory.load(notes)
        memory.refresh()
        assert len(vectors) == 2
        memory.documents.delete(1)
        memory.refresh()
        assert len(vectors) == 0


def test_two_importers_of_one_file_give_one_document(address: str, notes: Path) -> None:
    with Store.open(address):
        pass
    command = [sys.executable, "-m", "reverie", "memory", "import", str(notes), "--memory", address, "--json"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    done = [json.loads(process.communicate(timeout=100)[0]) for process in running]
    assert sorted(one["new"] for one in done) == [0, 1]
    with Store.open(address) as store:
        assert [one.passages for one in Documents(store).list()] == [2]
        assert store.check() == []


def test_a_kill_leaves_no_half_document(tmp_path: Path) -> None:
    folder, address = tmp_path / "many", tmp_path / "kg.db"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:03}.txt").write_text("\n\n".join(f"Part {part} of {number}. " * 20 for part in range(6)))
    command = [sys.executable, "-m", "reverie", "memory", "import", str(folder), "--memory", str(address)]
    command += ["--embedder", "words"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        for _ in range(3000):
            if process.poll() is not None or _documents_in(address) > 5:
                break
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with Memory.open(address, "words") as memory:
        assert memory.store.check() == []
        for one in memory.documents.list():
            assert "Part 5 of" in memory.documents.passages(one.id)[-1].text
        memory.load(folder)
        assert len(memory.documents.list()) == 60
        assert memory.recall("part 3 of 59").nodes
        memory.index(facts=False)
        vectors = memory.recaller().node_vectors
        assert vectors is not None
        assert len(vectors) >= sum(one.passages for one in memory.documents.list())


def _documents_in(address: Path) -> int:
    if not address.exists():
        return 0
    try:
        with Store.open(address, create=False) as store, store.reading() as connection:
            return int(connection.execute(text("SELECT count(*) FROM documents")).scalar_one())
    except MemoryStoreError:
        return 0  # its tables are being made


@pytest.mark.skipif(os.name != "posix", reason="named pipes are Unix's")
def test_what_is_no_file_is_left_alone(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Words.")
    os.mkfifo(tmp_path / "b.md")
    assert Documents(store).load(tmp_path).new == 1

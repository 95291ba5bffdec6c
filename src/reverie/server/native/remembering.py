"""The memory of a model through the API: recalled, added to, forgotten. Each works on an open ``Memory``."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.data import FactRow
from reverie.data.documents.reading import KINDS, kind_of, read_document
from reverie.data.facts.dates import parse_span
from reverie.data.facts.lines import checked
from reverie.errors import DataError, UsageError
from reverie.memory.told import fields_of, node_fields, recalled_fields
from reverie.progress import Progress
from reverie.server.http.errors import RequestError

if TYPE_CHECKING:
    from reverie.dreaming import Session
    from reverie.memory.memory import Memory
    from reverie.server.native.bodies import DocumentBody, FactBody, RecallBody

__all__ = ["about", "add", "documents", "forget", "forget_document", "node", "read", "recall"]

_SHOWN = 100  # facts of a node that are told


def memory_of(session: Session) -> Memory:
    """What ``session`` rests its answers on. Raises RequestError where it has none."""
    if (memory := session.grounding.memory) is None:
        raise RequestError(409, "this server keeps no memory for this model: start it with --memory", code="no_memory")
    return memory


def about(session: Session) -> dict[str, Any]:
    memory = memory_of(session)
    return {"memory": memory.address, **memory.store.stats()}


def recall(session: Session, body: RecallBody) -> dict[str, Any]:
    return recalled_fields(memory_of(session).recall(body.question, body.k, as_of=_span(body.as_of)))


def add(session: Session, body: FactBody) -> dict[str, Any]:
    memory = memory_of(session)
    first, last = _span(body.begins), _span(body.ends)
    begins, ends = first[0] if first else None, last[1] if last else None
    told: dict[str, Any] = {
        "source": body.source,
        "confidence": body.confidence,
        "valid_from": begins,
        "valid_to": ends,
    }
    try:
        written = memory.write([checked(FactRow(body.subject, body.relation, body.object, **told))])
    except ValueError as error:
        raise UsageError(str(error)) from error
    (fact,) = memory.store.facts(written.edges.tolist())
    return {"fact": fields_of(fact), "new": bool(written.new_edges)}


def forget(session: Session, fact: int) -> dict[str, Any]:
    memory = memory_of(session)
    if not (found := memory.store.facts([fact])):
        raise RequestError(404, f"the memory has no fact {fact}", code="not_found")
    return {"deleted": memory.store.delete_edges([one.id for one in found])}


def node(session: Session, name: str) -> dict[str, Any]:
    store = memory_of(session).store
    return {"nodes": [node_fields(store, one, None, _SHOWN) for one in store.find(name)]}


def documents(session: Session) -> dict[str, Any]:
    return {"documents": [fields_of(one) for one in memory_of(session).documents.list()]}


def forget_document(session: Session, number: int) -> dict[str, Any]:
    passages, facts = memory_of(session).documents.delete(number)
    return {"deleted_passages": passages, "deleted_facts": facts}


def read(body: DocumentBody) -> Callable[[Session, Progress], dict[str, Any]]:
    """Checks what was sent, and gives what reads it into the memory of a session."""
    name, data = Path(body.name).name, _data(body)
    if kind_of(Path(name)) is None:
        raise RequestError(400, f"a document's name ends with one of {', '.join(KINDS)}", "name", "invalid_value")

    def work(session: Session, progress: Progress) -> dict[str, Any]:
        memory = memory_of(session)
        progress("reading", 0, 2)
        with tempfile.TemporaryDirectory(prefix="reverie-") as folder:
            (file := Path(folder, name)).write_bytes(data)
            try:
                document = replace(read_document(file), source=f"sent:{name}")
            except DataError as error:  # it is the sender's, who knows no such folder
                raise RequestError(400, str(error).replace(f"{folder}/", ""), code="invalid_document") from error
        progress("writing", 1, 2)
        put = memory.documents.put(document)
        memory.refresh(None if put is None else put.new)
        progress("writing", 2, 2)
        return {"source": document.source, "title": document.title, "changed": put is not None} | (
            {} if put is None else {"new": put.new, "kept": put.kept, "removed": put.removed}
        )

    return work


def _span(date: str | None) -> tuple[float, float] | None:
    try:
        return parse_span(date) if date else None
    except ValueError as error:
        raise UsageError(str(error)) from error


def _data(body: DocumentBody) -> bytes:
    if (body.text is None) == (body.data is None):
        raise RequestError(400, "send a document as text or as data, one of both", "text", "invalid_value")
    if body.text is not None:
        return body.text.encode()
    try:
        return base64.b64decode(body.data or "", validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(400, "data is not base64", "data", "invalid_value") from None

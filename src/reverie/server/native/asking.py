"""A question with all that its answer rests on, whole or as it comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from reverie.drawing import png_bytes
from reverie.dreaming.export_images import Images, answer_to_json
from reverie.dreaming.pictures import MAX_PIXELS
from reverie.dreaming.question import DreamSettings, Question, Speaking, Turn
from reverie.dreaming.strip import branches_of
from reverie.errors import ReverieError
from reverie.jsonio import jsonable
from reverie.server.http.streams import event
from reverie.server.pictures.encoding import as_base64, open_base64
from reverie.talks import TalkLog

if TYPE_CHECKING:
    from reverie.dreaming import Session
    from reverie.nouns import Answer
    from reverie.server.hosting import Hosting
    from reverie.server.native.bodies import AskBody

__all__ = ["answered", "as_it_comes", "question_of"]

_USUAL = 0.7  # temperature of dreams


def question_of(body: AskBody) -> Question:
    """What is asked. Raises UsageError and PictureError for what makes no sense."""
    shown = (open_base64(body.image, MAX_PIXELS),) if body.image else ()
    history = tuple(Turn(turn.question, turn.answer, turn.guess) for turn in body.history)
    return Question(body.question, shown, body.world, body.scene, body.experts, history)


async def answered(
    hosting: Hosting, body: AskBody, question: Question, log: TalkLog | None, say: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """The answer as JSON, with ``turn`` and ``talk`` of the log; ``say`` hears its words as they come."""
    if log is not None and body.talk is not None:
        await asyncio.to_thread(log.talk, body.talk)  # one that is not there is told before any work
    settings = DreamSettings(
        body.branches, body.depth, _USUAL if body.temperature is None else body.temperature, body.seed
    )
    sampling = None if body.temperature is None else {"temperature": body.temperature}
    speaking = Speaking(body.system, body.max_ids, sampling or {}, unknown=body.unknown)
    answer = await hosting.ask(
        body.model, question, settings, speaking, remember=body.remember, explain=body.explain, on_text=say
    )
    images: Images = {}
    if body.pictures and answer.dreams:
        images = await hosting.within(body.model, lambda session: _images(session, answer))
    told = answer_to_json(answer, images)
    kept = await asyncio.to_thread(_kept, log, body, answer, told) if log is not None and body.keep else {}
    told_of: dict[str, Any] = jsonable({"question": body.question, **told, "talk": None, "turn": None, **kept})
    return told_of


async def as_it_comes(hosting: Hosting, body: AskBody, question: Question, log: TalkLog | None) -> AsyncIterator[str]:
    """Events ``{"type": "text", "text": …}`` for its words as they come, then ``{"type": "answer", …}``."""
    pieces: asyncio.Queue[str | None] = asyncio.Queue()
    work = asyncio.ensure_future(answered(hosting, body, question, log, pieces.put_nowait))
    work.add_done_callback(lambda _: pieces.put_nowait(None))
    try:
        while (piece := await pieces.get()) is not None:
            yield event({"type": "text", "text": piece})
        yield event({"type": "answer", **await work})
    finally:
        work.cancel()


def _images(session: Session, answer: Answer) -> Images:
    """The pictures of all dreams as data: URIs."""
    branches = branches_of(answer.dreams, session.decode) if session.worlds else []
    return {
        (index, place): f"data:image/png;base64,{as_base64(png_bytes(panel.picture))}"
        for index, branch in enumerate(branches)
        for place, panel in enumerate(branch.panels)
        if panel.picture is not None
    }


def _kept(log: TalkLog, body: AskBody, answer: Answer, told: dict[str, Any]) -> dict[str, Any]:
    """Where it was kept; nowhere, and a line in the server's log, where the log of talks cannot be written."""
    details = told | {"dreams": answer_to_json(answer)["dreams"]}  # without pictures: they can be dreamed again
    try:
        talk = body.talk or log.begin(body.model, body.system)
        return {"talk": talk, "turn": log.add(talk, body.question, answer, details)}
    except ReverieError as error:
        logging.getLogger("reverie.server").warning("a turn is not kept: %s", error)
        return {}

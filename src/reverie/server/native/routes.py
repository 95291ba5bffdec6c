"""The addresses below ``/v1/reverie``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from reverie.dreaming.gap_notes import GapNotes
from reverie.errors import UsageError
from reverie.jsonio import jsonable
from reverie.server.http.errors import RequestError, as_openai
from reverie.server.http.streams import EventStream, event, told, unless_gone
from reverie.server.native import experts, growing, remembering
from reverie.server.native.asking import answered, as_it_comes, question_of
from reverie.server.native.bodies import (
    AskBody,
    DocumentBody,
    ExpertBody,
    FactBody,
    FeedbackBody,
    GrowBody,
    RecallBody,
)
from reverie.server.native.jobs import Jobs
from reverie.talks import TalkLog

if TYPE_CHECKING:
    from reverie.dreaming import Session
    from reverie.progress import Progress
    from reverie.server.hosting import Hosting

__all__ = ["native_routes"]

T = TypeVar("T")

Model = Annotated[str, Query(min_length=1, max_length=200, description="whose memory")]
Gap = Annotated[str, Path(min_length=1, max_length=200, description="its id or name")]
Number = Annotated[int, Path(ge=1, le=2**62)]
Limit = Annotated[int, Query(ge=1, le=1000)]


def native_routes(hosting: Hosting, log: TalkLog | None) -> APIRouter:
    """``log``: where talks and what is said of them are kept; None: nowhere."""
    routes = APIRouter(prefix="/v1/reverie", tags=["Reverie"])
    _ask(routes, hosting, log)
    jobs = Jobs()
    _memory(routes, hosting, jobs)
    _gaps(routes, hosting, jobs)
    _talks(routes, log, GapNotes(hosting.config.memory or False))
    return routes


def _ask(routes: APIRouter, hosting: Hosting, log: TalkLog | None) -> None:
    @routes.post("/ask", response_model=None)
    async def ask(body: AskBody, request: Request) -> Response | dict[str, Any]:
        """Ask a question: the answer with its dreams, evidence, checks and attribution."""
        question = question_of(body)
        if body.stream:
            return EventStream(told(as_it_comes(hosting, body, question, log), lambda error: event(as_openai(error))))
        return await unless_gone(request, answered(hosting, body, question, log))

    @routes.get("/experts")
    async def all_experts(model: Model) -> dict[str, Any]:
        """The experts of a model, with their cards."""
        return await asyncio.to_thread(experts.told, hosting, model)

    @routes.post("/experts")
    async def add_expert(body: ExpertBody) -> dict[str, Any]:
        """Add an expert: an adapter as PEFT saves it. It helps from the next question on."""
        return await asyncio.to_thread(experts.add, hosting, body)

    @routes.delete("/experts/{name}")
    async def remove_expert(name: Annotated[str, Path(max_length=200)], model: Model) -> dict[str, Any]:
        """Delete an expert that was added."""
        return await asyncio.to_thread(experts.remove, hosting, model, name)


def _gaps(routes: APIRouter, hosting: Hosting, jobs: Jobs) -> None:
    @routes.get("/gaps")
    async def gaps(model: Model) -> dict[str, Any]:
        """What a model does not know: questions that it could not answer, told apart, the gravest first."""
        return growing.told(await hosting.gaps(model))

    @routes.get("/gaps/{gap}")
    async def one_gap(gap: Gap, model: Model) -> dict[str, Any]:
        """A gap with all its questions."""
        return growing.told_of(growing.named(await hosting.gaps(model), gap), every=True)

    @routes.post("/gaps/{gap}/grow", status_code=202)
    async def grow(gap: Gap, body: GrowBody) -> dict[str, Any]:
        """Grow an expert for a gap, in a job. It helps from the next question on, if it passes its trial."""
        found = growing.named(await hosting.gaps(body.model), gap)
        return growing.begin(jobs, hosting, found, body)

    @routes.delete("/gaps/{gap}")
    async def dismiss(gap: Gap, model: Model) -> dict[str, Any]:
        """Settle a gap's questions: they are no longer told."""
        found = growing.named(await hosting.gaps(model), gap)
        return await asyncio.to_thread(growing.dismiss, hosting, found)


def _memory(routes: APIRouter, hosting: Hosting, jobs: Jobs) -> None:

    async def within(model: str, work: Callable[[Session], dict[str, Any]]) -> dict[str, Any]:
        told: dict[str, Any] = jsonable(await hosting.within(model, work))
        return told

    @routes.get("/memory")
    async def memory(model: Model) -> dict[str, Any]:
        """What the memory of a model holds."""
        return await within(model, remembering.about)

    @routes.post("/memory/recall")
    async def recall(body: RecallBody) -> dict[str, Any]:
        """What the memory has to say about a question."""
        return await within(body.model, lambda session: remembering.recall(session, body))

    @routes.post("/memory/facts")
    async def add(body: FactBody) -> dict[str, Any]:
        """Keep a fact."""
        return await within(body.model, lambda session: remembering.add(session, body))

    @routes.delete("/memory/facts/{fact}")
    async def forget(fact: Number, model: Model) -> dict[str, Any]:
        """Forget a fact; its history stays."""
        return await within(model, lambda session: remembering.forget(session, fact))

    @routes.get("/memory/nodes")
    async def node(model: Model, name: Annotated[str, Query(min_length=1, max_length=500)]) -> dict[str, Any]:
        """The nodes of a name, with their facts."""
        return await within(model, lambda session: remembering.node(session, name))

    @routes.get("/documents")
    async def documents(model: Model) -> dict[str, Any]:
        """The documents that were read."""
        return await within(model, remembering.documents)

    @routes.post("/documents", status_code=202)
    async def read(body: DocumentBody) -> dict[str, Any]:
        """Read a document, in a job; one of the same name that was sent before is replaced."""
        reading = remembering.read(body)
        hosting.resolve(body.model)

        async def work(progress: Progress) -> Any:
            return await within(body.model, lambda session: reading(session, progress))

        return jobs.begin(f"read {body.name}", work)

    @routes.delete("/documents/{document}")
    async def forget_document(document: Number, model: Model) -> dict[str, Any]:
        """Forget a document and what it alone says."""
        return await within(model, lambda session: remembering.forget_document(session, document))

    @routes.get("/jobs")
    async def all_jobs() -> dict[str, Any]:
        """Work under way, and the last that ended."""
        return {"jobs": jobs.all()}

    @routes.get("/jobs/{job}")
    async def one_job(job: Number) -> dict[str, Any]:
        """How far a job is."""
        return jobs.one(job)

    @routes.delete("/jobs/{job}")
    async def stop_job(job: Number) -> dict[str, Any]:
        """Stop a job at its next step."""
        return jobs.stop(job)


def _talks(routes: APIRouter, log: TalkLog | None, notes: GapNotes) -> None:
    async def with_log(work: Callable[[TalkLog], T]) -> T:
        if log is None:
            raise RequestError(409, "this server keeps no talks", code="no_log")
        try:
            return await asyncio.to_thread(work, log)
        except UsageError as error:  # a talk or turn that is not there
            raise RequestError(404, str(error), code="not_found") from error

    @routes.get("/talks")
    async def talks(limit: Limit = 20) -> dict[str, Any]:
        """The talks that are kept, the newest first."""
        return {"talks": [vars(talk) for talk in await with_log(lambda log: log.talks(limit))]}

    @routes.get("/talks/search")
    async def search(words: Annotated[str, Query(min_length=1, max_length=500)], limit: Limit = 20) -> dict[str, Any]:
        """Turns that hold all of these words."""
        return {"turns": [vars(turn) for turn in await with_log(lambda log: log.search(words, limit))]}

    @routes.get("/talks/{talk}")
    async def talk(talk: Number) -> dict[str, Any]:
        """A talk with its turns."""
        kept, turns = await with_log(lambda log: (log.talk(talk), log.turns(talk)))
        return vars(kept) | {"turns": [vars(turn) for turn in turns]}

    @routes.delete("/talks/{talk}")
    async def forget(talk: Number) -> dict[str, Any]:
        """Delete a talk with all that was said in it."""
        await with_log(lambda log: log.remove(talk))
        return {"deleted": talk}

    @routes.post("/feedback")
    async def feedback(body: FeedbackBody) -> dict[str, Any]:
        """Say that an answer was good, or wrong and what it should have been. It is kept to learn from."""
        turn = await with_log(lambda log: log.judge(body.turn, body.feedback, body.correction))
        if turn.feedback == "wrong":
            await asyncio.to_thread(notes.wrong, turn)
        return {"turn": body.turn, "feedback": body.feedback}

"""``Hosting``: the door of every API. A name is resolved, room is found, a model is loaded, an answer begins."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from reverie.dreaming.engine_speaker import EngineSpeaker
from reverie.dreaming.question import DreamSettings, Manner, Question, Speaking
from reverie.dreaming.session import Session
from reverie.engine import Engine, Interruption, Request
from reverie.engine.worker import Drawn
from reverie.errors import ReverieError
from reverie.experts.contract import Choice, ExpertCard
from reverie.growth.gaps import Gaps
from reverie.nouns import Answer
from reverie.server.hosting.contract import Final, TextRequest, Timing
from reverie.server.hosting.garage import Garage, Loaded
from reverie.server.hosting.metrics import Metrics
from reverie.server.hosting.models import HostedModel, ModelFacts
from reverie.server.hosting.names import Named, read_lora, read_name
from reverie.server.hosting.prompts import asked_of, question_of, route_text, talk_ids
from reverie.server.hosting.room import Room
from reverie.server.hosting.runs import BaseRun, DreamRun, EngineRun, Start, tokens_of
from reverie.server.hosting.settings import HostingConfig
from reverie.server.http.errors import RequestError, as_request_error, closing

__all__ = ["Embedded", "Hosting"]

T = TypeVar("T")

log = logging.getLogger("reverie.server")

_TEXTS_AT_ONCE = 8  # that are made to vectors between two steps
_LONG = 20_000  # characters from which making ids would hold up the event loop


@dataclass(frozen=True)
class Embedded:
    """``vectors``: float32 (n, D), each of length 1; ``num_ids``: of all texts."""

    vectors: np.ndarray
    num_ids: int


@dataclass(frozen=True)
class _Place:
    """Places for answers, and the models for them. ``leave(count, since)`` gives places back."""

    models: list[HostedModel]
    timing: Timing
    leave: Callable[..., None]


class Hosting:
    """Models by name, for any API. Its async methods belong to one event loop.

    ``catalog``: the bundles there are now, by name; asked for every request, so that they may come and go.
    """

    def __init__(self, catalog: Callable[[], Mapping[str, Path]], config: HostingConfig | None = None):
        self.config = config or HostingConfig()
        self.metrics = Metrics()
        self._garage = Garage(catalog, self.config)
        self._rooms: dict[str, Room] = {}
        self._runs = set[BaseRun]()
        self._open = True

    # what there is ----------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        return self._open

    def ready(self) -> bool:
        """Whether requests are taken, and there is a model for them."""
        return self._open and bool(self._garage.folders())

    def resolve(self, name: str) -> Named:
        """Who is meant by a name. Raises RequestError: 404 with the nearest names."""
        return read_name(name, self._garage.folders(), lambda bundle: self._garage.facts(bundle).experts)

    def models(self) -> list[ModelFacts]:
        """What there is, by name; nothing is loaded. A damaged bundle is left out, and logged."""
        return [facts for name in sorted(self._garage.folders()) if (facts := self._garage.sound(name)) is not None]

    def model_facts(self, name: str) -> ModelFacts:
        """Of the bundle that a name means, the first where it is two. Raises RequestError."""
        named = self.resolve(name)
        with _requests_fault():
            return self._garage.facts(named.parts[0])

    def experts(self, name: str) -> list[ExpertCard]:
        """The cards of a bundle's experts, by name. Raises RequestError."""
        with _requests_fault():
            return self._garage.cards(self.resolve(name).parts[0])

    def lora(self, name: str, given: Sequence[Mapping[str, Any]]) -> Choice:
        """The experts of the field ``lora`` (see ``read_lora``)."""
        return read_lora(given, self.model_facts(name).experts)

    def loaded(self) -> list[Loaded]:
        """The models in memory."""
        return self._garage.loaded()

    def numbers(self) -> bytes:
        """The metrics, in Prometheus' text form."""
        running = {name: room.running for name, room in self._rooms.items()}
        waiting = {name: room.waiting for name, room in self._rooms.items()}
        return self.metrics.text(running, waiting, sum(one.num_bytes for one in self.loaded()))

    # answers ----------------------------------------------------------------------------------------------------

    async def start(self, request: TextRequest) -> BaseRun:
        """Begin an answer, as soon as there is room. Raises RequestError for whatever is wrong with it."""
        return (await self.start_all([request]))[0]

    async def start_all(self, requests: Sequence[TextRequest]) -> list[BaseRun]:
        """Begin all of them, side by side, or none. They are of one model."""
        named = self.resolve(requests[0].model)
        if any(one.model != requests[0].model for one in requests):
            raise RequestError(400, "answers that begin together are of one model", "model")
        begun, deadline = list[BaseRun](), time.monotonic() + self.config.request_seconds
        place = await self._enter(named, len(requests), requests[0].keep_alive)
        try:
            for request in requests:
                begun.append(await self._begin(request, named, place, deadline))
                self._runs.add(begun[-1])
        except BaseException:
            for run in begun:
                run.close()
            place.leave(len(requests) - len(begun))
            raise
        return begun

    async def ask(
        self,
        name: str,
        question: Question,
        settings: DreamSettings,
        speaking: Speaking | None = None,
        *,
        remember: bool = False,
        explain: bool = False,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """A whole answer with its dreams and evidence. ``on_text`` is told words as they come, in the event loop."""
        named, loop, broken = self.resolve(name), asyncio.get_running_loop(), Interruption()
        given = None if named.experts is None else tuple(f"{one}={weight}" for one, weight in named.experts)
        asked = question if given is None else replace(question, experts=given)

        def say(text: str) -> None:
            if on_text is not None:
                loop.call_soon_threadsafe(on_text, text)

        def work(session: Session) -> Answer:
            with broken.heeded():
                return session.answer(asked, Manner(settings, speaking or Speaking(), explain, say), remember=remember)

        try:
            return await self.within(name, work)
        finally:
            broken.now()  # where whoever asked has gone

    async def within(self, name: str, work: Callable[[Session], T]) -> T:
        """What ``work`` gives with the session of a model, on the one thread that it is asked on."""
        async with self._using(name) as models:
            session = self._garage.session(models)
            return await asyncio.wrap_future(models[0].asking.submit(lambda: work(session())))

    async def gaps(self, name: str) -> Gaps:
        """What a model does not know."""
        async with self._using(name) as models:
            return await asyncio.wrap_future(models[0].asking.submit(models[0].gaps))

    async def embed(self, name: str, texts: Sequence[str | Sequence[int]], truncate: bool = False) -> Embedded:
        """A vector a text: the mean of the bare base's final states, at length 1. ``truncate``: of texts that are too
        long the beginning counts."""
        async with self._using(name) as models:
            ids = [talk_ids(models[0], text if isinstance(text, str) else tuple(text)) for text in texts]
            ids = [one[: models[0].facts.context] for one in ids] if truncate else ids
            parts = list[np.ndarray]()
            for start in range(0, len(ids), _TEXTS_AT_ONCE):  # so that answers under way go on in between
                work = partial(_embed_many, texts=ids[start : start + _TEXTS_AT_ONCE])
                parts.append(await asyncio.wrap_future(models[0].on_engine(work)))
            vectors = np.concatenate(parts)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return Embedded(vectors / np.maximum(lengths, 1e-12), sum(map(len, ids)))

    async def load(self, name: str, keep_alive: float | None = None) -> float:
        """Load the model that a name means; the seconds that it took."""
        started = time.monotonic()
        async with self._using(name, keep_alive):
            return time.monotonic() - started

    async def unload(self, name: str) -> bool:
        """Let go of a model as soon as nobody uses it; whether it was loaded."""
        return await self._garage.unload(self.resolve(name).parts)

    async def count(self, name: str, said: Any) -> int:
        """How many ids a prompt has."""
        async with self._using(name) as models:
            return len(talk_ids(models[0], said))

    # the end ----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Take no more requests. Those under way have ``grace_seconds`` to end, then get what there is."""
        self._open = False
        for room in self._rooms.values():
            room.close()
        with suppress(RuntimeError):  # no loop: nothing is under way
            asyncio.get_running_loop().call_later(self.config.grace_seconds, self.hurry)

    def hurry(self) -> None:
        """Every answer under way ends now, with what it has."""
        for run in list(self._runs):
            run.hurry()

    def close(self) -> None:
        """Let go of everything."""
        self._open = False
        self.hurry()
        self._garage.close()

    # inside -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        try:
            yield
        except RequestError as error:
            if error.status == 503:
                self.metrics.refused(name)
            raise

    async def _enter(self, named: Named, count: int = 1, keep_alive: float | None = None) -> _Place:
        """Wait for places, then for the model. All places must be given back."""
        if not self._open:
            raise closing()
        room = self._rooms.setdefault(named.parts[0], Room(self.config.max_running, self.config.max_queued))
        started = time.monotonic()
        with self._counted(named.bundle):
            await room.enter(count, self.config.request_seconds)
        entered = time.monotonic()
        try:
            with _requests_fault(), self._counted(named.bundle):
                models = await self._garage.take(named.parts, count, keep_alive)
        except BaseException:
            room.leave(count)
            raise

        def leave(count: int = 1, since: float | None = None) -> None:
            self._garage.give_back(named.parts, count)
            room.leave(count, since)

        return _Place(models, Timing(load=time.monotonic() - entered, queue=entered - started), leave)

    @asynccontextmanager
    async def _using(self, name: str, keep_alive: float | None = None) -> AsyncIterator[list[HostedModel]]:
        """One place, and the models of a name, for as long as the block runs."""
        place, since = await self._enter(self.resolve(name), 1, keep_alive), time.monotonic()
        try:
            with _requests_fault():
                yield place.models
        finally:
            place.leave(1, since)

    async def _begin(self, request: TextRequest, named: Named, place: _Place, deadline: float) -> BaseRun:
        model, since = place.models[0], time.monotonic()
        if model.facts.kept is not None:
            request = model.facts.kept.applied(request)

        def left(run: BaseRun) -> None:
            self._runs.discard(run)
            place.leave(1, since if run.finished else None)
            self.metrics.ended(named.bundle, run.final if run.finished else None)

        start = Start(named.whole, model.facts.digest[:12], left, deadline)
        with _requests_fault():
            if len(place.models) > 1 or not model.facts.talks or request.dreams is not None:
                return self._dream(request, named, place, start)
            assert model.speaker is not None
            return await self._draw(request, named, place, start, model.speaker)

    def _dream(self, request: TextRequest, named: Named, place: _Place, start: Start) -> BaseRun:
        experts = request.experts if request.experts is not None else named.experts
        question, manner = question_of(request, named.bundle, experts, self.config)
        session, asking = self._garage.session(place.models), place.models[0].asking

        def ask(say: Callable[[str], None]) -> Answer:
            return session().answer(question, replace(manner, on_text=say))

        return DreamRun(start, request, Final("stop", experts=experts or (), timing=place.timing), ask, asking.submit)

    async def _draw(
        self, request: TextRequest, named: Named, place: _Place, start: Start, speaker: EngineSpeaker
    ) -> BaseRun:
        model = place.models[0]
        started = time.monotonic()
        prefix = await self._ids(model, request)
        room = speaker.max_ids - len(prefix)
        if room < (1 if request.max_ids != 0 else 0):
            raise RequestError(
                400,
                f"the prompt has {len(prefix)} ids, and {model.facts.name} holds {speaker.max_ids} with its answer",
                "messages" if request.talk else "prompt",
                "context_length_exceeded",
            )
        experts = await self._experts(request, named, model, speaker)
        prompt, prompt_text = await self._echo(request, model, speaker, prefix, experts)
        timing = replace(place.timing, prompt=time.monotonic() - started)
        before = Final("length", "", len(prefix), 0, timing, experts, prompt, prompt_text)
        drawn = await self._drawn(request, speaker, prefix, experts, room)
        return EngineRun(start, request, before, drawn, model.worker, speaker.words, speaker.first)

    async def _experts(self, request: TextRequest, named: Named, model: HostedModel, speaker: EngineSpeaker) -> Choice:
        """Those that the request or the name says, else whom the router chooses."""
        said = request.experts if request.experts is not None else named.experts
        if said is not None:
            return said
        text = route_text(request, speaker)
        chosen: Choice = await asyncio.wrap_future(model.on_engine(lambda _: model.choose(text)))
        return chosen

    async def _ids(self, model: HostedModel, request: TextRequest) -> tuple[int, ...]:
        size = sum(len(one.content) for one in request.talk) if request.talk else len(request.said)
        if size > self.config.max_prompt:
            said = f"a prompt has at most {self.config.max_prompt:,} characters, got {size:,}"
            raise RequestError(400, said, "messages" if request.talk else "prompt", "prompt_too_long")
        if size > _LONG:
            return await asyncio.to_thread(talk_ids, model, request.said, request.tools, request.raw)
        return talk_ids(model, request.said, request.tools, request.raw)

    async def _drawn(
        self, request: TextRequest, speaker: EngineSpeaker, prefix: tuple[int, ...], experts: Choice, room: int
    ) -> Request | None:
        """What the engine is asked for; None for nothing."""
        if request.max_ids == 0:
            return None
        most = min(request.max_ids or self.config.usual_ids, self.config.max_ids, room)
        seed = secrets.randbelow(2**53) if request.seed is None else request.seed
        sampling = Speaking(sampling=request.drawing.given()).drawn(speaker.usual)
        if request.constraint is None:
            constraint = asked_of(request, speaker, most)
        else:
            constraint = await asyncio.to_thread(asked_of, request, speaker, most)
        ends = frozenset(speaker.first + token for token in speaker.words.ends)
        return Request(prefix, seed, sampling, constraint, most, ends, experts, request.top or 0)

    async def _echo(
        self, request: TextRequest, model: HostedModel, speaker: EngineSpeaker, prefix: tuple[int, ...], experts: Choice
    ) -> tuple[tuple[Any, ...], str]:
        """The prompt's own ids with their log-probabilities, and its text, where they are asked for."""
        if not request.echo:
            return (), ""
        own = [token - speaker.first for token in prefix]
        text = request.said if isinstance(request.said, str) else speaker.words.decode(own)
        if request.top is None:
            return (), text
        top, first = request.top, speaker.first
        told = await asyncio.wrap_future(model.on_engine(lambda engine: engine.tell(prefix, experts, top, first)))
        tokens = tokens_of(speaker.words, first, [Drawn(prefix[0], 0.0, ()), *(Drawn(*one) for one in told)])
        return (replace(tokens[0], log_prob=None), *tokens[1:]), text


def _embed_many(engine: Engine, texts: Sequence[Sequence[int]]) -> np.ndarray:
    return engine.embed_many(texts)


@contextmanager
def _requests_fault() -> Iterator[None]:
    """What the house refuses is said to whoever asked."""
    try:
        yield
    except ReverieError as error:
        raise as_request_error(error) from error

"""A model behind an OpenAI-compatible server, by OpenAI's own client: ``http://host:port/v1#name``.

llama.cpp's server, vLLM, and others. What a server can is found out by asking it once, when it first matters.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

import httpx
import numpy as np

from reverie.errors import BackendError, MissingExtraError, UsageError
from reverie.experts.contract import Choice
from reverie.speakers.contract import Abilities, Message, Scored, SpeechRequest
from reverie.speakers.llama_server import count_ids, llama_fields, read_chunk
from reverie.speakers.remote import Hear, Piece, RemoteSpeaker, plain_errors
from reverie.speakers.settings import SpeakerConfig

__all__ = ["OpenAISpeaker"]

_PROBE, _OPENAI = "The sun is", "https://api.openai.com/v1"


def _address(spec: str) -> str:
    """``openai:NAME`` and ``openai:NAME@URL`` as ``URL#NAME``; without one, $OPENAI_BASE_URL, else OpenAI's own."""
    if not spec.startswith("openai:"):
        return spec
    model, at, host = spec.removeprefix("openai:").partition("@http")
    return f"{'http' + host if at else os.environ.get('OPENAI_BASE_URL') or _OPENAI}#{model}"


class OpenAISpeaker(RemoteSpeaker):
    """Opens at once: raises BackendError where no server answers.

    A key is taken from $OPENAI_API_KEY alone and goes to this server alone. Scores need a server that repeats a prompt
    with its log-probabilities (``echo``), as vLLM does and llama.cpp's does not; forms are forced through grammars of
    llama.cpp's server, elsewhere the answer is cut to as many lines. Seeds are sent, but what a server has cached and
    what else it runs changes its rounding, and now and then a word.
    """

    def __init__(self, spec: str, config: SpeakerConfig | None = None, api_key: str | None = None):
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError("a model of an OpenAI-compatible server", "preview") from error
        url, _, model = _address(spec).partition("#")
        self.url, self.config = url.rstrip("/"), config or SpeakerConfig()
        key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        wait = {"timeout": self.config.timeout_s, "connect": self.config.connect_s}
        with self._errors():
            self._client: Any = openai.OpenAI(
                base_url=self.url, api_key=key, timeout=openai.Timeout(**wait), max_retries=0
            )
            headers, root = {"Authorization": f"Bearer {key}"}, self.url.removesuffix("/v1")
            self._root = httpx.Client(base_url=root, timeout=httpx.Timeout(**wait), headers=headers)
        try:
            models = self._known = {each["id"]: each for each in self._models()}
            if not model and len(models) != 1:
                known = ", ".join(sorted(models)) or "none"
                raise UsageError(f"{self.url} has not one model: say which one behind a #. There are: {known}")
            self.model = model or next(iter(models))
            self.name = f"{self.url}#{self.model}"
            self.max_ids = self._context(models.get(self.model, {}))
        except BaseException:
            self.close()
            raise

    @cached_property
    def abilities(self) -> Abilities:  # type: ignore[override]
        completes, _, scores = self._completes
        return Abilities(completes, forms=self._props is not None, scores=scores, seeds=False, tops=self._tops)

    def score(self, wanted: Sequence[tuple[str, str]], experts: Choice = ()) -> list[Scored]:
        if not self.abilities.scores or experts:
            return super().score(wanted, experts)
        texts = list(dict.fromkeys(text for before, after in wanted for text in (before, before + after)))
        read = dict(zip(texts, self._read(texts), strict=True))
        scored = []
        for before, after in wanted:
            start = len(read[before])
            log_probs = read[before + after][start:]
            scored.append(Scored(float(np.sum(log_probs, dtype=np.float64)), len(log_probs)))
        return scored

    def count(self, said: str | tuple[Message, ...]) -> int:
        if self._props is None:
            return super().count(said)
        try:
            return count_ids(self._root, said)
        except (httpx.HTTPError, ValueError, KeyError):  # an older server
            return super().count(said)

    def close(self) -> None:
        self._client.close()
        self._root.close()

    def _say(self, request: SpeechRequest, hear: Hear) -> None:
        with self._errors(), self._open(request) as stream:
            for chunk in stream:
                if hear(read_chunk(chunk.model_dump(), request.top)):
                    break

    def _open(self, request: SpeechRequest) -> Any:
        drawn = request.sampling
        if self._props is not None:
            extra = llama_fields(request, self.max_ids)
        else:  # some servers refuse what they do not know, so what is off is not said
            extra = {"top_k": drawn.top_k, "min_p": drawn.min_p, "repetition_penalty": drawn.repetition_penalty}
            off = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
            extra = {key: value for key, value in extra.items() if value != off[key]}
        stop = [*request.stop, *(["\n\n"] if request.form and "grammar" not in extra else [])][:4]  # more are refused
        asked: dict[str, Any] = {
            "model": self.model,
            "temperature": drawn.temperature,
            "top_p": drawn.top_p,
            "seed": request.seed % (2**31 - 1),
            "stream": True,
            "extra_body": extra,
            **({"stop": stop} if stop else {}),
        }
        if isinstance(request.said, str):
            asked |= {"logprobs": request.top or 1} if self._completes[1] else {}
            return self._client.completions.create(prompt=request.said, max_tokens=request.max_ids, **asked)
        asked |= {"logprobs": True} if self._completes[1] or request.top else {}
        asked |= {"top_logprobs": request.top} if request.top else {}
        most = "max_completion_tokens" if httpx.URL(self.url).host == "api.openai.com" else "max_tokens"
        turns = [vars(turn) for turn in request.said]
        return self._client.chat.completions.create(messages=turns, **{most: request.max_ids}, **asked)

    @cached_property
    def _props(self) -> dict[str, Any] | None:
        """What llama.cpp's server says of itself; None where it is another."""
        try:
            answer = self._root.get("/props")
            said = answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            return None
        return said if isinstance(said, dict) and "default_generation_settings" in said else None

    @cached_property
    def _completes(self) -> tuple[bool, bool, bool]:
        """Whether the server completes texts, tells log-probabilities, and scores."""
        tried: list[dict[str, Any]] = [{"echo": True, "logprobs": 1}, {"logprobs": 1}, {}]
        for extra in tried:
            try:
                with self._errors():
                    said = self._complete([_PROBE], **extra)[0]
            except (BackendError, UsageError) as error:
                status = getattr(error.__cause__, "status_code", 0)
                if status in (0, 401, 403) or (status == 404 and self.model not in self._known):
                    raise
                continue
            told = said.get("logprobs") or {}
            echoed = told.get("token_logprobs") or []
            scores = bool(extra.get("echo")) and said.get("text", "").startswith(_PROBE) and len(echoed) > 2
            return True, bool(told), scores and None not in echoed[1:]
        return False, False, False

    @cached_property
    def _tops(self) -> int:
        """How many of the likeliest ids it tells: OpenAI's chats and most servers 20, its completions 5."""
        if self._props is not None:  # llama.cpp's server does
            return 20
        completes, told, _ = self._completes
        request = SpeechRequest(_PROBE if completes else (Message("user", _PROBE),), 3)
        for top in (20, 5) if told or not completes else ():
            heard = list[Piece]()
            with suppress(BackendError, UsageError):
                self._say(replace(request, top=top), lambda piece, heard=heard: bool(heard.append(piece)))  # type: ignore[misc]
            if any(one.top for piece in heard for one in piece.ids or ()):
                return top
        return 0

    def _read(self, texts: Sequence[str]) -> list[list[float]]:
        """The log-probabilities of the ids of each text, the first of which has none and counts as 0."""
        with self._errors():
            choices = self._complete(texts, echo=True, logprobs=1)
            return [[one or 0.0 for one in choice["logprobs"]["token_logprobs"][:-1]] for choice in choices]

    def _complete(self, texts: Sequence[str], **extra: Any) -> list[dict[str, Any]]:
        # the likeliest id, not a drawn one: llama.cpp tells no log-probabilities of half a character
        extra |= {"max_tokens": 1, "temperature": 0}
        answer = self._client.completions.create(model=self.model, prompt=list(texts), **extra)
        choices = sorted(answer.model_dump()["choices"], key=lambda choice: choice["index"])
        if len(choices) != len(texts):
            raise ValueError("an empty choice")
        return choices

    def _models(self) -> list[dict[str, Any]]:
        with self._errors():
            return [each.model_dump() for each in self._client.models.list().data]

    def _context(self, model: dict[str, Any]) -> int:
        told = model.get("max_model_len")  # vLLM
        if self._props is not None:
            told = self._props["default_generation_settings"].get("n_ctx")
        return int(told) if told else self.config.max_ids

    def _errors(self) -> Any:
        def known() -> list[str]:
            return [str(each["id"]) for each in self._models()]

        wanted = getattr(self, "model", "")
        return plain_errors("the OpenAI-compatible server", self.url, self.config, wanted, known)

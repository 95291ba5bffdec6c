"""A model that an Ollama server runs, by Ollama's own client: ``ollama:llama3.2``, ``ollama:NAME@http://host:11434``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from reverie.engine.sampling import Sampling
from reverie.errors import BackendError, MissingExtraError, UsageError
from reverie.speakers.contract import Abilities, SpeechRequest
from reverie.speakers.remote import Hear, Piece, RemoteSpeaker, plain_errors, said_id, spell
from reverie.speakers.settings import SpeakerConfig

__all__ = ["OllamaSpeaker"]

_PROBE, _MOST_TOP = "The sun is", 20  # more of the likeliest ids are refused


class OllamaSpeaker(RemoteSpeaker):
    """Opens at once: Raises BackendError where no server answers or has no such model.

    A form cannot be forced on it: the answer is cut to as many lines. Seeds are sent, but what Ollama has cached and
    what else it runs changes its rounding, and now and then a word.
    """

    def __init__(self, spec: str, config: SpeakerConfig | None = None):
        try:
            import httpx
            import ollama
        except ImportError as error:
            raise MissingExtraError("a model of an Ollama server", "ollama") from error
        model, _, host = spec.partition("@http")
        self.model = model.removeprefix("ollama:").strip()
        if not self.model:
            raise UsageError(f"'{spec}' names no model: write ollama:NAME, such as ollama:llama3.2")
        self.name, self.config = f"ollama:{self.model}", config or SpeakerConfig()
        timeout = httpx.Timeout(self.config.timeout_s, connect=self.config.connect_s)
        self._client = ollama.Client("http" + host if host else None, timeout=timeout)
        self._url = str(self._client._client.base_url).rstrip("/")
        try:
            with self._errors():
                shown = self._client.show(self.model)
        except BaseException:
            self.close()
            raise
        self._able = list(shown.capabilities or ["completion"])
        self._thinks = "thinking" in self._able
        self.identity = f"{self.name}@{self._url} {shown.modified_at or ''}"
        told = _parameters(shown.parameters or "")
        info = shown.modelinfo or {}
        trained = int(info.get(f"{info.get('general.architecture')}.context_length") or self.config.max_ids)
        self.max_ids = int(told.get("num_ctx", min(trained, self.config.max_ids)))
        self.usual = Sampling(
            told.get("temperature", 0.0),
            int(told.get("top_k", 0)),
            told.get("top_p", 1.0),
            told.get("min_p", 0.0),
            told.get("repeat_penalty", 1.0),
        )

    @cached_property
    def abilities(self) -> Abilities:  # type: ignore[override]
        """Found out by having it say one word: older servers, and other ones, tell no likeliest ids."""
        completes, heard = "completion" in self._able, list[Piece]()
        if completes:
            with suppress(BackendError, UsageError):
                self._say(SpeechRequest(_PROBE, 3, top=_MOST_TOP), lambda piece: heard.append(piece) or False)  # type: ignore[func-returns-value]
        tells = any(one.top for piece in heard for one in piece.ids or ())
        return Abilities(completes, embeds="embedding" in self._able, seeds=False, tops=_MOST_TOP if tells else 0)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        if not self.abilities.embeds:
            return super().embed(texts)
        with self._errors():
            return np.array(self._client.embed(self.model, list(texts)).embeddings, dtype=np.float32)

    def close(self) -> None:
        self._client._client.close()

    def _say(self, request: SpeechRequest, hear: Hear) -> None:
        asked: dict[str, Any] = {"options": self._options(request), "stream": True, "logprobs": True}
        if request.top:
            asked["top_logprobs"] = request.top
        if self._thinks:
            asked["think"] = False  # its ids would be the answer's
        with self._errors():
            if isinstance(request.said, str):
                stream = self._client.generate(self.model, request.said, raw=True, **asked)
            else:
                stream = self._client.chat(self.model, [vars(turn) for turn in request.said], **asked)
            for part in stream:
                if hear(_piece(part, request.top)):
                    break
            stream.close()

    def _options(self, request: SpeechRequest) -> dict[str, Any]:
        """Every setting is said, so that none of the model's own file counts."""
        drawn = request.sampling
        return {
            "num_ctx": self.max_ids,
            "num_predict": request.max_ids,
            "temperature": drawn.temperature,
            "top_k": drawn.top_k,
            "top_p": drawn.top_p,
            "min_p": drawn.min_p,
            "repeat_penalty": drawn.repetition_penalty,
            "repeat_last_n": self.max_ids,
            "seed": request.seed % (2**31 - 1),
            "stop": list(request.stop) + (["\n\n"] if request.form else []),
        }

    def _errors(self) -> Any:
        def known() -> list[str]:
            return [str(each.model) for each in self._client.list().models]

        return plain_errors("the Ollama server", self._url, self.config, self.model, known)


def _parameters(shown: str) -> dict[str, float]:
    """The numbers of a model's file, such as ``temperature 0.7``, a line each."""
    told = {}
    for line in shown.splitlines():
        key, _, value = line.strip().partition(" ")
        with suppress(ValueError):
            told[key] = float(value)
    return told


def _piece(part: Any, top: int) -> Piece:
    text = (part.response if hasattr(part, "response") else part.message.content) or ""
    ids = None if part.logprobs is None else [said_id(one.model_dump(), top) for one in part.logprobs]
    if ids and not spell(ids, text):  # of a letter in several ids, whose bytes the client does not tell
        first, *others = (replace(one, bytes=b"", top=()) for one in ids)
        ids = [replace(first, bytes=text.encode()), *others]
    end = (part.done_reason or "stop") if part.done else ""
    return Piece(text, None if ids is None else tuple(ids), part.eval_count, part.prompt_eval_count, end)

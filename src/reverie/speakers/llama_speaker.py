"""A GGUF file in llama.cpp, in this process (``xllamacpp``): ``llama:FILE.gguf``. The fastest answers of a CPU.

``xllamacpp`` offers llama.cpp's server alone: texts go in and come out, the logits of a step do not. So this is a
speaker and no decoder of our engine: no experts, no constraints but grammars, no scores of given words. A server of it
always listens on 127.0.0.1 too; that door is shut by a random key, which the tokenizer is asked through.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import httpx

from reverie.errors import BackendError, BundleError, MissingExtraError, UsageError, shorten
from reverie.paths import find_gguf
from reverie.speakers.contract import MAX_TOP, Abilities, Message, SpeechRequest
from reverie.speakers.llama_server import count_ids, llama_fields, read_chunk
from reverie.speakers.remote import Hear, RemoteSpeaker
from reverie.speakers.settings import SpeakerConfig

__all__ = ["LlamaSpeaker"]


class LlamaSpeaker(RemoteSpeaker):
    """``config.parallel`` requests run side by side in slots of their own, each of up to ``max_ids`` ids.

    Seeds are kept where it is asked for one at a time (``parallel=1``): what else is in a step, and what was kept of an
    earlier prompt, changes llama.cpp's rounding. Raises BundleError for what is no whole GGUF file.
    """

    joins = True  # their threads are in llama.cpp, which may not go before them

    def __init__(self, spec: str | Path, config: SpeakerConfig | None = None):
        try:
            import xllamacpp
        except ImportError as error:
            raise MissingExtraError("llama.cpp", "llama") from error
        path = find_gguf(str(spec).removeprefix("llama:"))
        _check_file(path)
        self.name, self.config = f"llama:{path.name}", config or SpeakerConfig()
        self._exact = self.config.parallel == 1
        self.abilities = Abilities(forms=True, seeds=self._exact, tops=MAX_TOP)
        facts = path.stat()
        self.identity = f"llama:{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
        params, key = xllamacpp.CommonParams(), secrets.token_hex(16)
        params.model.path, params.api_keys = str(path), [key]
        params.verbosity, params.ui, params.warmup = -1, False, False
        params.n_parallel, params.n_ctx = self.config.parallel, self.config.parallel * self.config.max_ids
        if self.config.num_threads:
            params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self.config.num_threads
        try:
            self._server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            raise BundleError(
                f"llama.cpp cannot load {path}: it is cut short, of a kind that this version does not know, or larger "
                "than the free memory"
            ) from error
        headers = {"Authorization": f"Bearer {key}"}
        self._door = httpx.Client(base_url=self._server.listening_address, headers=headers, trust_env=False)
        self.max_ids = int(self._door.get("/props").json()["default_generation_settings"]["n_ctx"])

    def count(self, said: str | tuple[Message, ...]) -> int:
        if self._server is None:
            raise UsageError(f"{self.name} is closed")
        try:
            return count_ids(self._door, said)
        except httpx.HTTPStatusError as error:
            raise BackendError(f"{self.name} cannot read that: {shorten(error.response.text, 200)}") from error

    def close(self) -> None:
        self._door.close()
        self._server = None

    def _say(self, request: SpeechRequest, hear: Hear) -> None:
        drawn, wrong = request.sampling, list[str]()
        asked: dict[str, Any] = {
            **llama_fields(request, self.max_ids),
            "max_tokens": request.max_ids,
            "temperature": drawn.temperature,
            "top_p": drawn.top_p,
            "seed": request.seed % (2**31 - 1),
            "stop": list(request.stop),
            "stream": True,
            "cache_prompt": not self._exact,
        }

        def take(chunk: dict[str, Any]) -> bool:
            try:
                if "error" in chunk:
                    wrong.append(str(chunk["error"].get("message", chunk["error"])))
                    return True
                return hear(read_chunk(chunk, request.top))
            except Exception as error:  # noqa: BLE001  # it may not rise through llama.cpp
                wrong.append(f"{type(error).__name__}: {error}")
                return True

        if isinstance(request.said, str):
            self._server.handle_completions({**asked, "prompt": request.said, "n_probs": max(request.top, 1)}, take)
        else:
            turns = [vars(turn) for turn in request.said]
            told = {"logprobs": True, "top_logprobs": max(request.top, 1)}
            self._server.handle_chat_completions({**asked, **told, "messages": turns}, take)
        if wrong:
            raise BackendError(f"{self.name} cannot answer: {shorten(wrong[0], 200)}")


def _check_file(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise BundleError(f"{path} is no GGUF file: it does not begin as one")

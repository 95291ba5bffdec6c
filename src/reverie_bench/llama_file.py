"""A GGUF file under llama.cpp, asked for what it reads and what it makes of it: ids, logits, its likeliest words."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np

__all__ = ["LlamaFile"]


class LlamaFile:
    """One file with its adapters, none of which counts unless a call says so. Close it in the end.

    Raises MissingExtraError without ``xllamacpp``.
    """

    def __init__(self, path: Path, adapters: Sequence[Path] = (), max_ids: int = 512, num_threads: int = 1):
        from reverie.errors import MissingExtraError

        try:
            import xllamacpp
        except ImportError as error:
            raise MissingExtraError("llama.cpp", "llama") from error
        params, key = xllamacpp.CommonParams(), secrets.token_hex(16)
        params.model.path, params.api_keys = str(path), [key]
        params.verbosity, params.ui, params.warmup = -1, False, False
        params.n_parallel, params.n_ctx = 1, max_ids
        # Keys and values as exact as the weights, and no shortcut through attention: what differs is the file's fault.
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        # Threads that wait for each other at every product stand still where a machine is busy
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = num_threads
        infos = []
        for adapter in adapters:
            info = xllamacpp.CommonAdapterLoraInfo()
            info.path, info.scale = str(adapter), 0.0
            infos.append(info)
        params.lora_adapters = infos
        self._num_adapters = len(infos)
        self._server: Any = xllamacpp.Server(params)
        headers = {"Authorization": f"Bearer {key}"}
        self._door = httpx.Client(base_url=self._server.listening_address, headers=headers, trust_env=False, timeout=60)

    def ids(self, text: str, special: bool = True) -> list[int]:
        """What llama.cpp reads; ``special``: with what it puts around a text."""
        asked = {"content": text, "add_special": special, "parse_special": True}
        told = self._door.post("/tokenize", json=asked).raise_for_status().json()
        return [int(token) for token in told["tokens"]]

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> str:
        """A talk in the file's own chat template."""
        told = self._door.post("/apply-template", json={"messages": [*messages]}).raise_for_status().json()
        return str(told["prompt"])

    def log_probs(self, ids: Sequence[int], num_ids: int, scales: Mapping[int, float] | None = None) -> np.ndarray:
        """Of the id that follows: float32 (num_ids,), in nats. ``scales``: of adapters by their place."""
        # The server tells none beside an id that ends the answer or cuts a letter: one that does neither is drawn,
        # which changes nothing but that.
        plain = self.ids("a", special=False)[-1]
        asked = {"n_probs": num_ids, "logit_bias": [[plain, 1e6]]}
        told = self._complete(ids, 1, scales, asked)["completion_probabilities"][0]["top_logprobs"]
        found = np.full(num_ids, -np.inf, dtype=np.float32)
        found[[one["id"] for one in told]] = [one["logprob"] for one in told]
        return found

    def greedy(self, ids: Sequence[int], count: int, scales: Mapping[int, float] | None = None) -> list[int]:
        """The likeliest ids that follow, up to one that ends the answer."""
        told = self._complete(ids, count, scales, {"return_tokens": True})
        return [int(token) for token in told["tokens"]]

    def close(self) -> None:
        self._door.close()
        self._server = None

    def __enter__(self) -> LlamaFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _complete(
        self, ids: Sequence[int], count: int, scales: Mapping[int, float] | None, more: Mapping[str, Any]
    ) -> dict[str, Any]:
        asked = {
            "prompt": [*ids],
            "n_predict": count,
            "temperature": 0.0,
            "samplers": ["temperature"],
            "cache_prompt": False,
            "lora": [{"id": place, "scale": (scales or {}).get(place, 0.0)} for place in range(self._num_adapters)],
            **more,
        }
        told: dict[str, Any] = self._door.post("/completion", json=asked).raise_for_status().json()
        return told

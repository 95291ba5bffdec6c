"""What llama.cpp's server understands beyond OpenAI's API: every sampling setting, grammars, tokenizing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from reverie.speakers.contract import Message, SpeechRequest
from reverie.speakers.remote import Piece

__all__ = ["count_ids", "form_grammar", "llama_fields", "read_chunk"]


def llama_fields(request: SpeechRequest, max_ids: int) -> dict[str, Any]:
    """Every setting is said, so that none of the server's own counts; in the order of ``Sampling``."""
    drawn = request.sampling
    fields: dict[str, Any] = {
        "samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"],
        "top_k": drawn.top_k,
        "min_p": drawn.min_p,
        "repeat_penalty": drawn.repetition_penalty,
        "repeat_last_n": max_ids,
        "cache_prompt": True,
        "stream_options": {"include_usage": True},
    }
    return fields if request.form is None else {**fields, "grammar": form_grammar(request.form)}


def form_grammar(labels: Sequence[str]) -> str:
    """``SpeechRequest.form`` in llama.cpp's GBNF."""
    lines = ["words", *(f'"\\n" {_quoted(label)} words' for label in labels), '"\\n"?']
    return f"root ::= {' '.join(lines)}\nwords ::= [ \\t]* [^ \\t\\r\\n] [^\\r\\n]*\n"


def _quoted(text: str) -> str:
    for plain, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(plain, written)
    return f'"{text}"'


def read_chunk(chunk: Mapping[str, Any]) -> Piece:
    """A chunk of a stream of completions or of a chat, in OpenAI's or llama.cpp's way."""
    num_ids = (chunk.get("usage") or {}).get("completion_tokens")
    if not chunk.get("choices"):
        return Piece(num_ids=num_ids)
    choice = chunk["choices"][0]
    text = choice["text"] if "text" in choice else (choice.get("delta") or {}).get("content")
    told = choice.get("logprobs") or {}
    log_probs = [each["logprob"] for each in told.get("content") or ()] or told.get("token_logprobs")
    return Piece(text or "", tuple(log_probs) if log_probs else None, num_ids, choice.get("finish_reason") or "")


def count_ids(client: httpx.Client, said: str | tuple[Message, ...]) -> int:
    """How many ids that is, with the chat template around turns. Raises httpx.HTTPError, ValueError, KeyError."""
    if not isinstance(said, str):
        answer = client.post("/apply-template", json={"messages": [vars(turn) for turn in said]})
        said = answer.raise_for_status().json()["prompt"]
    asked = {"content": said, "add_special": True, "parse_special": True}
    return len(client.post("/tokenize", json=asked).raise_for_status().json()["tokens"])

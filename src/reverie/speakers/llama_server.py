"""What llama.cpp's server understands beyond OpenAI's API: every sampling setting, grammars, tokenizing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from reverie.speakers.contract import Message, SaidId, SpeechRequest
from reverie.speakers.remote import Piece, said_id

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


def read_chunk(chunk: Mapping[str, Any], top: int = 0) -> Piece:
    """A chunk of a stream of completions or of a chat, in OpenAI's or llama.cpp's way."""
    usage = chunk.get("usage") or {}
    num_ids, prompt_ids = usage.get("completion_tokens"), usage.get("prompt_tokens")
    if not chunk.get("choices"):
        return Piece(num_ids=num_ids, prompt_ids=prompt_ids)
    choice = chunk["choices"][0]
    text = choice["text"] if "text" in choice else (choice.get("delta") or {}).get("content")
    told = choice.get("logprobs") or {}
    ids = [said_id(each, top) for each in told.get("content") or ()] or _completed(told, top)
    end = choice.get("finish_reason") or ""
    return Piece(text or "", tuple(ids) if ids else None, num_ids, prompt_ids, end)


def _completed(told: Mapping[str, Any], top: int) -> list[SaidId]:
    """Ids as OpenAI's completions tell them: in columns, the likeliest by their texts."""
    log_probs = told.get("token_logprobs") or ()
    tokens, tops = told.get("tokens") or [""] * len(log_probs), told.get("top_logprobs") or [None] * len(log_probs)
    rows = zip(tokens, log_probs, tops)
    return [
        said_id(
            {
                "token": token,
                "logprob": math.nan if log_prob is None else log_prob,
                "top_logprobs": [{"token": text, "logprob": nats} for text, nats in (best or {}).items()],
            },
            top,
        )
        for token, log_prob, best in rows
    ]


def count_ids(client: httpx.Client, said: str | tuple[Message, ...]) -> int:
    """How many ids that is, with the chat template around turns. Raises httpx.HTTPError, ValueError, KeyError."""
    if not isinstance(said, str):
        answer = client.post("/apply-template", json={"messages": [vars(turn) for turn in said]})
        said = answer.raise_for_status().json()["prompt"]
    asked = {"content": said, "add_special": True, "parse_special": True}
    return len(client.post("/tokenize", json=asked).raise_for_status().json()["tokens"])

"""``POST /v1/completions``: a text goes on; with ``echo`` and ``logprobs`` it is scored, as ``lm_eval`` asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from reverie.server.hosting import Final, Hosting, Run, TextRequest, Token
from reverie.server.http.errors import RequestError
from reverie.server.http.streams import STREAMED, event, unless_gone
from reverie.server.openai.bodies import CompletionBody, pass_over
from reverie.server.openai.shared import (
    Saying,
    all_of,
    answered,
    merged,
    new_id,
    now,
    our_fields,
    request_fields,
    seed_of,
    token_name,
    usage_of,
)

__all__ = ["completion_routes", "texts_of"]

_USUAL_IDS = 16  # as OpenAI has it


def completion_routes(hosting: Hosting) -> APIRouter:
    routes = APIRouter(prefix="/v1")

    @routes.post("/completions", response_model=None, responses=STREAMED)
    async def complete(wanted: CompletionBody, request: Request, answer: Response) -> Response | dict[str, Any]:
        """What a base goes on with after each prompt: texts, or ids of its own tokenizer."""
        pass_over(wanted, answer)
        prompts = texts_of(wanted.prompt, "prompt", hosting.config.max_choices)
        requests = _requests(wanted, prompts, hosting)
        runs = await unless_gone(request, hosting.start_all(requests))
        return await answered(_Saying(wanted, runs, len(prompts)), wanted, request, answer)

    return routes


def texts_of(given: Any, param: str, most: int) -> list[str | tuple[int, ...]]:
    """One or several texts, or ids. Raises RequestError for none, and for more than ``most``."""
    texts: list[str | tuple[int, ...]]
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [tuple(given)]
    texts = [one if isinstance(one, str) else tuple(one) for one in given]
    if not texts or not all(isinstance(one, str) or one for one in texts):
        raise RequestError(400, f"'{param}' holds nothing", param, "invalid_value")
    if len(texts) > most:
        raise RequestError(400, f"'{param}' holds at most {most} texts, got {len(texts)}", param, "invalid_value")
    return texts


def _requests(wanted: CompletionBody, prompts: Sequence[str | tuple[int, ...]], hosting: Hosting) -> list[TextRequest]:
    if wanted.suffix:
        raise RequestError(
            400, "'suffix' is not offered: these bases do not fill gaps", "suffix", "unsupported_parameter"
        )
    if wanted.logit_bias:
        raise RequestError(400, "'logit_bias' is not offered", "logit_bias", "unsupported_parameter")
    count, most = wanted.n or 1, hosting.config.max_choices
    if wanted.best_of not in (None, count):
        raise RequestError(400, "'best_of' is not offered: ask for 'n' and choose", "best_of", "unsupported_parameter")
    if count * len(prompts) > most:
        said = f"'n' times the prompts is at most {most}, got {count * len(prompts)}"
        raise RequestError(400, said, "n", "invalid_value")
    ids = _USUAL_IDS if wanted.max_tokens is None else wanted.max_tokens
    if ids == 0 and not wanted.echo:
        raise RequestError(400, "'max_tokens' is at least 1, unless 'echo' is true", "max_tokens", "invalid_value")
    fields = request_fields(wanted, hosting)
    return [
        TextRequest(
            said=prompt,
            seed=seed_of(wanted, one),
            max_ids=ids,
            top=wanted.logprobs,
            echo=bool(wanted.echo),
            **fields,
        )
        for prompt in prompts
        for one in range(count)
    ]


class _Saying(Saying):
    """Continuations of one request, in OpenAI's words."""

    def __init__(self, wanted: CompletionBody, runs: Sequence[Run], num_prompts: int):
        self._wanted, self._runs, self._num_prompts = wanted, runs, num_prompts
        self._head = {
            "id": new_id("cmpl"),
            "object": "text_completion",
            "created": now(),
            "model": wanted.model,
            "system_fingerprint": f"rv-{runs[0].fingerprint}",
        }

    async def whole(self) -> dict[str, Any]:
        answers = await all_of(self._runs)
        finals = [final for _, _, final in answers]
        choices = [
            self._choice(place, final.prompt_text + text, (*final.prompt, *tokens), final.finish)
            for place, (text, tokens, final) in enumerate(answers)
        ]
        return {**self._head, "choices": choices, "usage": self._usage(finals), "reverie": our_fields(finals)}

    async def lines(self) -> AsyncIterator[str]:
        for place, run in enumerate(self._runs):
            if self._wanted.echo:
                before: Final = run.before
                yield self._chunk(self._choice(place, before.prompt_text, before.prompt, None))
        async for place, piece in merged(self._runs):
            if piece is None:
                yield self._chunk(self._choice(place, "", (), self._runs[place].final.finish))
            elif piece.text or self._wanted.logprobs is not None:
                yield self._chunk(self._choice(place, piece.text, piece.tokens, None))
        finals = [run.final for run in self._runs]
        if self._wanted.stream_options and self._wanted.stream_options.include_usage:
            yield event({**self._head, "choices": [], "usage": self._usage(finals), "reverie": our_fields(finals)})
        yield event("[DONE]")

    def _usage(self, finals: Sequence[Final]) -> dict[str, Any]:
        return usage_of(finals, self._num_prompts)

    def _chunk(self, choice: dict[str, Any]) -> str:
        return event({**self._head, "choices": [choice]})

    def _choice(self, place: int, text: str, tokens: Sequence[Token], finish: str | None) -> dict[str, Any]:
        log_probs = None if self._wanted.logprobs is None else log_probs_of(tokens, self._wanted.logprobs)
        return {"index": place, "text": text, "logprobs": log_probs, "finish_reason": finish}


def log_probs_of(tokens: Sequence[Token], count: int) -> dict[str, Any]:
    """Four lists of one length, an entry an id; the id that ended an answer is one of them, without text. The first id
    of a prompt has no log-probability. What was drawn or read is always among the likeliest that are told."""
    return {
        "tokens": [token_name(one.data, one.text) for one in tokens],
        "token_logprobs": [one.log_prob for one in tokens],
        "top_logprobs": [_likeliest(one, count) for one in tokens],
        "text_offset": [one.offset for one in tokens],
    }


def _likeliest(token: Token, count: int) -> dict[str, float] | None:
    if token.log_prob is None:
        return None
    told: dict[str, float] = {}
    for _, text, data, log_prob in token.top[:count]:
        told.setdefault(token_name(data, text), log_prob)
    told.setdefault(token_name(token.data, token.text), token.log_prob)
    return told

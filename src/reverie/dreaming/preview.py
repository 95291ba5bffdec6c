"""The remote preview: lets ``gpt-5.1-codex`` word the final answer, with the local model always behind it.

The remote model is told the question, the winning dream in words and the local answer, and only says it better: it
sees no pictures and decides nothing. Credentials come from the environment alone (``OPENAI_API_KEY``,
``OPENAI_BASE_URL``); without a key nothing leaves the machine. Whatever goes wrong, the local answer stands, and the
answer's ``backend`` says who spoke.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reverie.errors import BackendError, ConfigError, MissingExtraError, shorten
from reverie.nouns import Answer, Dream

if TYPE_CHECKING:
    from openai import OpenAI

    from reverie.dreaming.question import Question

__all__ = ["Preview", "PreviewConfig", "RuntimeConfig", "Worded"]

log = logging.getLogger("reverie.dreaming.preview")

_TASK = (
    "You word the final answer of a small local model that has imagined what will happen. Say what its answer says, "
    "in one or two plain sentences in the language of the question. Keep every fact of the answer, add none, and do "
    "not mention the model or its imagination."
)
_MAX_CHARS = 2000  # of any text that is sent, and of the answer that is kept


@dataclass(frozen=True)
class PreviewConfig:
    """Settings of the remote model."""

    model: str = "gpt-5.1-codex"
    base_url: str | None = None  # None: $OPENAI_BASE_URL, or OpenAI's own
    timeout_s: float = 20.0  # seconds to connect, and without a byte while it answers
    max_output_tokens: int = 800  # of the remote tokenizer, its thinking included

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError("preview: the remote model needs a name, such as gpt-5.1-codex")
        if self.timeout_s <= 0 or self.max_output_tokens < 16:
            raise ConfigError(
                "preview: timeout_s must be above 0 and max_output_tokens at least 16, "
                f"got {self.timeout_s} and {self.max_output_tokens}"
            )


@dataclass(frozen=True)
class RuntimeConfig:
    """How one client session runs: ``reverie.load("nano", runtime=RuntimeConfig(…))``."""

    enable_gpt51_codex_preview: bool = True  # off: nothing is ever sent, whatever the environment holds
    preview: PreviewConfig = field(default_factory=PreviewConfig)


@dataclass(frozen=True)
class Worded:
    """An answer's final words and who found them: the remote model's name, ``local``, or ``local (why)``."""

    text: str
    backend: str


class Preview:
    """The remote model of one client session; ``environ`` is where its credentials are looked up."""

    def __init__(self, runtime: RuntimeConfig, environ: Mapping[str, str] = os.environ):
        self.config = runtime.preview
        self._key = environ.get("OPENAI_API_KEY", "").strip() if runtime.enable_gpt51_codex_preview else ""
        self._base_url = self.config.base_url or environ.get("OPENAI_BASE_URL") or None
        self._client: OpenAI | None = None

    @property
    def enabled(self) -> bool:
        """Whether ``word`` will ask the remote model: switched on, and a key is there."""
        return bool(self._key)

    def answered(self, question: Question, answer: Answer) -> Answer:
        """An observer's part: a known answer in the words of the remote model, where it is enabled."""
        if not answer.known:
            return answer
        dream = answer.dreams[answer.verdict.branch] if answer.dreams else None
        worded = self.word(question.text, dream, answer.text)
        return replace(answer, text=worded.text, backend=worded.backend)

    def word(self, question: str, dream: Dream | None, local_text: str) -> Worded:
        """The final wording of ``local_text``. Never raises: on any failure of the remote the local text stands.

        Ask it only about answers that are known; a sentence that says "I don't know" needs no better words.
        """
        if not self.enabled:
            return Worded(local_text, "local")
        try:
            return Worded(self._ask_remote(_prompt(question, dream, local_text)), self.config.model)
        except MissingExtraError as error:
            log.warning("%s", error)
            self._key = ""  # it will not appear while we run: say so once
            return Worded(local_text, f"local ({self.config.model} failed: the openai package is not installed)")
        except BackendError as error:
            log.warning("%s did not answer (%s); the local answer stands", self.config.model, error)
            return Worded(local_text, f"local ({self.config.model} failed: {error})")

    def _ask_remote(self, prompt: str) -> str:
        try:
            from openai import OpenAI, OpenAIError
        except ImportError as error:
            raise MissingExtraError(f"the {self.config.model} preview", "preview") from error
        try:
            self._client = self._client or OpenAI(
                api_key=self._key, base_url=self._base_url, timeout=self.config.timeout_s, max_retries=0
            )
            response = self._client.responses.create(
                model=self.config.model,
                instructions=_TASK,
                input=prompt,
                max_output_tokens=self.config.max_output_tokens,
                reasoning={"effort": "low"},
                store=False,
            )
            text = response.output_text
        except OpenAIError as error:
            raise BackendError(_reason(error)) from error
        except (AttributeError, LookupError, TypeError, ValueError) as error:  # what an answer of no known shape causes
            raise BackendError("an answer that it could not read") from error
        if not isinstance(text, str) or not text.strip():
            raise BackendError("an empty answer")
        return shorten(text, _MAX_CHARS)


def _prompt(question: str, dream: Dream | None, local_text: str) -> str:
    lines = [f"Question: {shorten(question, _MAX_CHARS)}"]
    if dream is not None and dream.triplets:
        steps = [
            f"- {triplet.what.text or '(a picture)'} | {triplet.action.text} | {triplet.result.text or '(a picture)'}"
            for triplet in dream.triplets
        ]
        lines += ["What was imagined (what | action | result):", "\n".join(steps)[:_MAX_CHARS]]
    return "\n".join([*lines, f"The local model's answer: {shorten(local_text, _MAX_CHARS)}"])


def _reason(error: Exception) -> str:
    """A failure in a few words: no address, no key, no body of a reply."""
    status = getattr(error, "status_code", None)
    if status is not None:
        return f"HTTP status {status}"
    return {"APITimeoutError": "no answer in time", "APIConnectionError": "no connection"}.get(
        type(error).__name__, type(error).__name__
    )

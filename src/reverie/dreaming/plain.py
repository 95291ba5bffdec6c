"""Plain words from a base that was never taught the grammar: it is asked as its own users would ask it.

Three ways: ``chat`` (the base's own chat template), ``question`` (a question as "Question: … Answer:", anything else is
continued) and ``plain`` (everything is continued).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from reverie.dreaming.questions import clean_question
from reverie.engine import Request, Sampling
from reverie.errors import BundleError, shorten
from reverie.experts.contract import Choice
from reverie.tokens.grammar import Grammar

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Plain", "PromptStyle"]

PromptStyle = Literal["chat", "question", "plain"]
MAX_NEW_IDS = 256


class Plain:
    """Asks a base in its own words.

    Args:
        folder: the base's, with its tokenizer and generation settings
        grammar: of the bundle; its text ids are the base's
        style: see above
    """

    def __init__(self, folder: Path, grammar: Grammar, style: PromptStyle):
        from transformers import AutoTokenizer

        self.style = style
        self._start, self._text = grammar.vocabulary.text_start, grammar.text
        try:
            self._tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"the tokenizer in {folder} cannot be loaded: {shorten(str(error))}") from error
        self._stops = self._stop_ids(folder)
        self._mask = torch.zeros(grammar.vocabulary.size, dtype=torch.bool)
        known = set(self._tokenizer.get_vocab().values()) - set(self._tokenizer.all_special_ids)
        self._mask[[self._start + token for token in sorted(known)]] = True
        self._mask[sorted(self._stops)] = True

    def ids(self, question: str) -> tuple[int, ...]:
        """The ids of the prompt, in the grammar's numbering. Raises UsageError for an empty or endless question."""
        clean_question(question)
        asked = question.strip()
        if self.style == "chat":
            message = [{"role": "user", "content": asked}]
            asked = self._tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        elif self._asks(asked):
            asked = f"Question: {asked}\nAnswer:"
        ids = self._tokenizer(asked, add_special_tokens=self.style != "chat").input_ids
        return tuple(self._start + token for token in ids)

    def answer_ids(self, question: str, answer: str) -> tuple[int, ...]:
        """The ids that would be drawn if it answered so, to the end: what an expert of this base learns to say."""
        said = answer.strip() if self.style == "chat" else f" {answer.strip()}"
        said += "" if self._stops else "\n"
        ids = [self._start + token for token in self._tokenizer(said, add_special_tokens=False).input_ids]
        return (*ids, *sorted(self._stops)[:1])

    def request(
        self, question: str, prefix: tuple[int, ...], seed: int, temperature: float, room: int, experts: Choice
    ) -> Request:
        """The row that answers ``question``, whose prompt is ``prefix``; ``room``: ids that still fit."""
        line = self.style == "question" and self._asks(question)
        return Request(
            prefix,
            seed,
            Sampling(temperature=temperature),
            _Line(self, self._mask) if line else _Words(self._mask),
            min(MAX_NEW_IDS, room),
            self._stops,
            experts=experts,
        )

    def read(self, question: str, ids: Sequence[int]) -> str:
        """What the ids drawn for ``question`` say."""
        said = self._decode(ids).strip()
        return said.partition("\n")[0].rstrip() if self._asks(question) else said

    def _decode(self, ids: Sequence[int]) -> str:
        return self._text.decode([token - self._start for token in ids if token not in self._stops])

    def _asks(self, question: str) -> bool:
        return self.style == "question" and clean_question(question).endswith("?")

    def _stop_ids(self, folder: Path) -> frozenset[int]:
        from transformers import GenerationConfig

        try:
            said = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id
        except OSError:
            said = None
        ends = [said] if isinstance(said, int) else list(said or [])
        own = self._tokenizer.eos_token_id
        return frozenset(self._start + int(token) for token in {*ends, *([] if own is None else [own])})


class _Words:
    """The constraint of a plain row: ids of the base's own text, and those that end it."""

    done = False

    def __init__(self, mask: torch.Tensor):
        self._mask = mask

    def allowed(self) -> torch.Tensor:
        return self._mask

    def advance(self, token_id: int) -> None:
        pass


class _Line(_Words):
    """The same, done at the end of the first line that holds words."""

    def __init__(self, plain: Plain, mask: torch.Tensor):
        super().__init__(mask)
        self._plain, self._ids = plain, list[int]()

    def advance(self, token_id: int) -> None:
        self._ids.append(token_id)
        self.done = "\n" in self._plain._decode(self._ids).lstrip()

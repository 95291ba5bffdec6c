"""From questions to the ids that dreams start from: every bundle has one prompter, which knows how its model is asked.

A model that was taught the grammar is asked in it (``GrammarPrompter``). A base that was never taught it is asked as
its own users would ask it (``ChatPrompter``), in one of three ways: ``chat`` (the base's own chat template),
``question`` (a question as "Question: … Answer:", anything else is continued) and ``plain`` (everything is continued).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from reverie.dreaming.dreamer import Dreamed, Prompt
from reverie.dreaming.model import Model
from reverie.dreaming.pictures import fit_picture, open_picture
from reverie.dreaming.prompted import Prompted
from reverie.dreaming.question import Question
from reverie.dreaming.scenes import open_scene
from reverie.engine import Completion, Request, Sampling
from reverie.errors import BundleError, UsageError, shorten
from reverie.experts.contract import Choice
from reverie.experts.features import question_features
from reverie.nouns import Frame, Part
from reverie.tokens.grammar import Document, Grammar
from reverie.tokens.questions import clean_question
from reverie.tokens.vocabulary import ACT, ANS, EOS, WHAT
from reverie.worlds import World

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


__all__ = ["ChatPrompter", "GrammarPrompter", "PromptStyle"]

PromptStyle = Literal["chat", "question", "plain"]
MAX_NEW_IDS = 256
_DIRECT = 0.8  # probability of answering at once from which the model is not made to dream


class GrammarPrompter:
    """Asks in the grammar; dreams start from a picture where there is one, else from words of the model's own."""

    def __init__(self, grammar: Grammar):
        self._grammar = grammar

    def ids(self, question: str) -> tuple[int, ...]:
        return tuple(self._grammar.question_ids(question))

    def answer_ids(self, question: str, answer: str) -> tuple[int, ...]:
        return (*self._grammar.answer_ids(answer), EOS)

    def answered(self, ids: torch.Tensor, judged: torch.Tensor) -> torch.Tensor:
        return (ids == ANS).cumsum(1)[:, :-1] > 0

    def prompt(self, model: Model, questions: Sequence[Question], seed: int) -> list[Prompted]:
        ids = [self.ids(question.cleaned) for question in questions]
        most = model.dreamer.max_positions // 4
        if longest := [len(one) for one in ids if len(one) > most]:
            raise UsageError(f"the question is {longest[0]} ids long; at most {most} leave room to dream")
        shown = [_shown(model, question, seed) for question in questions]
        features, choices = _met(model, questions, ids)
        at_once = _answer_at_once(model, ids, choices)
        prompted = []
        for place, question in enumerate(questions):
            asked, own, (frame, world) = question.cleaned, ids[place], shown[place]
            one = Prompted(asked, own, 2, features[place], choices[place], own, forced=(WHAT,), direct=(ANS,))
            if at_once[place]:  # no matter of what happens, whatever the picture shows
                one = replace(one, forced=(ANS,))
            elif frame is not None:
                prefix = tuple(model.dreamer.opening(Part("", frame), asked))
                forced = (ACT,) if world is not None and world.wordless else ()
                one = replace(one, prefix=prefix, forced=forced, world=world, pictured=True)
            prompted.append(one)
        return prompted


def _met(
    model: Model, questions: Sequence[Question], ids: Sequence[Sequence[int]]
) -> tuple[list[np.ndarray], list[Choice]]:
    """What the router sees of each question, and who is chosen for it."""
    features = [*question_features(model.engine.embed_many, ids)]
    return features, model.experts.choose(features, [question.experts for question in questions])


def _shown(model: Model, question: Question, seed: int) -> tuple[Frame | None, World | None]:
    """What a question shows, if anything, and the world that it is known to be of."""
    world = None
    if question.pictures:
        world = model.world(question.world) if question.world else None
        cell_px, side = (world.cell_px, 0) if world else model.usual_size
        picture = fit_picture(open_picture(question.pictures[0]), world, side=side, cell_px=cell_px)
    elif question.shown:
        world, _ = open_scene(question.world or model.usual_world, question.scene, seed)
        picture, cell_px = np.asarray(world.render()), world.cell_px
    else:
        return None, None
    return model.tokenizer.encode([picture], cell_px)[0], world


def _answer_at_once(model: Model, ids: Sequence[Sequence[int]], experts: Sequence[Choice]) -> list[bool]:
    """Which of the questions the model would rather answer than dream: those that are no matter of what happens."""
    asked = [(one, [token], own) for one, own in zip(ids, experts, strict=True) for token in (ANS, WHAT)]
    chances = np.exp([float(scores[0]) for scores in model.engine.score_many(asked)]).reshape(-1, 2)
    return [answer > _DIRECT * (answer + dream) for answer, dream in chances.tolist()]


class ChatPrompter:
    """Asks a base in its own words. What is shown to it, and dreams, go by the grammar: legal, and mean nothing yet.

    Args:
        folder: the base's, with its tokenizer and generation settings
        grammar: of the bundle; its text ids are the base's
        style: see above
    """

    def __init__(self, folder: Path, grammar: Grammar, style: PromptStyle):
        from transformers import AutoTokenizer

        self.style = style
        self._grammar = GrammarPrompter(grammar)
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

    def prompt(self, model: Model, questions: Sequence[Question], seed: int) -> list[Prompted]:
        others = iter(self._grammar.prompt(model, [question for question in questions if question.shown], seed))
        spoken = [question for question in questions if not question.shown]
        ids = [self._ids(question) for question in spoken]
        own = (
            Prompted(question.text, one, 1, seen, choice, one, voice=_OwnWords(self, question.text))
            for question, one, seen, choice in zip(spoken, ids, *_met(model, spoken, ids), strict=True)
        )
        return [next(others if question.shown else own) for question in questions]

    def ids(self, question: str) -> tuple[int, ...]:
        """Raises UsageError for an empty or endless question."""
        return self._ids(Question(question))

    def answer_ids(self, question: str, answer: str) -> tuple[int, ...]:
        said = answer.strip() if self.style == "chat" else f" {answer.strip()}"
        said += "" if self._stops else "\n"
        ids = [self._start + token for token in self._tokenizer(said, add_special_tokens=False).input_ids]
        return (*ids, *sorted(self._stops)[:1])

    def answered(self, ids: torch.Tensor, judged: torch.Tensor) -> torch.Tensor:
        return judged

    def _ids(self, question: Question) -> tuple[int, ...]:
        """What was said before is told where the base has a chat template."""
        asked = question.text.strip()
        if self.style == "chat":
            told = [message for turn in question.history for message in _messages(turn.question, turn.answer)]
            said = [*told, *_messages(asked)]
            asked = str(self._tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False))
        elif self._asks(asked):
            asked = f"Question: {asked}\nAnswer:"
        ids = self._tokenizer(asked, add_special_tokens=self.style != "chat").input_ids
        return tuple(self._start + token for token in ids)

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


def _messages(*said: str) -> list[dict[str, str]]:
    """A question, and its answer if there is one, as a chat template takes them."""
    return [{"role": role, "content": one} for role, one in zip(("user", "assistant"), said)]


@dataclass(frozen=True)
class _OwnWords:
    """The voice of a row that answers a question in the base's own words."""

    prompter: ChatPrompter
    question: str

    def request(self, prompt: Prompt, room: int) -> Request:
        asks = self.prompter._asks(self.question)
        return Request(
            prompt.prefix,
            prompt.seed,
            Sampling(temperature=prompt.temperature),
            _Line(self.prompter) if asks else _Words(self.prompter),
            min(MAX_NEW_IDS, room),
            self.prompter._stops,
            experts=prompt.experts,
        )

    def read(self, prompt: Prompt, completion: Completion) -> Dreamed:
        said = self.prompter._decode(completion.ids).strip()
        if self.prompter._asks(self.question):
            said = said.partition("\n")[0].rstrip()
        count, total = len(completion.ids), sum(completion.log_probs)
        document = Document(self.question, (), said)
        return Dreamed(document, "", total, count, total / count, completion.finished, prompt, completion.ids)


class _Words:
    """The constraint of such a row: ids of the base's own text, and those that end it."""

    done = False

    def __init__(self, prompter: ChatPrompter):
        self._prompter = prompter

    def allowed(self) -> torch.Tensor:
        return self._prompter._mask

    def advance(self, token_id: int) -> None:
        pass


class _Line(_Words):
    """The same, done at the end of the first line that holds words."""

    def __init__(self, prompter: ChatPrompter):
        super().__init__(prompter)
        self._ids = list[int]()

    def advance(self, token_id: int) -> None:
        self._ids.append(token_id)
        self.done = "\n" in self._prompter._decode(self._ids).lstrip()

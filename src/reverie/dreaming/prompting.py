"""From questions to the ids that dreams start from: every bundle has one prompter, which knows how its model is asked.

A model that was taught the grammar is asked in it (``GrammarPrompter``). A base that was never taught it is asked, and
taught by experts, as its own users would ask it (``ChatPrompter``), in one of three ways: ``chat`` (the base's own chat
template), ``question`` (as "Question: … Answer:") and ``plain`` (it goes on).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from reverie.dreaming.model import Model
from reverie.dreaming.pictures import fit_picture, open_picture
from reverie.dreaming.prompted import Prompted
from reverie.dreaming.question import Question
from reverie.dreaming.scenes import open_scene
from reverie.errors import UsageError
from reverie.experts.contract import Choice
from reverie.experts.features import question_features
from reverie.nouns import Frame, Part
from reverie.tokens.base_words import BaseWords
from reverie.tokens.grammar import Grammar
from reverie.tokens.vocabulary import ACT, ANS, EOS, WHAT
from reverie.worlds import World

__all__ = ["ChatPrompter", "GrammarPrompter", "PromptStyle", "as_text"]

PromptStyle = Literal["chat", "question", "plain"]
_DIRECT = 0.8  # probability of answering at once from which the model is not made to dream


class GrammarPrompter:
    """Asks in the grammar; dreams start from a picture where there is one, else from words of the model's own.

    ``always``: experts that every question has besides its own: what a base was taught the grammar by.
    """

    def __init__(self, grammar: Grammar, always: Choice = ()):
        self._grammar, self._always = grammar, always

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
        features, chosen = _met(model, questions, ids)
        choices = [self._always + tuple(one for one in choice if one[0] not in dict(self._always)) for choice in chosen]
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


def as_text(question: str, style: PromptStyle) -> str:
    """A question as a text to go on with; of style ``chat`` what stands in its turn."""
    asked = question.strip()
    return f"Question: {asked}\nAnswer:" if style == "question" else asked


class ChatPrompter:
    """How a base that was never taught the grammar is asked at once, and taught what to answer. What is shown to it
    goes by the grammar: legal, and means nothing yet.

    Args:
        words: the base's
        grammar: of the bundle; its text ids are the base's
        style: see above
    """

    def __init__(self, words: BaseWords, grammar: Grammar, style: PromptStyle):
        self.words, self.style = words, style
        self._grammar, self._start = GrammarPrompter(grammar), grammar.vocabulary.text_start

    def prompt(self, model: Model, questions: Sequence[Question], seed: int) -> list[Prompted]:
        return self._grammar.prompt(model, questions, seed)

    def ids(self, question: str) -> tuple[int, ...]:
        """Raises UsageError for an empty or endless question, and where the chat template does not take it."""
        asked, chat = self.words.plain(as_text(Question(question).text, self.style)), self.style == "chat"
        if chat and self.words.template is not None:
            asked = self.words.template.render([{"role": "user", "content": asked}])
        return tuple(self._start + token for token in self.words.encode(asked, whole=not chat))

    def answer_ids(self, question: str, answer: str) -> tuple[int, ...]:
        said = answer.strip() if self.style == "chat" else f" {answer.strip()}"
        ends = sorted(self.words.ends)[:1]
        ids = [*self.words.encode(said if ends else f"{said}\n", whole=False), *ends]
        return tuple(self._start + token for token in ids)

    def answered(self, ids: torch.Tensor, judged: torch.Tensor) -> torch.Tensor:
        return judged

"""From questions to the ids that dreams start from: every bundle has one prompter, which knows how its model is asked.

A model that was taught the grammar is asked in it (``GrammarPrompter``). A base that was never taught it is asked, and
taught by experts, as its own users would ask it (``ChatPrompter``), in one of three ways: ``chat`` (the base's own chat
template), ``question`` (as "Question: … Answer:") and ``plain`` (it goes on).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import torch

from reverie.dreaming.model import Model
from reverie.dreaming.prompted import Prompted
from reverie.dreaming.question import Question
from reverie.dreaming.shown import look
from reverie.errors import UsageError
from reverie.experts.contract import Choice
from reverie.experts.features import question_features
from reverie.nouns import Check, Part
from reverie.tokens.base_words import BaseWords
from reverie.tokens.grammar import Grammar
from reverie.tokens.vocabulary import ACT, ANS, EOS, WHAT

__all__ = ["ChatPrompter", "GrammarPrompter", "PromptStyle", "as_text"]

PromptStyle = Literal["chat", "question", "plain"]
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
        shown = [look(model, question, seed) for question in questions]
        ids = [self.ids(one.asked) for one in shown]
        most = model.dreamer.max_positions // 4
        if longest := [len(one) for one in ids if len(one) > most]:
            raise UsageError(f"the question is {longest[0]} ids long; at most {most} leave room to dream")
        features, embeddings, chosen = _met(model, questions, ids)
        chosen = _at_home(model, questions, ids, chosen)
        choices = [model.dreamer.with_always(choice) for choice in chosen]
        at_once = _answer_at_once(model, ids, choices)
        prompted = []
        for place, seen in enumerate(shown):
            own, frame, world = ids[place], seen.frame, seen.world
            one = Prompted(
                seen.asked,
                own,
                2,
                features[place],
                embeddings[place],
                choices[place],
                own,
                (WHAT,),
                (ANS,),
                checks=_with_lessons(seen.checks, model.experts.lessons(questions[place].text, chosen[place])),
            )
            if at_once[place] and not seen.actions:  # no matter of what happens, whatever the picture shows
                one = replace(one, forced=(ANS,))
            elif frame is not None:
                prefix = tuple(model.dreamer.opening(Part("", frame), seen.asked))
                forced = (ACT,) if world is not None and world.wordless else ()
                one = replace(one, prefix=prefix, forced=forced, world=world, pictured=True, actions=seen.actions)
            prompted.append(one)
        return prompted


def _with_lessons(checks: tuple[Check, ...], lessons: Check | None) -> tuple[Check, ...]:
    """What speaks against a question, and what the lessons of its experts have to say: words that they spoke of need
    not be among those that the model was taught."""
    if lessons is None:
        return checks
    return (*(one for one in checks if not (lessons.held and one.name == "words")), lessons)


def _met(
    model: Model, questions: Sequence[Question], ids: Sequence[Sequence[int]]
) -> tuple[list[np.ndarray], np.ndarray, list[Choice]]:
    """What the router sees of each question, the question's mean final state, and who is chosen for it."""
    layers = model.experts.layers
    features = question_features(partial(model.engine.embed_many, layers=layers), ids)
    final = model.engine.embed_many(ids) if layers else features[:, : features.shape[1] // 2]
    chosen = model.experts.choose([*features], [question.experts for question in questions])
    return [*features], final.astype(np.float64), chosen


def _at_home(
    model: Model, questions: Sequence[Question], ids: Sequence[Sequence[int]], chosen: Sequence[Choice]
) -> list[Choice]:
    """Who was chosen, without those whom the router chose for a question that the bare model finds likelier than they
    do: experts learn their questions, too, so that such a one is no question of theirs, but one the model was taught.
    Of experts that came after the router nobody knows whether they learned questions: they stay.
    """
    learned = model.experts.router.learned if model.experts.router else frozenset()
    routed = [
        at
        for at, question in enumerate(questions)
        if question.experts is None and chosen[at] and learned.issuperset(name for name, _ in chosen[at])
    ]
    asked = [(ids[at][:1], ids[at][1:], model.dreamer.with_always(who)) for at in routed for who in (chosen[at], ())]
    likely = np.array([scores.sum() for scores in model.engine.score_many(asked)]).reshape(-1, 2)
    strange = {at for at, (theirs, bare) in zip(routed, likely.tolist(), strict=True) if theirs < bare}
    return [() if at in strange else choice for at, choice in enumerate(chosen)]


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

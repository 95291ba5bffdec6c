"""What models are trained on: documents of a world, and the grammar that its words and backdrops make.

A world may draw its own (``World.documents``); elsewhere its recorded episodes are dreamed as they came.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.errors import WorldError
from reverie.nouns import Frame, Part
from reverie.settings import build_settings
from reverie.tokens.questions import clean_question
from reverie.tokens.vocabulary import EOS, Vocabulary
from reverie.worlds.contract import Episode, Narrator, Question, Segments, Source, World
from reverie.worlds.registry import make_world, record, record_episode

if TYPE_CHECKING:
    from reverie.tokens.grammar import Grammar
    from reverie.tokens.image import ImageTokenizer

__all__ = [
    "DIRECTIONS",
    "QUESTION_WEIGHT",
    "EpisodeDreams",
    "Mix",
    "answer_at_once",
    "build_grammar",
    "document_config",
    "documents_of",
    "walk_document",
    "without_pictures",
]

DIRECTIONS = {"left": (0, -1), "down": (1, 0), "right": (0, 1), "up": (-1, 0)}  # words that every grammar has → move
QUESTION_WEIGHT = 0.2  # a question is predicted too: how likely it is tells later whether it was ever taught
Recorded = tuple[Episode, tuple[Frame, ...]]  # an episode without pictures, and the frames that it had
Tell = Callable[[Episode, Question, np.random.Generator], tuple[Question, str]]


def document_config(world: World, settings: Mapping[str, Any]) -> Any:
    """The world's ``document_config`` with ``settings``. Raises ConfigError for a key that it lacks."""
    return build_settings(world.document_config, settings)


def documents_of(
    world: World,
    grammar: Grammar,
    tokenizer: ImageTokenizer,
    config: Any = None,
    *,
    episodes: int,
    seed: int = 0,
    test: bool = False,
) -> Source:
    """The world's own documents, else dreams of its recorded episodes. For the arguments see ``World.documents``."""
    source = world.documents(grammar, tokenizer, config, episodes=episodes, seed=seed, test=test)
    if source is None:
        recorded = record_frames(world, tokenizer, episodes, seed, test)
        config = config or world.document_config()
        source = EpisodeDreams(
            grammar, world.narrator, recorded, config.direct, config.outcome_in_words, wordless=world.wordless
        )
    return source


class EpisodeDreams:
    """Questions about recorded episodes, each with the dream that answers it.

    A question of the form ``property`` is about what things are like: it is answered without a dream. Half of the
    dreams of a ``wordless`` world have no question and no answer, as when one only watches it.

    Args:
        direct: share of questions that are answered at once, without a dream
        outcome_in_words: share of dreams that go to the end in one step and say it in words, as a memory can
        tell: a question about an episode and the end of it in words; default: as it came
    """

    def __init__(
        self,
        grammar: Grammar,
        narrator: Narrator,
        episodes: Sequence[Recorded],
        direct: float = 0.0,
        outcome_in_words: float = 0.0,
        tell: Tell | None = None,
        wordless: bool = False,
    ):
        self.grammar, self.narrator, self.episodes = grammar, narrator, episodes
        self.direct, self.outcome_in_words, self.wordless = direct, outcome_in_words, wordless
        self.tell: Tell = tell or (lambda episode, question, rng: (question, episode.transitions[-1].result_text))

    def draw(self, rng: np.random.Generator) -> Segments:
        episode, frames = self.episodes[int(rng.integers(len(self.episodes)))]
        if self.wordless and rng.random() < 0.5:
            return [(self.grammar.question_ids(""), 0.0), *self._dream(episode, frames, 0.0), ([EOS], 0.0)]
        questions = self.narrator.questions(episode, rng)
        properties = [question for question in questions if question.form == "property"]
        others = [question for question in questions if question.form != "property"]
        from_memory = not others or (bool(properties) and rng.random() < 0.12)  # needs no picture of what happens
        group = properties if from_memory else others
        question = group[rng.integers(len(group))]
        if from_memory or rng.random() < self.direct:
            return answer_at_once(self.grammar, question)
        if self.outcome_in_words and rng.random() < self.outcome_in_words:
            question, result = self.tell(episode, question, rng)
            told = replace(episode, transitions=(replace(episode.transitions[0], result_text=result),))
            return self.document(question, told, frames[:1])
        return self.document(question, episode, frames)

    def document(self, question: Question, episode: Episode, frames: Sequence[Frame]) -> Segments:
        """A question, the dream of ``episode``, and the answer; a result that has no frame is told in words alone."""
        asked, *answer = answer_at_once(self.grammar, question)
        return [asked, *self._dream(episode, frames, 1.0), *answer]

    def _dream(self, episode: Episode, frames: Sequence[Frame], action_weight: float) -> Segments:
        grammar, steps = self.grammar, episode.transitions
        words, weight = ("", 0.0) if self.wordless else (steps[0].what_text, 1.0)
        segments: Segments = [(grammar.what_ids(Part(words, frames[0])), weight)]
        afters = [*frames[1:], *[None] * (len(steps) + 1 - len(frames))]
        for step, before, after in zip(steps, frames, afters, strict=False):
            segments.append((grammar.action_ids(step.action_text), action_weight))
            segments.append((grammar.result_ids(Part(step.result_text, after), before), 1.0))
        return segments


def walk_document(
    world: World,
    grammar: Grammar,
    tokenizer: ImageTokenizer,
    question: str,
    options: Mapping[str, Any],
    path: Sequence[int],
) -> Segments:
    """See ``World.walk_document``."""
    if own := world.walk_document(grammar, tokenizer, question, options, path):
        return own
    episode = record_episode(world, dict(options), actions=list(path))
    shown = [episode.transitions[0].what, *(step.result for step in episode.transitions)]
    frames = tokenizer.encode(shown, world.cell_px)
    segments: Segments = [(grammar.question_ids(question), 0.0), (grammar.what_ids(Part("", frames[0])), 0.0)]
    for step, before, after in zip(episode.transitions, frames, frames[1:], strict=False):
        segments.append((grammar.action_ids(step.action_text), 1.0))
        segments.append((grammar.result_ids(Part(step.result_text, after), before), 1.0))
    return [*segments, ([EOS], float(episode.transitions[-1].terminated))]


@dataclass(frozen=True)
class Mix:
    """All of several sources, each as often."""

    sources: Sequence[Source]

    def draw(self, rng: np.random.Generator) -> Segments:
        return self.sources[int(rng.integers(len(self.sources)))].draw(rng)


def answer_at_once(grammar: Grammar, question: Question) -> Segments:
    """A question and its answer, without a dream."""
    asked = grammar.question_ids(clean_question(question.text)), QUESTION_WEIGHT
    return [asked, (grammar.answer_ids(question.answer), 1.0), ([EOS], 1.0)]


def record_frames(
    world: World,
    tokenizer: ImageTokenizer,
    count: int,
    seed: int,
    test: bool = False,
    weight: Callable[[Mapping[str, Any]], int] = lambda options: 1,
) -> list[Recorded]:
    """At least ``count`` episodes of training scenes, or of test scenes with ``test``; held-out ones never.

    A scene counts ``weight`` times. Raises WorldError where the world has no such scenes.
    """
    rng = np.random.default_rng([seed, 1])
    seen: dict[str, Recorded] = {}
    episodes: list[Recorded] = []
    misses = 0
    while len(episodes) < count:
        options = world.sample_options(rng)
        if world.is_held_out(options) or world.in_test_split(options) != test:
            misses += 1
            if misses > 1000 + 100 * count:
                raise WorldError(f"{world.name} has too few scenes for {'testing' if test else 'training'}")
            continue
        key = json.dumps(options)
        if key not in seen:
            episode = record_episode(world, options)
            shown = [episode.transitions[0].what, *(step.result for step in episode.transitions)]
            seen[key] = without_pictures(episode), tuple(tokenizer.encode(shown, world.cell_px))
        episodes += [seen[key]] * weight(options)
    return episodes


def without_pictures(episode: Episode) -> Episode:
    """The same episode with its pictures left out: their frames are kept instead."""
    none = np.zeros((0, 0, 3), dtype=np.uint8)
    return replace(episode, transitions=tuple(replace(step, what=none, result=none) for step in episode.transitions))


def build_grammar(
    tokenizer: ImageTokenizer | None, worlds: Sequence[str], text_size: int, num_episodes: int
) -> Grammar:
    """The grammar of ``worlds``: a BPE trained on what their narrators say, and their backdrops."""
    from reverie.tokens.grammar import Grammar
    from reverie.tokens.text import TextTokenizer

    backdrops: list[Frame] = []
    texts = list(DIRECTIONS)
    for name in worlds:
        world = make_world(name)
        assert tokenizer is not None
        backdrops += tokenizer.encode([world.backdrop()], world.cell_px)
        texts += corpus(world, num_episodes)
    text = TextTokenizer.train(texts, text_size)
    text.extend([f"<unused {number}>" for number in range(text.size, text_size)])  # a few words make few merges
    num_codes = tokenizer.num_codes if tokenizer else Vocabulary(1).num_codes
    return Grammar(Vocabulary(text.size, num_codes), text, backdrops, full_frames=False)


def corpus(world: World, num_episodes: int) -> list[str]:
    """What the narrator says and is asked about random episodes."""
    rng = np.random.default_rng(0)
    texts = []
    for episode in record(world, num_episodes):
        texts += [text for step in episode.transitions for text in (step.what_text, step.action_text, step.result_text)]
        for question in world.narrator.questions(episode, rng):
            texts += [clean_question(question.text), question.answer]
    return texts

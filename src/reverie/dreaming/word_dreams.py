"""Dreams in words: a speaker goes on from what is done to what comes of it, in several branches, and they are judged.

A dream is a triplet of lines, "Situation / Action / Result". Whatever the speaker cannot do is done without: one
without scores has no contrast, one without vectors agrees by its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from reverie.dreaming.arbiter import Arbiter
from reverie.dreaming.asked import Asked
from reverie.dreaming.contrast import contrast
from reverie.dreaming.evaluators import Context
from reverie.dreaming.grounding import Evidence
from reverie.dreaming.question import DreamSettings
from reverie.dreaming.word_prompts import (
    EXAMPLES,
    NOTHING,
    Lines,
    answer_prompt,
    dream_prompt,
    reason_prompt,
    situation_prompt,
    statement_prompt,
    whether_prompt,
)
from reverie.engine import Sampling
from reverie.errors import BackendError
from reverie.memory.linking import STOP
from reverie.memory.relation_patterns import stem
from reverie.nouns import SAYS, Dream, Fact, Part, Triplet, Verdict
from reverie.speakers.contract import Message, Speaker, Speech, SpeechRequest
from reverie.tokens.questions import words_of

__all__ = ["WordDreamer", "WordDreamConfig", "first_line", "likeness", "likeness_of", "neutral_texts", "tellable"]

_SHORT = 160  # most characters of a fact that is an example
_NAMED = 0.75  # share of an action's words that a fact names for it to be about that action
_AHEAD = ("causes", "xeffect", "oeffect", "hassubevent")  # relations of facts that a dream may go on like


@dataclass(frozen=True)
class WordDreamConfig:
    """How dreams in words are drawn."""

    line_ids: int = 28  # most ids of one line
    top_p: float = 0.95  # of all dreams but the likeliest of each form
    examples: int = 2  # most examples out of memory
    # nats by which "yes" must lead to what is dreamed more than "no" does, or less, for either to be said: of 18
    # made-up questions 16 are right, and the two that are wrong lie within 0.2
    undecided: float = 0.25


class WordDreamer:
    """Dreams with ``speaker``; ``arbiter`` None picks by likelihood, contrast, agreement and support."""

    def __init__(self, speaker: Speaker, arbiter: Arbiter | None = None, config: WordDreamConfig | None = None):
        self.speaker, self.config = speaker, config or WordDreamConfig()
        self.arbiter = arbiter or Arbiter.of("likelihood", "contrast", "agreement", "support")

    def has_room(self, asked: Asked) -> bool:
        """Whether the speaker's context holds the longest prompt of a question that asks for dreams, and two lines."""
        if asked.kind == "back":
            prompts = [reason_prompt(asked.wanted)]
        else:
            action = asked.actions[-1]
            prompts = [
                dream_prompt(Lines(asked.setting, action, "")),
                answer_prompt(asked.wanted or action, imagined=action),
            ]
        most = self.speaker.max_ids - 2 * self.config.line_ids
        return max(map(self.speaker.count, prompts)) <= most

    def dream(self, asked: Asked, facts: Sequence[Fact], settings: DreamSettings) -> list[Dream]:
        """One dream a branch, of what comes of the actions or what led to what is asked about; a branch that holds no
        words is left out. Raises BackendError where none holds any."""
        dreams = self._causes(asked, settings) if asked.kind == "back" else self._results(asked, facts, settings)
        if not dreams:
            raise BackendError(
                f"{self.speaker.name} dreamed nothing that holds words: ask otherwise, or for 0 branches"
            )
        return dreams

    def judge(
        self, question: str, asked: Asked, dreams: Sequence[Dream], evidence: Evidence | None
    ) -> tuple[tuple[Dream, ...], Verdict]:
        """The dreams with their scores, and the verdict on them."""
        context = Context(
            question,
            evidence=evidence,
            likeness=partial(likeness, self.speaker),
            contrast=partial(self._contrast, asked) if self.speaker.abilities.scores else None,
        )
        return self.arbiter.decide(dreams, context)

    def word(self, question: str, asked: Asked, best: Dream, leads: float | None = None) -> str:
        """The answer that the winning dream gives; ``leads``: as that method says."""
        said = best.said
        if asked.kind == "back":
            return f"Because {said[:1].lower()}{said[1:]}"
        if asked.kind == "ahead":
            return said
        prompt = answer_prompt(question, imagined=said)
        if not self.speaker.abilities.scores:
            return first_line(self.speaker.speak([self.line(prompt, best.seed)])[0].text) or said
        ahead = self.leads(question, asked, best) if leads is None else leads
        return said if abs(ahead) < self.config.undecided else f"{'Yes' if ahead > 0 else 'No'}. {said}"

    def leads(self, question: str, asked: Asked, best: Dream) -> float:
        """By how many nats Yes leads to the winning dream better than No does; 0 where neither is asked for."""
        if asked.kind != "whether" or not self.speaker.abilities.scores:
            return 0.0
        # a small base that is asked yes or no says the same to everything; which of them leads to this it knows better
        said = f" {best.said}"
        yes, no = self.speaker.score([(whether_prompt(question, answer), said) for answer in ("Yes", "No")])
        return yes.log_prob - no.log_prob

    def line(self, prompt: str, seed: int, sampling: Sampling | None = None) -> SpeechRequest:
        """A request for the line that ``prompt`` breaks off in; None: its likeliest."""
        abilities = self.speaker.abilities
        said: str | tuple[Message, ...] = prompt
        if not abilities.completes:
            said = (Message("user", f"Write the one short line that comes next, and nothing else.\n\n{prompt}"),)
        form = () if abilities.forms else None
        return SpeechRequest(said, self.config.line_ids, sampling or Sampling(0.0), seed, ("\n",), form)

    def _results(self, asked: Asked, facts: Sequence[Fact], settings: DreamSettings) -> list[Dream]:
        """Branches in turn answer the question of what happens, and go on with the action: where dreams of both forms
        agree, they do not owe it to the form. All of them answer where the action does not name what is asked about."""
        action = asked.actions[-1]
        examples = (*EXAMPLES, *_remembered(facts)[: self.config.examples])
        wanted = asked.wanted if asked.kind == "ahead" else ""
        begun = action if action.startswith(("I ", "I'")) else f"{action[:1].lower()}{action[1:]}"
        answers = answer_prompt(wanted or f"What happens if {begun[:-1]}?", examples)
        goes_on = dream_prompt(Lines(asked.setting, action, ""), examples)
        prompts = [goes_on if branch % 2 and not wanted else answers for branch in range(settings.branches)]
        requests = [*self._branches(prompts, settings), self.line(situation_prompt(action), settings.seed)]
        *results, situation = self.speaker.speak(requests)
        what = Part(asked.setting or first_line(situation.text) or action)
        return [
            _dream(Triplet(what, Part(action), Part(said)), said, speech, seed)
            for speech, seed in zip(results, settings.branch_seeds, strict=False)
            if (said := first_line(speech.text))
        ]

    def _causes(self, asked: Asked, settings: DreamSettings) -> list[Dream]:
        """Reasons; those that only say again what is asked about are left out where others are there."""
        requests = self._branches([reason_prompt(asked.wanted)] * settings.branches, settings)
        *causes, so = self.speaker.speak([*requests, self.line(statement_prompt(asked.wanted), settings.seed)])
        result = first_line(so.text) or asked.wanted
        dreams = [
            _dream(Triplet(Part(asked.setting or asked.wanted), Part(said), Part(result)), said, speech, seed)
            for speech, seed in zip(causes, settings.branch_seeds, strict=False)
            if (said := first_line(speech.text))
        ]
        known = _content(f"{asked.wanted} {result}")
        return [one for one in dreams if not _content(one.said) <= known] or dreams

    def _branches(self, prompts: Sequence[str], settings: DreamSettings) -> list[SpeechRequest]:
        """A line a branch: the likeliest of each prompt, then drawn ones."""
        drawn = Sampling(settings.temperature, top_p=self.config.top_p)
        return [
            self.line(prompt, seed, drawn if prompt in prompts[:branch] else None)
            for branch, (prompt, seed) in enumerate(zip(prompts, settings.branch_seeds, strict=False))
        ]

    def _contrast(self, asked: Asked, dreams: Sequence[Dream]) -> list[float]:
        """How much more probable what is asked makes what each dream says than anything else would: nats an id."""
        if asked.kind == "back":
            given, neutral = reason_prompt(asked.wanted), reason_prompt("Why did something happen?")
        elif asked.kind == "ahead" and asked.wanted:
            given, neutral = answer_prompt(asked.wanted), answer_prompt("What happens if something happens?")
        else:
            given, neutral = dream_prompt(Lines("", asked.actions[-1], "")), dream_prompt(NOTHING)
        found = contrast(self.speaker, [(given, neutral, f" {dream.said}") for dream in dreams])
        return [one.nats / max(one.given.num_ids, 1) for one in found]


def tellable(asked: Asked, facts: Sequence[Fact]) -> list[Fact]:
    """Those of ``facts`` that may answer: what comes of an action is told by passages, and by facts of what leads to
    what that name nearly all of it. What a balloon is made of says nothing of what happens to it."""
    if asked.kind == "plain":
        return list(facts)
    action = frozenset().union(*map(_content, asked.actions)) if asked.actions else _content(asked.wanted)
    return [
        fact
        for fact in facts
        if fact.relation == SAYS
        or (
            fact.relation.casefold() in _AHEAD
            and len(action & _content(f"{fact.subject} {fact.object}")) >= _NAMED * len(action)
        )
    ]


def likeness(speaker: Speaker, texts: Sequence[str]) -> np.ndarray:
    """How alike texts are in meaning: float (n, n) in [0, 1], 1 for those of the same words."""
    if not speaker.abilities.embeds:
        return _shared(texts)
    vectors = speaker.embed([*texts, *neutral_texts()])
    return likeness_of(texts, vectors[: len(texts)], vectors[len(texts) :])


def likeness_of(texts: Sequence[str], vectors: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """``likeness`` by vectors (n, D) of texts, and those (m, D) of ``neutral_texts``."""
    # vectors of one model lie in a narrow cone: what all texts share, these and the neutral ones, says nothing
    centred = vectors - np.concatenate([vectors, neutral]).mean(0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    return np.asarray(np.maximum(_shared(texts), np.clip(unit @ unit.T, 0.0, 1.0)))


def neutral_texts() -> list[str]:
    return [one.result for one in EXAMPLES]


def _shared(texts: Sequence[str]) -> np.ndarray:
    bags = [_content(text) or frozenset(words_of(text)) for text in texts]
    return np.array([[len(one & other) / max(len(one | other), 1) for other in bags] for one in bags])


def first_line(text: str) -> str:
    """The first line of ``text``; empty where it holds no words."""
    line = " ".join(text.strip().partition("\n")[0].split()).strip("\"' ")
    return line if words_of(line) else ""


def _dream(triplet: Triplet, said: str, speech: Speech, seed: int) -> Dream:
    return Dream((triplet,), speech.log_prob or 0.0, seed, said, speech.num_ids or 0)


def _remembered(facts: Sequence[Fact]) -> list[Lines]:
    """Facts of what leads to what, as examples."""
    return [
        Lines("", _sentence(fact.subject), _sentence(fact.object))
        for fact in facts
        if fact.relation.casefold() in _AHEAD
        and fact.confidence >= 0.5
        and len(fact.subject) + len(fact.object) <= _SHORT
    ]


def _sentence(words: str) -> str:
    words = " ".join(words.split()).rstrip(".")
    return f"{words[:1].upper()}{words[1:]}."


def _content(text: str) -> frozenset[str]:
    """Stems of the words that tell."""
    return frozenset(stem(word) for word in words_of(text) if word not in STOP)

"""How questions become answers: prompt, recall, dream, judge, measure, say. Every stage takes all questions at once.

Read ``answer``: the rest of the file are its stages, each a function from one frozen noun to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reverie.dreaming.confidence import admit
from reverie.dreaming.dreamer import Dreamed, Prompt
from reverie.dreaming.evaluators import Context
from reverie.dreaming.expert_pool import expert_shares
from reverie.dreaming.grounding import Evidence, MemoryGrounding, agreed, named_first
from reverie.dreaming.model import Model, frames_of
from reverie.dreaming.prompted import Prompted
from reverie.dreaming.prompting import GrammarPrompter
from reverie.dreaming.question import DreamSettings, Question
from reverie.dreaming.shown import dreamed_checks
from reverie.dreaming.unknown import not_known
from reverie.errors import UsageError
from reverie.nouns import DIRECT, Answer, Attribution, Check, Dream, Fact, Frame, Signals, Verdict
from reverie.tokens.grammar import Grammar

__all__ = ["Judged", "answer", "imagine", "signals"]

_DECIDES = 0.5  # score from which a recalled fact is read before a direct answer
UNDECIDED = Verdict(-1, "")


@dataclass(frozen=True, eq=False)
class Judged:
    """The rows of one question after judgement. ``dreams`` are scored, one a row; with 0 branches there are none, and
    the only row is the answer."""

    prompted: Prompted
    rows: tuple[Dreamed, ...]
    dreams: tuple[Dream, ...] = ()
    verdict: Verdict = DIRECT
    evidence: tuple[Fact, ...] = ()

    @property
    def best(self) -> Dreamed:
        return self.rows[max(self.verdict.branch, 0)]

    @property
    def agreement(self) -> float | None:
        """How far the dreams agree on the whole, in [0, 1]; None where there is nothing to compare."""
        alike = [one.scores["agreement"] for one in self.dreams if "agreement" in one.scores]
        return float(np.mean(alike)) if alike else None


def answer(
    model: Model,
    grounding: MemoryGrounding,
    questions: Sequence[Question],
    settings: DreamSettings,
    explain: bool = False,
) -> list[Answer]:
    """Dream each question's branches, pick one of them, and answer in its words, if it is one to stand behind.

    Where trusted facts contradict every dream, one more starts from what they say. ``explain``: also say how much less
    probable an answer would be without each of its experts. Raises as ``Prompter.prompt`` does.
    """
    prompted = [recall(model, grounding, one) for one in model.prompter.prompt(model, questions, settings.seed)]
    dreamed = dream(model, prompted, settings)
    if settings.branches:
        judged = judge(model, grounding, prompted, dreamed)
    else:
        judged = [Judged(one, tuple(rows), evidence=one.facts) for one, rows in zip(prompted, dreamed, strict=True)]
    told = say(model, judged)
    return [credit(model, *each, explain) for each in zip(judged, told, strict=True)]


def imagine(
    model: Model, grounding: MemoryGrounding, questions: Sequence[Question], settings: DreamSettings
) -> list[Answer]:
    """The branches alone, scored and undecided, and whether they are ones to stand behind: the text says what speaks
    against that. Raises as ``answer``, and UsageError without branches."""
    if not settings.branches:
        raise UsageError("dreaming needs at least 1 branch")
    prompted = GrammarPrompter(model.grammar).prompt(model, questions, settings.seed)
    judged = [
        _judged(model, one, rows, grounding.evidence([row.as_dream() for row in rows]))
        for one, rows in zip(prompted, dream(model, prompted, settings), strict=True)
    ]
    return [
        replace(said, text="" if said.known else said.text, verdict=UNDECIDED, evidence=())
        for said in say(model, judged)
    ]


def signals(model: Model, questions: Sequence[Question], settings: DreamSettings) -> list[Signals]:
    """What confidence rests on, without any memory: used to fit it."""
    prompted = model.prompter.prompt(model, questions, settings.seed)
    return measure(
        model,
        [
            Judged(one, tuple(rows), model.arbiter.score([row.as_dream() for row in rows], Context(one.asked)))
            for one, rows in zip(prompted, dream(model, prompted, settings), strict=True)
        ],
    )


def recall(model: Model, grounding: MemoryGrounding, prompted: Prompted) -> Prompted:
    """The question with the facts recalled for it, read with it in mind where there is a reader."""
    facts = grounding.recall(prompted.asked)
    if not facts or model.reader is None:
        return replace(prompted, facts=facts)
    heard = agreed(facts)
    reading = model.reader.read(prompted.asked, heard)
    scored = {fact.id: float(score) for fact, score in zip(heard, reading.scores, strict=True)}
    facts = tuple(replace(fact, score=(fact.score + scored.get(fact.id, 0.0)) / 2) for fact in facts)
    return replace(
        prompted,
        facts=tuple(sorted(facts, key=lambda fact: -fact.score)),
        prefix_embeddings=model.engine.prefix_embedding_ids(reading.prefix_embeddings)
        if reading.scores.max(initial=0.0) >= _DECIDES
        else (),
        attention={fact.id: float(share) for fact, share in zip(heard, reading.attention, strict=True)},
    )


def dream(model: Model, prompted: Sequence[Prompted], settings: DreamSettings) -> list[list[Dreamed]]:
    """The rows of every question, all of them in common batches."""
    asked = [one.rows(settings) for one in prompted]
    rows = iter(model.dreamer.run([row for rows in asked for row in rows]))
    return [[next(rows) for _ in rows_of_one] for rows_of_one in asked]


def judge(
    model: Model, grounding: MemoryGrounding, prompted: Sequence[Prompted], dreamed: Sequence[Sequence[Dreamed]]
) -> list[Judged]:
    """Pick the winner of each question's branches; where trusted facts contradict it, dream once more from them."""
    told = [grounding.evidence([row.as_dream() for row in rows]) for rows in dreamed]
    judged = [_judged(model, *each) for each in zip(prompted, dreamed, told, strict=True)]
    overruled = {
        place: prompt
        for place, (one, evidence) in enumerate(zip(judged, told, strict=True))
        if (prompt := _told(model, one, evidence))
    }
    for place, row in zip(overruled, model.dreamer.run([*overruled.values()]), strict=True):
        judged[place] = _judged(model, prompted[place], [*dreamed[place], row], told[place])
    return judged


def _judged(model: Model, prompted: Prompted, rows: Sequence[Dreamed], evidence: Evidence) -> Judged:
    dreams = [row.as_dream() for row in rows]
    scored, verdict = model.arbiter.decide(dreams, _context(model, prompted, dreams, evidence))
    facts = named_first(evidence.about(scored[verdict.branch]), prompted.facts)
    return Judged(prompted, tuple(rows), scored, verdict, facts)


def _told(model: Model, judged: Judged, evidence: Evidence) -> Prompt | None:
    """The prompt that starts from what trusted facts say, where they contradict the winning dream."""
    winner = judged.dreams[judged.verdict.branch]
    fact = evidence.overruling(winner)
    if fact is None:
        return None
    first, asked = winner.triplets[0], judged.prompted
    return model.dreamer.told_prompt(
        asked.asked, first.what, first.action.text, fact.object, asked.experts, winner.seed
    )


def _context(model: Model, prompted: Prompted, dreams: Sequence[Dream], evidence: Evidence) -> Context:
    frames: list[Frame] = list(dict.fromkeys(frame for one in dreams for frame in frames_of(one)))
    world = prompted.world
    if world is None and frames and (name := model.world_of(frames[0])):
        world = model.world(name)
    if world is None:
        return Context(prompted.asked, evidence=evidence)
    pictures = dict(zip(frames, model.tokenizer.decode(frames, world.cell_px), strict=True))
    return Context(prompted.asked, world, pictures, evidence)


def measure(model: Model, judged: Sequence[Judged]) -> list[Signals]:
    """What the model showed while it met each question."""
    asked = [one.prompted for one in judged]
    surprises = model.engine.score_many([(one.ids[: one.given], one.ids[one.given :], one.experts) for one in asked])
    return [
        Signals(
            log_probs=log_probs.tolist() or [0.0],
            embedding=met.embedding,
            agreement=one.agreement,
            answer_mean=one.best.answer_log_prob,
            near=model.experts.distance(met.features, met.experts) if met.experts else float("inf"),
        )
        for one, met, log_probs in zip(judged, asked, surprises, strict=True)
    ]


def say(model: Model, judged: Sequence[Judged]) -> list[Answer]:
    """The words of each winner, if the model knows the question; else what speaks most against knowing it."""
    return [_said(model, *each) for each in zip(judged, measure(model, judged), strict=True)]


def _said(model: Model, judged: Judged, signals: Signals) -> Answer:
    said = judged.best.document.answer or ""
    confidence, parts = model.confidence.confidence(signals), model.confidence.parts(signals)
    checks = (*judged.prompted.checks, *_dreamed_checks(judged))
    broken = [check for check in checks if not check.held]
    if any(check.name == "lessons" and check.held for check in checks):  # nobody calibrated questions of new experts
        confidence, parts = float(np.exp(signals.answer_mean)), {}
    sure = model.confidence.known(confidence) and bool(said)
    known = sure and not broken
    if broken:
        confidence = min(confidence, model.confidence.least / 2)
    told = broken and (sure or not all(check.held for check in judged.prompted.checks))
    return Answer(
        text=said if known else not_known(broken[0].why) if told else admit(parts),
        known=known,
        confidence=confidence,
        backend="local",
        dreams=judged.dreams,
        verdict=judged.verdict,
        evidence=judged.evidence,
        attribution=Attribution(parts, judged.prompted.attention),
        signals=signals,
        checks=checks,
        guess="" if known or any(check.name == "picture" for check in broken) else said,
    )


def _dreamed_checks(judged: Judged) -> tuple[Check, ...]:
    if judged.verdict.branch < 0:
        return ()
    asked = judged.prompted
    return dreamed_checks(
        judged.dreams[judged.verdict.branch], asked.actions, asked.world.endings if asked.world else ()
    )


def credit(model: Model, judged: Judged, said: Answer, explain: bool) -> Answer:
    """``said`` with what each of its experts gave."""
    if not judged.prompted.experts:
        return said
    prompt, ids = judged.best.prompt, judged.best.ids
    shares = expert_shares(model.engine, (*prompt.prefix_embeddings, *prompt.prefix), ids, prompt.experts, explain)
    names = tuple(_named(model.grammar, token) for token in ids)
    return replace(said, attribution=replace(said.attribution, experts=shares, ids=names))


def _named(grammar: Grammar, token: int) -> str:
    """An id of words as the words that it is, any other by its name."""
    start = grammar.vocabulary.text_start
    return grammar.text.library.decode([token - start]) if token >= start else grammar.vocabulary.name(token)

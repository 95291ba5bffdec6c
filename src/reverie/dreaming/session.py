"""A session with one model: ``ask``, ``dream``, ``simulate`` and ``plan``. This is what ``reverie.load`` returns."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from reverie.dreaming.arbiter import DIRECT, Arbiter
from reverie.dreaming.casting import Cast, attribution, branch_choices
from reverie.dreaming.confidence import ConfidenceModel, Signals
from reverie.dreaming.dreamer import Dreamed, Dreamer, Prompt
from reverie.dreaming.evaluators import Agreement, Context
from reverie.dreaming.grounding import Grounds, Witnesses, agreed, named_first
from reverie.dreaming.pictures import fit_picture, open_picture
from reverie.dreaming.plain import Plain
from reverie.dreaming.plan import Plan, Search, search
from reverie.dreaming.preview import Preview, RuntimeConfig
from reverie.dreaming.questions import clean_question
from reverie.dreaming.scenes import Actions, Scene, open_scene, read_actions
from reverie.dreaming.simulate import Simulation, Walk, beside_reality, real_course, walk
from reverie.engine.engine import Engine
from reverie.errors import UsageError, WorldError
from reverie.experts.contract import Choice
from reverie.experts.features import question_features
from reverie.model import Backbone
from reverie.model.transformers_base import ForeignBackbone
from reverie.nouns import Answer, Dream, Fact, Frame, Part
from reverie.tokens.grammar import Grammar
from reverie.tokens.image import ImageTokenizer
from reverie.tokens.vocabulary import ACT, ANS, WHAT
from reverie.worlds import World, make_world

if TYPE_CHECKING:
    from reverie.data import Row
    from reverie.memory.attention import FactReader
    from reverie.memory.memory import Memory

__all__ = ["Reverie"]

Picture = str | Path | Image.Image | np.ndarray

MAX_BRANCHES = 64
_DIRECT = 0.8  # probability of answering at once from which the model is not made to dream
_DECIDES = 0.5  # score from which a recalled fact is read before a direct answer
_UNKNOWN = "I don't know this yet: {reason}."
_REASONS = {
    "question_mean": "questions like this are new to me",
    "question_min": "there are words in it that I was not taught",
    "distance": "it is about something that I was not taught",
    "agreement": "what I imagine differs each time",
    "answer_mean": "I cannot find words that I would stand behind",
}


@dataclass(frozen=True)
class _Asked:
    """One question on its way: cleaned, with the ids that its dreams start from, the facts recalled for it, what those
    say in soft tokens, how much attention each of them (by id) got, and the experts chosen for it."""

    question: str
    prefix: tuple[int, ...]
    forced: tuple[int, ...] = ()
    world: World | None = None
    pictured: bool = False
    facts: tuple[Fact, ...] = ()
    soft: tuple[int, ...] = ()
    attention: tuple[tuple[int, float], ...] = ()
    experts: Choice = ()
    plain: bool = False  # ``prefix`` is a base's own prompt, and its own words are the answer


class Reverie:
    """A model at work.

    Args:
        grammar, tokenizer, backbone: the parts of a bundle
        worlds: the worlds it was taught -> pixels per code of their pictures, in the order of the grammar's backdrops
        confidence: None uses the rough probe
        runtime: how this client session runs
        arbiter: who picks the winning branch
        memory: what answers rest on: an open Memory, an address (see ``Store.open``), None for a temporary one of
            ``seeds``, False for none
        seeds: makes the rows of facts that a new memory starts with
        reader: folder of the network that reads recalled facts (see ``memory.attention``); None goes without
        cast: the experts there are and who chooses among them; None: the bare backbone answers everything
        plain: how a base is asked that was never taught the grammar; its dreams are legal, and mean nothing yet
    """

    def __init__(
        self,
        grammar: Grammar,
        tokenizer: ImageTokenizer,
        backbone: Backbone | ForeignBackbone,
        worlds: Mapping[str, int],
        confidence: ConfidenceModel | None = None,
        runtime: RuntimeConfig | None = None,
        arbiter: Arbiter | None = None,
        name: str = "unnamed",
        memory: Memory | str | Path | bool | None = None,
        seeds: Iterable[Row] = (),
        reader: Path | None = None,
        cast: Cast | None = None,
        plain: Plain | None = None,
    ):
        self.name = name
        self.grammar, self.tokenizer, self.worlds = grammar, tokenizer, dict(worlds)
        self.cast = cast or Cast()
        self.engine = Engine(backbone, experts=self.cast.library)
        self.dreamer = Dreamer(grammar, self.engine, backbone.config.max_positions, plain)
        self.confidence = confidence or ConfidenceModel.rough()
        self.preview = Preview(runtime or RuntimeConfig())
        self.arbiter = arbiter or Arbiter()
        self.grounds = Grounds(memory, seeds)
        self._reader_folder = reader
        self._world = lru_cache(maxsize=None)(make_world)

    def close(self) -> None:
        """Close the memory. It would be opened again by the next question."""
        self.grounds.close()

    @cached_property
    def reader(self) -> FactReader | None:
        """What reads recalled facts with the question in mind, loaded when it is first needed."""
        if self._reader_folder is None:
            return None
        from reverie.memory.attention import FactReader, word_features

        return FactReader.load(self._reader_folder, word_features(self.engine, self.grammar))

    # asking -------------------------------------------------------------------------------------------------

    def ask(
        self,
        question: str,
        images: Sequence[Picture] = (),
        *,
        branches: int = 4,
        depth: int = 12,
        world: str | None = None,
        scene: Scene = None,
        temperature: float = 0.7,
        seed: int = 0,
        remember: bool = False,
        experts: Sequence[str] | None = None,
        explain: bool = False,
    ) -> Answer:
        """Dream ``branches`` futures, pick one, and answer in its words.

        Args:
            question: up to ``questions.MAX_CHARS`` characters
            images: at most one picture that the dreams start from: a file, a Pillow picture, or uint8 (H, W, 3)
            branches: 0 answers directly, without dreams
            depth: most triplets of a dream
            world, scene: start from a world's scene instead of a picture (see ``scenes.open_scene``), or say which
                world the picture shows
            temperature: of all branches but the first, which is the most probable dream
            seed: the same seed gives the same dreams
            remember: keep what the winning dream claims in the memory, with a confidence of its own
            experts: who dreams it, as ``name`` or ``name=weight``; () for nobody, None lets the router choose
            explain: also say how much less probable the answer would be without each expert

        Where trusted facts contradict every dream, one more starts from what they say. Raises UsageError for a call
        that makes no sense, PictureError and WorldError for what cannot be shown.
        """
        started = time.perf_counter()
        asked = self._asked(question, images, world, scene, seed, experts)
        answer = self._answer([asked], branches, depth, temperature, seed, explain)[0]
        if answer.known:
            dream = answer.dreams[answer.verdict.branch] if answer.dreams else None
            worded = self.preview.word(question, dream, answer.text)
            answer = replace(answer, text=worded.text, backend=worded.backend)
        if remember:
            kept = self.grounds.remember(asked.question, answer, self.name)
            answer = replace(answer, attribution=answer.attribution | {"remembered": kept.id})
        return replace(answer, seconds=time.perf_counter() - started)

    def ask_many(
        self,
        questions: Sequence[str],
        *,
        branches: int = 4,
        depth: int = 12,
        temperature: float = 0.7,
        seed: int = 0,
        scenes: Sequence[tuple[str | None, Scene]] = (),
        experts: Sequence[str] | None = None,
    ) -> list[Answer]:
        """``ask`` for many questions in common batches; the remote preview is never asked.

        ``scenes``: a world and a scene of it to start from for each question, or none at all.
        """
        starts: list[tuple[str | None, Scene]] = [*scenes] or [(None, None)] * len(questions)
        asked = [
            self._asked(question, (), world, scene, seed, experts)
            for question, (world, scene) in zip(questions, starts, strict=True)
        ]
        return self._answer(asked, branches, depth, temperature, seed)

    def dream(
        self,
        question: str,
        images: Sequence[Picture] = (),
        *,
        branches: int = 4,
        depth: int = 12,
        world: str | None = None,
        scene: Scene = None,
        temperature: float = 0.7,
        seed: int = 0,
        experts: Sequence[str] | None = None,
    ) -> tuple[Dream, ...]:
        """The branches alone, scored but undecided; arguments as in ``ask``."""
        if branches < 1:
            raise UsageError("dreaming needs at least 1 branch")
        asked = self._asked(question, images, world, scene, seed, experts, dreams=True)
        rows = self._dream([asked], branches, depth, temperature, seed)[0]
        dreams = [dreamed.as_dream(row_seed) for dreamed, row_seed in rows]
        return self.arbiter.score(dreams, self._context(asked, dreams, self.grounds.witnesses(dreams)))

    def signals(
        self,
        questions: Sequence[str],
        *,
        branches: int = 3,
        temperature: float = 0.7,
        seed: int = 0,
        experts: Sequence[str] | None = None,
    ) -> list[Signals]:
        """What confidence rests on, for many questions: used to fit it and to measure it."""
        asked = [self._asked(question, (), None, None, seed, experts) for question in questions]
        dreamed = self._dream(asked, branches, 12, temperature, seed)
        return [self._signals(one, [row for row, _ in rows]) for one, rows in zip(asked, dreamed, strict=True)]

    def _asked(
        self,
        question: str,
        images: Sequence[Picture],
        world: str | None,
        scene: Scene,
        seed: int,
        experts: Sequence[str] | None,
        dreams: bool = False,
    ) -> _Asked:
        cleaned = clean_question(question)
        if self.dreamer.plain and not (images or world or scene is not None or dreams):
            prompt = self.dreamer.plain.ids(question)
            return _Asked(question, prompt, experts=self.cast.choose(self._seen(prompt), experts), plain=True)
        ids = self.grammar.question_ids(cleaned)
        if len(ids) > self.dreamer.max_positions // 4:
            raise UsageError(
                f"the question is {len(ids)} ids long; at most {self.dreamer.max_positions // 4} leave room to dream"
            )
        if len(images) > 1:
            raise UsageError(f"one picture can be asked about at once, got {len(images)}")
        if images and scene is not None:
            raise UsageError("give a picture or a scene to start from, not both")
        picture, cell_px, shown = None, None, None
        if images:
            shown = self._world(world) if world else None
            picture, cell_px = self._fit(open_picture(images[0]), shown)
        elif world or scene is not None:
            shown, _ = open_scene(world or "FrozenLake", scene, seed)
            picture, cell_px = np.asarray(shown.render()), shown.cell_px
        choice = self.cast.choose(self._seen(ids), experts)
        if self._answers_at_once(ids, choice):  # no matter of what happens, whatever the picture shows
            return _Asked(cleaned, tuple(ids), (ANS,), experts=choice)
        if picture is None:
            return _Asked(cleaned, tuple(ids), (WHAT,), experts=choice)
        frame = self.tokenizer.encode([picture], cell_px)[0]
        wordless = shown is not None and shown.wordless
        prefix = self.dreamer.opening(Part("", frame), cleaned)
        return _Asked(cleaned, tuple(prefix), (ACT,) if wordless else (), shown, pictured=True, experts=choice)

    def _fit(self, image: Image.Image, world: World | None) -> tuple[np.ndarray, int]:
        cell_px = world.cell_px if world else 8
        return fit_picture(image, world, side=64, cell_px=cell_px), cell_px

    def _answers_at_once(self, ids: Sequence[int], experts: Choice) -> bool:
        """Whether the model would rather answer than dream, as it does for what is no matter of what happens."""
        answer, dream = (float(np.exp(self.engine.score(ids, [token], experts)[0])) for token in (ANS, WHAT))
        return answer > _DIRECT * (answer + dream)

    def _dream(
        self, asked: Sequence[_Asked], branches: int, depth: int, temperature: float, seed: int
    ) -> list[list[tuple[Dreamed, int]]]:
        """The rows of every question with their seeds. With 0 branches: one row that answers at once, greedily."""
        if not 0 <= branches <= MAX_BRANCHES:
            raise UsageError(f"branches lie between 0 and {MAX_BRANCHES}, got {branches}")
        if depth < 1 or not 0 <= temperature <= 10:
            raise UsageError(f"depth is at least 1 and temperature between 0 and 10, got {depth} and {temperature}")
        if not branches and any(one.pictured for one in asked):
            raise UsageError("a question about a picture is answered by dreaming on from it; give at least 1 branch")
        seeds = [seed * 1000 + branch for branch in range(max(branches, 1))]
        choices = [branch_choices(one.experts, len(seeds)) for one in asked]
        prompts = [
            Prompt(
                one.prefix,
                () if one.plain else one.forced if branches else (ANS,),
                seed=row_seed,
                temperature=temperature if branch else 0.0,
                depth=depth,
                pictured=True,
                soft=() if branches else one.soft,
                experts=choice[branch],
                plain=one.question if one.plain else "",
            )
            for one, choice in zip(asked, choices, strict=True)
            for branch, row_seed in enumerate(seeds)
        ]
        rows = self.dreamer.run(prompts)
        return [list(zip(rows[i : i + len(seeds)], seeds, strict=True)) for i in range(0, len(rows), len(seeds))]

    def _answer(
        self, asked: Sequence[_Asked], branches: int, depth: int, temperature: float, seed: int, explain: bool = False
    ) -> list[Answer]:
        asked = [self._recall(one) for one in asked]
        dreamed = self._dream(asked, branches, depth, temperature, seed)
        return [self._decide(one, rows, branches, explain) for one, rows in zip(asked, dreamed, strict=True)]

    def _recall(self, asked: _Asked) -> _Asked:
        """The question with the facts recalled for it, read with it in mind where there is a reader."""
        facts = self.grounds.recall(asked.question)
        if self.reader is None or not facts:
            return replace(asked, facts=facts)
        heard = agreed(facts)
        reading = self.reader.read(asked.question, heard)
        scored = {fact.id: float(score) for fact, score in zip(heard, reading.scores, strict=True)}
        facts = tuple(replace(fact, score=(fact.score + scored.get(fact.id, 0.0)) / 2) for fact in facts)
        return replace(
            asked,
            facts=tuple(sorted(facts, key=lambda fact: -fact.score)),
            soft=self.engine.soft_ids(reading.soft) if reading.scores.max(initial=0.0) >= _DECIDES else (),
            attention=tuple((fact.id, float(share)) for fact, share in zip(heard, reading.attention, strict=True)),
        )

    def _decide(self, asked: _Asked, rows: list[tuple[Dreamed, int]], branches: int, explain: bool) -> Answer:
        """The answer that the rows of one question come to; with 0 branches, what the only row says."""
        dreams = [dreamed.as_dream(row_seed) for dreamed, row_seed in rows]
        scored: tuple[Dream, ...] = ()
        verdict, evidence = DIRECT, asked.facts
        if branches:
            witnesses = self.grounds.witnesses(dreams)
            scored, verdict = self.arbiter.decide(dreams, self._context(asked, dreams, witnesses))
            winner = scored[verdict.branch]
            if fact := witnesses.overruling(winner):
                first = winner.triplets[0]
                told = self.dreamer.told_prompt(
                    asked.question, first.what, first.action.text, fact.object, asked.experts
                )
                rows = [*rows, (self.dreamer.run([told])[0], winner.seed)]
                dreams.append(rows[-1][0].as_dream(winner.seed))
                scored, verdict = self.arbiter.decide(dreams, self._context(asked, dreams, witnesses))
            evidence = named_first(witnesses.about(scored[verdict.branch]), evidence)
        best = max(verdict.branch, 0)
        signals = self._signals(asked, [dreamed for dreamed, _ in rows], best)
        confidence = self.confidence.confidence(signals)
        known = self.confidence.known(confidence) and bool(dreams[best].said)
        parts = self.confidence.parts(signals)
        return Answer(
            text=dreams[best].said if known else self._admit(parts),
            known=known,
            confidence=confidence,
            backend="local",
            dreams=scored,
            verdict=verdict,
            evidence=evidence,
            attribution={"confidence": parts, "attention": dict(asked.attention)}
            | (attribution(self.engine, self.grammar, rows[best][0], explain) if asked.experts else {}),
        )

    def _admit(self, parts: dict[str, float]) -> str:
        """The sentence that says that the answer is not known, and what speaks most against knowing it."""
        return _UNKNOWN.format(reason=_REASONS[min(parts, key=lambda name: parts[name])])

    def _signals(self, asked: _Asked, rows: Sequence[Dreamed], best: int = 0) -> Signals:
        ids, given = self.grammar.question_ids(asked.question), 2
        if asked.plain:
            ids, given = list(asked.prefix), 1
        dreams = [row.as_dream(0) for row in rows]
        return Signals(
            log_probs=[*map(float, self.engine.score(ids[:given], ids[given:], asked.experts))] or [0.0],
            embedding=np.asarray(self.engine.embed(ids), dtype=np.float64),
            agreement=_agreement(dreams),
            answer_mean=rows[best].answer_log_prob,
            near=self.cast.distance(self._seen(ids), asked.experts) if asked.experts else float("inf"),
        )

    def _seen(self, ids: Sequence[int]) -> np.ndarray:
        """What the router sees of a question."""
        return question_features(self.engine.embed, ids)

    def _context(self, asked: _Asked, dreams: Sequence[Dream], witnesses: Witnesses | None = None) -> Context:
        frames = list(_frames(dreams))
        world = asked.world
        if world is None and frames and (name := self.world_of(frames[0])):
            world = self._world(name)
        if world is None:
            return Context(asked.question, witnesses=witnesses)
        pictures = dict(zip(frames, self.tokenizer.decode(frames, world.cell_px), strict=True))
        return Context(asked.question, world, pictures, witnesses)

    # pictures -----------------------------------------------------------------------------------------------

    def world_of(self, frame: Frame) -> str | None:
        """The taught world whose backdrop a frame shows most of, None where it shows too little of any."""
        shares = {
            name: _share(frame, backdrop) for name, backdrop in zip(self.worlds, self.grammar.backdrops, strict=False)
        }
        best = max(shares, key=lambda name: shares[name], default=None)
        return best if best is not None and shares[best] >= 0.25 else None

    def decode(self, frames: Sequence[Frame]) -> list[np.ndarray]:
        """Frames as uint8 (H, W, 3) pictures, each at the size of the world that it shows."""
        pictures = []
        for frame in frames:
            name = self.world_of(frame)
            pictures += self.tokenizer.decode([frame], self.worlds[name] if name else None)
        return pictures

    def pictures(self, dream: Dream) -> list[np.ndarray]:
        """The pictures of a dream in order: what it starts from, then every result; parts of words are left out."""
        return self.decode([frame for frame in _ordered_frames(dream) if frame])

    # imagining a world --------------------------------------------------------------------------------------

    def simulate(
        self,
        world: str,
        scene: Scene,
        actions: Actions,
        *,
        branches: int = 1,
        temperature: float = 0.7,
        seed: int = 0,
    ) -> Simulation:
        """Dream what ``actions`` do to a scene, then say whether the real world agrees.

        The first branch is the most probable dream; further ones are sampled at ``temperature``, and the arbiter picks.
        Raises WorldError for a scene or an action that the world lacks.
        """
        return self.simulate_many(world, [(scene, actions)], branches=branches, temperature=temperature, seed=seed)[0]

    def simulate_many(
        self,
        world: str,
        jobs: Sequence[tuple[Scene, Actions]],
        *,
        branches: int = 1,
        temperature: float = 0.7,
        seed: int = 0,
    ) -> list[Simulation]:
        """``simulate`` for many (scene, actions), in common batches."""
        if not 1 <= branches <= MAX_BRANCHES:
            raise UsageError(f"branches lie between 1 and {MAX_BRANCHES}, got {branches}")
        started = time.perf_counter()
        scenes = [open_scene(world, scene, seed) for scene, _ in jobs]
        asked = [read_actions(made, given) for (made, _), (_, given) in zip(scenes, jobs, strict=True)]
        frames = self._starts([made for made, _ in scenes])
        if self._world(world).wordless:
            questions = [""] * len(jobs)
            starts = [Part("", frame) for frame in frames]
        else:  # dreams of other worlds answer a question, and begin with words
            questions = [clean_question(f"What happens here if you {taken[0][1]}?") for taken in asked]
            starts = self.dreamer.put_into_words(frames, questions)
        walks = [
            [
                Walk(
                    start,
                    [words for _, words in taken],
                    question,
                    made.endings,
                    seed * 1000 + branch,
                    temperature if branch else 0.0,
                )
                for branch in range(branches)
            ]
            for (made, _), start, question, taken in zip(scenes, starts, questions, asked, strict=True)
        ]
        walk(self.dreamer, [branch for group in walks for branch in group])
        seconds = time.perf_counter() - started
        simulations = [
            beside_reality(made, options, seed, taken, group, self.tokenizer, self.arbiter)
            for (made, options), taken, group in zip(scenes, asked, walks, strict=True)
        ]
        return [replace(one, seconds=seconds) for one in simulations]

    def plan(self, world: str, scene: Scene, *, budget: int = 1000, seed: int = 0) -> Plan:
        """Find actions that reach the goal by dreaming alone; a shortest plan, as far as the dreams are right.

        ``budget``: most imagined steps. A scene in which no goal could be imagined gives a plan without actions.
        Raises WorldError for a world that has no goals.
        """
        return self.plan_many(world, [scene], budget=budget, seed=seed)[0]

    def plan_many(self, world: str, scenes: Sequence[Scene], *, budget: int = 1000, seed: int = 0) -> list[Plan]:
        """``plan`` for many scenes, in common batches."""
        if budget < 1:
            raise UsageError(f"a plan needs a budget of at least 1 imagined step, got {budget}")
        started = time.perf_counter()
        opened = [open_scene(world, scene, seed) for scene in scenes]
        if not all(any(made.endings.values()) for made, _ in opened):
            raise WorldError(f"{world} has no goal to plan for; plans are made in FrozenLake")
        searches = [
            Search(start, made.action_names, made.endings, budget)
            for start, (made, _) in zip(self._starts([made for made, _ in opened]), opened, strict=True)
        ]
        search(self.dreamer, searches)
        seconds = time.perf_counter() - started
        return [
            _judged(one, made, options, seed, seconds) for one, (made, options) in zip(searches, opened, strict=True)
        ]

    def _starts(self, worlds: Sequence[World]) -> list[Frame]:
        return [self.tokenizer.encode([np.asarray(world.render())], world.cell_px)[0] for world in worlds]


def _judged(found: Search, world: World, options: dict[str, Any], seed: int, seconds: float) -> Plan:
    """The plan of a finished search, and what the real world makes of it."""
    if found.found is None:
        return Plan(world.name, (), None, found.num_steps, False, False, "", seconds)
    actions = tuple(triplet.action.text for triplet in found.found.triplets)
    world.reset(seed=seed, options=options)
    outcome = real_course(world, [world.action_names.index(action) for action in actions])[-1][1]
    reaches = found.endings.get(outcome, False)
    falls = outcome in found.endings and not reaches
    return Plan(world.name, actions, found.found, found.num_steps, reaches, falls, outcome, seconds)


def _agreement(dreams: Sequence[Dream]) -> float | None:
    """How far the branches agree on the whole, in [0, 1]; None for a single one."""
    judged = Agreement().judge(dreams, Context())
    return None if judged is None else float(np.mean(judged))


def _ordered_frames(dream: Dream) -> list[Frame | None]:
    return [triplet.what.frame for triplet in dream.triplets[:1]] + [triplet.result.frame for triplet in dream.triplets]


def _frames(dreams: Sequence[Dream]) -> dict[Frame, None]:
    """All frames of ``dreams``, each once, in order."""
    return dict.fromkeys(frame for dream in dreams for frame in _ordered_frames(dream) if frame)


def _share(frame: Frame, backdrop: Frame) -> float:
    rows, cols = frame.shape
    if rows > backdrop.shape[0] or cols > backdrop.shape[1]:
        return 0.0
    return float((frame.codes == backdrop.codes[:rows, :cols]).mean())

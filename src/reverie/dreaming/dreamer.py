"""The dreamer: turns prompts into rows of the engine, keeps them on the grammar's path, and reads what was dreamed.

A ``Prompt`` is one row; everything that imagines (``ask``, ``simulate``, ``plan``) is made of prompts. The
``DreamConstraint`` lets the grammar's state decide what may come next and takes away what would make a dream endless or
off the subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from reverie.engine import AnyEngine, Completion, Request, Sampling
from reverie.errors import UsageError
from reverie.experts.contract import Choice
from reverie.nouns import Dream, Frame, Part
from reverie.tokens.grammar import Document, Grammar, GrammarState
from reverie.tokens.vocabulary import ACT, ANS, EOS, RES
from reverie.worlds.contract import GOAL_QUESTION, World

__all__ = ["MAX_ROWS", "Dreamed", "Dreamer", "Prompt"]

MAX_ROWS = 64  # rows of one batch of the engine
MAX_WORDS = 48  # text ids of one part
LONGEST = {"end": 512, "result": 320, "what": 64}  # new ids of one row: more than any taught dream needs, per stop


@dataclass(frozen=True)
class Prompt:
    """One row: the ids before the dream, and how it is dreamed.

    Args:
        prefix: the ids that are given; rows with the same prefix share its computation
        script: ids that the dream must start with; they are not judged
        stop: what completes the row, as ``Grammar.state`` names it ("what", "result" or "end")
        seed: of this row alone; temperature 0 is greedy and needs none
        temperature: above 0 samples
        depth: most triplets of the whole document
        actions: what the dream must do, in this order, as far as it goes; () leaves that to the model
        pictured: every result must be a picture
        most: ids that are drawn at most; 0: as many as any taught dream needs
        endings: words of results that end it, without an answer, as nothing else but ``depth`` does; () ends with one
        soft: ids of soft tokens that the model reads before the prefix (``Engine.prefix_embedding_ids``)
        experts: who dreams it, by name and weight; () is the bare backbone
    """

    prefix: tuple[int, ...]
    script: tuple[int, ...] = ()
    stop: str = "end"
    seed: int = 0
    temperature: float = 0.0
    depth: int = 1000
    actions: tuple[str, ...] = ()
    pictured: bool = False
    most: int = 0
    endings: tuple[str, ...] = ()
    prefix_embeddings: tuple[int, ...] = ()
    experts: Choice = ()


@dataclass(frozen=True)
class Dreamed:
    """What came of a prompt. Log-probabilities are in nats and leave the script out.

    ``words`` are those of the part that ended the row; ``answer_log_prob`` is the mean over the answer's ids (0 when
    nothing was said); ``finished`` is False where the row ran out of room, so that its last part is missing;
    ``ids`` are those that were drawn after the prompt's prefix, the script included.
    """

    document: Document
    words: str
    log_prob: float
    num_ids: int
    answer_log_prob: float
    finished: bool
    prompt: Prompt
    ids: tuple[int, ...]

    def as_dream(self) -> Dream:
        said, experts = self.document.answer or "", dict(self.prompt.experts)
        return Dream(self.document.triplets, self.log_prob, self.prompt.seed, said, self.num_ids, experts=experts)


class Dreamer:
    """Runs prompts on one engine and grammar. ``always``: experts that every row has besides its own."""

    def __init__(self, grammar: Grammar, engine: AnyEngine, max_positions: int, always: Choice = ()):
        self.grammar, self.engine, self.max_positions, self.always = grammar, engine, max_positions, always
        self._masks: dict[tuple[object, ...], torch.Tensor] = {}  # shared by all leashes

    def run(self, prompts: Sequence[Prompt]) -> list[Dreamed]:
        """Dream every prompt, ``MAX_ROWS`` at a time. The result of a row does not depend on the others."""
        dreamed: list[Dreamed] = []
        for start in range(0, len(prompts), MAX_ROWS):
            chunk = prompts[start : start + MAX_ROWS]
            requests = [self._request(prompt, self._room(prompt)) for prompt in chunk]
            completions = self.engine.generate(requests)
            dreamed += map(self._read, chunk, completions)
        return dreamed

    def _room(self, prompt: Prompt) -> int:
        room = self.max_positions - len(prompt.prefix_embeddings) - len(prompt.prefix)
        if room <= len(prompt.script):
            raise UsageError(
                f"{len(prompt.prefix)} ids are given, and the model has {self.max_positions} positions: "
                "ask less at once, or simulate fewer steps"
            )
        return room

    def _request(self, prompt: Prompt, room: int) -> Request:
        """The row for the engine; ``room``: ids that still fit, at least one."""
        return Request(
            prefix=prompt.prefix_embeddings + prompt.prefix,
            seed=prompt.seed,
            sampling=Sampling(temperature=prompt.temperature),
            constraint=DreamConstraint(self.grammar.state(prompt.prefix, prompt.stop), self._masks, prompt),
            max_new_ids=min(room, prompt.most or LONGEST[prompt.stop]),
            experts=self.with_always(prompt.experts),
        )

    def with_always(self, experts: Choice) -> Choice:
        return self.always + tuple(one for one in experts if one[0] not in dict(self.always))

    def _read(self, prompt: Prompt, completion: Completion) -> Dreamed:
        """What the drawn ids say."""
        ids, log_probs = list(completion.ids), list(completion.log_probs)
        free = log_probs[len(prompt.script) :]
        said: list[float] = []
        if ANS in ids or ANS in prompt.prefix:
            said = log_probs[ids.index(ANS) + 1 if ANS in ids else 0 :]
        return Dreamed(
            document=self.grammar.decode([*prompt.prefix, *ids], partial=True),
            words=self._last_words(ids),
            log_prob=float(sum(free)),
            num_ids=len(free),
            answer_log_prob=float(sum(said)) / len(said) if said else 0.0,
            finished=completion.finished,
            prompt=prompt,
            ids=completion.ids,
        )

    def _last_words(self, ids: Sequence[int]) -> str:
        """The text before the last id."""
        start, words = self.grammar.vocabulary.text_start, list[int]()
        for token in reversed(ids[:-1]):
            if token < start:
                break
            words.insert(0, token - start)
        return self.grammar.text.decode(words)

    def step_prompt(self, history: Sequence[int], action: str, seed: int = 0, temperature: float = 0.0) -> Prompt:
        """The prompt of one step: ``history`` (a document up to a whole part), ``action``, and what comes of it."""
        script = tuple(self.grammar.action_ids(action))
        return Prompt(tuple(history), script, "result", seed, temperature, pictured=True)

    def opening(self, what: Part, question: str = "") -> list[int]:
        """The ids of ``question`` and of what a dream starts from."""
        return self.grammar.question_ids(question) + self.grammar.what_ids(what)

    def plan_prompt(self, world: World, frame: Frame, question: str = GOAL_QUESTION, depth: int = 24) -> Prompt:
        """The prompt of a whole plan from the picture ``frame`` of ``world``: it ends where a result says so."""
        prefix, endings = tuple(self.opening(Part("", frame), question)), tuple(world.endings)
        return Prompt(prefix, (ACT,), depth=depth, pictured=True, endings=endings)

    def told_prompt(
        self, question: str, what: Part, action: str, outcome: str, experts: Choice = (), seed: int = 0
    ) -> Prompt:
        """The prompt of an answer where it is told in words, not pictured, what comes of ``action``. It is greedy;
        ``seed`` is the one that its dream is known by."""
        told = self.grammar.action_ids(action) + self.grammar.result_ids(Part(outcome), None)
        return Prompt((*self.opening(what, question), *told), (ANS,), seed=seed, experts=experts)

    def put_into_words(self, frames: Sequence[Frame], questions: Sequence[str]) -> list[Part]:
        """Each picture with the words that the model finds for it, for worlds whose dreams begin with words."""
        openings = [self.opening(Part("", frame), asked) for frame, asked in zip(frames, questions, strict=True)]
        prompts = [Prompt(tuple(opening), stop="what") for opening in openings]
        texts = [dreamed.words if dreamed.finished else "" for dreamed in self.run(prompts)]
        return [Part(text, frame) for text, frame in zip(texts, frames, strict=True)]


class DreamConstraint:
    """The engine's constraint of one row: what its state in the grammar allows, minus

    - text after ``MAX_WORDS`` ids of one part, and text that would lengthen the question or the action that is given,
    - further actions once ``depth`` triplets are there, and others than the prompt's ``actions``, if it has any,
    - an end before anything was said; where results end it, an answer, an end after others, more after these,
    - a result without a picture where the prompt wants one.
    """

    def __init__(self, state: GrammarState, masks: dict[tuple[object, ...], torch.Tensor], prompt: Prompt):
        self._state, self._masks, self._prompt = state, masks, prompt
        self._script = list(prompt.script)
        self._actions = [state.grammar.action_ids(action)[1:] for action in reversed(prompt.actions)]
        self._action: list[int] = []  # what is left of the words of the present one
        self._text_start = state.grammar.vocabulary.text_start
        self._endings = {tuple(state.grammar.text_ids(words)) for words in prompt.endings}
        self._words: tuple[int, ...] = ()  # of the present part
        self._triplets = 0
        for token in prompt.prefix:
            self._count(token)

    @property
    def done(self) -> bool:
        return self._state.done

    def advance(self, token_id: int) -> None:
        self._state.advance(token_id)
        self._count(token_id)
        if token_id == ACT and self._actions:
            self._action = self._actions.pop()
        elif self._action:
            del self._action[0]
        if self._script:
            del self._script[0]
            self._state.done = False  # an id of the script completes nothing

    def allowed(self) -> torch.Tensor:
        """Bool (V,), shared; do not change it."""
        given = self._script or self._action
        bans: tuple[object, ...] = ("script", given[0]) if given else self._bans()
        if not bans:
            return self._state.allowed()
        key = (self._state.key(), bans)
        if key not in self._masks:
            self._masks[key] = self._mask(bans)
        return self._masks[key]

    def _count(self, token: int) -> None:
        self._words = (*self._words, token) if token >= self._text_start else ()
        self._triplets += token == RES

    def _bans(self) -> tuple[object, ...]:
        state, prompt = self._state, self._prompt
        needs_picture = prompt.pictured and state.mode == "part" and state.role == "result"
        bans: list[object] = []
        given = "action" if prompt.stop == "result" or prompt.actions else "question"  # its words are all there
        if state.role == given or len(self._words) >= MAX_WORDS or needs_picture:
            bans.append("text")
        if self._triplets >= prompt.depth or (prompt.actions and not self._actions):
            bans.append(ACT)
        if self._endings:
            ended = self._words in self._endings or self._triplets >= prompt.depth
            bans += [ANS, ACT if ended else EOS]
        elif prompt.stop == "end" and not (state.role == "answer" and self._words):
            bans.append(EOS)
        return tuple(bans)

    def _mask(self, bans: tuple[object, ...]) -> torch.Tensor:
        allowed = self._state.allowed()
        if bans[0] == "script":
            mask = torch.zeros_like(allowed)
            mask[bans[1]] = allowed[bans[1]]  # type: ignore[index]
            return mask
        mask = allowed.clone()
        for ban in bans:
            mask[self._text_start :] &= ban != "text"
            if ban != "text":
                mask[ban] = False  # type: ignore[index]
        return mask

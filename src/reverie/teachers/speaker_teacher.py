"""A teacher over any speaker: replies are kept, counted and cleaned, and come in the order of their prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from reverie.engine.sampling import Sampling
from reverie.errors import BackendError, ReverieError, UsageError
from reverie.progress import Progress, no_progress
from reverie.speakers.contract import Message, Speaker, SpeechRequest
from reverie.teachers.asking import Asked, Job, Purse, answers
from reverie.teachers.cleaning import clean, flaw_of
from reverie.teachers.contract import Counts, Planned, TeacherConfig
from reverie.teachers.replies import Replies, reply_key
from reverie.teachers.traces import Prompt, Trace, Traces

__all__ = ["SpeakerTeacher"]

_IN_A_ROW = 3  # prompts without an answer, after which nobody answers any more


class SpeakerTeacher:
    """As ``Teacher`` promises.

    Args:
        speaker: who is asked; closed with it
        identity: names who it is and where, so that the replies of no other are taken for its own; by default what the
            speaker says of itself
    """

    prompts: tuple[Prompt, ...] = ()

    def __init__(self, speaker: Speaker, config: TeacherConfig | None = None, identity: str = ""):
        self.speaker, self.name, self.config = speaker, speaker.name, config or TeacherConfig()
        self.identity = identity or getattr(speaker, "identity", speaker.name)
        self.counts = Counts()
        self.purse = Purse(self.config, self.counts)

    @property
    def tops(self) -> int:
        return min(self.config.top, self.speaker.abilities.tops)

    def teach(
        self, prompts: Sequence[Prompt], traces: Traces | None = None, progress: Progress = no_progress
    ) -> Iterator[Trace]:
        """As ``Teacher.teach``."""
        jobs = self._jobs(prompts)
        unlike = {job.key: job for job in jobs}
        found: dict[str, Trace | None] = {key: kept for key, job in unlike.items() if (kept := self._kept(job, traces))}
        asked = [job for key, job in unlike.items() if key not in found]
        fresh, replies = {job.key for job in asked}, self._replies(asked, found)
        for place, job in enumerate(jobs):
            progress(f"asking {self.name}  {self._so_far()}", place, len(jobs))
            while job.key not in found and next(replies, False):
                pass
            trace = found.get(job.key)  # there is none where nobody answered, or the budget had no room
            if trace is None:
                continue
            if traces is not None:
                traces.append(trace)
            self.counts.cached += job.key not in fresh
            fresh.discard(job.key)
            self.counts.flawed += bool(trace.flaw)
            self.counts.replies += not trace.flaw
            if not trace.flaw:
                yield trace
        next(replies, None)  # where nobody answers it says so at its end
        progress(f"asking {self.name}  {self._so_far()}", len(jobs), len(jobs))

    def plan(self, prompts: Sequence[Prompt]) -> Planned:
        """As ``Teacher.plan``."""
        jobs = {job.key: job for job in self._jobs(prompts)}
        asked = [job for job in jobs.values() if self._kept(job, None) is None]
        prompt_ids = sum(job.prompt_ids for job in asked)
        most = sum(job.request.max_ids for job in asked)
        return Planned(len(prompts), len(prompts) - len(asked), prompt_ids, most, self.purse.cost(prompt_ids, most))

    def close(self) -> None:
        if "_cache" in vars(self) and self._cache is not None:
            self._cache.close()
            del self._cache
        self.speaker.close()

    @cached_property
    def _cache(self) -> Replies | None:
        return Replies(self.config.cache_path, self.config.cache_mb * 2**20) if self.config.cache else None

    def _jobs(self, prompts: Sequence[Prompt]) -> list[Job]:
        config, seen = self.config, Counter[Prompt]()
        drawn, jobs = Sampling(config.temperature, top_p=config.top_p), list[Job]()
        for given in prompts:
            prompt = self._as_asked(given)
            seed = config.seed + (0 if drawn.greedy else seen[prompt])
            seen[prompt] += 1
            told = (Message("system", config.system),) if config.system else ()
            said = f"{config.system}\n\n{prompt}" if told and isinstance(prompt, str) else prompt
            said = said if isinstance(said, str) else (*told, *said)
            request = SpeechRequest(said, config.max_ids, drawn, seed, config.stop, top=config.top)
            key = reply_key(self.identity, request, config.most_chars)
            jobs.append(Job(key, prompt, request, self.speaker.count(said)))
        return jobs

    def _as_asked(self, prompt: Prompt) -> Prompt:
        if not prompt or (isinstance(prompt, str) and not prompt.strip()):
            raise UsageError("a prompt is empty: a teacher is asked with words")
        able = self.speaker.abilities
        asks = isinstance(prompt, str) and able.talks and (self.config.talk or not able.completes)
        return (Message("user", prompt),) if asks and isinstance(prompt, str) else prompt

    def _kept(self, job: Job, traces: Traces | None) -> Trace | None:
        drawn = job.request
        kept = traces and traces.find(self.name, job.prompt, drawn.seed, drawn.sampling.temperature)
        kept = kept or (None if self._cache is None else self._cache.get(job.key))
        if kept is None or kept.flaw:
            return kept
        return replace(kept, flaw=flaw_of(kept.text, self.config.most_chars))  # it may have been judged otherwise

    def _replies(self, jobs: Sequence[Job], found: dict[str, Trace | None]) -> Iterator[bool]:
        """Puts the trace of each job into ``found`` as it comes, None for one that nobody answered, and yields True."""
        in_a_row, any_came = 0, False
        problem: ReverieError | None = None
        for asked in answers(self.speaker, jobs, self.purse):
            if asked.speech is None:
                problem = asked.problem
                self.counts.failed += 1
                self.counts.problem = str(problem)
                in_a_row += isinstance(problem, BackendError)
                if in_a_row >= _IN_A_ROW:
                    break
                found[asked.job.key] = None
                yield True
                continue
            in_a_row, any_came = 0, True
            trace = self._trace(asked)
            if self._cache is not None:
                self._cache.put(asked.job.key, trace)
            found[asked.job.key] = trace
            yield True
        if problem is not None and (in_a_row >= _IN_A_ROW or not any_came):
            kept = sum(trace is not None for trace in found.values())
            again = BackendError if isinstance(problem, BackendError) else UsageError
            raise again(f"{problem} ({kept} of its replies are kept)") from problem

    def _trace(self, asked: Asked) -> Trace:
        job, speech, most = asked.job, asked.speech, self.config.most_chars
        assert speech is not None
        text = clean(speech.text)
        flaw = flaw_of(text, most)
        return Trace(
            job.prompt,
            text[:most],
            speech.ids if text == speech.text and len(text) <= most else (),
            self.name,
            speech.finished,
            job.request.seed,
            job.request.sampling.temperature,
            asked.num_ids,
            asked.prompt_ids,
            self.purse.cost(asked.prompt_ids, asked.num_ids),
            flaw,
        )

    def _so_far(self) -> str:
        told = {"kept": self.counts.cached, "no lesson": self.counts.flawed, "failed": self.counts.failed}
        return ", ".join(f"{count} {what}" for what, count in told.items() if count)

"""Distillation from end to end: a teacher is asked, a student learns, and a bundle or an expert is left, with a report.

The folder of one distillation holds what each stage made, and the same call goes on after the last that is there:

    recipe.json, prompts.jsonl    what was asked for, and of the teacher
    traces.jsonl, asked.json      its replies, and what they cost: with both there nobody is asked again
    mined.json                    facts that were read out of them into a memory
    start/                        a new student before it learned
    run/                          the training, see ``training.rundir``
    bundle/ or expert/            the product
    report.md, report.json, curve.png
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from reverie.bundles.distilled_report import Sample, answers_of, write_report
from reverie.bundles.fresh import FreshConfig, fresh_bundle, fresh_words, with_weights, words_of
from reverie.errors import ConfigError, DataError, UsageError
from reverie.files import atomic_folder, atomic_write_json, atomic_write_text
from reverie.jsonio import json_lines, read_object
from reverie.memory import Memory
from reverie.paths import find_bundle
from reverie.progress import Progress, no_progress
from reverie.settings import settings_to_dict
from reverie.speakers.contract import Message
from reverie.teachers import Planned, Prompt, Teacher, TeacherConfig, Trace, Traces, mine, open_teacher, read_traces
from reverie.training.distillation import DistillData, split_traces
from reverie.training.recipes import DistillRecipe
from reverie.training.rundir import RunDir, TrainResult
from reverie.training.settings import LoopConfig
from reverie.training.varied_prompts import MOST_PROMPTS, varied_prompts

__all__ = ["NEW", "DistillPlan", "Distilled", "distill", "plan_distillation", "read_prompts"]

NEW = "NEW"  # the name of a student that is not there yet
_FREE = {"asking", "loop", "samples", "data.eval_rows"}  # settings that may change when a distillation goes on


@dataclass(frozen=True)
class DistillPlan:
    """Who teaches whom, and how. ``data.traces``, ``data.bundle`` and ``data.whole`` are filled in."""

    teacher: str = ""  # as ``teachers.open_teacher`` takes it
    prompts: str | int = ""  # how many of the varied ones, or a file; "" takes those that the teacher brings
    model: str = "smol"  # a bundle that gets an expert, or NEW: a bundle of its own
    tokenizer: Literal["own", "teacher"] = "own"  # of a new student: learned from the answers, or the teacher's
    asking: TeacherConfig = field(default_factory=lambda: TeacherConfig(temperature=0.7))
    fresh: FreshConfig = field(default_factory=FreshConfig)  # the size of a new student
    data: DistillData = field(default_factory=DistillData)
    loop: LoopConfig = LoopConfig(
        steps=150, lr=1e-3, weight_decay=0.0, warmup_steps=10, eval_every=25, patience=3, checkpoint_every=25,
        log_every=5,
    )  # fmt: skip
    memory: str = ""  # that gets the facts which the teacher's words hold, as ``Memory.open`` takes it
    samples: int = 4  # prompts that are answered before and after, for the report

    def __post_init__(self) -> None:
        if not self.teacher:
            raise ConfigError("who teaches? Name a teacher, such as llama:FILE.gguf, ollama:NAME or bundle:smol")
        if self.samples < 0:
            raise ConfigError(f"samples are 0 or more, got {self.samples}")


@dataclass(frozen=True)
class Distilled:
    """How a distillation ended: the product, None where it was stopped before; ``message`` says it in one line."""

    product: Path | None
    report: Path | None
    figures: dict[str, float]
    asked: dict[str, Any]
    message: str
    result: TrainResult | None = None


def distill(plan: DistillPlan, folder: Path, progress: Progress = no_progress) -> Distilled:
    """Distil into ``folder``, or go on with what is there.

    Raises TrainingError where another distillation is there, UsageError for what cannot be asked or trained, DataError
    where too little was answered, BackendError where nobody answers; what was answered before is kept.
    """
    place = RunDir(folder)
    place.prepare()
    settings = settings_to_dict(plan)
    place.note(settings, _FREE)
    if plan.model != NEW:
        find_bundle(plan.model)  # before anybody is asked
    asked = _asked(plan, folder, progress)
    traces = list(read_traces(folder / "traces.jsonl"))
    if plan.memory and not (folder / "mined.json").exists():
        progress("reading facts", 0, 0)
        with Memory.open(plan.memory) as memory:
            atomic_write_json(folder / "mined.json", asdict(mine(traces, memory)))
    if plan.model == NEW and not (folder / "start").exists():
        progress("preparing  making a new student", 0, 0)
        fresh_bundle(folder / "start", _words(plan, traces), plan.fresh, name=folder.resolve().name)
    recipe = _recipe(plan, folder, asked["teacher"])
    result = recipe.train(progress)
    if result.stopped != "done":
        return Distilled(None, None, result.metrics, asked, result.message, result)
    progress("writing the product", 0, 0)
    product = _product(plan, folder, recipe, result)
    report = folder / "report.md"
    if not report.exists():
        write_report(folder, asked["teacher"], asked, _samples(plan, folder, product, traces, progress))
    return Distilled(product, report, result.metrics, asked, f"done: {product}", result)


def plan_distillation(plan: DistillPlan) -> dict[str, Any]:
    """What ``distill`` would do; nobody is asked. Raises as it does where that can be told before."""
    with closing(open_teacher(plan.teacher, plan.asking)) as teacher:
        prompts = _prompts(plan, teacher)
        planned: Planned = teacher.plan(prompts)
        tops = min(teacher.tops, plan.asking.top)
    student = find_bundle(plan.model).name if plan.model != NEW else f"a new bundle, {plan.fresh.num_layers} layers"
    labels = "all logits" if plan.teacher.startswith("bundle:") else f"the {tops} likeliest ids" if tops else "words"
    return {**asdict(planned), "student": student, "labels": labels, "steps": plan.loop.steps}


def read_prompts(path: Path) -> list[Prompt]:
    """A prompt a line; of ``.jsonl`` the ``prompt`` (a text, or a talk) or ``question`` of each row. Raises DataError
    for a file without any, UsageError where there is none."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}: give a file of prompts, one a line, or a number from 1 on")
    if path.suffix == ".jsonl":
        found = [_prompt(row, path, number) for number, row in json_lines(path, DataError, "the prompts")]
    else:
        try:
            found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except UnicodeDecodeError as error:
            raise DataError(f"the prompts {path} are no UTF-8") from error
    if not found:
        raise DataError(f"{path} holds no prompt")
    return list(dict.fromkeys(found))


def _prompt(row: dict[str, Any], path: Path, number: int) -> Prompt:
    said = row.get("prompt", row.get("question"))
    try:
        if isinstance(said, list):
            return tuple(Message(turn["role"], str(turn["content"])) for turn in said)
        if isinstance(said, str) and said.strip():
            return said
    except (TypeError, LookupError):
        pass
    raise DataError(f"{path}, line {number}: a row has a prompt (a text, or a talk) or a question")


def _prompts(plan: DistillPlan, teacher: Teacher) -> list[Prompt]:
    if plan.prompts == "":
        if teacher.prompts:
            return list(teacher.prompts)
        raise UsageError(f"what is {plan.teacher} to be asked? Give --prompts a number up to {MOST_PROMPTS}, or a file")
    if isinstance(plan.prompts, int):
        return list(varied_prompts(plan.prompts, plan.data.seed))
    return read_prompts(Path(plan.prompts).expanduser())


def _asked(plan: DistillPlan, folder: Path, progress: Progress) -> dict[str, Any]:
    """Ask the teacher, unless that was done: what it cost."""
    done = folder / "asked.json"
    if not done.exists():
        with closing(open_teacher(plan.teacher, plan.asking)) as teacher, Traces(folder / "traces.jsonl") as traces:
            prompts = _prompts(plan, teacher)
            lines = (json.dumps({"prompt": one if isinstance(one, str) else [vars(turn) for turn in one]},
                                ensure_ascii=False) for one in prompts)  # fmt: skip
            atomic_write_text(folder / "prompts.jsonl", "".join(f"{line}\n" for line in lines))
            for _ in teacher.teach(prompts, traces, progress):
                pass
            told = {"teacher": teacher.name, "prompts": len(prompts), "tops": min(teacher.tops, plan.asking.top)}
            counts = asdict(teacher.counts)
        if counts["replies"] < 2:
            problem = f" The last problem: {counts['problem']}" if counts["problem"] else ""
            raise DataError(
                f"{plan.teacher} gave {counts['replies']} replies that are lessons to {len(prompts)} prompts, and 2 "
                f"are the least.{problem}"
            )
        atomic_write_json(done, told | counts)
    return read_object(done, DataError, "what was asked")


def _words(plan: DistillPlan, traces: Sequence[Trace]) -> Any:
    if plan.tokenizer == "teacher":
        words = words_of(plan.teacher)
        if not words.chat_template:
            raise UsageError(f"{plan.teacher} has no chat template for a new student: leave tokenizer=own")
        return words
    texts = [text for trace in traces for text in (trace.text, _said(trace.prompt))]
    return fresh_words(texts, plan.fresh.text_size)


def _said(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else "\n".join(turn.content for turn in prompt)


def _recipe(plan: DistillPlan, folder: Path, teacher: str) -> DistillRecipe:
    local = plan.teacher.removeprefix("bundle:") if plan.teacher.startswith("bundle:") else ""
    data = replace(
        plan.data,
        traces=str(folder / "traces.jsonl"),
        bundle=str(folder / "start") if plan.model == NEW else plan.model,
        whole=plan.model == NEW,
        teacher=plan.data.teacher or local,
        description=plan.data.description or f"What {teacher} answered.",
    )
    return DistillRecipe(str(folder / "run"), data, plan.loop)


def _product(plan: DistillPlan, folder: Path, recipe: DistillRecipe, result: TrainResult) -> Path:
    product, export = folder / ("bundle" if plan.model == NEW else "expert"), folder / "run" / "export"
    if product.exists():
        return product
    if plan.model == NEW:
        about = {"recipe": settings_to_dict(recipe), "figures": {"distill": result.metrics}}
        return with_weights(folder / "start", export / "backbone", product, **about)
    with atomic_folder(product) as building:
        shutil.copytree(export, building, dirs_exist_ok=True)
    return product


def _samples(
    plan: DistillPlan, folder: Path, product: Path, traces: Sequence[Trace], progress: Progress
) -> list[Sample]:
    """What the student says to prompts that were kept back, before and after."""
    _, tested = split_traces(traces, plan.data.eval_rows)
    chosen = tested[: plan.samples]
    if not chosen:
        return []
    progress("answering kept-back prompts", 0, 0)
    new = plan.model == NEW
    asked, most = [trace.prompt for trace in chosen], min(plan.asking.max_ids, 96)
    ask: Callable[..., list[str]] = answers_of
    before = ask(folder / "start" if new else plan.model, asked, None, most)
    after = ask(product if new else plan.model, asked, None if new else product, most)
    return [Sample(_said(trace.prompt), trace.text, *both) for trace, *both in zip(chosen, before, after, strict=True)]

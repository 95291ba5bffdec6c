"""One side of the race ``trainer``, in a process of its own, so that its memory is its own: ``python -m`` with the name
of the side and a file of settings. It writes one JSON object on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STARTED = time.monotonic()


def prepare(about: dict[str, Any]) -> dict[str, Any]:
    """Which documents our loop draws at each step, for the others: the base's own ids, and which count."""
    import numpy as np

    from reverie.training.documents import flatten
    from reverie.training.expert import ExpertObjective

    objective: Any = ExpertObjective(_data(about))
    steps = []
    for step in range(about["steps"]):
        rng = np.random.default_rng([objective.data.seed, step])
        documents = [flatten(objective.train.draw(rng)) for _ in range(about["batch"])]
        steps.append([_base_row(objective.adapted.backbone, *document) for document in documents])
    return {"steps": steps}


def ours(about: dict[str, Any]) -> dict[str, Any]:
    """``reverie train expert``, without its command."""
    from reverie.training.recipes import ExpertRecipe
    from reverie.training.settings import LoopConfig

    ends = _Ends()

    def report(what: str, done: int, _of: int, /) -> None:
        if what.startswith("training") and done > len(ends.wall):
            ends.note()

    loop = LoopConfig(
        steps=about["steps"], lr=1e-4, weight_decay=0.0, schedule="constant", warmup_steps=0,
        precision=about["precision"], curves=False,
        eval_every=0, checkpoint_every=0, log_every=1, tensorboard=False, device="cpu",
    )  # fmt: skip
    run_dir = Path(about["folder"]) / f"run-{time.monotonic_ns()}"
    ExpertRecipe(str(run_dir), _data(about), loop).train(report)
    lines = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return ends.told([line["loss"] for line in lines if line["kind"] == "train"])


def trainer(about: dict[str, Any], grouped: bool = False) -> dict[str, Any]:
    """transformers' Trainer with PEFT: its defaults, but for the order of the rows and what ours has, too."""
    import peft
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from reverie.model.transformers_base import load_model

    rows = [row for step in json.loads(Path(about["documents"]).read_text())["steps"] for row in step]
    dtype = torch.bfloat16 if about["precision"] == "bf16" else torch.float32
    model = load_model(Path(about["bundle"]) / "backbone", dtype=dtype)
    model = peft.get_peft_model(
        model, peft.LoraConfig(r=about["rank"], lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    ends = _Ends()

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.note()

    arguments = TrainingArguments(
        output_dir=about["folder"], max_steps=about["steps"], per_device_train_batch_size=about["batch"],
        learning_rate=1e-4, lr_scheduler_type="constant", weight_decay=0.0, adam_beta2=0.95, max_grad_norm=1.0,
        optim="adamw_torch_fused", use_cpu=True, save_strategy="no", report_to="none", logging_steps=1,
        disable_tqdm=True, seed=about["seed"], bf16=about["precision"] == "bf16",
        train_sampling_strategy="group_by_length" if grouped else "sequential",
    )  # fmt: skip
    side = Trainer(model, arguments, data_collator=_padded, train_dataset=rows, callbacks=[Watch()])
    side.train()
    return ends.told([line["loss"] for line in side.state.log_history if "loss" in line])


def trainer_grouped(about: dict[str, Any]) -> dict[str, Any]:
    """The same, which sorts its rows by length: less padding, another order."""
    return trainer(about, grouped=True)


SIDES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "prepare": prepare, "ours": ours, "trainer": trainer, "trainer_grouped": trainer_grouped,
}  # fmt: skip


class _Ends:
    """When steps ended, by the clock and by the process's own time."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.own: list[float] = []

    def note(self) -> None:
        self.wall.append(time.monotonic())
        self.own.append(time.process_time())

    def told(self, losses: list[float]) -> dict[str, Any]:
        return {"wall": self.wall, "own": self.own, "losses": losses}


def _data(about: dict[str, Any]) -> Any:
    from reverie.experts.lowrank import LoraConfig
    from reverie.training.expert import ExpertData

    return ExpertData(
        name="race", bundle=about["bundle"], rows=about["rows"], lora=LoraConfig(rank=about["rank"]),
        batch_size=about["batch"], max_ids=about["max_ids"], question_weight=0.0, eval_rows=1, seed=about["seed"],
    )  # fmt: skip


def _base_row(backbone: Any, ids: list[int], weights: list[float]) -> dict[str, list[int]]:
    import torch

    own = backbone.ids.to_base_ids(torch.tensor(ids)).tolist()
    labels = [one if weight > 0 else -100 for one, weight in zip(own, weights, strict=True)]
    return {"input_ids": own, "labels": labels}


def _padded(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
    """To the longest of the batch, as transformers' own collators do."""
    import torch

    longest = max(len(row["input_ids"]) for row in rows)

    def filled(name: str, filler: int) -> Any:
        return torch.tensor([row[name] + [filler] * (longest - len(row[name])) for row in rows])

    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows])
    return {"input_ids": filled("input_ids", 0), "labels": filled("labels", -100), "attention_mask": mask}


def _main() -> None:
    import resource

    side, settings = sys.argv[1:]
    spoken, sys.stdout = sys.stdout, sys.stderr
    found = SIDES[side](json.loads(Path(settings).read_text()))
    if "wall" in found:
        found["first_step_s"] = found["wall"][0] - STARTED
    unit = 1 if sys.platform == "darwin" else 1024
    found["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    json.dump(found, spoken)


if __name__ == "__main__":
    _main()

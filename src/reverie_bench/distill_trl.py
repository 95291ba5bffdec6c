"""trl's own trainer on the students, answers and order of ours."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import SequentialSampler

from reverie.logs import quiet_transformers
from reverie.model.transformers_base import load_model
from reverie.training.distillation import DistillObjective
from reverie.training.settings import LoopConfig

__all__ = ["train_with_trl"]


def train_with_trl(gkd: Any, objective: DistillObjective, teacher: Path, loop: LoopConfig, run: Path) -> None:
    """Train the student of ``objective`` in place by the trainer of the module ``gkd``, off policy, with the forward
    divergence.

    It gets the batches of ``objective`` in their order, the same learning rates and the same clipping.
    """
    from transformers import PrinterCallback  # loads what trains, which not everybody has

    backbone: Any = objective.student.backbone
    size = objective.data.batch_size
    rows = [_row(backbone, bucket, place) for step in range(loop.steps) for bucket in objective.batch(step)
            for place in range(len(bucket["ids"]))]  # fmt: skip
    with warnings.catch_warnings(), quiet_transformers():
        warnings.simplefilter("ignore")
        settings = gkd.GKDConfig(
            output_dir=str(run), per_device_train_batch_size=size, max_steps=loop.steps, learning_rate=loop.lr,
            lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={"min_lr_rate": loop.final_lr_fraction},
            warmup_steps=loop.warmup_steps, weight_decay=0.0, adam_beta1=loop.betas[0], adam_beta2=loop.betas[1],
            max_grad_norm=loop.clip_norm, lmbda=0.0, beta=0.0, temperature=1.0, seed=loop.seed, report_to=[],
            save_strategy="no", logging_strategy="no", use_cpu=True, bf16=False, gradient_checkpointing=False,
            disable_tqdm=True, dataloader_pin_memory=False,
        )  # fmt: skip
        words = _words(objective.student.folder)

        class InOrder(gkd.GKDTrainer):  # type: ignore[misc]
            """Takes the rows as they come."""

            def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
                return SequentialSampler(rows)

        trainer = InOrder(
            model=backbone.base,
            teacher_model=load_model(teacher / "backbone", dtype=torch.float32),
            args=settings,
            train_dataset=_dataset(rows),
            data_collator=_collate,
            processing_class=words,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def _row(backbone: Any, bucket: dict[str, torch.Tensor], place: int) -> dict[str, list[int]]:
    """In the base's own numbering."""
    taught = bucket["weights"][place] > 0
    length = int(taught.nonzero()[-1]) + 1
    ids = backbone.ids.to_base_ids(bucket["ids"][place, :length])
    return {"input_ids": ids.tolist(), "labels": torch.where(taught[:length], ids, -100).tolist()}


def _dataset(rows: list[dict[str, list[int]]]) -> Any:
    """With a fingerprint of ours: its own pickles what some versions cannot."""
    table = importlib.import_module("pyarrow").Table.from_pylist(rows)
    datasets = importlib.import_module("datasets")
    return datasets.Dataset(datasets.table.InMemoryTable(table), fingerprint="rows")


def _words(folder: Path) -> Any:
    from reverie.bundles.bases import read_tokenizer

    words = read_tokenizer(folder / "backbone")
    words.pad_token = words.pad_token or words.eos_token
    return words


def _collate(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    width = max(len(row["input_ids"]) for row in rows)

    def padded(key: str, filler: int) -> torch.Tensor:
        return torch.tensor([row[key] + [filler] * (width - len(row[key])) for row in rows])

    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows])
    return {"input_ids": padded("input_ids", 0), "labels": padded("labels", -100), "attention_mask": mask}

"""Checkpoints: everything a run needs to go on bit for bit, as safetensors and JSON with checksums.

run_dir/checkpoint-000120/     written under a temporary name, then renamed
    weights.safetensors        parameters and buffers, as they are
    optimizer.safetensors      adamw/exp_avg/layer.weight …
    average.safetensors        the moving average, where there is one
    state.json                 step, counters, random states
    manifest.json              size and SHA-256 of every file above
"""

from __future__ import annotations

import hashlib
import logging
import random
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from reverie import manifest
from reverie.errors import TrainingError, shorten
from reverie.files import atomic_folder, atomic_write_json, sha256_of
from reverie.jsonio import read_object

__all__ = [
    "checkpoint_folders",
    "hash_weights",
    "NotSavedError",
    "kept_random_states",
    "load_checkpoint",
    "load_tensors",
    "named_tensors",
    "newest_checkpoint",
    "optimizer_tensors",
    "prune_checkpoints",
    "random_states",
    "remove_newer",
    "restore_optimizers",
    "restore_random_states",
    "save_checkpoint",
    "step_of",
]

logger = logging.getLogger("reverie.training")
FOLDER_NAME = re.compile(r"checkpoint-(\d{6,})")


class NotSavedError(TrainingError):
    """The disk refuses; what was there before is as it was."""


def save_checkpoint(run_dir: Path, step: int, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> Path:
    """Write ``tensors`` (file name without suffix → named tensors) and ``state`` (JSON); returns the folder."""
    folder = run_dir / f"checkpoint-{step:06d}"
    try:
        with atomic_folder(folder) as new:
            for name, group in tensors.items():
                save_file({key: tensor.contiguous() for key, tensor in group.items()}, new / f"{name}.safetensors")
            atomic_write_json(new / "state.json", state)
            manifest.seal(new, {"kind": "checkpoint", "format": 2, "step": step})
    except (OSError, SafetensorError) as error:  # the second is what the writer of tensors makes of a full disk
        last = next((path.name for path in reversed(checkpoint_folders(run_dir))), "none")
        raise NotSavedError(
            f"step {step} cannot be saved in {run_dir}: {shorten(str(error), 120)}. The last checkpoint there is "
            f"{last}. Make room; the same command goes on from it."
        ) from error
    return folder


def load_checkpoint(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """What ``save_checkpoint`` wrote, on the CPU. The folder must be one that ``newest_checkpoint`` found whole."""
    tensors = {file.stem: load_file(file) for file in folder.glob("*.safetensors")}
    return tensors, read_object(folder / "state.json", TrainingError, "the state of a run")


def checkpoint_folders(run_dir: Path) -> list[Path]:
    """All checkpoint folders, oldest first; whole or damaged."""
    found = [(int(match[1]), path) for path in run_dir.glob("*") if (match := FOLDER_NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def newest_checkpoint(run_dir: Path) -> Path | None:
    """The newest whole checkpoint, or None where there is none at all; a damaged one is reported and passed over.

    Raises TrainingError when every checkpoint is damaged.
    """
    folders = checkpoint_folders(run_dir)
    for folder in reversed(folders):
        try:
            _check(folder)
            return folder
        except TrainingError as error:
            logger.warning("%s; trying the one before it", error)
    if folders:
        raise TrainingError(f"all {len(folders)} checkpoints in {run_dir} are damaged. Start again in another run dir.")
    return None


def remove_newer(run_dir: Path, folder: Path) -> None:
    """Delete the checkpoints after ``folder``: they are damaged, and would count as the newest when pruning."""
    folders = checkpoint_folders(run_dir)
    for newer in folders[folders.index(folder) + 1 :]:
        shutil.rmtree(newer)


def step_of(folder: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(folder.name.removeprefix("checkpoint-"))


def prune_checkpoints(run_dir: Path, keep: int) -> None:
    for folder in checkpoint_folders(run_dir)[:-keep]:
        shutil.rmtree(folder)


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name; one that has several names (tied weights) under the first."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[name] = tensor.detach()
    return tensors


def hash_weights(tensors: Mapping[str, Tensor]) -> str:
    """One SHA-256 over names, shapes and values."""
    told = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        told.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        told.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return told.hexdigest()


@torch.no_grad()
def load_tensors(into: dict[str, Tensor], tensors: dict[str, Tensor], what: str) -> None:
    """Copy ``tensors`` into the same-named ones of ``into``. Raises TrainingError unless names and shapes agree."""
    if odd := sorted(into.keys() ^ tensors.keys()):
        side = "the checkpoint lacks" if odd[0] in into else "the model lacks"
        raise TrainingError(f"cannot resume: {side} {what} '{odd[0]}' ({len(odd)} differ). The model has changed.")
    for name, tensor in tensors.items():
        if into[name].shape != tensor.shape:
            have, want = tuple(tensor.shape), tuple(into[name].shape)
            raise TrainingError(f"cannot resume: {what} '{name}' is {have} in the checkpoint and {want} in the model.")
    for name, tensor in tensors.items():
        into[name].copy_(tensor)


def optimizer_tensors(optimizers: dict[str, Optimizer], module: nn.Module) -> dict[str, Tensor]:
    """Every optimizer's state by 'optimizer/what/parameter'. Ours (AdamW, Muon) keep nothing but tensors."""
    names = {id(p): name for name, p in module.named_parameters()}
    return {
        f"{kind}/{what}/{names[id(parameter)]}": tensor
        for kind, optimizer in optimizers.items()
        for parameter, state in optimizer.state.items()
        for what, tensor in state.items()
    }


def restore_optimizers(optimizers: dict[str, Optimizer], module: nn.Module, tensors: dict[str, Tensor]) -> None:
    parameters = dict(module.named_parameters())
    places: dict[str, dict[str, dict[str, Tensor]]] = {}
    for key, tensor in tensors.items():
        kind, what, name = key.split("/", 2)
        places.setdefault(kind, {}).setdefault(name, {})[what] = tensor
    for kind, optimizer in optimizers.items():
        packed = optimizer.state_dict()
        order = [id(p) for group in optimizer.param_groups for p in group["params"]]
        states = places.get(kind, {})
        packed["state"] = {order.index(id(parameters[name])): state for name, state in states.items()}
        optimizer.load_state_dict(packed)


def random_states() -> dict[str, Any]:
    """The states of Python's, numpy's and torch's global generators, JSON-ready."""
    numpy_name, numpy_keys, *numpy_rest = np.random.get_state()
    python_version, python_keys, python_rest = random.getstate()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": [python_version, list(python_keys), python_rest],
        "numpy": [numpy_name, np.asarray(numpy_keys).tolist(), *numpy_rest],
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
        "cuda": [state.numpy().tobytes().hex() for state in cuda],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    version, keys, rest = states["python"]
    random.setstate((version, tuple(keys), rest))
    np.random.set_state(tuple(states["numpy"]))
    torch.set_rng_state(_bytes_tensor(states["torch"]))
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([_bytes_tensor(state) for state in states["cuda"]])


@contextmanager
def kept_random_states() -> Iterator[None]:
    """Whatever the block draws from the global generators, they are as before after it."""
    states = random_states()
    try:
        yield
    finally:
        restore_random_states(states)


def _bytes_tensor(digits: str) -> Tensor:
    return torch.frombuffer(bytearray.fromhex(digits), dtype=torch.uint8)


def _check(folder: Path) -> None:
    """Raises TrainingError where a checkpoint is damaged, or of a format that is not known here."""
    what = "the checkpoint"
    said = read_object(folder / manifest.MANIFEST, TrainingError, f"{what} {folder} is damaged: its manifest")
    if said.get("format") != 1:
        if said.get("format") != 2:
            raise TrainingError(f"{what} {folder} is damaged: its format {said.get('format')} is not known here")
        manifest.verify(folder, TrainingError, what)
        return
    for name, checksum in dict(said.get("sha256") or {}).items():  # as the first format said it
        if not (folder / name).is_file() or sha256_of(folder / name) != checksum:
            raise TrainingError(f"{what} {folder} is damaged: {name} does not match its checksum")

"""Where a figure was measured: the processor, and the commit of the code."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import reverie

__all__ = ["commit", "hardware"]


def hardware() -> str:
    """One line: processor, cores that we may use, threads of torch where it is loaded, CUDA device where it is used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [_processor(), f"{cores} core{'' if cores == 1 else 's'}"]
    if "torch" in sys.modules:
        import torch

        parts.append(f"torch {torch.__version__} with {torch.get_num_threads()} threads")
    return ", ".join(parts)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str:
    """The commit of a checkout (with ``-dirty`` where files differ from it), else the version that is installed."""
    package = Path(reverie.__file__).resolve().parent
    root = package.parent.parent  # of a checkout: <root>/src/reverie
    version = f"version {reverie.__version__}"
    if not (root / ".git").exists():
        return version
    asked = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return version
    return said.stdout.strip()

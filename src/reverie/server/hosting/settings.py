"""How models are hosted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reverie.engine import WeightKind
from reverie.errors import ConfigError

__all__ = ["HostingConfig"]


@dataclass(frozen=True)
class HostingConfig:
    """How many run and wait, how long, and what stays in memory. Raises ConfigError."""

    max_running: int = 32  # answers of one model side by side
    max_queued: int = 64  # answers that wait for a place; the next is told when to come back
    max_ids: int = 4096  # of one answer
    usual_ids: int = 1024  # of one answer whose request does not say how many it may have
    max_prompt: int = 1_000_000  # characters of a prompt, before it is made to ids
    max_choices: int = 16  # answers of one request
    max_texts: int = 256  # that are made to vectors by one request
    request_seconds: float = 600.0  # from a request's first to its last moment; then it gets what there is
    grace_seconds: float = 8.0  # for answers under way, once the server is told to stop
    keep_alive: float = 300.0  # seconds that a model stays loaded after its last request; below 0: for good
    max_loaded_bytes: int = 0  # of models in memory; 0: what the machine can spare
    weights: WeightKind = "auto"  # how the engine keeps a base's matrices: fp32, bf16, int8, auto
    grow_with: tuple[str, ...] = ("documents",)  # where lessons come from when an expert is grown, the best first
    memory: str = ""  # what answers of models that dream rest on: an address; "": what the model knows of its worlds
    library: Path | None = None  # the user's experts, where they do not lie in their usual place

    def __post_init__(self) -> None:
        for name in ("max_running", "max_queued", "max_ids", "usual_ids", "max_prompt", "max_choices", "max_texts"):
            least = 0 if name == "max_queued" else 1
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("request_seconds", "grace_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} is a number of seconds above 0, got {getattr(self, name)}")
        if self.max_loaded_bytes < 0:
            raise ConfigError(f"max_loaded_bytes is 0 or more, got {self.max_loaded_bytes}")
        if self.weights not in ("fp32", "bf16", "int8", "auto"):
            raise ConfigError(f"weights are fp32, bf16, int8 or auto, got '{self.weights}'")

"""How long a speaker is waited for, and how much of it is used at once."""

from __future__ import annotations

from dataclasses import dataclass

from reverie.errors import ConfigError

__all__ = ["SpeakerConfig"]


@dataclass(frozen=True)
class SpeakerConfig:
    """Settings of a speaker that is not of our own engine."""

    connect_s: float = 5.0  # seconds until a server must have taken the call
    timeout_s: float = 120.0  # seconds without a word until a server counts as gone
    parallel: int = 4  # requests side by side
    max_ids: int = 4096  # of a prompt and its answer, where the model could hold more or does not tell
    num_threads: int = 0  # of llama.cpp in process; 0 = one a physical core

    def __post_init__(self) -> None:
        if not (self.connect_s > 0 and self.timeout_s > 0):
            raise ConfigError(f"a speaker is waited for some seconds, got {self.connect_s} and {self.timeout_s}")
        if self.parallel < 1 or self.max_ids < 2 or self.num_threads < 0:
            raise ConfigError(
                "a speaker answers at least 1 request at a time, with 2 ids and 0 or more threads, "
                f"got {self.parallel}, {self.max_ids} and {self.num_threads}"
            )

"""What a new expert must pass, as one frozen dataclass."""

from __future__ import annotations

from dataclasses import dataclass

from reverie.errors import ConfigError

__all__ = ["TrialConfig"]


@dataclass(frozen=True)
class TrialConfig:
    """What a new expert must pass. Shares in [0, 1]."""

    alpha: float = 0.05  # how likely any bound is wrong by chance, all together (Holm 1979)
    most_lost: float = 0.01  # of an old domain, or of a set of probes
    most_wrong: float = 0.25  # of unseen lessons, that the others contradict
    least_routed: float = 0.75  # of the gap's questions, that reach the expert
    most_moved: float = 0.02  # of an old domain's questions, that go to somebody else
    most_outsiders: float = 0.03  # of questions on other subjects, that reach the expert
    outsiders: int = 250  # such questions in the trial,
    drawn_in: int = 100  # and others by which the gate is drawn in before
    most_bytes: int = 64_000_000  # of its files
    most_work: float = 0.2  # of the base's multiplications, that it adds to an id

    def __post_init__(self) -> None:
        shares = (self.alpha, self.most_lost, self.most_wrong, self.least_routed, self.most_outsiders, self.most_moved)
        if not all(0 <= share <= 1 for share in shares) or not 0 < self.alpha < 0.5 or self.outsiders < 1:
            raise ConfigError("a trial needs shares in [0, 1], an alpha below 0.5 and at least one outsider")

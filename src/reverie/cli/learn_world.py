"""What ``reverie learn --world`` does: an expert learns from the reward of its dreams in a world."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reverie.progress import Progress
    from reverie.training.rundir import TrainResult

__all__ = ["learn_world"]


def learn_world(
    world: str,
    reward: str = "reach-goal",
    model: str = "nano",
    output: Path | None = None,
    overrides: Sequence[str] = (),
    progress: bool | Progress = True,
) -> tuple[TrainResult, Path]:
    """Train an expert of ``model`` on the reward of dreams in ``world``; how that ended, and the run's folder, in which
    ``export`` is the expert once it is done.

    ``output``: the run's folder, by default runs/learn-WORLD-REWARD; one that was stopped goes on. ``overrides``:
    settings of ``RewardRecipe``. Raises UnknownNameError for a world or reward that is not known, and as training does.
    """
    from reverie.settings import load_settings
    from reverie.training.recipes import RewardRecipe
    from reverie.training.rewards import find_reward
    from reverie.worlds.registry import WORLDS

    world, reward = WORLDS.find(world), find_reward(reward)
    run_dir = output or Path("runs") / f"learn-{world.lower()}-{reward}"
    said = [
        f"run_dir={run_dir}", f"data.name={reward}", f"data.bundle={model}", f"data.world={world}",
        f"data.reward={reward}", *overrides,
    ]  # fmt: skip
    return load_settings(RewardRecipe, None, said).train(progress), run_dir

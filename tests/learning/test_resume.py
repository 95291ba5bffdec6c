"""Whatever ends a learner, the next one goes on, and ends where an undisturbed one does."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.learning.conftest import Home, item

import reverie.learning.learner as learner_module
import reverie.learning.steps as steps_module
from reverie.errors import TrainingError
from reverie.learning import Learner
from reverie.memory.taught import taught

LESSONS = [
    item(1, question="Who leads Alma?", wrong="Tom", answer="Jane"),
    item(2, question="What is Rova?", answer="a car"),
    item(3, question="Where is Arden?", answer="down"),
]


class Killed(BaseException):
    """The end of a process, as a test can have it."""


@pytest.fixture(scope="module")
def whole(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What an undisturbed learner comes to."""
    home = Home(bundle, tmp_path_factory.mktemp("whole"))
    home.learner().learn(LESSONS)
    home.memory.close()
    return home.expert()


@pytest.mark.parametrize(
    ("module", "name", "after"),
    [
        (learner_module, "begin_step", False),
        (learner_module, "begin_step", True),
        (steps_module, "train", False),
        (steps_module, "train", True),
        (steps_module, "_publish", False),
        (steps_module, "_publish", True),
        (learner_module, "take_step", True),
        (learner_module, "teach", True),
    ],
)
def test_a_learner_that_dies_is_gone_on_with(
    module: Any, name: str, after: bool, bundle: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(bundle, tmp_path / "cut")
    own = getattr(module, name)

    def dies(*given: Any, **named: Any) -> Any:
        if after:
            own(*given, **named)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, name, dies)
        with pytest.raises(Killed):
            home.learner().learn(LESSONS)
    told = home.learner().learn(LESSONS)
    assert told.states == {"learned": 3}
    assert home.expert() == whole
    for one in LESSONS:
        found = taught(home.memory, one.question).answer
        assert found is not None
        assert found.object == one.answer
    home.memory.close()


def test_a_full_disk_in_a_checkpoint_keeps_the_last_good_expert(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.learner().learn(LESSONS)
    before = home.expert()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    more = [item(9, question="Who sings?", answer="Bob")]
    with monkeypatch.context() as patch:
        patch.setattr("reverie.training.checkpoint.save_file", full)
        with pytest.raises(TrainingError, match="cannot be saved"):
            home.learner().learn(more)
    assert home.expert() == before
    assert home.learner().learn([]).states == {"learned": 4}
    assert home.expert() != before


SCRIPT = """
import sys
from pathlib import Path
from tests.learning.conftest import Home
from tests.learning.test_resume import LESSONS
home = Home(Path(sys.argv[1]), Path(sys.argv[2]))
print("begun", flush=True)
home.learner().learn(LESSONS)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.8])
def test_kill_9_loses_nothing(seconds: float, bundle: Path, whole: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    running = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), bundle, folder],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert running.stdout is not None
    running.stdout.readline()
    try:
        running.wait(seconds)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGKILL)
    running.wait()
    running.stdout.close()
    home = Home(bundle, folder)
    assert home.learner().learn(LESSONS).states == {"learned": 3}
    assert home.expert() == whole
    home.memory.close()


def test_ctrl_c_stops_after_the_step_and_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Learner.learn
    objective = steps_module.ContinualObjective
    plain = objective.compute_loss

    def asked_to_stop(self: Any, batch: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return plain(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(objective, "compute_loss", asked_to_stop)
        told = own(home.learner(), LESSONS)
    assert (told.stopped, told.steps) == (130, [])
    assert home.learner().learn([]).states == {"learned": 3}

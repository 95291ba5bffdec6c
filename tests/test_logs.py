import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from reverie import logs
from reverie.errors import ConfigError, UnknownNameError

logger = logging.getLogger("reverie.test")


@pytest.fixture(autouse=True)
def fresh_logger() -> Iterator[None]:
    yield
    parent = logging.getLogger("reverie")
    for handler in parent.handlers[:]:
        parent.removeHandler(handler)
        handler.close()
    parent.setLevel(logging.NOTSET)


def test_console_shows_from_its_level_up_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning")
    logger.info("quiet")
    logger.warning("loud")
    out, err = capsys.readouterr()
    assert out == ""
    assert "loud" in err
    assert "quiet" not in err


def test_file_holds_one_json_object_a_line_with_extras_and_tracebacks(tmp_path: Path) -> None:
    logs.configure("ERROR", tmp_path / "deep" / "reverie.log")
    logger.debug("step %d", 3, extra={"figures": {"loss": 0.5}})
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("it failed\nin two lines")
    lines = [json.loads(line) for line in (tmp_path / "deep" / "reverie.log").read_text().splitlines()]
    assert lines[0] | {"time": ""} == {
        "time": "", "level": "DEBUG", "logger": "reverie.test", "message": "step 3", "figures": {"loss": 0.5},
    }  # fmt: skip
    assert lines[1]["message"] == "it failed\nin two lines"
    assert "ValueError: broken" in lines[1]["traceback"]


def test_configuring_again_replaces_the_handlers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", tmp_path / "a.log")
    logs.configure("INFO")
    logger.info("once")
    assert capsys.readouterr().err.count("once") == 1
    assert (tmp_path / "a.log").read_text() == ""


def test_the_file_rotates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_FILE_BYTES", 300)
    logs.configure("ERROR", tmp_path / "a.log")
    for number in range(40):
        logger.info("line %d", number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2", "a.log.3"]


def test_a_wrong_level_or_an_unwritable_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'WARNING'"):
        logs.configure("warnin")
    with pytest.raises(ConfigError, match="cannot write the log file"):
        logs.configure("INFO", tmp_path)

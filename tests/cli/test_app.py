"""The command line as people meet it: help, exit codes, one line for every error, one object for --json."""

from __future__ import annotations

import errno
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from reverie.cli import main
from reverie.cli.app import COMMANDS, app, log_file
from reverie.cli.output import Output
from reverie.errors import BundleError, UsageError

HEAVY = ("torch", "transformers", "numpy", "gymnasium", "pymunk", "pygame", "PIL", "openai")


def in_fresh_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Runs a command whose work raises the given error, and returns the exit code."""

    def run(error: BaseException) -> int:
        def broken() -> list[str]:
            raise error

        monkeypatch.setattr("reverie.worlds.world_names", broken)
        return main(["worlds"])

    return run


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from reverie.cli import main
assert main(["--help"]) == 0
print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    assert in_fresh_python(code).stderr.strip() == "[]"


def test_importing_reverie_imports_nothing_heavy() -> None:
    code = f"import sys, reverie; print([name for name in {HEAVY} if name in sys.modules])"
    assert in_fresh_python(code).stdout.strip() == "[]"


def paths(path: list[str], command: Any) -> list[list[str]]:
    """The words of a command, or of all that a group holds."""
    children = getattr(command, "commands", {})
    return [one for name, child in children.items() for one in paths([*path, name], child)] or [path]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for path in paths([command], get_command(app).commands[command]):  # type: ignore[attr-defined]
        assert main([*path, "--help"]) == 0
        page = capsys.readouterr().out
        name = " ".join(["reverie", *path])
        assert f"Usage: {name}" in page
        assert name in page.partition("Examples:")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_listed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert command in capsys.readouterr().out.partition("Commands")[2]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["wrlds"], "No such command 'wrlds'. Did you mean 'worlds'? See 'reverie --help'."),
        (["worlds", "shw"], "No such command 'shw'. Did you mean 'show'? See 'reverie worlds --help'."),
        (["info", "--jso"], "no such option: --jso. Did you mean '--json'? See 'reverie info --help'."),
        (["info", "--zzzzzz"], "no such option: --zzzzzz. See 'reverie info --help'."),
        (["worlds", "show"], "Missing argument 'NAME'. See 'reverie worlds show --help'."),
        (["worlds", "show", "FrozenLake", "--seed", "x"], "Invalid value for '--seed'"),
        (["worlds", "show", "Frozenlak"], "unknown world 'Frozenlak'. Did you mean 'FrozenLake'?"),
    ],
)
def test_wrong_usage_is_one_line_with_the_nearest_name(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"reverie: {line}")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            BundleError("the bundle x is damaged:\nweights are missing"),
            1,
            "the bundle x is damaged: weights are missing",
        ),
        (UsageError("no such map"), 2, "no such map"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C."),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/strip.png"),
            1,
            "No space left on device: out/strip.png",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 1, "Permission denied: out"),
        (MemoryError(), 1, "out of memory. Try fewer branches or smaller pictures."),
        (KeyError("oops"), 1, "unexpected KeyError: 'oops'. This is our mistake; the log file has the details."),
    ],
)
def test_every_error_is_one_line_and_an_exit_code(
    failing: Callable[[BaseException], int],
    error: BaseException,
    code: int,
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert failing(error) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"reverie: {line}\n")


def test_an_error_line_cannot_steer_the_terminal_or_fill_it(capsys: pytest.CaptureFixture[str]) -> None:
    main(["worlds", "show", "\x1b[31mred\x07\n" + "x" * 10_000])
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\x07" not in err
    assert len(err) < 700


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_any_terminal_encoding_will_do(encoding: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stdout)
    assert main(["worlds", "show", "Everyday", *arguments]) == 0
    stdout.flush()
    printed = stdout.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert json.loads(printed)["name"] == "Everyday" if arguments else "Everyday" in printed


@pytest.mark.parametrize("arguments", [["ask", "What drops an \udcff egg?"], ["worlds", "show", "\ud83d"]])
def test_an_argument_that_is_no_utf8_is_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert re.fullmatch(r"reverie: an argument is no UTF-8 after '(What drops an )?'\n", capsys.readouterr().err)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux alone")
def test_a_file_may_have_a_name_that_is_no_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "\udcff").mkdir()
    assert main(["experts", "list", "--library", str(tmp_path / "\udcff")]) == 0
    assert main(["experts", "list", f"--library={tmp_path / chr(0xDCFE)}"]) == 2


STOPPED = """
import signal, sys
class Late:  # the user presses Ctrl-C while the first command line library is being looked for
    def find_spec(self, name, *_):
        if name == "typer":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Late())
from reverie.cli import main
sys.exit(main(["--help"]))
"""


def test_ctrl_c_during_the_first_imports_is_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "reverie: stopped by Ctrl-C.\n")


def test_the_log_file_keeps_the_traceback_of_an_unexpected_error(failing: Callable[[BaseException], int]) -> None:
    failing(KeyError("oops"))
    assert "KeyError: 'oops'" in log_file().read_text()


def test_a_home_that_cannot_be_written_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path / "file"))
    assert main(["worlds"]) == 0
    assert "FrozenLake" in capsys.readouterr().out


def test_a_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 2
    out, err = capsys.readouterr()
    assert "Usage: reverie train" in out
    assert err == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import reverie

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"reverie {reverie.__version__}\n"


def test_json_is_alone_on_stdout_whatever_libraries_print(capsys: pytest.CaptureFixture[str]) -> None:
    with Output(as_json=True) as out:
        print("hello from a library")
        out.note("a note")
        out.result({"a": 1}, lambda console: console.print("for people"))
        print("goodbye")
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout) == {"a": 1}
    assert stderr == "hello from a library\na note\ngoodbye\n"


def test_json_values_are_made_plain(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import numpy as np

    from reverie.nouns import Verdict

    payload = {
        "verdict": Verdict(1, "agreed"),
        "share": float("nan"),
        "number": np.float32(0.5),
        "array": np.arange(2),
        "path": tmp_path,
        "names": ("é", "→"),
    }
    with Output(as_json=True) as out:
        out.result(payload, lambda console: None)
    assert json.loads(capsys.readouterr().out) == {
        "verdict": {"branch": 1, "reason": "agreed"},
        "share": None,
        "number": 0.5,
        "array": [0, 1],
        "path": str(tmp_path),
        "names": ["é", "→"],
    }


def test_people_get_words_instead_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    with Output(as_json=False) as out:
        out.result({"a": 1}, lambda console: console.print("for people"))
    assert capsys.readouterr().out == "for people\n"


def test_a_command_leaves_the_root_logger_alone() -> None:
    before = list(logging.getLogger().handlers)
    main(["--version"])
    assert logging.getLogger().handlers == before

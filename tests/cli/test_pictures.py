"""The colour preview in the terminal: there where it can be seen, absent where it cannot."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from reverie.cli.pictures import half_blocks, show_branch
from reverie.dreaming.strip import Branch, Panel

RED = np.full((64, 64, 3), (255, 0, 0), dtype=np.uint8)


def branch(num_steps: int) -> Branch:
    return Branch(tuple(Panel(RED, f"picture {i}") for i in range(num_steps + 1)), ("go",) * num_steps)


def console(width: int = 80, colors: str | None = "truecolor", terminal: bool = True) -> Console:
    return Console(file=io.StringIO(), width=width, color_system=colors, force_terminal=terminal, legacy_windows=False)  # type: ignore[arg-type]


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_character_shows_two_pixels() -> None:
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    picture[0] = (1, 2, 3)
    text = half_blocks(picture, 4)
    assert text.plain == "▀▀▀▀\n▀▀▀▀"
    assert str(text.spans[0].style) == "#010203 on #000000"


@pytest.mark.parametrize(("width", "pictures"), [(60, 2), (100, 3), (140, 4), (300, 4)])
def test_as_many_pictures_as_fit_and_always_the_last(width: int, pictures: int) -> None:
    terminal = console(width)
    assert show_branch(terminal, branch(3))
    lines = printed(terminal).splitlines()
    assert "picture 0" in printed(terminal)
    assert "picture 3" in printed(terminal)
    assert printed(terminal).count("───▶") == pictures - 1
    assert all(len(line_without_codes(line)) <= width for line in lines)


def test_skipped_steps_are_counted() -> None:
    terminal = console(60)
    show_branch(terminal, branch(9))
    assert "9 steps" in printed(terminal)


@pytest.mark.parametrize("unable", [console(terminal=False), console(colors=None), console(width=30)])
def test_nothing_is_printed_where_it_cannot_be_seen(unable: Console) -> None:
    assert not show_branch(unable, branch(2))
    assert printed(unable) == ""


def test_a_dream_in_words_has_no_preview() -> None:
    assert not show_branch(console(), Branch((Panel(None, "an egg"), Panel(None, "a broken egg")), ("let go",)))


def line_without_codes(line: str) -> str:
    from rich.text import Text

    return Text.from_ansi(line).plain

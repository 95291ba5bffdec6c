"""From a callback to an iterator, in a thread that ends with it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverie.dreaming.streaming import streamed, without_edges
from reverie.errors import BackendError


def alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "reverie-answer"]


def test_pieces_come_in_their_order() -> None:
    def run(say: Callable[[str], None]) -> str:
        for piece in ("a ", "b", " c"):
            say(piece)
        return "what it returns is nobody's"

    assert list(streamed(run)) == ["a ", "b", " c"]
    assert list(streamed(lambda say: None)) == []
    assert not alive()


def test_a_piece_comes_before_the_next_is_made() -> None:
    heard = threading.Event()

    def run(say: Callable[[str], None]) -> None:
        say("a")
        assert heard.wait(10)
        say("b")

    pieces = streamed(run)
    assert next(pieces) == "a"
    heard.set()
    assert list(pieces) == ["b"]


def test_what_goes_wrong_is_raised_where_it_is_listened_to() -> None:
    def run(say: Callable[[str], None]) -> None:
        say("a")
        raise BackendError("the server is away")

    pieces = streamed(run)
    assert next(pieces) == "a"
    with pytest.raises(BackendError, match="away"):
        next(pieces)
    assert not alive()


def test_who_stops_listening_ends_the_answer() -> None:
    said, ended = list[str](), list[bool]()

    def run(say: Callable[[str], None]) -> None:
        try:
            for number in range(1000):
                said.append(str(number))
                say(str(number))
        finally:
            ended.append(True)

    pieces = streamed(run)
    assert next(pieces) == "0"
    pieces.close()
    assert ended == [True]
    assert not alive()


def test_nothing_runs_before_it_is_listened_to() -> None:
    ran = list[bool]()
    pieces = streamed(lambda say: ran.append(True))
    assert not alive()
    pieces.close()
    assert not ran


@given(st.lists(st.text(" \nab", max_size=4)))
def test_edges_are_left_out_and_nothing_else(pieces: list[str]) -> None:
    heard = list[str]()
    tell = without_edges(heard.append)
    for piece in pieces:
        tell(piece)
    assert "".join(heard) == "".join(pieces).strip()
    assert all(heard)

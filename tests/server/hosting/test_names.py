from __future__ import annotations

from typing import Any

import pytest

from reverie.server.hosting.names import Named, read_lora, read_name
from reverie.server.http.errors import RequestError

THERE = {"nano": ["causal", "spatial"], "smol": ["causal", "spatial", "temporal"], "odd:name": ["x"]}


def read(name: str) -> Named:
    return read_name(name, THERE, lambda bundle: THERE[bundle])


@pytest.mark.parametrize(
    ("name", "parts", "experts"),
    [
        ("smol", ("smol",), None),
        ("smol:auto", ("smol",), None),
        ("smol:latest", ("smol",), None),
        ("smol:", ("smol",), None),
        ("smol:base", ("smol",), ()),
        ("smol:causal", ("smol",), (("causal", 1.0),)),
        ("smol:causal@0.5", ("smol",), (("causal", 0.5),)),
        ("smol:spatial+temporal@0.7", ("smol",), (("spatial", 1.0), ("temporal", 0.7))),
        ("smol:causal@0", ("smol",), ()),
        ("nano+smol", ("nano", "smol"), None),
        ("nano+smol:latest", ("nano", "smol"), None),
        ("odd:name", ("odd:name",), None),
        ("odd:name:x", ("odd:name",), (("x", 1.0),)),
    ],
)
def test_names_say_who_and_who_helps(name: str, parts: tuple[str, ...], experts: Any) -> None:
    named = read(name)
    assert (named.parts, named.experts) == (parts, experts)
    assert read(named.whole) == named


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("smoll", 404, "Did you mean 'smol'?"),
        ("smol:causle", 404, "Did you mean 'smol:causal'?"),
        ("nano+smoll", 404, "not found"),
        ("nano+smol+smol", 404, "not found"),
        ("nano+smol:causal", 400, "chooses its experts itself"),
        ("smol:causal@x", 400, "a number"),
        ("smol:causal@nan", 404, "finite"),
        ("smol:causal+causal", 404, "once"),
        ("smol:a+b+c+d+e", 404, "at most 4"),
        ("smol:a/../b", 404, "name"),
        ("", 404, "not found"),
        ("x" * 10_000, 404, "not found"),
    ],
)
def test_who_is_not_there_is_told_the_nearest(name: str, status: int, words: str) -> None:
    with pytest.raises(RequestError) as error:
        read(name)
    assert error.value.status == status
    assert words in str(error.value)
    assert len(str(error.value)) < 400


def test_lora_is_read_as_llama_cpp_takes_it() -> None:
    there = THERE["smol"]
    assert read_lora([{"id": 2, "scale": 0.5}, {"name": "causal"}], there) == (("temporal", 0.5), ("causal", 1.0))
    assert read_lora([], there) == ()
    for wrong in (
        {},
        {"id": True},
        {"id": 0, "scale": "1"},
        {"id": -1},
        {"name": 5},
        {"name": "causal", "scale": True},
    ):
        with pytest.raises(RequestError):
            read_lora([wrong], there)

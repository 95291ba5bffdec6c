"""Pictures as bytes, and words that fit where they stand."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from reverie.drawing import clip_line, drawable, font, gif_bytes, png_bytes, wrap_lines


def test_a_png_comes_back_with_what_it_carries() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    read = Image.open(io.BytesIO(png_bytes(picture, {"caption": "a château\0"})))
    assert np.array_equal(np.asarray(read), picture)
    assert read.info["caption"] == "a château"


def test_a_gif_has_every_picture_and_its_time() -> None:
    shots = [Image.new("RGB", (4, 4), colour) for colour in ("red", "green", "blue")]
    for one_palette in (False, True):
        film = Image.open(io.BytesIO(gif_bytes(shots, [100, 200, 300], one_palette)))
        times = []
        for frame in range(film.n_frames):
            film.seek(frame)
            times.append(film.info["duration"])
        assert times == [100, 200, 300]


def test_letters_that_the_font_lacks_are_drawn_as_their_relatives_or_missed() -> None:
    assert drawable("plain ASCII, é") in ("plain ASCII, é", "plain ASCII, e")
    assert drawable("東") != ""
    assert len(drawable("東京")) == 2


def test_lines_are_no_wider_than_asked_and_show_that_words_are_missing() -> None:
    kind, words = font(12), "a bird that sits upon a very longbranchedtreewithoutanyspaces and sings"
    lines = wrap_lines(words, kind, 80, 3)
    assert len(lines) == 3
    assert all(kind.getlength(line) <= 80 for line in lines)
    assert lines[-1].endswith("…")
    assert " ".join(wrap_lines("a bird", kind, 80, 3)) == "a bird"
    assert clip_line("short", kind, 80) == "short"
    assert wrap_lines("", kind, 80, 3) == []

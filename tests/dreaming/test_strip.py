"""The strip: every branch is drawn, the winner framed, pixels stay pixels, and nothing runs over the edge."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from reverie.drawing import png_bytes
from reverie.dreaming.strip import Branch, Panel, animate, branches_of, draw_strip
from reverie.nouns import Dream, Frame, Part, Triplet

GOLD = (226, 148, 0)
PAPER = (246, 243, 237)
RED, GREEN = (250, 10, 20), (10, 250, 20)


def plain(color: tuple[int, int, int], side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), color, dtype=np.uint8)


def branch(num_steps: int = 1, caption: str = "a ball", **settings: object) -> Branch:
    panels = (Panel(plain(RED), caption), *(Panel(plain(GREEN), caption) for _ in range(num_steps)))
    return Branch(panels, ("drop the ball",) * num_steps, **settings)  # type: ignore[arg-type]


def count(picture: Image.Image, color: tuple[int, int, int]) -> int:
    return int((np.asarray(picture) == color).all(-1).sum())


def test_every_branch_shows_its_pictures_enlarged_without_blur() -> None:
    checkers = np.indices((64, 64)).sum(0)[..., None] % 2 * np.array([255, 255, 255])
    strip = np.asarray(draw_strip([Branch((Panel(checkers.astype(np.uint8)), Panel(plain(RED))), ("wait",))]))
    rows, cols = np.nonzero((strip == RED).all(-1))
    assert (np.ptp(rows), np.ptp(cols)) == (189, 189)  # 192 px less its thin frame
    inner = strip[rows.min() + 2 : rows.max() - 2, 165:340]
    assert set(np.unique(inner[:, :, 0])) <= {0, 255, 222}


@pytest.mark.parametrize("num_branches", [1, 2, 4, 5, 16])
def test_one_card_per_branch(num_branches: int) -> None:
    strip = draw_strip([branch() for _ in range(num_branches)])
    assert count(strip, RED) == count(strip, GREEN) == num_branches * 190 * 190


def test_only_the_winner_is_framed() -> None:
    branches = [branch(), branch(), branch()]
    assert count(draw_strip(branches), GOLD) == 0
    assert count(draw_strip(branches, winner=1), GOLD) > 3000


@pytest.mark.parametrize("num_steps", [1, 4, 5, 9, 30])
def test_chains_of_any_length_stay_on_the_paper(num_steps: int) -> None:
    strip = draw_strip([branch(num_steps)])
    assert strip.width < 2000
    assert count(strip, GREEN) == num_steps * 190 * 190
    border = np.concatenate([np.asarray(strip)[:, :8].reshape(-1, 3), np.asarray(strip)[:, -8:].reshape(-1, 3)])
    assert (border == PAPER).all()


@pytest.mark.parametrize("words", ["", "word " * 500, "x" * 3000, "żółw → 🐢 \n\t new line"])
def test_any_words_fit(words: str) -> None:
    strip = draw_strip(
        [branch(caption=words, said=words, label=words, scores={"long name " * 9: 0.5})], 0, words, words
    )
    assert strip.width < 1200
    assert strip.height < 900


def test_a_part_without_a_picture_is_a_card_of_words() -> None:
    strip = draw_strip([Branch((Panel(None, "an egg"), Panel(None, "a broken egg")), ("let go",))])
    assert count(strip, (38, 36, 43)) > 50


def test_pictures_of_every_size_come_to_one_size() -> None:
    panels = tuple(Panel(plain(RED, side)) for side in (8, 64, 192, 512))
    strip = draw_strip([Branch(panels, ("wait",) * 3)])
    assert count(strip, RED) == 4 * 190 * 190


def test_a_branch_needs_an_action_between_pictures() -> None:
    with pytest.raises(ValueError, match="2 panels need 1 actions, got 0"):
        Branch((Panel(None, "a"), Panel(None, "b")), ())
    with pytest.raises(ValueError, match="at least one branch"):
        draw_strip([])


def test_dreams_become_branches_with_one_call_of_the_decoder() -> None:
    start, end = Frame(np.zeros((2, 2))), Frame(np.ones((2, 2)))
    what, result, words = Part("a ball", start), Part("it rests", end), Part("nothing moves")
    dreams = [
        Dream((Triplet(what, Part("drop"), result),), -1.0, 0, said="It falls.", score=0.7, scores={"likelihood": 0.7}),
        Dream((Triplet(words, Part("wait"), words),), -2.0, 1),
        Dream((), -3.0, 2, said="I do not know."),
    ]
    calls: list[int] = []

    def decode(frames: list[Frame]) -> list[np.ndarray]:
        calls.append(len(frames))
        return [plain(GREEN if frame == end else RED) for frame in frames]

    first, second, third = branches_of(dreams, decode)  # type: ignore[arg-type]
    assert calls == [2]
    assert [panel.caption for panel in first.panels] == ["a ball", "it rests"]
    assert first.actions == ("drop",)
    assert (first.label, first.said, first.score) == ("dream 1", "It falls.", 0.7)
    assert first.panels[1].picture is not None
    assert tuple(first.panels[1].picture[0, 0]) == GREEN
    assert [panel.picture for panel in second.panels] == [None, None]
    assert [panel.caption for panel in third.panels] == ["I do not know."]
    assert draw_strip([first, second, third], winner=2)


def test_the_animation_shows_every_picture_in_order() -> None:
    film = Image.open(io.BytesIO(animate(branch(2))))
    assert film.n_frames == 5  # type: ignore[attr-defined]
    middles = []
    for index in range(film.n_frames):  # type: ignore[attr-defined]
        film.seek(index)
        middles.append(film.convert("RGB").getpixel((160, 160)))
    assert [middle[0] > 128 for middle in middles] == [True, True, False, False, False]  # type: ignore[index]


def test_a_png_reads_back_pixel_for_pixel() -> None:
    strip = draw_strip([branch()])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(strip)))), np.asarray(strip))

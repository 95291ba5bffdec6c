"""Albums: every picture on disk with its caption, whole or absent, in memory that does not grow."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reverie.generator.export_images import CAPTIONS, GIF, SHEET, ImageExport, read_captions, save_walk, walk_gif
from reverie.generator.generator import Sample


def sample(seed: int, side: int = 16, caption: str = "") -> Sample:
    picture = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    return Sample(seed, picture, caption or f"picture {seed}", np.zeros(4, np.float32))


def pixels(path: Path) -> np.ndarray:
    """uint8 (H, W, 3)"""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_pictures_are_kept_exactly(tmp_path: Path) -> None:
    with ImageExport(tmp_path) as export:
        path = export.add(sample(7))
    assert path == tmp_path / "seed-000007.png"
    assert (pixels(path) == sample(7).picture).all()


def test_captions_may_hold_any_letters(tmp_path: Path) -> None:
    caption = 'line one\nline two\u2028"three" é \x00'
    with ImageExport(tmp_path) as export:
        export.add(sample(1, caption=caption))
    assert [record["caption"] for record in read_captions(tmp_path)] == [caption]


def test_a_later_call_adds_to_the_captions_and_replaces_those_of_pictures_it_draws_anew(tmp_path: Path) -> None:
    for seeds, words in ((range(5, 8), "old"), (range(7, 9), "new"), (range(1), "first")):
        with ImageExport(tmp_path) as export:
            for seed in seeds:
                export.add(sample(seed, caption=words))
    found = [(record["seed"], record["caption"]) for record in read_captions(tmp_path)]
    assert found == [(0, "first"), (5, "old"), (6, "old"), (7, "new"), (8, "new")]


def test_captions_of_pictures_that_are_gone_and_lines_that_are_none_are_left_out(tmp_path: Path) -> None:
    with ImageExport(tmp_path) as export:
        export.add(sample(1))
        export.add(sample(2))
    (tmp_path / "seed-000001.png").unlink()
    with (tmp_path / CAPTIONS).open("a") as file:
        file.write('[1]\n{"file": 3}\n{"file": "x", "se')
    with ImageExport(tmp_path) as export:
        export.add(sample(3))
    assert [record["seed"] for record in read_captions(tmp_path)] == [2, 3]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_was_written_before_an_error_has_its_caption(error: type[BaseException], tmp_path: Path) -> None:
    def stopped(export: ImageExport) -> None:
        with export:
            export.add(sample(1))
            raise error

    with pytest.raises(error):
        stopped(ImageExport(tmp_path))
    assert [record["seed"] for record in read_captions(tmp_path)] == [1]
    assert (tmp_path / SHEET).exists()


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(picture: np.ndarray, path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    def fill(export: ImageExport) -> None:
        with export:
            export.add(sample(1))
            monkeypatch.setattr("reverie.generator.export_images.save_picture", full)
            export.add(sample(2))

    with pytest.raises(OSError, match="No space left"):
        fill(ImageExport(tmp_path))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["captions.jsonl", "seed-000001.png"]


def test_an_album_without_samples_writes_nothing(tmp_path: Path) -> None:
    with ImageExport(tmp_path / "new"):
        pass
    assert list((tmp_path / "new").iterdir()) == []


def test_many_samples_need_no_more_memory_than_few(tmp_path: Path) -> None:
    def held(count: int) -> int:
        with ImageExport(tmp_path / str(count)) as export:
            for seed in range(count):
                export.add(sample(seed, side=512))
            tracemalloc.start()
            for seed in range(count):
                export.add(sample(seed, side=512))
            now, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return now

    copy = 160 * 160 * 3  # all that is kept of a picture of 512 * 512 * 3 bytes
    assert held(6) < 6 * (copy + 20_000)


def test_the_sheet_shows_the_first_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reverie.generator.export_images.MAX_ON_SHEET", 4)

    def sheet(count: int) -> np.ndarray:
        with ImageExport(tmp_path / str(count)) as export:
            for seed in range(count):
                export.add(sample(seed, side=4))
        return pixels(tmp_path / str(count) / SHEET)

    assert sheet(1).shape < sheet(4).shape
    assert (sheet(4) == sheet(7)).all()


def test_a_walk_is_pictures_captions_sheet_and_gif(tmp_path: Path) -> None:
    walk = [sample(3), sample(4), sample(9)]
    files = save_walk(walk, tmp_path, frame_ms=100)
    assert [file.name for file in files] == ["step-000.png", "step-001.png", "step-002.png"]
    lines = [json.loads(line) for line in (tmp_path / CAPTIONS).read_text().splitlines()]
    assert lines[1] == {"file": "step-001.png", "step": 1, "from": 3, "to": 9, "caption": "picture 4"}
    with Image.open(tmp_path / GIF) as gif:
        assert (getattr(gif, "n_frames", 1), gif.info["loop"], gif.info["duration"]) == (3, 0, 500)
    assert (tmp_path / SHEET).exists()


def test_a_gif_of_grey_pictures_keeps_every_grey(tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16)[:, :, None], 3, 2)
    (tmp_path / "a.gif").write_bytes(walk_gif([ramp, ramp[::-1]]))
    assert abs(pixels(tmp_path / "a.gif").astype(int) - ramp).max() <= 1

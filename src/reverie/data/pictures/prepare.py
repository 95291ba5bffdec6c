"""Preparing a collection: any folder of pictures becomes square pictures with captions, splits and statistics.

Each picture is looked at by ``screening.examine``, in processes of its own; the rest is decided here, from what that
found, in the order of the pictures' names. So the result depends on neither the number of workers nor on interruptions.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from reverie.data.pictures.collection import METADATA_FILE, PREPARE_FILE, SPLITS, Collection, PictureRecord
from reverie.data.pictures.images import ENDINGS, open_picture, resize_picture
from reverie.data.pictures.journal import Journal
from reverie.data.pictures.phrases import Template, bare_phrase, cut_caption, find_style, with_prefix
from reverie.data.pictures.picture_sources import Found, Given, Problem, find_pictures
from reverie.data.pictures.prepare_folder import (
    check_free,
    check_places,
    fingerprint,
    finished_statistics,
    remove_earlier,
    telling_of_the_disk,
)
from reverie.data.pictures.prepare_report import statistics_of, write_sheet
from reverie.data.pictures.prepare_settings import MAX_PIXELS, PrepareConfig
from reverie.data.pictures.screening import Examined
from reverie.data.pictures.splitting import choose_kept, choose_splits, group_near
from reverie.data.pictures.workers import examine_all
from reverie.errors import DataError, PictureError
from reverie.files import atomic_write_json, atomic_write_text
from reverie.progress import Progress, no_progress
from reverie.settings import settings_to_dict

__all__ = ["Captioner", "PrepareConfig", "prepare"]

_MOST_SIDE = 1_024  # px of what a captioner sees


class Captioner(Protocol):
    """Writes captions. ``name`` says which one it is: a half-done folder goes on only with the same."""

    name: str
    batch_size: int

    def describe(self, pictures: Sequence[np.ndarray]) -> list[str]:
        """A sentence for each picture, uint8 (H, W, 3) of any sizes."""
        ...


@dataclass(frozen=True)
class _Kept:
    """A picture that stays."""

    given: Given
    key: str
    found: Examined
    caption: str = ""
    caption_source: str = "none"
    split: str = ""


def prepare(
    source: Path,
    out: Path,
    settings: PrepareConfig | None = None,
    captioner: Captioner | None = None,
    progress: Progress = no_progress,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Make the collection ``out`` of the pictures in ``source``, and return its statistics.

    A run that was stopped, by whatever, goes on when it is called again; a finished one is left as it is.
    ``overwrite`` first removes what an earlier preparation wrote, and nothing else. ``progress`` is told
    (what, done, of). Raises DataError where there is nothing to prepare, nothing is left, or ``out`` holds something
    else; UnknownNameError on columns and fields that are not there.
    """
    source, out, settings = Path(source), Path(out), settings or PrepareConfig()
    check_places(source, out)
    found = find_pictures(source, settings.columns(), skip=out)
    template = Template(settings.caption or "{caption}")
    if settings.caption:
        template.check(found.columns | {"caption", "folder", "name"})
    if not found.pictures:
        raise DataError(f"there is no picture in {source}. Pictures end in {', '.join(sorted(ENDINGS))}.")
    identity = _identity(settings, captioner)
    with telling_of_the_disk(out):
        was_ours = overwrite and remove_earlier(out)
        if (out / PREPARE_FILE).exists():
            return finished_statistics(out, identity, found)
        if not was_ours:
            check_free(out)
        with Journal.opened(out, identity, settings.format) as journal:
            statistics = _prepare(found, settings, template, captioner, journal, progress)
            atomic_write_json(out / "statistics.json", statistics)
            about = {"format": 1, "kind": "collection", "source": str(source), "fingerprint": fingerprint(found)}
            atomic_write_json(out / PREPARE_FILE, about | {"settings": identity})
        journal.remove()
    return statistics


def _prepare(
    found: Found,
    settings: PrepareConfig,
    template: Template,
    captioner: Captioner | None,
    journal: Journal,
    report: Progress,
) -> dict[str, Any]:
    """Everything but the marker that it is done."""
    keys = [_key(given) for given in found.pictures]
    todo = [(given.path, key) for given, key in zip(found.pictures, keys) if key not in journal.examined]
    examine_all(todo, journal, settings.rules(), settings.workers, len(keys), report)
    rejected, kept = list[Problem](), list[_Kept]()
    for given, key in zip(found.pictures, keys):
        seen = journal.examined[key]
        if seen.rule:
            rejected.append(Problem(given.name, seen.rule, seen.reason))
        elif settings.without_caption == "drop" and not captioner and not _said(template, given, given.caption):
            rejected.append(Problem(given.name, "caption", "it has no caption"))
        else:
            kept.append(_Kept(given, key, seen))
    if not settings.duplicates:
        kept = _without_doubles(kept, settings.duplicate_distance, rejected)
    if not kept:
        journal.remove()
        with suppress(OSError):
            journal.out.rmdir()  # where nothing else lies in it
        raise DataError(_nothing_left(len(keys), rejected))
    kept = _split(kept, settings)
    kept, num_cut = _captioned(kept, settings, template, captioner, journal, report)
    order = {given.name: index for index, given in enumerate(found.pictures)}
    rejected.sort(key=lambda problem: order[problem.file])
    records = [_record(index, one, settings) for index, one in enumerate(kept)]
    report("write", 0, 1)
    journal.name_squares({one.key: record.file for one, record in zip(kept, records)})
    for name, part in [(METADATA_FILE, records), *((f"{name}.jsonl", _of(records, name)) for name in SPLITS)]:
        if part or name != "test.jsonl":
            atomic_write_text(journal.out / name, "".join(record.to_json() + "\n" for record in part))
    told = [json.dumps(vars(one), ensure_ascii=False) + "\n" for one in (*rejected, *found.problems)]
    atomic_write_text(journal.out / "rejected.jsonl", "".join(told))
    write_sheet(Collection(journal.out, tuple(records), settings.size))
    report("write", 1, 1)
    examined = [one.found for one in kept]
    return statistics_of(records, examined, rejected, found, settings.group_distance, num_cut, dict(template.missing))


def _without_doubles(kept: list[_Kept], distance: int, rejected: list[Problem]) -> list[_Kept]:
    sizes = [one.found.width * one.found.height for one in kept]
    gone = choose_kept([one.found.hash for one in kept], sizes, distance)
    for index, keeper in sorted(gone.items()):
        bits = (int(kept[index].found.hash, 16) ^ int(kept[keeper].found.hash, 16)).bit_count()
        reason = f"as {kept[keeper].given.name}, which is kept ({bits} of 64 bits differ)"
        rejected.append(Problem(kept[index].given.name, "duplicate", reason))
    return [one for index, one in enumerate(kept) if index not in gone]


def _split(kept: list[_Kept], settings: PrepareConfig) -> list[_Kept]:
    groups = group_near([one.found.hash for one in kept], settings.group_distance)
    names, given = [one.given.name for one in kept], [one.given.split for one in kept]
    splits = choose_splits(names, groups, given, settings.val_share, settings.seed)
    return [replace(one, split=split) for one, split in zip(kept, splits)]


def _captioned(
    kept: list[_Kept],
    settings: PrepareConfig,
    template: Template,
    captioner: Captioner | None,
    journal: Journal,
    report: Progress,
) -> tuple[list[_Kept], int]:
    """Every picture with its caption, and how many of those were cut."""
    prefix = find_style(settings.style).prefix if settings.prefix is None else settings.prefix
    if captioner is not None and "caption" in template.fields:
        _describe([one for one in kept if not one.given.caption], captioner, journal, report)
    template.missing.clear()
    captioned, num_cut = [], 0
    for one in kept:
        words, source = one.given.caption, "given"
        if not words and (described := journal.captions.get(one.key, "")):
            words, source = with_prefix(prefix, described), "captioner"
        caption = _said(template, one.given, words)
        if not caption:
            caption, source = bare_phrase(prefix), "prefix" if bare_phrase(prefix) else "none"
        short = cut_caption(caption, settings.max_caption)
        num_cut += short != caption
        captioned.append(replace(one, caption=short, caption_source=source))
    return captioned, num_cut


def _describe(missing: list[_Kept], captioner: Captioner, journal: Journal, report: Progress) -> None:
    """Captions for all that lack one, in batches that an interruption does not change."""
    size = max(1, captioner.batch_size)
    for start in range(0, len(missing), size):
        batch = missing[start : start + size]
        report("caption", start, len(missing))
        if any(one.key not in journal.captions for one in batch):
            described = captioner.describe([_shown(one.given.path) for one in batch])
            journal.add_captions({one.key: words for one, words in zip(batch, described, strict=True)})
    report("caption", len(missing), len(missing))


def _shown(path: Path) -> np.ndarray:
    """The original as a captioner sees it: not larger than it needs."""
    try:
        picture = open_picture(path, MAX_PIXELS)
    except PictureError as error:
        raise DataError(f"{error}. It could be read before: leave the folder alone while it is prepared.") from error
    height, width = picture.shape[:2]
    scale = min(1.0, _MOST_SIDE / max(height, width))
    return resize_picture(picture, max(1, round(width * scale)), max(1, round(height * scale)))


def _said(template: Template, given: Given, caption: str) -> str:
    """The template over what is given about a picture, with this caption."""
    path = Path(given.name)
    own = {"caption": caption, "folder": path.parent.name, "name": re.sub(r"[_\s]+", " ", path.stem).strip()}
    fields = {name: "" if value is None else str(value) for name, value in given.fields.items()}
    return template.render({**own, **fields, "caption": caption})


def _record(index: int, one: _Kept, settings: PrepareConfig) -> PictureRecord:
    extra = dict(one.given.fields)
    if one.given.caption and one.given.caption != one.caption:
        extra["given_caption"] = cut_caption(one.given.caption, settings.max_caption)
    return PictureRecord(
        file=f"images/{index:06d}.{settings.format}",
        caption=one.caption,
        split=one.split,
        source=one.given.name,
        caption_source=one.caption_source,
        box=one.found.box,
        width=one.found.width,
        height=one.found.height,
        hash=one.found.hash,
        extra=extra,
    )


def _of(records: list[PictureRecord], split: str) -> list[PictureRecord]:
    return [record for record in records if record.split == split]


def _key(given: Given) -> str:
    """Names a picture in its present state: a changed file is another one."""
    state = f"{given.name}\0{given.bytes}\0{given.modified_ns}"
    return hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _identity(settings: PrepareConfig, captioner: Captioner | None) -> dict[str, Any]:
    """All that the result depends on besides the pictures."""
    values = settings_to_dict(settings)
    del values["workers"]
    return values | {"captioner": captioner.name if captioner else None}


def _nothing_left(num_found: int, rejected: list[Problem]) -> str:
    counts: dict[str, int] = {}
    for problem in rejected:
        counts[problem.rule] = counts.get(problem.rule, 0) + 1
    told = ", ".join(f"{rule} {count}" for rule, count in sorted(counts.items(), key=lambda item: -item[1]))
    first = rejected[0]
    return f"none of {num_found} pictures is left. Refused by rule: {told}. The first, {first.file}: {first.reason}."

"""Visual Genome: scene graphs of pictures, from the JSON files of its download page, in one folder or one at a time.

Format: Krishna et al. 2017, "Visual Genome" (arXiv:1602.07332), version 1.2 and 1.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reverie.data.facts.contract import BadRow, FactRow, NodeRow, OnBad, Row
from reverie.data.facts.lines import clean, json_records, numbered_rows, only
from reverie.errors import DataError

__all__ = ["FILES", "read_visual_genome"]

_SOURCE = "visual genome"
_FOLDERS = ("", "VG_100K", "VG_100K_2", "images")  # where the pictures may lie


@dataclass(frozen=True)
class _Image:
    """What a file says of one image: ``number`` is its id, ``name`` that of its node."""

    record: dict[str, Any]
    number: str
    name: str

    def list_of(self, key: str) -> list[dict[str, Any]]:
        return [only(one, dict, f"{key} in braces") for one in _list(self.record, key)]


def read_visual_genome(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """A node of kind picture for every image, and what is in it: things, their attributes and relations, answers.

    A picture is named by its file (``1.jpg`` beside the JSON, or in ``VG_100K``) where there is one. Facts carry the
    image's id as their origin: what is seen in several images is one fact, told of the last of them.
    """
    files = [path] if path.is_file() else [path / name for name in FILES if (path / name).is_file()]
    files = files or [path / f"{name}.gz" for name in FILES if (path / f"{name}.gz").is_file()]
    parsers = [FILES.get(file.name.removesuffix(".gz")) for file in files]
    if not files or None in parsers:
        raise DataError(f"{path} is, or holds, none of {', '.join(FILES)}.")

    def read() -> Iterator[Row]:
        for file, parse in zip(files, parsers):
            assert parse is not None
            yield from _read_file(file, on_bad, parse)

    return read()


def _read_file(file: Path, on_bad: OnBad, parse: Callable[[_Image], Iterator[Row]]) -> Iterator[Row]:
    def named(bad: BadRow) -> None:
        on_bad(BadRow(bad.line, f"{file.name}: {bad.problem}"))

    def rows(record: object) -> Iterator[Row]:
        fields = only(record, dict, "an object in braces")
        number = fields.get("image_id", fields.get("id"))
        if number is None:  # files of regions name it one level deeper only
            number = next((only(one, dict, "a region").get("image_id") for one in _list(fields, "regions")), None)
        number = str(only(number, int, "an image_id"))
        found = (file.parent / folder / f"{number}.jpg" for folder in _FOLDERS)
        name = next((str(picture.resolve()) for picture in found if picture.is_file()), f"{_SOURCE}/{number}")
        return parse(_Image(fields, number, name))

    return numbered_rows(file, named, json_records(file), rows)


def _list(record: Any, key: str) -> list[Any]:
    found: list[Any] = only(record.get(key), list, f"a list of {key}")
    return found


def _fact(subject: object, relation: object, object_: object, image: _Image) -> FactRow:
    return FactRow(clean(subject), clean(relation).lower(), clean(object_), source=_SOURCE, origin=image.number)


def _name(thing: Any) -> Any:
    """The first name of a thing: ``names`` where things are listed, ``name`` where they are related."""
    named = only(thing, dict, "a thing with its names")
    return named["name"] if "name" in named else next(iter(_list(named, "names")), None)


def _objects(image: _Image) -> Iterator[Row]:
    yield NodeRow(image.name, "picture", source=_SOURCE)
    for name in dict.fromkeys(clean(_name(thing)) for thing in image.list_of("objects")):
        yield replace(_fact(image.name, "shows", name, image), subject_kind="picture")


def _attributes(image: _Image) -> Iterator[Row]:
    for thing in image.list_of("attributes"):
        name = _name(thing)
        for attribute in _list(thing, "attributes") if thing.get("attributes") else ():
            if clean(attribute):
                yield _fact(name, "is", attribute, image)


def _relationships(image: _Image) -> Iterator[Row]:
    for one in image.list_of("relationships"):
        if clean(one.get("predicate")):
            yield _fact(_name(one.get("subject")), one["predicate"], _name(one.get("object")), image)


def _regions(image: _Image) -> Iterator[Row]:
    phrases = dict.fromkeys(clean(region.get("phrase")) for region in image.list_of("regions"))
    yield NodeRow(image.name, "picture", text="; ".join(filter(None, phrases)), source=_SOURCE)


def _answers(image: _Image) -> Iterator[Row]:
    for asked in image.list_of("qas"):
        said = f"{clean(asked.get('question'))} {clean(asked.get('answer'))}"
        yield replace(_fact(image.name, "answers", said, image), subject_kind="picture", object_kind="passage")


FILES: dict[str, Callable[[_Image], Iterator[Row]]] = {
    "objects.json": _objects,
    "attributes.json": _attributes,
    "relationships.json": _relationships,
    "region_descriptions.json": _regions,
    "question_answers.json": _answers,
}

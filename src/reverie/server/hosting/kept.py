"""What is kept with a model for whoever asks it: a system message, and how its words are drawn where nobody says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from reverie.errors import BundleError, ReverieError
from reverie.files import atomic_write_json
from reverie.jsonio import read_object
from reverie.server.hosting.contract import ChatMessage, Drawing, TextRequest

__all__ = ["FILE", "Kept", "read_kept"]

FILE = "asked.json"


@dataclass(frozen=True)
class Kept:
    """``parameters``: as they were given, to be shown; the others are what they stand for."""

    system: str = ""
    drawing: Drawing = field(default_factory=Drawing)
    stop: tuple[str, ...] = ()
    max_ids: int | None = None
    seed: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        atomic_write_json(folder / FILE, asdict(self))

    def applied(self, request: TextRequest) -> TextRequest:
        """``request`` with what it leaves open. A talk that has a system message keeps its own."""
        said: Any = request.said
        if self.system and request.talk and all(one.role != "system" for one in request.talk):
            said = (ChatMessage("system", self.system), *request.talk)
        return replace(
            request,
            said=said,
            drawing=replace(self.drawing, **cast(Any, request.drawing.given())),
            stop=request.stop or self.stop,
            max_ids=self.max_ids if request.max_ids is None else request.max_ids,
            seed=self.seed if request.seed is None else request.seed,
        )


def read_kept(folder: Path) -> Kept | None:
    """What is kept with the bundle in ``folder``; None where nothing is. Raises BundleError for a damaged file."""
    if not (folder / FILE).is_file():
        return None
    said = read_object(folder / FILE, BundleError, "what is kept with the model")
    try:
        drawing, stop = Drawing(**said.pop("drawing")), tuple(said.pop("stop"))
        return Kept(drawing=drawing, stop=stop, **said)
    except (TypeError, KeyError, AttributeError, ReverieError) as error:
        raise BundleError(f"{folder / FILE} is damaged: delete it, or make the model again") from error

"""What a model does not know, and experts that are grown for it, through the API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from reverie.bundles.growing import GrowRequest, grow_asked
from reverie.errors import UsageError
from reverie.growth.gaps import Gap, Gaps, gap_named, gap_to_json
from reverie.growth.pipeline import GrowConfig, Growth
from reverie.jsonio import jsonable
from reverie.memory.attempts import DISMISSED, GapLog
from reverie.progress import Progress
from reverie.server.http.errors import RequestError

if TYPE_CHECKING:
    from reverie.server.hosting import Hosting
    from reverie.server.native.bodies import GrowBody
    from reverie.server.native.jobs import Jobs

__all__ = ["begin", "dismiss", "named", "told", "told_of"]

_WHAT = "grow "  # how its jobs are called


def told(found: Gaps) -> dict[str, Any]:
    """All gaps, and how many questions belong to none."""
    return {"gaps": [told_of(gap) for gap in found.gaps], "alone": len(found.alone)}


def told_of(gap: Gap, every: bool = False) -> dict[str, Any]:
    """One gap; ``every``: with what was attempted at each question."""
    said: dict[str, Any] = jsonable(gap_to_json(gap, every))
    return said


def named(found: Gaps, said: str) -> Gap:
    """By id or name. Raises RequestError where there is none."""
    try:
        return gap_named(found.gaps, said)
    except UsageError as error:
        raise RequestError(404, str(error), code="not_found") from error


def begin(jobs: Jobs, hosting: Hosting, gap: Gap, body: GrowBody) -> dict[str, Any]:
    """Grow an expert for ``gap`` in a job. Raises RequestError while another is grown: each takes a whole processor."""
    if any(job["state"] == "running" and job["what"].startswith(_WHAT) for job in jobs.all()):
        raise RequestError(409, "an expert is being grown; try again when that is over", code="busy")
    config = hosting.config
    request = GrowRequest(
        str(hosting.model_facts(body.model).folder), tuple(config.grow_with), gap.id, body.name,
        GrowConfig(body.lessons), config.library, config.memory or None,
    )  # fmt: skip

    async def work(progress: Progress) -> dict[str, Any]:
        grown: Growth = await asyncio.to_thread(grow_asked, request, lambda note: None, progress)
        lessons = {"kept": grown.lessons.kept, "dropped": grown.lessons.dropped}
        said: dict[str, Any] = {"expert": grown.expert, "admitted": grown.admitted, "why": grown.why}
        return said | {"lessons": lessons, "certificate": grown.certificate.to_json()}

    return jobs.begin(f"{_WHAT}{gap.name}", work)


def dismiss(hosting: Hosting, gap: Gap) -> dict[str, Any]:
    """Settle its questions."""
    with GapLog(hosting.config.memory) as log:
        log.settle([one.id for one in gap.attempts], DISMISSED)
    return {"dismissed": gap.id, "questions": len(gap.attempts)}

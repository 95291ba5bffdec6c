"""What came of a growth, for people: a page of text, and a picture of its tests."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from reverie.files import atomic_write_bytes, atomic_write_text
from reverie.growth.certificate import Test

if TYPE_CHECKING:
    from reverie.growth.pipeline import GrowPlan, Growth

__all__ = ["write_report"]

_SHOWN = 10  # of the gap's questions


def write_report(growth: Growth, plan: GrowPlan) -> None:
    """``report.md`` and ``report.png`` in the growth's folder."""
    atomic_write_bytes(growth.folder / "report.png", _picture(growth))
    atomic_write_text(growth.folder / "report.md", _text(growth, plan))


def _text(growth: Growth, plan: GrowPlan) -> str:
    lessons, certificate = growth.lessons, growth.certificate
    dropped = ", ".join(f"{count} {why}" for why, count in lessons.dropped.items()) or "none"
    cost = f", {lessons.ids} ids asked for, {lessons.cost:g} paid" if lessons.ids else ""
    lines = [
        f"# {growth.expert}: {'admitted' if growth.admitted else 'not admitted'}",
        "",
        *([f"Why not: {growth.why}.", ""] if growth.why else []),
        "![tests](report.png)",
        "",
        f"Questions of the gap ({len(plan.questions)}):",
        "",
        *(f"- {question}" for question in plan.questions[:_SHOWN]),
        "",
        f"Lessons: {lessons.kept} kept of {lessons.wanted} wished for (left out: {dropped}){cost}.",
        "",
        "| from | lessons |",
        "|---|---|",
        *(f"| {source} | {count} |" for source, count in lessons.sources.items()),
        "",
        "| test | of | before | after | bound | limit | |",
        "|---|---|---|---|---|---|---|",
        *(_row(test) for test in certificate.tests),
        "",
        "| choice | why |",
        "|---|---|",
        *(f"| {name} | {why} |" for name, why in certificate.reasons.items()),
        "",
        f"{growth.seconds / 60:.1f} minutes. Signature: {certificate.signature[:16]}… of {certificate.signer}.",
        "",
    ]
    return "\n".join(lines)


def _row(test: Test) -> str:
    verdict = "passed" if test.passed else "**failed**"
    figures = f"{test.n} | {test.before} | {test.after} | {test.bound:.4g} | {test.side} {test.limit:g}"
    return f"| {test.name}: {test.about} | {figures} | {verdict} |"


def _picture(growth: Growth) -> bytes:
    """For each test its bound beside its limit, on a line of its own."""
    import matplotlib

    from reverie.training.plotting import BLUE, GOLD, INK, SOFT, STYLE, canvas

    tests = [test for test in growth.certificate.tests if 0 <= test.limit <= 1][::-1]
    gain = next((test for test in growth.certificate.tests if test.name == "gain"), None)
    under = f"{gain.before} of {gain.n} unseen questions right before, {gain.after} with it" if gain else ""
    with matplotlib.rc_context(STYLE):
        title = f"{growth.expert}: {'admitted' if growth.admitted else 'not admitted'}"
        figure, axes = canvas(title, under, (7.2, 1.4 + 0.36 * len(tests)))
        for place, test in enumerate(tests):
            color = BLUE if test.passed else GOLD
            bound = min(max(test.bound, -0.05), 1.05)
            axes.barh(place, bound, height=0.5, color=color)
            axes.plot([test.limit] * 2, [place - 0.42, place + 0.42], color=INK, lw=2)
            sign = ">" if test.side == "above" else "≤"
            axes.text(max(bound, test.limit) + 0.02, place, f"{test.bound:.3f} {sign} {test.limit:g}", va="center",
                      fontsize=8, color=SOFT)  # fmt: skip
        axes.set_yticks(range(len(tests)), [test.name for test in tests])
        axes.set_xlim(-0.05, 1.25)
        axes.set_xlabel("bound of each test; the mark is its limit")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()

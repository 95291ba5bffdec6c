"""The web page: a seed and a button, many at once, the way between two seeds, a caption for a picture.

Made with Gradio. It asks the same ``Studio`` as the endpoints, so the same limits hold. It loads nothing from
elsewhere: fonts are the system's, nothing is measured, nothing is shared.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from fastapi import FastAPI

from reverie.errors import ReverieError
from reverie.generator.album import picture_name
from reverie.server.encoding import open_bytes
from reverie.server.shelf import Shelf
from reverie.server.studio import MAX_SEED, Painted, Studio, Wish, random_seed
from reverie.server.style import CSS, INK, SYSTEM_FONTS, THEME, head_html
from reverie.server.worker import Job, finish

__all__ = ["build_page", "mount_page"]

T = TypeVar("T")

_FIRST_SEED = 7
_PROGRESS = gr.Progress()  # as a default it tells Gradio to hand a function its own
_LOOK_S = 0.2
_SMALL_SIDE = 96  # px; a picture below is shown with its pixels as squares


def mount_page(api: FastAPI, studio: Studio, max_bytes: int, cache: Path) -> Callable[[], None]:
    """Put the page at / of ``api``, its files into ``cache``. Returns what ends its streams when the server stops."""
    shelf = Shelf(cache)
    _keep_tidy(api, shelf)
    return _in_a_loop(lambda: _mount(api, build_page(studio, shelf), max_bytes))


def _mount(api: FastAPI, page: gr.Blocks, max_bytes: int) -> Callable[[], None]:
    gr.mount_gradio_app(
        api,
        page,
        path="/",
        theme=_theme(),
        css=CSS,
        footer_links=[],
        run_history=False,
        show_error=True,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        max_file_size=max_bytes,
    )
    apps = [getattr(route, "app", None) for route in api.routes]
    (mounted,) = [app for app in apps if isinstance(app, gr.routes.App)]
    return mounted.stop_event.set


def build_page(studio: Studio, shelf: Shelf) -> gr.Blocks:
    """The page, not yet served."""
    with gr.Blocks(title=f"{studio.name} · Reverie", analytics_enabled=False) as page:
        gr.HTML(head_html(studio.name, studio.side, studio.card), padding=False)
        with gr.Tab("One"):
            _one(page, studio, shelf)
        with gr.Tab("Many"):
            _many(studio, shelf)
        with gr.Tab("Between"):
            _between(studio, shelf)
        with gr.Tab("Describe"):
            _describe(studio)
    page.queue(api_open=False, max_size=64, default_concurrency_limit=studio.limits.max_waiting + 1)
    return page


def _one(page: gr.Blocks, studio: Studio, shelf: Shelf) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            seed = _seed("Seed", _FIRST_SEED, "seed", "The same seed gives the same picture.")
            prompt = _prompt(studio, "prompt")
            with gr.Row():
                go = gr.Button("Generate", variant="primary", size="md", elem_id="generate", min_width=110)
                dice = gr.Button("Random seed", size="md", elem_id="random", min_width=110)
            with gr.Accordion("Finer settings", open=False):
                guidance, temperature = _guidance(studio), _temperature()
        with gr.Column(scale=3, min_width=280):
            picture = _picture("Picture", "picture", studio)
            caption = _words("Caption", "caption")
            saved = gr.DownloadButton("Download the picture", interactive=False, size="sm", elem_id="download")

    async def paint(seed: float | None, prompt: str, guidance: float, temperature: float) -> tuple[Any, Any, Any]:
        wish = Wish(_whole(seed, "Seed"), 1, prompt.strip(), temperature, guidance)
        (one,) = await _done(lambda: studio.paint(wish))
        path = shelf.put(picture_name(one.sample.seed), one.data)
        shown = gr.Image(path, alt_text=one.sample.caption or f"The picture of seed {one.sample.seed}")
        return shown, one.sample.caption, gr.DownloadButton(value=path, interactive=True)

    fields, shown = [seed, prompt, guidance, temperature], [picture, caption, saved]
    gr.on([go.click, seed.submit, prompt.submit], paint, fields, shown, **_INSIDE)
    dice.click(random_seed, None, seed, **_INSIDE).then(paint, fields, shown, **_INSIDE)
    page.load(paint, fields, shown, **_INSIDE)


def _many(studio: Studio, shelf: Shelf) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            seed = _seed("First seed", _FIRST_SEED, "first-seed", "The next picture has the next seed.")
            most = min(studio.limits.max_count, studio.limits.max_pixels // studio.side**2)
            count = gr.Slider(1, max(2, most), min(12, max(2, most)), step=1, label="How many", elem_id="count")
            prompt = _prompt(studio, "prompt-many")
            with gr.Row():
                go = gr.Button("Generate all", variant="primary", size="md", elem_id="generate-many", min_width=110)
                dice = gr.Button("Random seed", size="md", min_width=110)
            with gr.Accordion("Finer settings", open=False):
                guidance, temperature = _guidance(studio), _temperature()
        with gr.Column(scale=3, min_width=280):
            gallery = _gallery("Pictures", "gallery", studio)
            saved = gr.DownloadButton("Download all", interactive=False, size="sm", elem_id="download-all")

    async def paint(
        seed: float | None,
        count: float,
        prompt: str,
        guidance: float,
        temperature: float,
        progress: gr.Progress = _PROGRESS,
    ) -> tuple[Any, Any]:
        wish = Wish(_whole(seed, "First seed"), int(count), prompt.strip(), temperature, guidance)
        painted = await _done(lambda: studio.paint(wish), progress)
        packed = shelf.put(f"seeds-{wish.seeds[0]}-{wish.seeds[-1]}.zip", _zip(painted))
        return _shown(painted, shelf), gr.DownloadButton(value=packed, interactive=True)

    fields = [seed, count, prompt, guidance, temperature]
    gr.on([go.click, seed.submit, prompt.submit], paint, fields, [gallery, saved], **_INSIDE)
    dice.click(random_seed, None, seed, **_INSIDE).then(paint, fields, [gallery, saved], **_INSIDE)


def _between(studio: Studio, shelf: Shelf) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            with gr.Row():
                first = _seed("From seed", 3, "from-seed")
                last = _seed("To seed", 9, "to-seed")
            most = min(studio.limits.max_count, 48)
            steps = gr.Slider(2, max(3, most), min(12, max(3, most)), step=1, label="Steps", elem_id="steps")
            go = gr.Button("Walk", variant="primary", size="md", elem_id="walk")
            with gr.Accordion("Finer settings", open=False):
                temperature = _temperature()
        with gr.Column(scale=3, min_width=280):
            moving = _picture("The way", "moving", studio)
            gallery = _gallery("Steps", "way", studio, height=260)
            saved = gr.DownloadButton("Download the GIF", interactive=False, size="sm", elem_id="download-gif")

    async def walk(first: float | None, last: float | None, steps: float, temperature: float) -> tuple[Any, Any, Any]:
        start, end = _whole(first, "From seed"), _whole(last, "To seed")
        painted = await _done(lambda: studio.walk(Wish(start, temperature=temperature), end, int(steps)))
        pictures = [one.sample.picture for one in painted]
        there_and_back = [*pictures, *pictures[-2:0:-1]]
        gif = shelf.put(f"from-{start}-to-{end}.gif", await _done(lambda: studio.gif(there_and_back)))
        shown = gr.Image(gif, alt_text=f"The way from seed {start} to seed {end} and back, moving")
        return shown, _shown(painted, shelf, steps=True), gr.DownloadButton(value=gif, interactive=True)

    gr.on(
        [go.click, first.submit, last.submit],
        walk,
        [first, last, steps, temperature],
        [moving, gallery, saved],
        **_INSIDE,
    )


def _describe(studio: Studio) -> None:
    with gr.Row():
        with gr.Column(scale=3, min_width=280):
            posted = gr.Image(
                type="filepath",
                image_mode=None,
                sources=["upload", "clipboard"],
                label="A picture of yours",
                buttons=[],
                height=420,
                elem_id="posted",
            )
        with gr.Column(scale=2, min_width=280):
            caption = _words("Caption", "described")
            go = gr.Button("Describe", variant="primary", size="md", elem_id="describe")
    # The library would decode the file, whatever its size, before anybody could look at its header.
    posted.preprocess = lambda payload: payload.path if payload else None

    async def describe(path: str | None) -> str:
        if not path:
            raise gr.Error("Drop a picture in first.", print_exception=False, title="No picture")

        def opened() -> Any:
            return open_bytes(Path(path).read_bytes(), studio.limits.max_pixels, "the picture")

        return (await _done(lambda: studio.describe([opened])))[0]

    go.click(describe, posted, caption, **_INSIDE)
    posted.upload(describe, posted, caption, **_INSIDE)


_INSIDE: dict[str, Any] = {"api_visibility": "private"}  # programs use the documented endpoints


def _prompt(studio: Studio, name: str) -> gr.Textbox:
    return gr.Textbox(
        label="Prompt",
        info="Optional.",
        placeholder="a ship in a storm",
        max_length=studio.limits.max_letters,
        visible=_hears(studio),
        elem_id=name,
    )


def _guidance(studio: Studio) -> gr.Slider:
    said = "How closely the prompt is followed."
    return gr.Slider(0, 8, 2, step=0.5, label="Guidance", info=said, visible=_hears(studio))


def _temperature() -> gr.Slider:
    said = "Below 1: nearer to the typical picture. Above 1: further from it."
    return gr.Slider(0, 2, 1, step=0.05, label="Temperature", info=said)


def _hears(studio: Studio) -> bool:
    """Whether a prompt has an effect."""
    return any(prior.follows_captions for prior in studio.generator.priors.values())


def _seed(label: str, value: int, name: str, info: str | None = None) -> gr.Number:
    return gr.Number(
        value, label=label, info=info, precision=0, minimum=0, maximum=MAX_SEED, elem_id=name, min_width=120
    )


def _picture(label: str, name: str, studio: Studio) -> gr.Image:
    return gr.Image(
        label=label, type="filepath", interactive=False, buttons=["download", "fullscreen"], height=440,
        elem_id=name, elem_classes=_look(studio),
    )  # fmt: skip


def _gallery(label: str, name: str, studio: Studio, height: int = 520) -> gr.Gallery:
    return gr.Gallery(
        label=label, show_label=False, columns=4, height=height, object_fit="contain", interactive=False,
        buttons=["download", "fullscreen"], elem_id=name, elem_classes=_look(studio),
    )  # fmt: skip


def _look(studio: Studio) -> list[str]:
    return ["shown", "pixels"] if studio.side < _SMALL_SIDE else ["shown"]


def _words(label: str, name: str) -> gr.Textbox:
    return gr.Textbox(label=label, lines=2, interactive=False, buttons=["copy"], elem_id=name, elem_classes=["words"])


def _shown(painted: Sequence[Painted], shelf: Shelf, steps: bool = False) -> list[tuple[str, str]]:
    """What a gallery shows: files and their captions."""
    shown = []
    for index, one in enumerate(painted):
        name = f"step-{index:03d}.png" if steps else picture_name(one.sample.seed)
        label = f"Step {index + 1}" if steps else f"Seed {one.sample.seed}"
        shown.append((shelf.put(name, one.data), f"{label}: {one.sample.caption}"))
    return shown


def _zip(painted: Sequence[Painted]) -> bytes:
    """The pictures and their captions, as ``reverie generator sample`` writes them into a folder."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
        lines = []
        for one in painted:
            name = picture_name(one.sample.seed)
            packed.writestr(name, one.data)
            record = {"file": name, "seed": one.sample.seed, "caption": one.sample.caption, "prompt": one.sample.prompt}
            lines.append(json.dumps(record, ensure_ascii=False))
        packed.writestr("captions.jsonl", "\n".join(lines) + "\n")
    return file.getvalue()


async def _done(start: Callable[[], Job[T]], progress: gr.Progress | None = None) -> T:
    """What a job returns; what is refused is shown on the page in one line."""
    try:
        job = start()
        answer = asyncio.ensure_future(finish(job))
        try:
            while not answer.done():
                if progress is not None:
                    progress((job.num_done, job.num_all), unit="pictures")
                await asyncio.wait({answer}, timeout=_LOOK_S)
            return answer.result()
        finally:
            answer.cancel()
    except ReverieError as error:
        said = str(error)
        raise gr.Error(said[:1].upper() + said[1:], print_exception=False, title="Not possible") from error


def _whole(value: float | None, label: str) -> int:
    if value is None:
        raise gr.Error(f"{label}: give a whole number.", print_exception=False, title="Not possible")
    return int(value)


def _in_a_loop(work: Callable[[], T]) -> T:
    """``work()`` where an event loop runs: without one, Gradio makes several and closes none."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:

        async def working() -> T:
            return work()

        return asyncio.run(working())
    return work()


def _keep_tidy(api: FastAPI, shelf: Shelf) -> None:
    before = api.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with before(app) as state:
            tidying = asyncio.create_task(shelf.keep_tidy())
            try:
                yield state
            finally:
                tidying.cancel()

    api.router.lifespan_context = lifespan


def _theme() -> gr.themes.Base:
    ink = gr.themes.Color(*INK)
    theme = gr.themes.Base(
        primary_hue=ink,
        secondary_hue=ink,
        neutral_hue=ink,
        radius_size="md",
        font=SYSTEM_FONTS,
        font_mono=("ui-monospace", "monospace"),
    )
    return theme.set(**THEME)

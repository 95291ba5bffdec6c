"""The web page: a seed and a button, many at once, the way between two seeds, a caption for a picture.

Made with Gradio. It asks the endpoints beside it (``page_client.py``), so the same limits hold. It loads nothing from
elsewhere: fonts are the system's, nothing is measured, nothing is shared.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import secrets
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
import numpy as np
from fastapi import FastAPI
from PIL import Image

from reverie.errors import ReverieError
from reverie.generator.export_images import picture_name, walk_gif
from reverie.server.http.app import Page
from reverie.server.pictures.page_client import Client, Received, Served
from reverie.server.pictures.page_paths import PAGE_PATHS
from reverie.server.pictures.style import CSS, INK, SYSTEM_FONTS, THEME, head_html
from reverie.server.pictures.temp_files import TempFiles

__all__ = ["build_page", "page_beside"]

T = TypeVar("T")

_FIRST_SEED = 7
_PROGRESS = gr.Progress()  # as a default it tells Gradio to hand a function its own
_SMALL_SIDE = 96  # px; a picture below is shown with its pixels as squares


def page_beside(max_bytes: int, cache: Path) -> Page:
    """The page for an application whose API it asks; its files lie in ``cache``."""

    def mount(api: FastAPI) -> Callable[[], None]:
        files = TempFiles(cache)
        _keep_tidy(api, files)
        return _in_a_loop(lambda: _mount(api, files, max_bytes))

    return Page(mount, PAGE_PATHS)


async def _mount(api: FastAPI, files: TempFiles, max_bytes: int) -> Callable[[], None]:
    client = Client(api)
    gr.mount_gradio_app(
        api,
        build_page(await client.served(), client, files),
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
    stop: Callable[[], None] = mounted.stop_event.set
    return stop


def build_page(served: Served, client: Client, files: TempFiles) -> gr.Blocks:
    """The page, not yet served."""
    with gr.Blocks(title=f"{served.name} · Reverie", analytics_enabled=False) as page:
        gr.HTML(head_html(served.name, served.side, served.card), padding=False)
        with gr.Tab("One"):
            _one(page, served, client, files)
        with gr.Tab("Many"):
            _many(served, client, files)
        with gr.Tab("Between"):
            _between(served, client, files)
        with gr.Tab("Describe"):
            _describe(client)
    page.queue(api_open=False, max_size=64, default_concurrency_limit=served.limits["waiting"] + 1)
    return page


def _one(page: gr.Blocks, served: Served, client: Client, files: TempFiles) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            seed = _seed("Seed", _FIRST_SEED, "seed", "The same seed gives the same picture.")
            prompt = _prompt(served, "prompt")
            with gr.Row():
                go = gr.Button("Generate", variant="primary", size="md", elem_id="generate", min_width=110)
                dice = gr.Button("Random seed", size="md", elem_id="random", min_width=110)
            with gr.Accordion("Finer settings", open=False):
                guidance, temperature = _guidance(served), _temperature()
        with gr.Column(scale=3, min_width=280):
            picture = _picture("Picture", "picture", served)
            caption = _words("Caption", "caption")
            saved = gr.DownloadButton("Download the picture", interactive=False, size="sm", elem_id="download")

    async def paint(seed: float | None, prompt: str, guidance: float, temperature: float) -> tuple[Any, Any, Any]:
        one = await _done(client.paint(_whole(seed, "Seed"), prompt, guidance, temperature))
        path = files.put(picture_name(one.seed), one.data)
        shown = gr.Image(path, alt_text=one.caption or f"The picture of seed {one.seed}")
        return shown, one.caption, gr.DownloadButton(value=path, interactive=True)

    fields, shown = [seed, prompt, guidance, temperature], [picture, caption, saved]
    gr.on([go.click, seed.submit, prompt.submit], paint, fields, shown, **_INSIDE)
    dice.click(_any_seed, None, seed, **_INSIDE).then(paint, fields, shown, **_INSIDE)
    page.load(paint, fields, shown, **_INSIDE)


def _many(served: Served, client: Client, files: TempFiles) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            seed = _seed("First seed", _FIRST_SEED, "first-seed", "The next picture has the next seed.")
            most = max(2, min(served.limits["count"], served.limits["pixels"] // served.side**2))
            count = gr.Slider(1, most, min(12, most), step=1, label="How many", elem_id="count")
            prompt = _prompt(served, "prompt-many")
            with gr.Row():
                go = gr.Button("Generate all", variant="primary", size="md", elem_id="generate-many", min_width=110)
                dice = gr.Button("Random seed", size="md", min_width=110)
            with gr.Accordion("Finer settings", open=False):
                guidance, temperature = _guidance(served), _temperature()
        with gr.Column(scale=3, min_width=280):
            gallery = _gallery("Pictures", "gallery", served)
            saved = gr.DownloadButton("Download all", interactive=False, size="sm", elem_id="download-all")

    async def paint(
        seed: float | None,
        count: float,
        prompt: str,
        guidance: float,
        temperature: float,
        progress: gr.Progress = _PROGRESS,
    ) -> tuple[Any, Any]:
        first, painted, count = _whole(seed, "First seed"), list[Received](), min(int(count), most)
        for number in range(count):
            progress((number, count), unit="pictures")
            painted.append(await _done(client.paint(first + number, prompt, guidance, temperature)))
        packed = files.put(f"seeds-{first}-{first + count - 1}.zip", _zip(painted, prompt.strip()))
        return _shown(painted, files), gr.DownloadButton(value=packed, interactive=True)

    fields = [seed, count, prompt, guidance, temperature]
    gr.on([go.click, seed.submit, prompt.submit], paint, fields, [gallery, saved], **_INSIDE)
    dice.click(_any_seed, None, seed, **_INSIDE).then(paint, fields, [gallery, saved], **_INSIDE)


def _between(served: Served, client: Client, files: TempFiles) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            with gr.Row():
                first = _seed("From seed", 3, "from-seed")
                last = _seed("To seed", 9, "to-seed")
            most = max(3, min(served.limits["count"], 48))
            steps = gr.Slider(2, most, min(12, most), step=1, label="Steps", elem_id="steps")
            go = gr.Button("Walk", variant="primary", size="md", elem_id="walk")
            with gr.Accordion("Finer settings", open=False):
                temperature = _temperature()
        with gr.Column(scale=3, min_width=280):
            moving = _picture("The way", "moving", served)
            gallery = _gallery("Steps", "way", served, height=260)
            saved = gr.DownloadButton("Download the GIF", interactive=False, size="sm", elem_id="download-gif")

    async def walk(first: float | None, last: float | None, steps: float, temperature: float) -> tuple[Any, Any, Any]:
        start, end = _whole(first, "From seed"), _whole(last, "To seed")
        painted = await _done(client.walk(start, end, int(steps), temperature))
        gif = files.put(f"from-{start}-to-{end}.gif", await asyncio.to_thread(_there_and_back, painted))
        shown = gr.Image(gif, alt_text=f"The way from seed {start} to seed {end} and back, moving")
        return shown, _shown(painted, files, steps=True), gr.DownloadButton(value=gif, interactive=True)

    gr.on(
        [go.click, first.submit, last.submit],
        walk,
        [first, last, steps, temperature],
        [moving, gallery, saved],
        **_INSIDE,
    )


def _describe(client: Client) -> None:
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

        return await _done(client.describe(Path(path).read_bytes()))

    go.click(describe, posted, caption, **_INSIDE)
    posted.upload(describe, posted, caption, **_INSIDE)


_INSIDE: dict[str, Any] = {"api_visibility": "private"}  # programs use the documented endpoints


def _prompt(served: Served, name: str) -> gr.Textbox:
    return gr.Textbox(
        label="Prompt",
        info="Optional.",
        placeholder="a ship in a storm",
        max_length=served.limits["letters"],
        visible=served.hears,
        elem_id=name,
    )


def _guidance(served: Served) -> gr.Slider:
    said = "How closely the prompt is followed."
    return gr.Slider(0, 8, 2, step=0.5, label="Guidance", info=said, visible=served.hears)


def _temperature() -> gr.Slider:
    said = "Below 1: nearer to the typical picture. Above 1: further from it."
    return gr.Slider(0, 2, 1, step=0.05, label="Temperature", info=said)


def _seed(label: str, value: int, name: str, info: str | None = None) -> gr.Number:
    return gr.Number(value, label=label, info=info, step=1, elem_id=name, min_width=120)


def _picture(label: str, name: str, served: Served) -> gr.Image:
    return gr.Image(
        label=label, type="filepath", interactive=False, buttons=["download", "fullscreen"], height=440,
        elem_id=name, elem_classes=_look(served),
    )  # fmt: skip


def _gallery(label: str, name: str, served: Served, height: int = 520) -> gr.Gallery:
    return gr.Gallery(
        label=label, show_label=False, columns=4, height=height, object_fit="contain", interactive=False,
        buttons=["download", "fullscreen"], elem_id=name, elem_classes=_look(served),
    )  # fmt: skip


def _look(served: Served) -> list[str]:
    return ["shown", "pixels"] if served.side < _SMALL_SIDE else ["shown"]


def _words(label: str, name: str) -> gr.Textbox:
    return gr.Textbox(label=label, lines=2, interactive=False, buttons=["copy"], elem_id=name, elem_classes=["words"])


def _shown(painted: Sequence[Received], files: TempFiles, steps: bool = False) -> list[tuple[str, str]]:
    """What a gallery shows: files and their captions."""
    shown = []
    for index, one in enumerate(painted):
        name = f"step-{index:03d}.png" if steps else picture_name(one.seed)
        label = f"Step {index + 1}" if steps else f"Seed {one.seed}"
        shown.append((files.put(name, one.data), f"{label}: {one.caption}"))
    return shown


def _zip(painted: Sequence[Received], prompt: str) -> bytes:
    """The pictures and their captions, as ``reverie generator sample`` writes them into a folder."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
        lines = []
        for one in painted:
            name = picture_name(one.seed)
            packed.writestr(name, one.data)
            record = {"file": name, "seed": one.seed, "caption": one.caption, "prompt": prompt}
            lines.append(json.dumps(record, ensure_ascii=False))
        packed.writestr("captions.jsonl", "\n".join(lines) + "\n")
    return file.getvalue()


def _there_and_back(painted: Sequence[Received]) -> bytes:
    pictures = [np.asarray(Image.open(io.BytesIO(one.data)).convert("RGB")) for one in painted]
    return walk_gif([*pictures, *pictures[-2:0:-1]])


async def _done(answer: Awaitable[T]) -> T:
    """What the API answers; what it refuses is shown on the page in one line."""
    try:
        return await answer
    except ReverieError as error:
        said = str(error)
        raise gr.Error(said[:1].upper() + said[1:], print_exception=False, title="Not possible") from error


def _whole(value: float | None, label: str) -> int:
    if value is None or value != int(value):
        given = "" if value is None else f", not {value:g}"
        raise gr.Error(f"{label}: give a whole number{given}.", print_exception=False, title="Not possible")
    return int(value)


def _any_seed() -> int:
    """One that is easy to write down."""
    return secrets.randbelow(1_000_000_000)


def _in_a_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """``work()`` in an event loop of its own: without one, Gradio makes several and closes none."""
    with ThreadPoolExecutor(1) as thread:  # whoever calls may be in a loop, too
        return thread.submit(asyncio.run, work()).result()


def _keep_tidy(api: FastAPI, files: TempFiles) -> None:
    before = api.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with before(app) as state:
            tidying = asyncio.create_task(files.keep_tidy())
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

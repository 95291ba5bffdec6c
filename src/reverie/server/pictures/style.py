"""How the page looks: its colours, its head with the figures of the card, and a few rules of CSS."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

__all__ = ["CSS", "INK", "SYSTEM_FONTS", "THEME", "head_html", "said_figures"]

SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")

_NAMES = {  # figures that are shown in the page's head, in this order, and how they are called there
    "kid": "KID",
    "fid": "FID",
    "joint_recall_at_10": "picture ↔ caption recall@10",
    "recall_at_10": "picture ↔ caption recall@10",
    "psnr": "reconstruction PSNR",
    "ms_ssim": "MS-SSIM",
    "caption_perplexity": "caption perplexity",
    "diversity": "diversity",
}

INK = "#f6f7f8 #ebedf0 #dcdfe4 #bcc2ca #8d96a1 #626c78 #48525d #38414a #293038 #1c2228 #12161a".split()

THEME = {
    "body_background_fill": "*neutral_50",
    "body_background_fill_dark": "*neutral_950",
    "body_text_color_subdued": "*neutral_500",
    "body_text_color_subdued_dark": "*neutral_300",
    "block_background_fill": "white",
    "block_background_fill_dark": "*neutral_900",
    "block_border_color": "*neutral_200",
    "block_border_color_dark": "*neutral_800",
    "block_info_text_color": "*neutral_500",
    "block_info_text_color_dark": "*neutral_300",
    "block_label_text_color": "*neutral_600",
    "block_title_text_color": "*neutral_700",
    "block_title_text_weight": "600",
    "input_background_fill": "*neutral_50",
    "input_background_fill_dark": "*neutral_950",
    "input_border_width": "1px",
    "input_border_color": "*neutral_200",
    "input_border_color_dark": "*neutral_700",
    "button_primary_background_fill": "*neutral_800",
    "button_primary_background_fill_hover": "*neutral_700",
    "button_primary_text_color": "white",
    "button_primary_background_fill_dark": "*neutral_100",
    "button_primary_background_fill_hover_dark": "white",
    "button_primary_text_color_dark": "*neutral_950",
    "button_secondary_background_fill": "white",
    "button_secondary_background_fill_hover": "*neutral_100",
    "button_secondary_border_color": "*neutral_300",
    "button_secondary_background_fill_dark": "*neutral_900",
    "button_secondary_background_fill_hover_dark": "*neutral_800",
    "button_secondary_border_color_dark": "*neutral_700",
    "button_border_width": "1px",
}

CSS = """
.gradio-container { width: 100% !important; max-width: 1120px !important; margin: 0 auto !important; }
.gradio-container > main, .gradio-container .main { padding: 1.5rem 1.25rem 2rem !important; width: 100%; }
#head h1 { font: 600 1.9rem/1.2 Georgia, 'Iowan Old Style', 'Times New Roman', serif; margin: 0; }
#head p { margin: .35rem 0 0; color: var(--body-text-color-subdued); max-width: 46rem; }
#head dl { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: .75rem 0 0; }
#head dl div { display: flex; gap: .45rem; align-items: baseline; }
#head dt { color: var(--body-text-color-subdued); font-size: .85rem; }
#head dd { margin: 0; font-variant-numeric: tabular-nums; font-weight: 600; font-size: .9rem; }
button[role=tab][aria-selected=true] { color: var(--body-text-color) !important; font-weight: 600; }
.words textarea { font: italic 1.1rem/1.45 Georgia, 'Iowan Old Style', 'Times New Roman', serif !important; }
.shown .image-frame, .shown .image-container button { width: 100%; height: 100%; }
.shown .image-frame img { width: 100%; height: 100%; object-fit: contain; }
.shown .grid-container { grid-template-columns: repeat(auto-fill, minmax(136px, 1fr)) !important; padding-top: 0; }
.shown .grid-container .thumbnail-lg { aspect-ratio: auto; height: auto; display: flex; flex-direction: column; }
.shown .grid-container .thumbnail-lg img { aspect-ratio: 1; width: 100%; height: auto; }
.shown .grid-container .caption-label {
  position: static; width: 100%; max-width: none; border: 0; border-radius: 0; text-align: left; font-size: .8rem;
  line-height: 1.3; white-space: normal; height: calc(2.6em + .3rem); padding: .3rem .5rem 0; margin-bottom: .3rem;
  overflow: hidden; display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; background: none;
}
.shown .preview .caption {
  white-space: normal; text-align: center; font-weight: 400; padding: .25rem 1rem; max-height: 4.2em; overflow-y: auto;
}
.shown .preview { backdrop-filter: none; background: var(--block-background-fill); }
.shown .preview .media-button { flex: 1 1 0; min-height: 0; height: auto; }
.shown .preview .caption { flex: none; margin-bottom: 60px; }  /* below lies the row of thumbnails */
.pixels img { image-rendering: pixelated; }
@media (max-width: 640px) {
  .gradio-container > main, .gradio-container .main { padding: .75rem .75rem 1.5rem !important; }
  .gradio-container .tab-container button { padding: 0 .7rem; }
  #head h1 { font-size: 1.5rem; }
}
"""


def head_html(name: str, side: int, card: Mapping[str, Any]) -> str:
    """The page's head: what this is, and its figures where the card has some."""
    about = str(card.get("description") or card.get("about") or "").strip()
    said = about or f"One seed, one picture of {side} × {side} pixels and the caption that goes with it."
    num_pictures = card.get("pictures")
    if isinstance(num_pictures, int) and num_pictures > 0:
        said += f" Learned from {num_pictures:,} pictures."
    pairs = "".join(
        f"<div><dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd></div>" for key, value in said_figures(card)
    )
    figures = f"<dl aria-label='Figures of this generator'>{pairs}</dl>" if pairs else ""
    return f"<header id='head'><h1>{html.escape(name)}</h1><p>{html.escape(said)}</p>{figures}</header>"


def said_figures(card: Mapping[str, Any], most: int = 6) -> list[tuple[str, str]]:
    """The figures of a card that say most, by name, as text; any where none of them is there."""
    figures = card.get("figures")
    if not isinstance(figures, Mapping):
        return []
    numbers = {
        str(key): float(value)
        for key, value in figures.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    ordered = [key for key in _NAMES if key in numbers] or list(numbers)
    return [(_NAMES.get(key, key.replace("_", " ")), _said(numbers[key])) for key in ordered[:most]]


def _said(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"

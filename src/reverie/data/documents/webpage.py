"""HTML to sections: what a reader of the page sees, without scripts, styles, menus and hidden parts."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from reverie.data.documents.contract import Section
from reverie.data.documents.headings import Headings

__all__ = ["declared_encoding", "read_page"]

_SILENT = frozenset("script style noscript template svg math nav head iframe object canvas select datalist".split())
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
_BLOCKS = frozenset(
    "address article aside blockquote body caption dd details div dl dt fieldset figcaption figure footer form header "
    "hr legend main ol p pre section summary table ul".split()
)
_LINES = frozenset("br li tr".split())
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w-]{3,30})""", re.I)


def declared_encoding(data: bytes) -> str | None:
    found = _CHARSET.search(data[:4096])
    return found.group(1).decode("ascii") if found else None


def read_page(text: str) -> tuple[str, list[Section]]:
    """(title, sections) of a page; the title is "" where it names none."""
    page = _Page()
    page.feed(text)
    page.close()
    page.end_block()
    return page.title or page.headings.title, page.headings.sections()


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.headings = Headings()
        self._silent: list[str] = []  # open elements from the outermost one that is not shown
        self._kept: list[str] = []
        self._pre = 0
        self._titling = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title" and not self.title and self._silent in ([], ["head"]):
            self._titling = True
        elif self._silent:
            if tag not in _VOID and (tag != "body" or "head" not in self._silent):
                self._silent.append(tag)
            elif tag == "body":  # the head was left open
                self._silent = []
        elif tag in _SILENT or (_is_hidden(dict(attrs)) and tag not in _VOID):
            self._silent = [tag]
        elif tag in _LINES:
            self._kept.append("\n- " if tag == "li" else "\n")
        elif tag in ("td", "th"):
            self._kept.append(" | ")
        elif tag in _BLOCKS or _level(tag):
            self.end_block()
            self._pre += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._titling = False
        elif self._silent:
            if tag in self._silent:
                place = len(self._silent) - 1 - self._silent[::-1].index(tag)
                self._silent = self._silent[:place]
        elif level := _level(tag):
            self.headings.open(level, _flat("".join(self._kept)))
            self._kept = []
        elif tag in _BLOCKS:
            self.end_block()
            self._pre = max(0, self._pre - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if self._titling:
            self.title = _flat(f"{self.title} {data}")
        elif not self._silent:
            self._kept.append(data if self._pre else re.sub(r"\s+", " ", data))

    def end_block(self) -> None:
        text = "".join(self._kept)
        if not self._pre:
            text = "\n".join(filter(None, (_flat(line).removeprefix("| ") for line in text.split("\n"))))
        self.headings.write(text.strip("\n"))
        self._kept = []


def _level(tag: str) -> int:
    return int(tag[1]) if len(tag) == 2 and tag[0] == "h" and tag[1] in "123456" else 0


def _is_hidden(attrs: dict[str, str | None]) -> bool:
    style = (attrs.get("style") or "").replace(" ", "").lower()
    return "hidden" in attrs or attrs.get("aria-hidden") == "true" or "display:none" in style


def _flat(text: str) -> str:
    return " ".join(text.split())

"""Where a file of a Python package index lies, by the index's simple API (PEP 503 and 691), set up as pip is.

Read from pip's environment variables and files of settings: index-url, extra-index-url, no-index, find-links, cert,
proxy. Proxies and certificates of the environment (``HTTPS_PROXY``, ``SSL_CERT_FILE``) hold as well.
"""

from __future__ import annotations

import configparser
import os
import ssl
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import url2pathname

import httpx
import platformdirs

from reverie.errors import BundleError, shorten

__all__ = ["IndexSettings", "PackageFile", "find_package_file", "http_client", "index_settings", "local_path", "shown"]

_USUAL = "https://pypi.org/simple"
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_KEYS = ("index-url", "extra-index-url", "no-index", "find-links", "cert", "proxy")
_TIMEOUT = httpx.Timeout(30.0, connect=8.0)  # seconds without a byte
_MOST_BYTES = 32 * 2**20  # of an index's page


@dataclass(frozen=True)
class IndexSettings:
    """As pip's options of these names."""

    indexes: tuple[str, ...] = (_USUAL,)
    find_links: tuple[str, ...] = ()  # folders, or pages with links
    cert: str = ""
    proxy: str = ""


@dataclass(frozen=True)
class PackageFile:
    """``url``: http(s) or file. ``sha256``: as the index says, "" where it does not."""

    url: str
    sha256: str


def index_settings() -> IndexSettings:
    """What pip would go by here."""
    said: dict[str, str] = {}
    for file in _pip_files():
        said |= _read_settings(file)
    said |= {key: value for key in _KEYS if (value := os.environ.get(f"PIP_{key.upper().replace('-', '_')}"))}
    own = said.get("index-url", _USUAL).split()
    indexes = [] if said.get("no-index", "").lower() in ("1", "true", "yes", "on") else own
    if indexes:
        indexes = [*indexes, *said.get("extra-index-url", "").split()]
    links = tuple(said.get("find-links", "").split())
    return IndexSettings(tuple(indexes), links, said.get("cert", ""), said.get("proxy", ""))


def http_client(settings: IndexSettings) -> httpx.Client:
    """A client with pip's certificates and proxy. Raises BundleError for certificates that cannot be read."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    if settings.cert:
        place = Path(settings.cert)
        try:
            context.load_verify_locations(**{"capath" if place.is_dir() else "cafile": str(place)})
        except (OSError, ssl.SSLError) as error:
            raise BundleError(f"pip's certificates cannot be read: {settings.cert}") from error
    proxy = settings.proxy if "://" in settings.proxy or not settings.proxy else f"http://{settings.proxy}"
    return httpx.Client(verify=context, proxy=proxy or None, timeout=_TIMEOUT, follow_redirects=True)


def find_package_file(project: str, name: str, settings: IndexSettings, client: httpx.Client) -> Iterator[PackageFile]:
    """Every place that has the file ``name`` of ``project``, those that lie here first.

    Raises BundleError, once all places were asked, where none has it: with what each of them said.
    """
    problems: list[str] = []
    found = False
    places = [(place, place) for place in settings.find_links]
    places += [(index, f"{index.rstrip('/')}/{project}/") for index in settings.indexes]
    for place, page in sorted(places, key=lambda one: local_path(one[0]) is None):
        try:
            files = _files(page, client)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            problems.append(f"{shown(place)}: {shorten(str(error) or type(error).__name__, 120)}")
            continue
        if name in files:
            found = True
            yield files[name]
        else:
            problems.append(f"{shown(place)}: has no {name}")
    if not found:
        raise BundleError(shorten("; ".join(problems) or "pip is told to ask no index (no-index)", 400))


def local_path(place: str) -> Path | None:
    """The path that a ``file:`` URL or a path names; None for what lies elsewhere."""
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(url2pathname(unquote(parts.path)))
    return None if parts.scheme in ("http", "https") else Path(place)


def shown(url: str) -> str:
    """``url`` without the name and password in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url


def _files(page: str, client: httpx.Client) -> dict[str, PackageFile]:
    """The files that a page or folder lists, by name."""
    here = local_path(page)
    if here is not None:
        index = here / "index.html"
        if not index.is_file():
            return {path.name: PackageFile(path.resolve().as_uri(), "") for path in here.iterdir() if path.is_file()}
        return _links(index.read_text("utf-8"), index.resolve().as_uri())
    with client.stream("GET", page, headers={"Accept": _ACCEPT}) as answer:
        answer.raise_for_status()
        body = bytearray()
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > _MOST_BYTES:
                raise ValueError("its page is endless")
        kind, at = answer.headers.get("content-type", ""), str(answer.url)
    if "json" in kind:
        return _listed(httpx.Response(200, content=bytes(body)).json(), at)
    return _links(body.decode("utf-8", "replace"), at)


def _listed(page: Any, at: str) -> dict[str, PackageFile]:
    if not isinstance(page, dict) or not isinstance(page.get("files"), list):
        raise ValueError("its answer is no page of a package index")
    files = {}
    for one in page["files"]:
        if isinstance(one, dict) and isinstance(one.get("url"), str) and isinstance(one.get("filename"), str):
            hashes = one.get("hashes")
            said = hashes.get("sha256", "") if isinstance(hashes, dict) else ""
            files[one["filename"]] = PackageFile(urljoin(at, one["url"]), str(said))
    return files


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.targets += [value for name, value in attrs if name == "href" and value]


def _links(page: str, at: str) -> dict[str, PackageFile]:
    parser = _Links()
    parser.feed(page)
    files = {}
    for target in parser.targets:
        url, fragment = urldefrag(urljoin(at, target))
        kind, _, value = fragment.partition("=")
        files[unquote(urlsplit(url).path.rpartition("/")[2])] = PackageFile(url, value if kind == "sha256" else "")
    return files


def _pip_files() -> list[Path]:
    """pip's files of settings, the one that counts most last."""
    own = os.environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return []
    windows = os.name == "nt"
    name = "pip.ini" if windows else "pip.conf"
    system = platformdirs.site_config_dir(multipath=True).split(os.pathsep)
    site = [Path(folder) / "pip" / name for folder in reversed(system)]
    user = [Path.home() / ("pip" if windows else ".pip") / name, platformdirs.user_config_path("pip", False) / name]
    etc = [] if windows else [Path("/etc/pip.conf")]
    return [*site, *etc, *user, Path(sys.prefix) / name, *([Path(own)] if own else [])]


def _read_settings(file: Path) -> Mapping[str, str]:
    """What a file sets for every command of pip, and for its download."""
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return {}
    said: dict[str, str] = {}
    for section in ("global", "download"):
        if parser.has_section(section):
            said |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    return {key: said[key] for key in _KEYS if said.get(key)}

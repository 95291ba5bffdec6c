"""What a server is told: where it listens, who may come in, how much one request may ask for."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from reverie.errors import ConfigError, shorten
from reverie.server.http.keys import Key, read_keys

__all__ = ["AccessPolicy", "Limits", "ServerConfig", "is_loopback"]

_HOST_NAME = re.compile(r"\*|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", re.ASCII)


@dataclass(frozen=True)
class Limits:
    """How much one request may ask for, and how many may wait."""

    max_count: int = 100  # results of one request
    max_pixels: int = 32_000_000  # of a posted picture, counted before it is decoded; of all pictures of an answer
    max_letters: int = 2_000  # of a prompt
    max_waiting: int = 16  # requests that wait while one is worked on; the next is told to come back later
    max_bytes: int = 32 * 2**20  # of a request's body
    body_seconds: float = 60.0  # a body must have arrived within this time
    max_depth: int = 64  # of lists and objects within each other, in a body
    max_requests: int = 512  # under way at once, whoever sent them

    def __post_init__(self) -> None:
        for name, least in (("max_count", 1), ("max_pixels", 1), ("max_letters", 1), ("max_waiting", 0)):
            _at_least(name, getattr(self, name), least)


@dataclass(frozen=True)
class AccessPolicy:
    """Who may come in, for the ``AccessMiddleware``."""

    token: str = ""  # the one that a browser signs in with, too; empty: no token is asked for, unless there are keys
    keys: tuple[Key, ...] = ()  # further tokens, each with its limits
    allowed_hosts: tuple[str, ...] = ()  # names that the Host header may hold beside localhost; "*" is any
    any_address: bool = False  # the Host header may be any IP address (such a name cannot be rebound by DNS)
    frame_ancestors: tuple[str, ...] = ()  # sites that may show the page in a frame, as https://huggingface.co


@dataclass(frozen=True)
class ServerConfig(Limits):
    """Where a server listens and what it allows; open to a network without a token is refused. Raises ConfigError."""

    host: str = "127.0.0.1"  # the address to listen on; 0.0.0.0 is all of this machine's
    port: int = 7860  # 0 takes a free one
    token: str = ""  # asked of everyone when set, compared in constant time
    keys: Path | None = None  # a JSON file of further tokens with limits of their own (see ``keys.read_keys``)
    allow_open: bool = False  # listen beyond this machine without a token
    allowed_hosts: tuple[str, ...] = ()  # further names this server is reached by; "*" is any
    frame_ancestors: tuple[str, ...] = ()  # sites that may show the page in a frame

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"a port is 0 to 65535, got {self.port}")
        if not self.host or any(letter.isspace() for letter in self.host):
            raise ConfigError(f"the host must be an address or a name, as 127.0.0.1; got '{shorten(self.host)}'")
        if not self.token.isascii() or any(letter.isspace() for letter in self.token):
            raise ConfigError("a token is made of ASCII letters, digits and signs, without spaces")
        if self.token and len(self.token) < 8 and not is_loopback(self.host):
            raise ConfigError(f"a token that guards {self.host} has at least 8 letters, got {len(self.token)}")
        _at_least("max_bytes", self.max_bytes, 1_024)
        for name in self.allowed_hosts:
            if not _HOST_NAME.fullmatch(name):
                raise ConfigError(f"an allowed host is a name alone, as prints.example, or *; got '{shorten(name)}'")
        for site in self.frame_ancestors:
            if not site.startswith("https://") or any(letter in site for letter in " ;,'\"\r\n"):
                raise ConfigError(f"a frame ancestor is a site as https://huggingface.co, got '{shorten(site)}'")
        if not is_loopback(self.host) and not (self.token or self.keys) and not self.allow_open:
            raise ConfigError(
                f"listening on {self.host} lets others in, and no token is set. "
                "Set a token, listen on 127.0.0.1, or allow it openly (allow_open)."
            )

    @property
    def policy(self) -> AccessPolicy:
        hosts = self.allowed_hosts if is_loopback(self.host) else (*self.allowed_hosts, self.host)
        names = tuple(host.lower() for host in hosts)
        keys = () if self.keys is None else read_keys(self.keys)
        return AccessPolicy(self.token, keys, names, not is_loopback(self.host), self.frame_ancestors)


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or an address, means this machine alone."""
    name = host.lower().rstrip(".").strip("[]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{name} must be at least {least}, got {value}")

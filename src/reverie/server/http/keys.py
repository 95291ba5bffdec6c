"""Who may come in with what token, and how much each may ask for."""

from __future__ import annotations

import hmac
import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reverie.errors import ConfigError
from reverie.jsonio import read_object
from reverie.server.http.errors import RequestError
from reverie.settings import build_settings

__all__ = ["Key", "Quotas", "find_key", "read_keys", "same"]

_MINUTE = 60.0


@dataclass(frozen=True)
class Key:
    """A token and its limits; 0 is none."""

    token: str
    name: str = "token"  # what logs call it
    per_minute: int = 0  # requests
    running: int = 0  # requests at once

    def __post_init__(self) -> None:
        if not self.token.isascii() or not self.token or any(letter.isspace() for letter in self.token):
            raise ConfigError("a token is made of ASCII letters, digits and signs, without spaces")
        if self.per_minute < 0 or self.running < 0:
            raise ConfigError(f"the limits of the key '{self.name}' are 0 (none) or more")


def read_keys(path: Path) -> tuple[Key, ...]:
    """Keys from a JSON file: ``{"alice": {"token": "…", "per_minute": 60, "running": 2}}``. Raises ConfigError."""
    found = read_object(path, ConfigError, "the file of keys")
    keys = []
    for name, values in found.items():
        if not isinstance(values, dict):
            raise ConfigError(f"the key '{name}' in {path} is an object with a token")
        keys.append(build_settings(Key, {**values, "name": name}))
    if len({key.token for key in keys}) < len(keys):
        raise ConfigError(f"two keys in {path} have one token: each needs its own")
    if short := [key.name for key in keys if len(key.token) < 8]:
        raise ConfigError(f"a token has at least 8 letters; that of '{short[0]}' in {path} has fewer")
    return tuple(keys)


def find_key(keys: Sequence[Key], given: str) -> Key | None:
    """The key with that token. All are compared, so that the time tells nothing."""
    found = None
    for key in keys:
        if same(given, key.token):
            found = key
    return found


def same(given: str, right: str) -> bool:
    """Whether two texts are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())


class Quotas:
    """What each key has asked for lately. Lives in the event loop."""

    def __init__(self) -> None:
        self._lately: dict[str, deque[float]] = {}
        self._running: dict[str, int] = {}

    def enter(self, key: Key) -> None:
        """Count a request. Raises RequestError: 429 where the key has used up what it may."""
        now, lately = time.monotonic(), self._lately.setdefault(key.token, deque())
        while lately and lately[0] <= now - _MINUTE:
            lately.popleft()
        if key.per_minute and len(lately) >= key.per_minute:
            after = max(1, math.ceil(lately[0] + _MINUTE - now))
            said = f"this key may send {key.per_minute} requests a minute; try again in {after} s"
            raise RequestError(429, said, code="rate_limited", retry_after=after)
        if key.running and self._running.get(key.token, 0) >= key.running:
            raise RequestError(429, f"this key may have {key.running} requests under way", code="rate_limited")
        if key.per_minute:
            lately.append(now)
        self._running[key.token] = self._running.get(key.token, 0) + 1

    def leave(self, key: Key) -> None:
        self._running[key.token] -= 1

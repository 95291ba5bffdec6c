"""Settings: frozen dataclasses filled from a YAML file and ``key=value`` overrides, every key and type checked.

The checks are our own: OmegaConf's structured configs take anything for a dataclass within a tuple, take "5" for a
number and refuse 1e4 for a whole one; pydantic costs 0.1 s of each start, and its errors would all have to be reworded.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from reverie.errors import ConfigError, nearest, shorten
from reverie.files import atomic_write_json

__all__ = ["build_settings", "load_settings", "save_settings", "settings_to_dict"]

S = TypeVar("S")


def load_settings(kind: type[S], file: str | Path | None = None, overrides: Sequence[str] = ()) -> S:
    """An instance of the dataclass ``kind``: its defaults, then ``file`` (YAML), then ``overrides``.

    An override is ``key=value`` with dots into nested settings (``loop.lr=1e-3``); the value is read as YAML.
    Raises ConfigError, in one line, on an unreadable file, an unknown or missing key, or a wrong type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    for override in overrides:
        if "=" not in override or override.startswith("="):
            raise ConfigError(f"'{shorten(override)}' is no override. Write key=value, as in steps=100.")
    try:
        base = OmegaConf.load(file) if file is not None else OmegaConf.create()
        if OmegaConf.is_list(base):
            raise ConfigError(f"the config {file} must hold settings by name, as in steps: 100. It holds a list.")
        merged = OmegaConf.merge(base, OmegaConf.from_dotlist(list(overrides)))
        values = OmegaConf.to_container(merged, resolve=True)
    except OSError as error:
        raise ConfigError(f"cannot read the config {file}: {error.strerror or error}") from error
    except (OmegaConfBaseException, YAMLError, ValueError, TypeError) as error:
        source = " ".join(([str(file)] if file is not None else []) + list(overrides))
        raise ConfigError(f"the config {shorten(source, 120)} is not valid YAML: {shorten(str(error), 160)}") from error
    return build_settings(kind, values)


def build_settings(kind: type[S], values: Any) -> S:
    """An instance of the dataclass ``kind`` from plain ``values`` (what JSON or YAML gives). Raises ConfigError."""
    return typing.cast(S, _build(kind, values, "", kind))


def settings_to_dict(settings: Any) -> dict[str, Any]:
    """A settings dataclass as JSON-ready values; ``build_settings`` reads it back."""
    return typing.cast(dict[str, Any], _plain(dataclasses.asdict(settings)))


def save_settings(settings: Any, path: str | Path) -> None:
    """Write a settings dataclass as JSON, whole or not at all."""
    atomic_write_json(path, settings_to_dict(settings))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _build(kind: Any, values: Any, path: str, root: Any, usual: Any = None) -> Any:
    """The dataclass ``kind``; ``path`` is its dotted place ('' for the root), ``root`` the outermost dataclass.

    ``usual``: the default of the field it is for; where that is a dataclass (and no factory), what is not given is as
    it has it.
    """
    if dataclasses.is_dataclass(values) and isinstance(values, kind):
        return values
    if not isinstance(values, Mapping):
        place = f"'{path}'" if path else "the config"
        raise ConfigError(f"{place} must hold settings by name, got {_given(values)}")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for key in values:
        if key not in fields:
            raise _unknown(str(key), path, list(fields), root)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ConfigError(f"the setting '{_join(path, name)}' is missing. Give it in the config or as an override.")
    arguments = {name: getattr(usual, name) for name in fields} if isinstance(usual, kind) else {}
    for name, value in values.items():
        arguments[name] = _convert(hints[name], value, _join(path, name), root, fields[name].default)
    try:
        return kind(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}" if path else str(error)) from error


def _convert(hint: Any, value: Any, path: str, root: Any, usual: Any = None) -> Any:
    """``value`` as the type ``hint``; ConfigError naming ``path`` where it is not of that type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, path, root, usual)
    if origin is Literal:
        return _choice(arguments, value, path)
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, value, path, root)
    if origin in (tuple, list) and isinstance(value, (list, tuple)):
        return _sequence(origin, arguments, hint, value, path, root)
    if origin is dict and isinstance(value, Mapping):
        return {key: _convert(arguments[1], item, _join(path, str(key)), root) for key, item in value.items()}
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is float and is_number:
        return float(value)
    if hint is int and is_number and float(value).is_integer():
        return int(value)  # 1e4 is a fine way to write a whole number
    if hint in (bool, str, type(None)) and isinstance(value, hint):
        return value
    raise ConfigError(f"the setting '{path}' must be {_say(hint)}, got {_given(value)}")


def _choice(choices: Sequence[Any], value: Any, path: str) -> Any:
    if value in choices and type(value) in {type(choice) for choice in choices}:
        return value
    near = nearest(str(value), map(str, choices))
    hint = f" Did you mean '{near}'?" if near else ""
    raise ConfigError(f"the setting '{path}' must be {_say(Literal[tuple(choices)])}, got {_given(value)}.{hint}")


def _one_of(hints: Sequence[Any], value: Any, path: str, root: Any) -> Any:
    if value is None and type(None) in hints:
        return None
    hints = [hint for hint in hints if hint is not type(None)]
    for hint in hints[:-1]:
        try:
            return _convert(hint, value, path, root)
        except ConfigError:
            continue  # the next member of the union may take it; the last one speaks for all
    return _convert(hints[-1], value, path, root)


def _sequence(origin: Any, arguments: Any, hint: Any, value: Sequence[Any], path: str, root: Any) -> Any:
    endless = origin is list or arguments[-1] is Ellipsis
    if not endless and len(value) != len(arguments):
        raise ConfigError(f"the setting '{path}' must be {_say(hint)}, got {len(value)} values")
    item_hints = [arguments[0]] * len(value) if endless else arguments
    pairs = enumerate(zip(item_hints, value, strict=True))
    return origin(_convert(item_hint, item, f"{path}[{i}]", root) for i, (item_hint, item) in pairs)


def _unknown(key: str, path: str, siblings: Sequence[str], root: Any) -> ConfigError:
    """Suggests a setting of that very name elsewhere (``loop.steps`` for ``steps``), else the nearest sibling."""
    elsewhere = {full.rsplit(".", 1)[-1]: full for full in reversed(_all_keys(root))}
    sibling, leaf = nearest(key, siblings), nearest(key, elsewhere)
    if key not in elsewhere and sibling:
        suggestion: str | None = _join(path, sibling)
    else:
        suggestion = elsewhere[leaf] if leaf else None
    hint = f" Did you mean '{suggestion}'?" if suggestion else ""
    known = ", ".join(_join(path, name) for name in sorted(siblings))
    return ConfigError(f"unknown setting '{shorten(_join(path, key))}'.{hint} Known: {known}.")


def _all_keys(kind: Any, path: str = "") -> list[str]:
    keys = []
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        here = _join(path, field.name)
        keys += _all_keys(hints[field.name], here) if dataclasses.is_dataclass(hints[field.name]) else [here]
    return keys


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _given(value: Any) -> str:
    return "nothing" if value is None else f"{shorten(repr(value))}"


def _say(hint: Any) -> str:
    """A type in words: 'a whole number', 'one of cosine, wsd'."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_say(hint) for hint in arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)} values"
    if origin in (list, tuple):
        return f"a list, each item {_say(arguments[0])}"
    if origin is dict:
        return f"settings by name, each {_say(arguments[1])}"
    return "null" if hint is type(None) else words.get(hint, getattr(hint, "__name__", str(hint)))

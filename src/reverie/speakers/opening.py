"""Who is meant by a line such as ``ollama:llama3.2``: the registry of speakers, by the scheme before the colon."""

from __future__ import annotations

from collections.abc import Callable

from reverie.errors import UsageError
from reverie.registry import Registry
from reverie.speakers.contract import Speaker
from reverie.speakers.settings import SpeakerConfig

__all__ = ["SPEAKERS", "is_speaker", "open_speaker"]

SPEAKERS: Registry[Callable[[str, SpeakerConfig], Speaker]] = Registry(
    "kind of speaker",
    {
        "toy": "reverie.speakers.toy:ToySpeaker",
        "ollama": "reverie.speakers.ollama_speaker:OllamaSpeaker",
        "openai": "reverie.speakers.openai_speaker:OpenAISpeaker",
        "http": "reverie.speakers.openai_speaker:OpenAISpeaker",
        "https": "reverie.speakers.openai_speaker:OpenAISpeaker",
        "llama": "reverie.speakers.llama_speaker:LlamaSpeaker",
    },
    "reverie.speakers",
)


def is_speaker(spec: str) -> bool:
    """Whether ``spec`` begins with the scheme of a speaker, so that it is no bundle."""
    scheme, colon, _ = spec.partition(":")
    return bool(colon) and scheme in SPEAKERS


def open_speaker(spec: str, config: SpeakerConfig | None = None) -> Speaker:
    """The speaker of ``spec``: ``ollama:NAME``, ``ollama:NAME@http://host:port``, ``http://host:port/v1#name``,
    ``openai:NAME`` or ``openai:NAME@http://host:port/v1``, ``llama:FILE.gguf``, or what an installed package offers.

    Raises UsageError for another scheme, MissingExtraError where its client is not installed, BackendError for a
    server that is away, BundleError for a file that is no model.
    """
    scheme, colon, _ = spec.partition(":")
    if not colon:
        raise UsageError(f"'{spec}' is no speaker: write its kind first, such as ollama:llama3.2 or llama:FILE.gguf")
    return SPEAKERS.get(scheme)(spec, config or SpeakerConfig())

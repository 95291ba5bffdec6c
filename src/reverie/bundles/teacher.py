"""A bundle as a teacher: it answers in its own words, and gives the logits of any text."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property

import torch
from tokenizers import Tokenizer
from torch import Tensor

from reverie.bundles.loading import load_bundle
from reverie.errors import UsageError
from reverie.model import Backbone
from reverie.model.transformers_base import TransformersBackbone
from reverie.teachers.contract import TeacherConfig
from reverie.teachers.speaker_teacher import SpeakerTeacher

__all__ = ["BundleTeacher"]


class BundleTeacher(SpeakerTeacher):
    """``bundle:NAME`` or ``bundle:FOLDER``, of a bundle with a base made elsewhere, such as smol.

    Attributes:
        tokenizer: of the base, in whose numbering ids are
        vocab_size: ids that it has for text
    """

    def __init__(self, spec: str, config: TeacherConfig | None = None):
        bundle = load_bundle(spec.removeprefix("bundle:"), weights="fp32")
        speaker = bundle.speaker(bundle.open())
        if speaker is None or bundle.words is None:
            raise UsageError(f"{bundle.name} dreams in pictures and answers no prompt in words; ask one such as smol")
        digest = hashlib.sha256(json.dumps(bundle.manifest, sort_keys=True).encode()).hexdigest()[:16]
        super().__init__(speaker, config, f"bundle:{bundle.name} {digest}")
        self.name, self.folder = f"bundle:{bundle.name}", bundle.folder
        self.tokenizer: Tokenizer = bundle.words.library
        self._first = speaker.first
        self.vocab_size = speaker.vocab_size - speaker.first

    @cached_property
    def backbone(self) -> Backbone | TransformersBackbone:
        """The network, frozen, in the grammar's numbering; read when it is first needed."""
        network = load_bundle(self.folder, trainable=True).backbone
        assert isinstance(network, (Backbone, TransformersBackbone))
        return network.eval().requires_grad_(False)

    @torch.inference_mode()
    def logits(self, ids: Tensor) -> Tensor:  # int64 (B, T) → float32 (B, T, vocab_size)
        """Raises UsageError for ids that it has not, or more than it can hold."""
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocab_size:
            raise UsageError(f"ids lie from 0 to {self.vocab_size - 1}, got {int(ids.min())} to {int(ids.max())}")
        logits: Tensor = self.backbone(ids + self._first)
        return logits[..., self._first :].float()

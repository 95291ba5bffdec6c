"""The former name of ``transformers_base``."""

from reverie.logs import quiet_transformers as quiet
from reverie.model.transformers_base import ForeignBackbone, ForeignConfig, check_causal, extend, load_model

__all__ = ["ForeignBackbone", "ForeignConfig", "check_causal", "extend", "load_model", "quiet"]

"""Where latents come from: a prior turns the noise of a seed into a point where the decoders have learned to paint.

``normal``   the noise itself: what a plain autoencoder is often sampled with; for comparison
``mixture``  principal components, and a mixture of Gaussians in them
``flow``     principal components, and a flow matched to them, which can follow a caption

Read ``contract.py`` first.
"""

from reverie.generator.priors.contract import PRIORS, Prior, check_prior, load_prior, save_prior
from reverie.generator.priors.fitting import PriorFitConfig, fit_prior, need_fitters

__all__ = [
    "PRIORS",
    "PriorFitConfig",
    "Prior",
    "check_prior",
    "fit_prior",
    "load_prior",
    "need_fitters",
    "save_prior",
]

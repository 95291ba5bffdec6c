"""What a student is held to by a teacher: losses of tensors alone, each a scalar in nats, or a distance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Told", "chunk_loss", "feature_loss", "full_loss", "top_loss", "uld_loss"]

_LEAST = 1e-7  # probability that a class is held to have at least, so that its logarithm stays finite


@dataclass(frozen=True)
class Told:
    """What a teacher told of n places.

    probs: float (n, K), of its candidates, 0 for none; rest: float (n,), of all others; told: float (n,), 0 where there
    is no candidate; other: float (n,), 1 where it said what is none of its candidates.
    """

    probs: Tensor
    rest: Tensor
    told: Tensor
    other: Tensor


def top_loss(log_q: Tensor, said: Tensor, teacher: Told, temperature: float = 1.0) -> Tensor:
    """KL(teacher | student) over its candidates and all others in one bucket, times temperature² (arXiv 1503.02531).

    Which of the others is likely is learned from those that were said: what a teacher draws at temperature 1 makes the
    sum, on average, the KL over all ids. Where nothing is told the word itself is learned.

    Args:
        log_q: float (n, K), the student's log p of the candidates, each id once in a row
        said: float (n,), the student's log p of what was said
    """
    there = teacher.probs > 0
    log_others = (1 - (log_q.exp() * there).sum(1)).clamp_min(_LEAST).log()
    student = torch.cat((log_q.masked_fill(~there, -torch.inf), log_others[:, None]), 1) / temperature
    wanted = torch.cat((teacher.probs, teacher.rest[:, None]), 1).log() / temperature  # no candidate: -inf
    divergence = torch.where(teacher.told > 0, _divergence(wanted, student), 0.0) * temperature**2
    among_others = torch.where(teacher.told > 0, log_others, 0.0) - said
    return (divergence + torch.where(teacher.other > 0, among_others, 0.0)).mean()


def full_loss(
    logits: Tensor, said: Tensor, teacher_log_probs: Tensor, told: Tensor, temperature: float = 1.0
) -> Tensor:
    """KL(teacher | student) over all ids, times temperature²; logits and teacher_log_probs float (n, V), which may hold
    -inf; where nothing is ``told`` (n,) the word itself is learned, ``said`` (n,) being the student's log p of it."""
    divergence = _divergence(teacher_log_probs / temperature, logits / temperature) * temperature**2
    return torch.where(told > 0, divergence, -said).mean()


def chunk_loss(log_q: Tensor, chunk: Tensor, chunk_log_probs: Tensor, temperature: float = 1.0) -> Tensor:
    """KL of "just this chunk, or another" (approximate likelihood matching, arXiv 2503.20083).

    Args:
        log_q: float (n,), the student's log p of what was said
        chunk: int64 (n,), which of the C chunks each belongs to; -1 for none
        chunk_log_probs: float (C,), the teacher's log p of each
        temperature: both log p are divided by it
    """
    inside = chunk >= 0
    if not bool(inside.any()):
        return log_q.sum() * 0.0
    summed = torch.zeros_like(chunk_log_probs).index_add(0, chunk[inside], log_q[inside].float())
    met = torch.zeros_like(chunk_log_probs).index_fill(0, chunk[inside], 1.0)
    ours, theirs = summed / temperature, chunk_log_probs / temperature
    q, p = (log_p.exp().clamp(_LEAST, 1 - _LEAST) for log_p in (ours, theirs))
    divergence = p * (p.log() - ours) + (1 - p) * ((1 - p).log() - (1 - q).log())
    return _mean(divergence, met)


def uld_loss(q: Tensor, p: Tensor, trust: Tensor) -> Tensor:
    """Universal logit distillation (arXiv 2402.12030): the distance of the sorted probabilities, whatever the ids say.
    q: float (n, V), the student's; p: float (n, W), the teacher's."""
    width = min(q.shape[1], p.shape[1])
    ours, theirs = (one.topk(width, 1).values for one in (q, p))
    tail = (q.sum(1) - ours.sum(1)) + (p.sum(1) - theirs.sum(1))  # of the wider one, held to nothing
    return _mean((ours - theirs).abs().sum(1) + tail, trust)


def feature_loss(ours: Tensor, theirs: Tensor) -> Tensor:
    """The mean squared distance of states, each scaled to mean 0 and variance 1: (n, D) both, ours projected."""
    size = ours.shape[-1:]
    return F.mse_loss(F.layer_norm(ours.float(), size), F.layer_norm(theirs.float(), size))


def _divergence(teacher: Tensor, student: Tensor) -> Tensor:  # (n, C) logarithms, of any scale → (n,)
    log_p, log_q = F.log_softmax(teacher.float(), 1), F.log_softmax(student.float(), 1)
    likely = log_p > -torch.inf  # false for NaN, too: of a place of which nothing is told
    p = torch.where(likely, log_p, -torch.inf).exp()
    return (p * (torch.where(likely, log_p, 0.0) - torch.where(likely, log_q, 0.0))).sum(1)


def _mean(each: Tensor, shares: Tensor) -> Tensor:
    """Of those that count, each as much as it does."""
    return (torch.where(shares > 0, each, 0.0) * shares).sum() / shares.sum().clamp_min(_LEAST)

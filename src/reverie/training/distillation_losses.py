"""What a student is held to by a teacher: losses of tensors alone, each a scalar in nats, or a distance."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["chunk_loss", "feature_loss", "full_loss", "top_loss", "uld_loss"]

_LEAST = 1e-7  # probability that a class is held to have at least, so that its logarithm stays finite


def top_loss(log_q: Tensor, probs: Tensor, rest: Tensor, trust: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(teacher | student) over some ids and all others in one bucket, times temperature² (arXiv 1503.02531).

    Args:
        log_q: float (n, K), the student's log p of the candidates, each id once in a row
        probs: float (n, K), the teacher's p of them; 0 for no candidate
        rest: float (n,), the teacher's probability of all others
        trust: float (n,), how much each place counts
    """
    there = probs > 0
    covered = (log_q.exp() * there).sum(1)
    log_others = (1 - covered).clamp_min(_LEAST).log()
    student = torch.cat((log_q.masked_fill(~there, -torch.inf), log_others[:, None]), 1) / temperature
    teacher = torch.cat((probs, rest[:, None]), 1).log() / temperature  # no candidate: -inf
    return _mean(_divergence(teacher, student), trust) * temperature**2


def full_loss(logits: Tensor, teacher_log_probs: Tensor, trust: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(teacher | student) over all ids, times temperature²; logits and teacher_log_probs float (n, V), which may hold
    -inf; trust (n,)."""
    return _mean(_divergence(teacher_log_probs / temperature, logits / temperature), trust) * temperature**2


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

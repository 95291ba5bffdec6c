"""The engine: requests in, ids out, over any decoder; scores and embeddings beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.engine.contract import Decoder, Read
from reverie.engine.prefixes import PrefixCache
from reverie.engine.products import WeightKind
from reverie.engine.requests import Branch, Completion, Likeliest, Request, check_ids, likeliest, open_branches
from reverie.engine.scheduler import Scheduler
from reverie.errors import UsageError
from reverie.experts.contract import Choice, ExpertSource, ResolvedExperts, check_choice
from reverie.experts.inject import EXPERT_BYTES
from reverie.model import Backbone
from reverie.model.llama_base import LlamaBase
from reverie.model.transformers_base import TransformersBackbone

__all__ = ["AnyBackbone", "Engine", "open_decoder"]

AnyBackbone = Backbone | LlamaBase | TransformersBackbone
"""What a decoder is made of: our own, one in its layout that is read for the engine alone, any other."""

MAX_PREFIX_EMBEDDINGS = 4096  # kept at once; beyond that all are forgotten, with the prefixes that were read


def open_decoder(
    backbone: AnyBackbone,
    experts: ExpertSource | None = None,
    expert_bytes: int = EXPERT_BYTES,
    weights: WeightKind = "fp32",
) -> Decoder:
    """The decoder that runs ``backbone``. Raises BundleError for a base that no decoder runs.

    ``weights``: how a base in Llama layout keeps its matrices (see ``products``): float32 gives the ids of
    transformers, int8 is several times faster. One that transformers runs keeps its own.
    """
    if isinstance(backbone, TransformersBackbone):
        from reverie.engine.transformers_decoder import TransformersDecoder

        return TransformersDecoder(backbone, experts, expert_bytes)
    from reverie.engine.packed import PackedDecoder

    return PackedDecoder(backbone, experts, expert_bytes, weights)


class Engine:
    """Dreams with ``backbone``, or with a decoder. One thread at a time; ``Worker`` lets many threads use one.

    A backbone of our own is copied: later training does not reach it.

    ``max_branches``: how many run side by side; more requests wait their turn. ``cached_ids``: how many ids of
    prefixes stay read between calls. ``experts``: where the experts that requests name come from; ``expert_bytes``: how
    much memory they may take here. One that is changed under its name is used anew from the next call on. ``weights``:
    as ``open_decoder`` takes it. ``read_ids``: of the prefixes of those that wait, about so many are read before those
    that run get their next id.
    """

    def __init__(
        self,
        backbone: AnyBackbone | Decoder,
        max_branches: int = 64,
        cached_ids: int = 16384,
        experts: ExpertSource | None = None,
        expert_bytes: int = EXPERT_BYTES,
        weights: WeightKind = "fp32",
        read_ids: int = 256,
    ):
        if isinstance(backbone, AnyBackbone):
            backbone = open_decoder(backbone, experts, expert_bytes, weights)
        self.decoder = backbone
        self._prefixes = PrefixCache(backbone, cached_ids)
        self._scheduler = Scheduler(backbone, self._prefixes, max_branches, max(1, read_ids))
        self._embedding_ids: dict[bytes, int] = {}  # a prefix embedding's bytes → its id

    @property
    def busy(self) -> bool:
        """Whether branches are under way, or wait."""
        return self._scheduler.busy

    def add(self, requests: Sequence[Request]) -> list[Branch]:
        """Open requests; each call of ``step`` moves them on. Raises UsageError for ids that the base cannot hold."""
        branches = open_branches(requests, self._num_inputs, self.decoder.max_positions)
        known = {choice: self.decoder.resolve(choice) for choice in {request.experts for request in requests}}
        for branch in branches:
            branch.experts = known[branch.request.experts]
        # alike side by side: where more wait than can run, those that share a prefix run together
        self._scheduler.add(sorted(branches, key=lambda branch: (branch.experts, branch.request.prefix)))
        return branches

    def step(self) -> list[Branch]:
        """Draw one id for every branch that runs; those that got one, the new id last in their ``ids``."""
        return self._scheduler.step()

    def generate(
        self, requests: Sequence[Request], on_token: Callable[[int, int], None] | None = None
    ) -> list[Completion]:
        """One completion a request, in their order. ``on_token(row, id)`` is told each id as it is drawn.

        A branch's ids depend on its own request alone, whatever the batch (up to float32 rounding of the products).
        Raises UsageError for ids that the backbone cannot hold, GrammarError where a constraint allows nothing.
        """
        branches = self.add(requests)
        ours = {id(branch) for branch in branches}
        try:
            while any(branch.alive for branch in branches):
                for branch in self.step():
                    if on_token is not None and id(branch) in ours and branch.error is None:
                        on_token(branch.index, branch.ids[-1])
                if any(branch.error for branch in branches):
                    break
            return [branch.completion() for branch in branches]
        finally:
            for branch in branches:
                branch.cancelled = True

    def stream(self, request: Request) -> Iterator[int]:
        """The ids of one branch, each as soon as it is drawn: the same that ``generate`` returns."""
        (branch,) = self.add([request])
        num_told = 0
        try:
            while branch.alive or num_told < len(branch.ids):
                if num_told == len(branch.ids):
                    self.step()
                else:  # others may have moved it on meanwhile
                    yield branch.ids[num_told]
                    num_told += 1
            branch.completion()
        finally:
            branch.cancelled = True

    def score(self, prefix: Sequence[int], continuation: Sequence[int], experts: Choice = ()) -> np.ndarray:
        """log p of each id of ``continuation`` after ``prefix``, unmasked, in nats: float32 (len(continuation),)."""
        return self.score_many([(prefix, continuation, experts)])[0]

    @torch.inference_mode()
    def score_many(self, wanted: Sequence[tuple[Sequence[int], Sequence[int], Choice]]) -> list[np.ndarray]:
        """``score`` of many (prefix, continuation, experts), read together."""
        opened = [self._opened(*each) for each in wanted]
        resumes = self.decoder.traits.resumes
        self.decoder.prepare([experts for _, _, experts in opened])
        states = self._prefixes.read([(prefix, experts) for prefix, _, experts in opened]) if resumes else []
        reads, scores = {}, [list[Tensor]() for _ in opened]
        for place, (prefix, continuation, experts) in enumerate(opened):
            if resumes and continuation:
                scores[place].append(_scored(states[place].logits[None], continuation[:1]))
            if len(continuation) > 1 or (continuation and not resumes):
                start = len(prefix) if resumes else 0
                ids = np.asarray((prefix + continuation)[start:-1], dtype=np.int64)
                reads[place] = Read(
                    ids, states[place] if resumes else None, experts, len(continuation) - (1 if resumes else 0)
                )
        for place, (logits, _) in zip(reads, self.decoder.read([*reads.values()]) if reads else (), strict=True):
            scores[place].append(_scored(logits, opened[place][1][-len(logits) :]))
        return [torch.cat(each).numpy() if each else np.zeros(0, dtype=np.float32) for each in scores]

    @torch.inference_mode()
    def tell(
        self, ids: Sequence[int], experts: Choice = (), top: int = 0, first: int = 0
    ) -> list[tuple[int, float, Likeliest]]:
        """Each of ``ids`` but the first with its log-probability after those before it, in nats, and the ``top``
        likeliest there; all among the ids from ``first`` on. What was read is kept: a request that begins with them
        goes on from there."""
        ids = [int(one) for one in ids]
        check_ids(ids, self._num_inputs, self.decoder.max_positions)
        chosen = self.decoder.resolve(check_choice(experts))
        self.decoder.prepare([chosen])
        told = list[tuple[int, float, Likeliest]]()
        for start, logits in self._prefixes.read_whole(tuple(ids), chosen):
            logits[:, :first] = float("-inf")
            for row, token in zip(logits.log_softmax(-1), ids[start + 1 : start + 1 + len(logits)]):
                told.append((token, float(row[token]), likeliest(row, top)))
        return told

    def contributions(self, prefix: Sequence[int], ids: Sequence[int], experts: Choice) -> np.ndarray:
        """How much each expert gives to the state from which each of ``ids`` is drawn: float32 (len(ids), experts).

        It is the norm of everything that the expert, with its weight, adds to the linears' outputs at the position
        that the id is drawn from, over the norm of what these linears give there without experts: 0.1 means that it
        changes the layers' work by a tenth. Both are taken over all layers at once, and on the inputs as all experts
        together made them. What it changed at positions before, which is seen through attention, does not count.
        """
        prefix, ids, chosen = self._opened(prefix, ids, experts)
        if not ids or not chosen:
            return np.zeros((len(ids), len(experts)), np.float32)
        shares = self.decoder.weigh(np.asarray((prefix + ids)[:-1], dtype=np.int64), chosen)
        places = [name for name, _, _ in chosen]
        return shares[len(prefix) - 1 :, [places.index(name) for name, _ in check_choice(experts)]].numpy()

    def embed(self, ids: Sequence[int], contextual: bool = True) -> np.ndarray:
        """The mean of the bare base's final hidden states over ``ids``, or of their embeddings: float32 (D,)."""
        return self.embed_many([ids], contextual)[0]

    def embed_many(self, texts: Sequence[Sequence[int]], contextual: bool = True, layers: int = 0) -> np.ndarray:
        """``embed`` of many texts, read together: float32 (n, D). ``layers``: see ``Decoder.embed``."""
        for ids in texts:
            check_ids(ids, self.decoder.vocab_size, self.decoder.max_positions)
        if not texts:
            return np.zeros((0, self.decoder.hidden_size), np.float32)
        return self.decoder.embed([np.asarray(ids, dtype=np.int64) for ids in texts], contextual, layers).numpy()

    def prefix_embedding_ids(self, vectors: np.ndarray) -> tuple[int, ...]:
        """Ids of their own for vectors (n, D) in the space of the embeddings, to begin requests with (prompt tuning).

        They are good until ``MAX_PREFIX_EMBEDDINGS`` others were made; equal vectors have equal ids. None is drawn.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        size = self.decoder.hidden_size
        if vectors.ndim != 2 or vectors.shape[1] != size or not np.isfinite(vectors).all():
            raise UsageError(f"prefix embeddings are finite and (n, {size}), got {vectors.shape}")
        if len(self._embedding_ids.keys() | {row.tobytes() for row in vectors}) > MAX_PREFIX_EMBEDDINGS:
            self._embedding_ids = {}
            self._prefixes.clear()
        before = len(self._embedding_ids)
        for row in vectors:
            self._embedding_ids.setdefault(row.tobytes(), self.decoder.vocab_size + len(self._embedding_ids))
        if len(self._embedding_ids) > before:
            rows: list[Tensor] = [torch.frombuffer(bytearray(key), dtype=torch.float32) for key in self._embedding_ids]
            self.decoder.set_prefix_embeddings(torch.stack(rows))
        return tuple(self._embedding_ids[row.tobytes()] for row in vectors)

    @property
    def _num_inputs(self) -> int:
        return self.decoder.vocab_size + len(self._embedding_ids)

    def _opened(
        self, prefix: Sequence[int], following: Sequence[int], experts: Choice
    ) -> tuple[tuple[int, ...], tuple[int, ...], ResolvedExperts]:
        """Checked ids, and who the experts are."""
        prefix, following = tuple(prefix), tuple(following)
        for ids in (prefix, prefix + following):
            check_ids(ids, self._num_inputs, self.decoder.max_positions)
        return prefix, following, self.decoder.resolve(check_choice(experts))


def _scored(logits: Tensor, ids: Sequence[int]) -> Tensor:
    """log p of ids (n,) by the logits (n, V) that each is drawn from: float32 (n,)."""
    return logits.gather(1, torch.tensor(ids)[:, None]).squeeze(1) - logits.logsumexp(-1)

"""The parts of a generator as ONNX graphs, and their weights in eight bits. ``onnx.py`` writes and compares them.

Torch's own exporter traces the networks. The flow is not traced whole: its steps would be written out one by one, so
one step is traced and stands in an ONNX ``Loop``.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from reverie.generator.generator import Generator
from reverie.generator.int8 import quantize_tensors
from reverie.generator.network import GeneratorNetwork
from reverie.generator.priors import Prior
from reverie.generator.priors.flow import FlowPrior
from reverie.generator.priors.mixture import GaussianMixturePrior

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["NETWORKS", "PRIOR_INPUTS", "Part", "export_part", "network_part", "prior_part", "round_weights"]

NETWORKS = ("picture_encoder", "caption_encoder", "picture_decoder", "caption_decoder")
PRIOR_INPUTS = ("noise", "temperature", "condition", "guidance")
_LENGTH = 3  # of the ids that are traced; any length works afterwards


class Part(nn.Module):
    """What becomes one file: named tensors in, named tensors out. ``examples``: what it is traced with."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ("latents", "match")
    fixed: frozenset[str] = frozenset()  # inputs of one size for all rows

    def examples(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def truth(self, *inputs: Tensor) -> Any:
        """What torch makes of inputs: what the file must give, too."""
        return self(*inputs)

    def dynamic(self) -> tuple[dict[int, Any], ...]:
        """The axes whose size is free: the batch, and the length of captions."""
        free = torch.export.Dim.DYNAMIC
        axes = {"ids": {0: free, 1: free}} | {name: {} for name in self.fixed}
        return tuple(axes.get(name, {0: free}) for name in self.inputs)


class _OfNetwork(Part):
    def __init__(self, generator: Generator):
        super().__init__()
        self.network: GeneratorNetwork = generator.network
        self.num_words = generator.tokenizer.size

    def _some(self, name: str) -> Tensor:
        config, draw = self.network.config, torch.Generator().manual_seed(0)
        if name == "ids":
            return torch.randint(3, self.num_words, (2, _LENGTH), generator=draw)
        size = (3, config.side, config.side) if name == "pictures" else (config.latent_size,)
        return torch.randn(2, *size, generator=draw).clamp(-1, 1)

    def examples(self) -> tuple[Tensor, ...]:
        return tuple(self._some(name) for name in self.inputs)


class _PictureEncoder(_OfNetwork):
    inputs = ("pictures",)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        latents = self.network.encode_pictures(pictures)
        return latents, self.network.match(latents)


class _CaptionEncoder(_OfNetwork):
    inputs = ("ids",)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        latents = self.network.encode_captions(ids)
        return latents, self.network.match(latents)


class _PictureDecoder(_OfNetwork):
    inputs, outputs = ("latents",), ("pictures",)

    def forward(self, latents: Tensor) -> Tensor:
        return self.network.paint(latents)


class _CaptionDecoder(_OfNetwork):
    """The logits of the id after the last one, for the ids that captions can have."""

    inputs, outputs = ("latents", "ids"), ("logits",)

    def forward(self, latents: Tensor, ids: Tensor) -> Tensor:
        return self.network.caption_logits(latents, ids)[:, -1, : self.num_words]


def network_part(name: str, generator: Generator) -> Part:
    """The part of that name among ``NETWORKS``."""
    kinds = (_PictureEncoder, _CaptionEncoder, _PictureDecoder, _CaptionDecoder)
    return dict(zip(NETWORKS, kinds, strict=True))[name](generator).eval()


class _OfPrior(Part):
    def __init__(self, prior: Prior):
        super().__init__()
        self.prior = prior

    def _noise_and_condition(self) -> tuple[Tensor, Tensor]:
        draw = torch.Generator().manual_seed(0)
        noise = torch.randn(2, self.prior.noise_size, generator=draw)
        return noise, torch.randn(2, self.prior.latent_size, generator=draw)


class _Whole(_OfPrior):
    """Noise (B, Z), temperature (1,), a caption's latent (B, D), guidance (1,), 0 for no caption → latents (B, D).

    As it is for a flow, which is traced in two parts.
    """

    inputs, outputs = PRIOR_INPUTS, ("latents",)
    fixed = frozenset({"temperature", "guidance"})

    def examples(self) -> tuple[Tensor, ...]:
        noise, condition = self._noise_and_condition()
        return noise, torch.ones(1), condition, torch.ones(1)

    def truth(self, *inputs: Tensor) -> Tensor:
        noise, temperature, condition, guidance = inputs
        strength = float(guidance)
        return self.prior.latents(noise, float(temperature), condition if strength else None, strength)


class _Plain(_Whole):
    """Of a prior that hears no captions, such as the plain normal one."""

    def forward(self, noise: Tensor, temperature: Tensor, condition: Tensor, guidance: Tensor) -> Tensor:
        return self.prior.latents(noise, temperature)  # type: ignore[arg-type]  # a number of one axis


class _Mixture(_Whole):
    """The mixture without ``searchsorted``, which ONNX does not have."""

    def forward(self, noise: Tensor, temperature: Tensor, condition: Tensor, guidance: Tensor) -> Tensor:
        prior: GaussianMixturePrior = self.prior  # type: ignore[assignment]
        places = (1 + torch.erf(noise[:, :1] / 2**0.5)) / 2  # the normal distribution function: uniform in [0, 1]
        passed = (prior.weights.cumsum(0)[:-1] < places).sum(1)
        moved = (prior.factors[passed] @ noise[:, 1:, None]).squeeze(-1)
        return prior.components.unwhiten(prior.means[passed] + temperature * moved)


class _FlowStep(_OfPrior):
    """One step of Heun's method, number ``number`` (1,) from 0: what ``FlowPrior.latents`` repeats."""

    inputs, outputs = ("points", "number", "condition", "guidance"), ("moved",)
    fixed = frozenset({"number", "guidance"})

    def examples(self) -> tuple[Tensor, ...]:
        noise, condition = self._noise_and_condition()
        return noise, torch.zeros(1), condition, torch.ones(1)

    def forward(self, points: Tensor, number: Tensor, condition: Tensor, guidance: Tensor) -> Tensor:
        prior: FlowPrior = self.prior  # type: ignore[assignment]
        step = 1 / prior.steps
        slope = self._slope(points, number * step, condition, guidance)
        ahead = self._slope(points + step * slope, number * step + step, condition, guidance)
        return points + step * (slope + ahead) / 2

    def _slope(self, points: Tensor, time: Tensor, condition: Tensor, guidance: Tensor) -> Tensor:
        prior: FlowPrior = self.prior  # type: ignore[assignment]
        times = time.expand(points.shape[0])
        silent, told = prior.velocity(points, times, None), prior.velocity(points, times, condition)
        return silent + guidance * (told - silent)


class _FlowEnd(_OfPrior):
    inputs, outputs = ("points",), ("latents",)

    def examples(self) -> tuple[Tensor, ...]:
        return self._noise_and_condition()[:1]

    def forward(self, points: Tensor) -> Tensor:
        prior: FlowPrior = self.prior  # type: ignore[assignment]
        return prior.components.unwhiten(points)


def prior_part(prior: Prior) -> Part:
    """A prior as one part."""
    kinds: dict[type[Prior], type[_Whole]] = {GaussianMixturePrior: _Mixture, FlowPrior: _Whole}
    return kinds.get(type(prior), _Plain)(prior).eval()


def export_part(part: Part) -> ModelProto:
    """The ONNX model of a part."""
    prior = getattr(part, "prior", None)
    if not isinstance(prior, FlowPrior):
        return _trace(part)
    return _loop(_trace(_FlowStep(prior).eval()), _trace(_FlowEnd(prior).eval()), prior)


@torch.no_grad()
def _trace(part: Part) -> ModelProto:
    steady = copy.deepcopy(part)
    _steady_norms(steady)
    with _quiet_exporter():
        program = torch.onnx.export(
            steady,
            part.examples(),
            dynamo=True,
            input_names=list(part.inputs),
            output_names=list(part.outputs),
            dynamic_shapes=part.dynamic(),
            verbose=False,
        )
    assert program is not None
    model: ModelProto = program.model_proto
    _strip(model)
    return model


def _strip(model: ModelProto) -> None:
    """Take out what running it needs not: shapes, which are inferred again, and which line of our sources a node is."""
    graph = model.graph
    del graph.value_info[:], graph.metadata_props[:], model.metadata_props[:]
    for item in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del item.metadata_props[:]
        item.doc_string = ""


def _steady_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.GroupNorm):
            setattr(module, name, _SteadyNorm(child))
        else:
            _steady_norms(child)


class _SteadyNorm(nn.Module):
    """A group norm whose means are taken along rows first, then over them.

    onnxruntime's own sums a whole group in one go: over the million numbers of a picture of 512 pixels, that is off by
    1e-4, ten times as far as this, which takes as long.
    """

    def __init__(self, norm: nn.GroupNorm):
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        norm = self.norm
        groups = x.unflatten(1, (norm.num_groups, -1)).flatten(2, 3)  # (B, G, C / G · H, W)
        groups = groups - _mean(groups)
        groups = groups * torch.rsqrt(_mean(groups * groups) + norm.eps)
        return groups.reshape(x.shape) * norm.weight[:, None, None] + norm.bias[:, None, None]


def _mean(groups: Tensor) -> Tensor:
    return groups.mean(3, keepdim=True).mean(2, keepdim=True)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Torch warns of torchvision, which we do without, and of its own old names."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _loop(step: ModelProto, end: ModelProto, prior: FlowPrior) -> ModelProto:
    """temperature · noise, then as many times ``step``, then ``end``, as one model with the inputs of a prior."""
    from onnx import TensorProto, checker, compose, helper, numpy_helper

    step, end = compose.add_prefix(step, "step/"), compose.add_prefix(end, "end/")
    size, rows = (prior.noise_size, prior.latent_size), "rows"
    free = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (
        ("noise", [rows, size[0]]), ("temperature", [1]), ("condition", [rows, size[1]]), ("guidance", [1]),
    )}  # fmt: skip
    body = helper.make_graph(
        [
            helper.make_node("Cast", ["index"], ["step/index"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["step/index", "one"], ["step/number"]),
            helper.make_node("Identity", ["condition"], ["step/condition"]),
            helper.make_node("Identity", ["guidance"], ["step/guidance"]),
            *step.graph.node,
            helper.make_node("Identity", ["go_on"], ["still"]),
        ],
        "one step",
        [
            helper.make_tensor_value_info("index", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("step/points", TensorProto.FLOAT, [rows, size[0]]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("step/moved", TensorProto.FLOAT, [rows, size[0]]),
        ],
    )
    numbers = {"one": np.array([1]), "steps": np.array(prior.steps), "yes": np.array(True)}
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["noise", "temperature"], ["start"]),
            helper.make_node("Loop", ["steps", "yes", "start"], ["end/points"], body=body),
            *end.graph.node,
            helper.make_node("Identity", ["end/latents"], ["latents"]),
        ],
        "prior",
        [free[name] for name in PRIOR_INPUTS],
        [helper.make_tensor_value_info("latents", TensorProto.FLOAT, [rows, size[1]])],
        [numpy_helper.from_array(value, name) for name, value in numbers.items()]
        + [*step.graph.initializer, *end.graph.initializer],
    )
    model: ModelProto = helper.make_model(graph, opset_imports=step.opset_import, ir_version=step.ir_version)
    checker.check_model(model)
    return model


def round_weights(model: ModelProto) -> ModelProto:
    """``model`` with int8 weights: each is read through a ``DequantizeLinear`` with a scale per output channel.

    onnxruntime makes floats of them once, when it opens the file. Its own dynamic quantization rounds activations too,
    which costs more than twice the error here and is slower for convolutions; this is the way of ``int8.py``.
    """
    from onnx import ModelProto, helper, numpy_helper

    rounded = ModelProto()
    rounded.CopyFrom(model)
    graph = rounded.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for name, axis in _channels(graph.node, weights).items():
        floats = torch.from_numpy(numpy_helper.to_array(weights[name]).copy()).movedim(axis, 0)
        made = quantize_tensors({"": floats})
        if made[""].dtype != torch.int8:
            continue
        integers, scales = made[""].movedim(0, axis).contiguous().numpy(), made[".scale"].numpy()
        scales[scales == 0] = 1.0  # a channel of zeros: onnxruntime refuses a scale of 0
        graph.initializer.remove(weights[name])
        graph.initializer.append(numpy_helper.from_array(integers, f"{name}.int8"))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scale"))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.int8", f"{name}.scale"], [name], axis=axis))
    old = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *old])
    return rounded


def _channels(nodes: Sequence[Any], weights: Mapping[str, Any]) -> dict[str, int]:
    """Weights of convolutions, products and embeddings → the axis of their output channels."""
    axes: dict[str, int] = {}
    for node in nodes:
        for place, name in enumerate(node.input):
            dims = len(weights[name].dims) if name in weights else 0
            if dims < 2 or weights[name].data_type != 1:  # 1 is float
                continue
            if (node.op_type, place) in (("Conv", 1), ("Gather", 0), ("Transpose", 0)):
                axes.setdefault(name, 0)
            elif node.op_type == "Gemm" and place == 1:
                flipped = any(one.name == "transB" and one.i for one in node.attribute)
                axes.setdefault(name, 0 if flipped else 1)
            elif node.op_type == "MatMul" and place == 1:
                axes.setdefault(name, dims - 1)
    return axes

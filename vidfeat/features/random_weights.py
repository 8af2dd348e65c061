"""Seeded random weights that keep the scale of activations, the same on every machine.

Version 1 of the scheme. Every parameter is drawn on its own, from its name and the seed alone:

- u, uniform on (−1, 1): see :mod:`vidfeat.weights.draws`.
- Matrices and kernels: w = u·√3·σ with σ² = gain/fan_in, fan_in = inputs of one output value. The gain undoes what the
  activation function before the layer does to the second moment: 1/E[f(z)²] with z ~ N(0, 1), so 2 after a ReLU
  (He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015), and 4 more after a sigmoid gate, which starts at 1/2.
- Biases 0; norms 1 (running mean 0, variance 1).
- A network with n residual sums multiplies the last norm, scale or kernel of each residual branch by 1/√n, so that the
  sums together grow the second moment by a bounded factor, (1 + 1/n)ⁿ < e for branches of unit gain.
"""

import math
from collections.abc import Collection

import numpy as np
import torch
from torch import fx, nn

from vidfeat.features.tracing import ADD, Trace
from vidfeat.weights.draws import fill_uniform

# 1/E[f(z)²], z ~ N(0, 1).
_GAINS = {nn.ReLU: 2.0, nn.ReLU6: 2.0, nn.SiLU: 2.811, nn.Hardswish: 3.016, nn.GELU: 2.352}
_GATE_GAIN = 4.0
_GATES = (nn.Sigmoid, nn.Hardsigmoid)

# Parameters of attention and of positions, which are neither kernels nor norms.
_SMALL = ("class_token", "pos_embedding", "relative_position_bias_table")
_SMALL_DEVIATION = 0.02
_LOGIT_SCALE = math.log(10.0)


def random_state(traced: Trace, seed: int, only: Collection[str] | None = None) -> dict[str, torch.Tensor]:
    """Values for the parameters of a traced network, by name; for those in ``only`` if it is given."""
    gains, scales = _gains(traced), _branch_scales(traced)
    state = {}
    for name, parameter in traced.module.named_parameters():
        if only is not None and name not in only:
            continue
        values = np.empty(parameter.numel(), dtype=np.float32)
        deviation, constant = _law(name, parameter)
        if deviation is None:
            values.fill(constant * scales.get(name, 1.0))
        else:
            gain = math.sqrt(gains.get(name.rpartition(".")[0], 1.0))
            fill_uniform(values, name, seed, math.sqrt(3.0) * deviation * gain * scales.get(name, 1.0))
        state[name] = torch.from_numpy(values).view(parameter.shape)
    return state


def _law(name: str, parameter: nn.Parameter) -> tuple[float | None, float]:
    """(standard deviation before the gain, unused) of a drawn parameter; (None, value) of a constant one."""
    last = name.rpartition(".")[2]
    if last in _SMALL:
        return _SMALL_DEVIATION, 0.0
    if last == "logit_scale":
        return None, _LOGIT_SCALE
    if last.endswith("bias"):
        return None, 0.0
    if last == "layer_scale" or parameter.ndim < 2:
        return None, 1.0
    return 1.0 / math.sqrt(parameter[0].numel()), 0.0


def _gains(traced: Trace) -> dict[str, float]:
    """Module path -> what to multiply the variance of its weights by."""
    gains = {}
    for node in traced.graph.nodes:
        if isinstance(traced.called(node), nn.Conv2d | nn.Linear):
            gains[node.target] = _gain_before(traced, node.all_input_nodes[0])
    return gains


def _gain_before(traced: Trace, node: fx.Node) -> float:
    """Walk back from a layer's input, through pools, norms, reshapes and concatenations, to what set its scale."""
    gain = 1.0
    while node.op != "placeholder":
        activation = traced.activation(node)
        if activation is not None:
            return gain * _GAINS[activation]
        if node.target in ADD or isinstance(traced.called(node), nn.Conv2d | nn.Linear):
            return gain
        inputs = node.all_input_nodes
        ungated = [source for source in inputs if not isinstance(traced.called(source), _GATES)]
        if len(ungated) < len(inputs):
            gain *= _GATE_GAIN
        if not ungated:
            return gain
        node = ungated[0]
    return gain


def _branch_scales(traced: Trace) -> dict[str, float]:
    """Parameter path -> factor, for the parameter that ends each residual branch."""
    depth: dict[fx.Node, int] = {}
    for node in traced.graph.nodes:
        depth[node] = 1 + max((depth[source] for source in node.all_input_nodes), default=0)
    ends = []
    for node in traced.graph.nodes:
        summands = [value for value in node.args if isinstance(value, fx.Node) and value.op != "get_attr"]
        if node.target in ADD and len(summands) == 2:
            # The branch is the longer way: the skip is a part of it, and a projection shortcut has fewer layers.
            end = _last_parameter(traced, max(summands, key=depth.__getitem__))
            ends.extend([end] if end else [])
    return dict.fromkeys(ends, 1.0 / math.sqrt(max(len(ends), 1)))


def _last_parameter(traced: Trace, node: fx.Node) -> str | None:
    """The parameter that scales a branch's values last."""
    while node.op != "placeholder" and node.target not in ADD:
        inputs = node.all_input_nodes
        scale = [str(source.target) for source in inputs if source.op == "get_attr"]
        if scale and scale[0].endswith("layer_scale"):
            return scale[0]
        if isinstance(getattr(traced.called(node), "weight", None), nn.Parameter):
            return f"{node.target}.weight"
        if not inputs:
            return None
        node = inputs[0]
    return None

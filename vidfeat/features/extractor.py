"""Batches of images to activations of several layers of a network, in one forward pass."""

import math
from collections.abc import Sequence

import torch

from vidfeat.errors import ItemError, UsageError
from vidfeat.features.backbones import build, check_backbone, input_spec
from vidfeat.features.flow_input import ZERO, FlowInput, widen_first
from vidfeat.features.fusion import fast_network
from vidfeat.features.listing import BATCH, Layer, shapes_at, value_shape, without_values
from vidfeat.features.naming import Names, Source
from vidfeat.features.tracing import cut, needed_names, trace
from vidfeat.features.transfer import CudaLane, Pending
from vidfeat.features.weights import load_weights
from vidfeat.precision import arithmetic, check_device, check_precision
from vidfeat.weights.sources import find_weights

DTYPES = {"float32": torch.float32, "float16": torch.float16}
MAP_POOLS = ("avg", "max")


class Extractor:
    """Computes layers of a torchvision network for batches of images, or of optical flow.

    Pixels p ∈ {0…255} become (p/255 − mean)/std on the device; one forward pass, cut after the last asked layer, gives
    all layers. A layer's values do not depend on which others are asked.

    Args:
        backbone: name of a torchvision classification network.
        layers: names as ``vidfeat layers BACKBONE`` lists them, ``:pre`` for before the activation function, or any
            node of torchvision's graph.
        weights: an entry of torchvision (``DEFAULT``, ``IMAGENET1K_V1``, …), a file, or ``none`` (seeded random).
        seed: of random values.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``fp32``, ``bf16``, and on a GPU ``tf32`` and ``fp16``.
        map_pool: ``avg`` or ``max`` reduces maps [C, H, W] to vectors [C], in float32; vectors stay.
        dtype: type of the results, ``float32`` or ``float16``; by default float32 for vectors, float16 for the rest.
            A value beyond float16's 65504 becomes infinite: the caller must check.
        size: side of the input, if not the weights' own.
        flow: the input is quantised flow of this kind instead of RGB.

    Attributes:
        layers: name, node and shape of each asked layer, for images of ``input_spec.size``.
        input_spec: preprocessing that the weights expect; resizing and cropping are the caller's part.
        identity: what the values depend on, for a fingerprint; plain JSON values.
        weights_name: the weights in words.
        ignored: names in the weights file that no asked layer needs and that were left out.
        suggested_batch: images per batch that this device runs well with.

    Raises:
        UsageError: anything asked for does not exist or cannot be had.
    """

    def __init__(
        self,
        backbone: str,
        layers: Sequence[str],
        *,
        weights: str = "DEFAULT",
        seed: int = 0,
        device: str = "cpu",
        precision: str = "fp32",
        map_pool: str | None = None,
        dtype: str | None = None,
        size: int | None = None,
        flow: FlowInput | None = None,
    ):
        check_backbone(backbone)
        self.backbone, self.precision, self.map_pool = backbone, precision, map_pool
        self.channels = 3 if flow is None else flow.channels
        self.device = check_device(device)
        number = check_precision(precision, self.device)
        _check_choices(layers, map_pool, dtype)

        traced = trace(build(backbone))
        first = None if flow is None else widen_first(traced, flow)
        names = Names(backbone, traced)
        self._sources = [names.find(layer) for layer in layers]
        outputs = [source.node for source in self._sources]
        source = find_weights(backbone, str(weights), seed)
        self.weights_name = source.name
        self.input_spec = input_spec(backbone, source.entry).resized(size)
        self._shapes = without_values(traced.module, cut(traced.graph, outputs), self.channels)
        self._sizes: dict[tuple[int, int], list[tuple[int, ...]]] = {}
        shapes = self._value_shapes(self.input_spec.size, self.input_spec.size)
        self._activations = sum(math.prod(shape) // BATCH for shape in self._shapes.shapes.values())
        self.layers = [
            Layer(source.name, source.path, self._pooled_shape(source.name, shape), names.note(source.name))
            for source, shape in zip(self._sources, shapes, strict=True)
        ]
        self._dtypes = [DTYPES[dtype or ("float32" if layer.is_vector else "float16")] for layer in self.layers]

        self.ignored = load_weights(
            traced, source, needed_names(outputs), {} if flow is None else {f"{first}.weight": flow.first_weight}
        )
        self._network = fast_network(traced, outputs, self.device, number)
        self._number = number
        mean, std = list(self.input_spec.mean), list(self.input_spec.std)
        if flow is not None:
            mean, std = [ZERO] * flow.channels, flow.deviations(std)
        scale = torch.tensor(std, dtype=torch.float32)
        self._scale = (1.0 / (255.0 * scale)).to(self.device)
        self._shift = (-torch.tensor(mean, dtype=torch.float32) / scale).to(self.device)
        self._lane = CudaLane(self.device) if self.device.type == "cuda" else None
        self.identity = {
            "backbone": backbone,
            "layers": list(layers),
            "weights": source.identity,
            "precision": precision,
            "map_pool": map_pool,
            "dtype": {
                layer.name: str(kind).removeprefix("torch.")
                for layer, kind in zip(self.layers, self._dtypes, strict=True)
            },
            "input": {"mean": mean, "std": std} if flow is None else {**flow.identity(), "mean": ZERO, "std": std[:2]},
        }

    def submit(self, pixels: torch.Tensor) -> Pending:
        """Start a batch.

        Args:
            pixels: uint8 RGB [N, 3, h, w], or quantised flow [N, C, h, w], any memory format (channels-last is
                fastest), of any size the network takes. On a GPU it must not be changed before the result was fetched.

        Raises:
            UsageError: another type or shape.
            ItemError: the network cannot take images of this size.
        """
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != self.channels:
            raise UsageError(
                f"pixels are {pixels.dtype} {tuple(pixels.shape)}; expected torch.uint8 (N, {self.channels}, h, w)."
            )
        try:
            self._value_shapes(*pixels.shape[2:])
        except UsageError as error:
            raise ItemError(str(error)) from error
        if self._lane is None:
            with arithmetic(self.precision, self.device):
                return Pending(self._run(pixels))
        try:
            with torch.cuda.device(self.device), arithmetic(self.precision, self.device):
                sent, kept = self._lane.send(pixels)
                return self._lane.receive(self._run(sent), kept)
        except torch.cuda.OutOfMemoryError as error:
            raise UsageError(
                f"{self.device} has not enough memory for {len(pixels)} images of {pixels.shape[3]}x{pixels.shape[2]} "
                "pixels at once; choose a smaller --batch-size."
            ) from error

    @property
    def suggested_batch(self) -> int:
        """Images per batch: as many as have a fixed number of activations, a power of two between 8 and 32 (GPU: 256).

        Small networks need many images to pay for starting each operation and for reading the weights; in large ones
        more images only push activations out of the caches, and on a CPU every core has a batch of its own.
        """
        budget, most = (8e9, 256) if self.device.type == "cuda" else (320e6, 32)
        return min(most, max(8, 1 << int(math.log2(budget / self._activations))))

    def _run(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        values = self._network(self._normalised(pixels))
        done = {}
        for source, value, dtype in zip(self._sources, values, self._dtypes, strict=True):
            done[source.name] = self._stored(source, value, dtype)
        return done

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """(p/255 − mean)/std, channels-last."""
        n, channels, height, width = pixels.shape
        # Whole rows at a time: an inner loop over three channels would not fill a register.
        rows = pixels.permute(0, 2, 3, 1).reshape(n, height, width * channels).to(torch.float32)
        rows.mul_(self._scale.repeat(width)).add_(self._shift.repeat(width))
        return rows.view(n, height, width, channels).permute(0, 3, 1, 2).to(self._number)

    def _stored(self, source: Source, value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if source.pooled:
            value = value.flatten(1)
        if value.ndim == 4:
            if source.channels_last:
                value = value.permute(0, 3, 1, 2)
            if self.map_pool == "avg":
                value = value.float().mean((2, 3))
            elif self.map_pool == "max":
                value = value.amax((2, 3))
        # Always a copy: two names may lead to one node, and an array must not change under its owner.
        return value.to(dtype, copy=True, memory_format=torch.contiguous_format)

    def _value_shapes(self, height: int, width: int) -> list[tuple[int, ...]]:
        """Shape of each layer's value, before pooling, for one image of a size."""
        if (height, width) not in self._sizes:
            shapes = shapes_at(self.backbone, self._shapes, height, width)
            found = []
            for source in self._sources:
                shape = shapes.get(source.node.name, ())
                if len(shape) < 2 or shape[0] != BATCH:
                    raise UsageError(
                        f"{source.name!r} ({source.path}) of {self.backbone} has not one row of values per image; "
                        f"'vidfeat layers {self.backbone}' lists layers that do."
                    )
                found.append(value_shape(source, shape))
            self._sizes[height, width] = found
        return self._sizes[height, width]

    def _pooled_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.map_pool is None or len(shape) == 1:
            return shape
        if len(shape) != 3:
            raise UsageError(
                f"{name!r} of {self.backbone} gives {shape} per image, which is no map to pool with map_pool."
            )
        return shape[:1]


def _check_choices(layers: Sequence[str], map_pool: str | None, dtype: str | None) -> None:
    if isinstance(layers, str) or not layers:
        raise UsageError(f"layers are {layers!r}; give a list with at least one layer name.")
    twice = sorted({layer for layer in layers if list(layers).count(layer) > 1})
    if twice:
        raise UsageError(f"layers asked for twice: {', '.join(twice)}.")
    if map_pool is not None and map_pool not in MAP_POOLS:
        raise UsageError(f"unknown map pooling {map_pool!r}; allowed are {', '.join(MAP_POOLS)}.")
    if dtype is not None and dtype not in DTYPES:
        raise UsageError(f"unknown stored type {dtype!r}; allowed are {', '.join(DTYPES)}.")

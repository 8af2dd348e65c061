"""Networks whose first layer takes flow, against torchvision's own with that layer exchanged."""

import numpy as np
import pytest
import torch
from tolerances import FUSED_FEATURES
from torch import nn
from torchvision.models import get_model

from vidfeat.errors import UsageError
from vidfeat.features import Extractor, FlowInput
from vidfeat.features.backbones import build
from vidfeat.features.flow_input import widen_first
from vidfeat.features.tracing import trace

SIZE = 64


@pytest.fixture(scope="module")
def rgb_network(tmp_path_factory):
    """(network of torchvision with random values, the file of its weights)."""
    torch.manual_seed(0)
    network = get_model("resnet18", weights=None).eval()
    path = tmp_path_factory.mktemp("weights") / "rgb.pth"
    torch.save(network.state_dict(), path)
    return network, path


def levels(channels, count=3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(channels).integers(0, 256, (count, channels, SIZE, SIZE), np.uint8))


def close(found, expected) -> bool:
    expected = expected.numpy()
    return np.linalg.norm(found - expected) <= FUSED_FEATURES * np.linalg.norm(expected - expected.mean(0))


def layer4(network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    body = nn.Sequential(*list(network.children())[:-2])
    with torch.no_grad():
        return body(pixels).mean((2, 3))


def test_a_stack_through_the_mean_of_the_first_layers_weights(rgb_network):
    network, path = rgb_network
    extractor = Extractor("resnet18", ["avgpool"], weights=str(path), size=SIZE, flow=FlowInput("stack", 10))
    wide = get_model("resnet18", weights=None).eval()
    wide.load_state_dict(network.state_dict())
    first = network.conv1.weight.data
    wide.conv1 = nn.Conv2d(20, 64, 7, stride=2, padding=3, bias=False)
    wide.conv1.weight.data = torch.stack([first.mean(1)] * 20, dim=1)
    pixels = levels(20)
    std = sum(extractor.input_spec.std) / 3
    expected = layer4(wide, (pixels.float() / 255 - 0.5) / std)
    assert close(extractor.submit(pixels).result()["avgpool"], expected)
    assert extractor.identity["input"]["length"] == 10


def test_an_image_is_that_of_three_channels_with_a_third_of_zeros(rgb_network):
    network, path = rgb_network
    extractor = Extractor("resnet18", ["avgpool"], weights=str(path), size=SIZE, flow=FlowInput("image", 1))
    pixels = levels(2)
    image = torch.zeros(len(pixels), 3, SIZE, SIZE)
    for channel in range(2):
        image[:, channel] = (pixels[:, channel].float() / 255 - 0.5) / extractor.input_spec.std[channel]
    assert close(extractor.submit(pixels).result()["avgpool"], layer4(network, image))


def test_weights_that_take_flow_already_stay(rgb_network, tmp_path):
    state = dict(rgb_network[0].state_dict())
    state["conv1.weight"] = torch.randn(64, 8, 7, 7, generator=torch.Generator().manual_seed(1)) / 20
    torch.save(state, tmp_path / "flow.pth")
    extractor = Extractor(
        "resnet18", ["avgpool"], weights=str(tmp_path / "flow.pth"), size=SIZE, flow=FlowInput("stack", 4)
    )
    wide = get_model("resnet18", weights=None).eval()
    wide.conv1 = nn.Conv2d(8, 64, 7, stride=2, padding=3, bias=False)
    wide.load_state_dict(state)
    pixels = levels(8)
    expected = layer4(wide, (pixels.float() / 255 - 0.5) / (sum(extractor.input_spec.std) / 3))
    assert close(extractor.submit(pixels).result()["avgpool"], expected)
    with pytest.raises(UsageError, match=r"conv1\.weight is 64x8x7x7 instead of 64x20x7x7"):
        Extractor("resnet18", ["avgpool"], weights=str(tmp_path / "flow.pth"), flow=FlowInput("stack", 10))


def test_drawn_weights_are_drawn_for_flow():
    """With the variance that keeps activations in scale, and x and y apart, which a mean of RGB does not tell."""
    extractor = Extractor("squeezenet1_1", ["features.0"], weights="none", size=SIZE, flow=FlowInput("stack", 10))
    pixels = levels(20)
    rows = extractor.submit(pixels).result()["features.0"].astype(np.float32)
    source = (pixels.float() / 255 - 0.5) / (sum(extractor.input_spec.std) / 3)
    assert 0.5 < rows.std() / source.std().item() < 2
    swapped = pixels.view(3, 10, 2, SIZE, SIZE).flip(2).reshape(3, 20, SIZE, SIZE)
    assert np.abs(extractor.submit(swapped).result()["features.0"] - rows).max() > 0.1


def test_zero_flow_is_zero_but_for_the_rounding_of_a_level():
    extractor = Extractor("squeezenet1_1", ["features.0"], weights="none", size=SIZE, flow=FlowInput("stack", 2))
    still = torch.full((1, 4, SIZE, SIZE), 128, dtype=torch.uint8)
    moving = levels(4, 1)
    rows = [np.abs(extractor.submit(p).result()["features.0"].astype(np.float32)).mean() for p in (still, moving)]
    assert rows[0] < 0.02 * rows[1]


@pytest.mark.parametrize("backbone", ["alexnet", "googlenet", "vit_b_32", "convnext_tiny", "mobilenet_v3_small"])
def test_backbones_of_every_kind_begin_with_one_convolution(backbone):
    traced = trace(build(backbone))
    name = widen_first(traced, FlowInput("stack", 5))
    conv = traced.module.get_submodule(name)
    assert (conv.in_channels, conv.weight.shape[1], conv.weight.device.type) == (10, 10, "meta")


def test_what_does_not_begin_with_a_convolution_is_refused():
    with pytest.raises(UsageError, match="does not begin with one convolution"):
        widen_first(trace(nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 4, 1))), FlowInput())


def test_pixels_of_another_depth_are_refused():
    extractor = Extractor("squeezenet1_1", ["features.0"], weights="none", size=SIZE, flow=FlowInput("stack", 2))
    with pytest.raises(UsageError, match=r"expected torch.uint8 \(N, 4, h, w\)"):
        extractor.submit(levels(3))

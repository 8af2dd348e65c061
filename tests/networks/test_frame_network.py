"""Networks of frames that can be trained, against the extractor and torchvision."""

import pytest
import torch
from safetensors.torch import save_file
from tolerances import FUSED_FEATURES
from torch import nn
from torchvision.models import get_model
from torchvision.ops import StochasticDepth

from vidfeat.errors import UsageError
from vidfeat.features import Extractor, FlowInput
from vidfeat.features.backbones import InputSpec
from vidfeat.networks import backbone_network, small_network, wrap_network
from vidfeat.networks.keyed import KeyedDropout
from vidfeat.training.batch import Masks, Piece

SIDE = 64


def pixels(channels: int = 3, count: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (count, channels, SIDE, SIDE), generator=torch.Generator().manual_seed(channels),
                         dtype=torch.uint8)  # fmt: skip


def gap(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / (expected - expected.mean(0)).norm())


@pytest.mark.parametrize(
    ("backbone", "layer", "named"),
    [("resnet18", None, "avgpool"), ("squeezenet1_1", "features", None), ("mobilenet_v3_small", "avgpool", "avgpool")],
)
def test_values_are_those_of_the_extractor(backbone, layer, named):
    network = backbone_network(backbone, layer, weights="none", seed=3, size=SIDE).eval()
    options = {} if named else {"map_pool": "avg"}
    extractor = Extractor(backbone, [named or layer], weights="none", seed=3, size=SIDE, **options)
    expected = torch.from_numpy(extractor.submit(pixels()).result()[named or layer])
    with torch.no_grad():
        assert gap(network(pixels()), expected) < FUSED_FEATURES
    assert network.dim == expected.shape[1]


def test_flow_takes_the_mean_of_the_first_layer():
    network = backbone_network("resnet18", weights="none", size=SIDE, flow=FlowInput("stack", 10)).eval()
    extractor = Extractor("resnet18", ["avgpool"], weights="none", size=SIDE, flow=FlowInput("stack", 10))
    expected = torch.from_numpy(extractor.submit(pixels(20)).result()["avgpool"])
    with torch.no_grad():
        assert gap(network(pixels(20)), expected) < FUSED_FEATURES
    assert network.channels == 20


def test_a_trained_network_goes_back_to_the_extractor(tmp_path):
    network = backbone_network("resnet18", weights="none", size=SIDE).eval()
    with torch.no_grad():
        for value in network.parameters():
            value.mul_(1.01)
        expected = network(pixels())
    save_file(network.state_for_extract(), tmp_path / "best.safetensors")
    extractor = Extractor("resnet18", ["avgpool"], weights=str(tmp_path / "best.safetensors"), size=SIDE)
    assert gap(torch.from_numpy(extractor.submit(pixels()).result()["avgpool"]), expected) < FUSED_FEATURES


def test_batch_norms_keep_their_statistics_in_training():
    network = backbone_network("resnet18", weights="none", size=SIDE).train()
    before = network.body.bn1.running_mean.clone()
    whole = network(pixels())
    assert gap(torch.cat([network(pixels()[:1]), network(pixels()[1:])]).detach(), whole.detach()) < FUSED_FEATURES
    assert torch.equal(network.body.bn1.running_mean, before)
    whole.sum().backward()
    assert all(value.grad is not None for value in network.parameters())


def test_alexnet_keeps_its_dropout_before_fc7_and_none_after():
    network = backbone_network("alexnet", weights="none", size=SIDE)
    found = [module for module in network.modules() if isinstance(module, KeyedDropout)]
    assert [module.p for module in found] == [0.5, 0.5]
    assert len({module.layer for module in found}) == 2
    assert network.dim == 4096 and not hasattr(network.body.classifier, "6")
    other = backbone_network("alexnet", weights="none", size=SIDE, dropout=0.1)
    assert [module.p for module in other.modules() if isinstance(module, KeyedDropout)] == [0.1, 0.1]
    with pytest.raises(UsageError, match=r"dropout=1\.0 is not allowed"):
        backbone_network("alexnet", weights="none", size=SIDE, dropout=1.0)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.depth = nn.Conv2d(3, 3, 3, padding=1), StochasticDepth(0.5, "row")

    def forward(self, x):
        return x + self.depth(self.conv(x))


def test_stochastic_depth_drops_whole_frames_by_key():
    module = Residual()
    spec = InputSpec(SIDE, SIDE, "bilinear", True, (0.5,) * 3, (0.25,) * 3)
    network = wrap_network(module, spec).train()
    keys = Masks(0, 0, "rgb", ["a"]).of_frames([Piece(0, 0, 40, 1)])
    frames = torch.randn(40, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, again = network(frames, keys), network(frames[7:9], keys[7:9])
        short = frames.mean((2, 3))
        long = (frames + 2 * module.conv(frames)).mean((2, 3))
    torch.testing.assert_close(again, found[7:9])
    taken = (found - short).abs().amax(1) > 1e-4
    assert 8 < int(taken.sum()) < 32
    torch.testing.assert_close(found, torch.where(taken[:, None], long, short))


def test_fully_random_networks_are_the_same_for_a_seed():
    first, same, other = (small_network(16, seed=seed, size=16) for seed in (1, 1, 2))
    values = [torch.cat([value.flatten() for value in network.parameters()]) for network in (first, same, other)]
    assert torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])


@pytest.mark.parametrize("channels", [3, 20])
def test_the_small_network_has_values_of_a_sensible_size(channels):
    network = small_network(32, channels=channels, dropout=0.5).eval()
    with torch.no_grad():
        values = network(pixels(channels, 8))
    assert values.shape == (8, 32) and 0.02 < float(values.std()) < 50
    with pytest.raises(UsageError, match="at least 16 pixels"):
        small_network(32, size=8)


def test_tokens_are_averaged_and_other_things_refused():
    with pytest.raises(UsageError, match="unknown backbone"):
        backbone_network("resnet")
    with pytest.raises(UsageError, match="no layer 'fc9'"):
        backbone_network("resnet18", "fc9", weights="none")
    network = backbone_network("resnet18", "layer1", weights="none", size=SIDE)
    assert network.dim == 64
    body = get_model("resnet18", weights=None)
    spec = network.input_spec
    with pytest.raises(UsageError, match=r"takes \[N, 3, h, w\]"):
        wrap_network(body, spec)(torch.zeros(2, 4, SIDE, SIDE))
    with pytest.raises(UsageError, match="a vector, map or row of tokens"):
        wrap_network(nn.Flatten(0), spec)

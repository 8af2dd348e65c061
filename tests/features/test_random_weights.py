"""Seeded random weights: their values, their independence of everything but name and seed, and the scale they keep."""

import math
import time

import numpy as np
import pytest
import torch
from oracles.activations import activations

from vidfeat.features import Extractor
from vidfeat.features.backbones import build
from vidfeat.features.random_weights import random_state
from vidfeat.features.tracing import trace
from vidfeat.weights.draws import fill_uniform


def drawn(n: int, name: str = "a.weight", seed: int = 0, bound: float = 1.0) -> np.ndarray:
    out = np.empty(n, dtype=np.float32)
    fill_uniform(out, name, seed, bound)
    return out


def test_the_documented_scheme_in_plain_python():
    import hashlib

    digest = hashlib.sha256(b"vidfeat-weights-1:7:features.0.weight").digest()
    bits = np.random.PCG64(int.from_bytes(digest[:16], "little"))
    halves = [half for raw in bits.random_raw(4).tolist() for half in (raw & 0xFFFFFFFF, raw >> 32)]
    wanted = [0.5 * ((2 * (half >> 9) + 1) / 2**23 - 1) for half in halves][:7]
    np.testing.assert_array_equal(drawn(7, "features.0.weight", 7, 0.5), np.float32(wanted))


def test_frozen_values():
    """Other machines, other versions of NumPy and torch: the same numbers for ever."""
    np.testing.assert_array_equal(drawn(4), FROZEN)
    long = drawn(600_001)
    np.testing.assert_array_equal(long[:4], FROZEN)
    assert abs(long.mean()) < 5 / math.sqrt(3 * len(long)) and abs(long.std() - math.sqrt(1 / 3)) < 2e-3
    assert -1 < long.min() < -0.9999 and 0.9999 < long.max() < 1


# In units of 2⁻²³.
FROZEN = np.float32([-26823, -1678193, -4249321, 6596649]) / np.float32(2**23)


def test_values_depend_on_name_and_seed_alone():
    assert not np.array_equal(drawn(9), drawn(9, seed=1)) and not np.array_equal(drawn(9), drawn(9, name="b.weight"))
    traced = trace(build("squeezenet1_1"))
    torch.manual_seed(0)
    whole = random_state(traced, 3)
    torch.manual_seed(1)
    part = random_state(traced, 3, only={"classifier.1.weight"})
    assert list(part) == ["classifier.1.weight"]
    assert torch.equal(part["classifier.1.weight"], whole["classifier.1.weight"])
    assert float(whole["classifier.1.bias"].abs().max()) == 0


def test_residual_branches_end_in_smaller_norms():
    state = random_state(trace(build("resnet50")), 0)
    small = {name for name, value in state.items() if name.endswith("weight") and value.ndim == 1 and value[0] != 1}
    assert small == {name for name in state if name.endswith("bn3.weight")} and len(small) == 16
    assert float(state["layer1.0.bn3.weight"][0]) == 0.25
    convnext = random_state(trace(build("convnext_tiny")), 0)
    assert float(convnext["features.1.0.layer_scale"][0]) == pytest.approx(1 / math.sqrt(18))


@pytest.mark.parametrize(
    ("backbone", "last"),
    [
        ("alexnet", "classifier.6"), ("vgg16", "features.28"), ("googlenet", "fc"), ("resnet50", "fc"),
        ("resnet101", "fc"), ("densenet121", "classifier"), ("mobilenet_v3_small", "classifier.3"),
        ("mobilenet_v2", "classifier.1"), ("efficientnet_b0", "classifier.1"), ("shufflenet_v2_x1_0", "fc"),
        ("mnasnet1_0", "classifier.1"), ("regnet_y_400mf", "fc"), ("squeezenet1_1", "classifier.1"),
        ("inception_v3", "fc"), ("convnext_tiny", "classifier.2"),
    ],
)  # fmt: skip
def test_activations_neither_vanish_nor_explode(backbone, last):
    model = build(backbone)
    state = random_state(trace(model), 0)
    metadata = model.state_dict()
    metadata.update(state)
    model.load_state_dict(metadata, strict=True, assign=True)
    coarse = torch.randn(2, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    x = torch.nn.functional.interpolate(coarse, size=(80, 80), mode="bicubic")
    paths = [path for path, module in model.named_modules() if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)]
    found = activations(model, x, paths)
    assert last in found
    gates = [path for path in found if path.endswith((".fc1", ".fc2"))]  # squeeze-and-excitation, on averages
    for path, values in found.items():
        # float16 ends at 65504 and thins out below 6e-5.
        assert np.abs(values).max() < 2000, path
        if path not in gates:
            assert np.sqrt(np.mean(np.square(values, dtype=np.float64))) > 0.02, path


def test_alexnet_is_drawn_quickly():
    start = time.process_time()
    random_state(trace(build("alexnet")), 0)
    # 0.6 s of one 2.5 GHz core; NumPy's own normal values take 1.5 s.
    assert time.process_time() - start < 1.5


def test_frames_that_differ_give_features_that_differ():
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    values = Extractor("resnet18", ["avgpool"], weights="none", size=64).submit(pixels).result()["avgpool"]
    assert np.linalg.norm(values[0] - values[1]) > 0.01 * np.linalg.norm(values[0])

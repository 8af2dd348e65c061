"""RAFT with torchvision's network: random values, files, sizes."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tolerances import FLOAT32, SAME_FEATURES
from torchvision.models.optical_flow import raft_small

from vidfeat.errors import ItemError, UsageError
from vidfeat.flow import METHODS, flow_method, method_settings, raft

SMALL = {"model": "small", "weights": "none", "updates": 2}


def film(count=3, height=40, width=52):
    random = np.random.default_rng(4)
    picture = random.integers(0, 256, (height, width + count, 3), dtype=np.uint8)
    return np.stack([picture[:, k : k + width] for k in range(count)])


@pytest.fixture(scope="module")
def method():
    return flow_method("raft", **SMALL)


@pytest.fixture(scope="module")
def state():
    """Values of a network that torchvision itself made."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return raft_small(weights=None, progress=False).state_dict()


def test_shapes_with_random_weights(method):
    frames = film()
    flow = method(frames)
    assert (method.name, method.wants, method.device) == ("raft", "rgb", "cpu") and METHODS["raft"].wants == "rgb"
    assert flow.shape == (2, 2, 40, 52) and flow.dtype == np.float32 and np.isfinite(flow).all()
    assert np.ptp(flow) > 0
    np.testing.assert_array_equal(method(frames), flow)


def test_random_weights_depend_on_the_seed_only(method):
    frames, state = film(2), torch.random.get_rng_state()
    again, other = flow_method("raft", **SMALL), flow_method("raft", **SMALL, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(again(frames), method(frames))
    assert not np.array_equal(other(frames), method(frames))
    assert method.settings == {"model": "small", "weights": "none:seed=0:v1", "updates": 2}
    assert method.settings == method_settings("raft", **SMALL) != other.settings


def test_the_large_network_runs():
    method = flow_method("raft", weights="none", updates=1)
    assert method.settings["model"] == "large" and method(film(2)).shape == (1, 2, 40, 52)


def test_values_of_a_file_give_torchvisions_field(state, tmp_path):
    """On frames that need no padding: [-1, 1] in, the last refinement out, whatever the container."""
    torch.save(state, tmp_path / "w.pth")
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "wrapped.pth")
    save_file({n: v for n, v in state.items() if not n.endswith("num_batches_tracked")}, tmp_path / "w.safetensors")
    network = raft_small(weights=None, progress=False).eval()
    network.load_state_dict(state)
    frames = film(2, 128, 136)
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255 * 2 - 1
    with torch.no_grad():
        expected = network(pixels[:1], pixels[1:], num_flow_updates=3)[-1].numpy()
    for name in ("w.pth", "wrapped.pth", "w.safetensors"):
        found = flow_method("raft", model="small", weights=str(tmp_path / name), updates=3)
        flow = found(frames)
        assert np.abs(flow - expected).max() <= SAME_FEATURES * np.abs(expected).max()
        digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert found.settings["weights"] == f"sha256:{digest}" and found.weights_name == name


@pytest.mark.parametrize(
    ("side", "margins"), [(128, (0, 0)), (127, (0, 1)), (1, (63, 64)), (129, (3, 4)), (136, (0, 0)), (1080, (0, 0))]
)
def test_margins(side, margins):
    assert raft._margins(side) == margins


def test_padding_continues_the_borders(method):
    """The field of a small picture is that of the picture continued by its outermost pixels, cut back."""
    frames = film(2)
    larger = np.pad(frames, ((0, 0), (44, 44), (38, 38), (0, 0)), mode="edge")
    np.testing.assert_array_equal(method(frames), method(larger)[..., 44:84, 38:90])


def test_batches_do_not_matter(method, monkeypatch):
    frames = film(4)
    whole = method(frames)
    monkeypatch.setitem(raft._BATCH_BYTES, "cpu", 1)
    assert np.abs(method(frames) - whole).max() <= SAME_FEATURES * np.abs(whole).max() + FLOAT32


def test_threads_of_torch_are_put_back():
    before = torch.get_num_threads()
    flow_method("raft", threads=1, **SMALL)(film(2))
    assert torch.get_num_threads() == before


def test_pictures_that_take_too_much_memory(method):
    frames = np.broadcast_to(np.zeros(1, np.uint8), (2, 4320, 7680, 3))
    with pytest.raises(ItemError, match=r"raft .* takes 1335 GB of memory for 7680x4320 pixels; resize first"):
        method(frames)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "tiny"}, "model is 'tiny'; raft has large and small"),
        ({"updates": 0}, "updates is 0; it must be a whole number, 1 or more"),
        ({"seed": -1}, "seed is -1; it must be a whole number, 0 or more"),
        ({"iterations": 3}, "unknown setting iterations of raft; allowed are model, weights, updates, seed"),
        ({"weights": "C_T_V9"}, r"unknown weights 'C_T_V9' for raft_large; allowed are C_T_V1, .*or none"),
        ({"weights": "absent.pth"}, "weights file 'absent.pth' does not exist"),
    ],
)
def test_what_is_wrong_is_said(given, words):
    with pytest.raises(UsageError, match=words):
        flow_method("raft", **given)


def test_files_that_do_not_fit_are_said(state, tmp_path):
    path = tmp_path / "w.pth"

    def refused(values, model="small"):
        torch.save(values, path)
        with pytest.raises(UsageError) as error:
            flow_method("raft", model=model, weights=str(path))
        return str(error.value)

    first = "feature_encoder.convnormrelu.0.weight"
    renamed = {**{n: v for n, v in state.items() if n != first}, "fnet.conv1.weight": state[first]}
    words = refused(renamed)
    assert f"missing: {first}" in words and "unexpected: fnet.conv1.weight" in words
    assert "is 32x3x7x7 instead of 64x3x7x7" in refused(state, "large")
    assert "do not fit torchvision's raft_large" in refused(state, "large")
    assert "They may be for model='small'" in refused(state, "large")
    wild = {**state, first: torch.full_like(state[first], torch.nan)}
    assert f"hold values that are not finite in {first}" in refused(wild)


def test_grey_frames_are_refused(method):
    with pytest.raises(UsageError, match=r"uint8 \[3, 40, 52\]; raft wants rgb frames, uint8 \[T, H, W, 3\]"):
        method(film()[..., 0])


def test_weights_that_cannot_be_downloaded_are_asked_for_by_their_own_option(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", fail)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UsageError, match="give a file with --raft-weights FILE, or --raft-weights none for seeded"):
        flow_method("raft", model="small", weights="DEFAULT")

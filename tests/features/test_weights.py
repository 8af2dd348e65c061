"""Weights from files, from torchvision's cache and from nowhere."""

import hashlib
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torchvision
from oracles.activations import network
from safetensors.torch import save_file

from vidfeat.errors import UsageError
from vidfeat.features import Extractor
from vidfeat.weights.sources import find_weights

BACKBONE = "squeezenet1_1"


@pytest.fixture(scope="module")
def state():
    return network(BACKBONE).state_dict()


def values(path, layers=("features.3",), backbone=BACKBONE) -> np.ndarray:
    pixels = torch.arange(2 * 3 * 64 * 64, dtype=torch.int64).remainder(251).to(torch.uint8).view(2, 3, 64, 64)
    extractor = Extractor(backbone, list(layers), weights=str(path), size=64)
    return extractor.submit(pixels).result()[layers[0]]


def refused(path, layers=("features.3",), backbone=BACKBONE) -> str:
    with pytest.raises(UsageError) as error:
        values(path, layers, backbone)
    return str(error.value)


def test_all_containers_give_the_same_values(state, tmp_path):
    made = {
        "plain.pth": state,
        "wrapped.pth": {"state_dict": state, "epoch": 3, "best": 0.5},
        "model.pt": {"model": state},
        "parallel.pth": {"state_dict": {f"module.{name}": value for name, value in state.items()}},
        "compiled.pth": {f"module._orig_mod.{name}": value for name, value in state.items()},
        "half.pth": {name: value.half().float() for name, value in state.items()},
    }
    for name, content in made.items():
        torch.save(content, tmp_path / name)
    torch.save(state, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(dict(state), tmp_path / "plain.safetensors")
    reference = values(tmp_path / "plain.pth")
    assert float(np.ptp(reference)) > 0
    for name in ("wrapped.pth", "model.pt", "parallel.pth", "compiled.pth", "legacy.pth", "plain.safetensors"):
        np.testing.assert_array_equal(values(tmp_path / name), reference, err_msg=name)
    assert not np.array_equal(values(tmp_path / "half.pth"), reference)


def test_identity_is_the_hash_of_the_bytes(state, tmp_path):
    torch.save(state, tmp_path / "w.pth")
    extractor = Extractor(BACKBONE, ["features.3"], weights=str(tmp_path / "w.pth"))
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    assert extractor.identity["weights"] == f"sha256:{digest}" and extractor.weights_name == "w.pth"


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import pathlib

        return (pathlib.Path.touch, (self.path,))


def test_pickled_objects_are_refused_and_not_run(tmp_path):
    torch.save({"state_dict": Touch(tmp_path / "ran")}, tmp_path / "evil.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Touch(tmp_path / "ran")))
    for name in ("evil.pth", "raw.pth"):
        assert "which are not run here" in refused(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_damaged_missing_and_foreign_files(state, tmp_path):
    torch.save(state, tmp_path / "whole.pth")
    (tmp_path / "half.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:5000])
    assert "half.pth" in refused(tmp_path / "half.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing of the kind")
    assert "cannot be read as safetensors" in refused(tmp_path / "bad.safetensors")
    assert "does not exist" in refused(tmp_path / "absent.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    assert "holds a list" in refused(tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "epoch.pth")
    assert "a mapping with 'epoch'" in refused(tmp_path / "epoch.pth")


def test_unknown_entry_lists_the_allowed_ones():
    words = refused("IMAGENET1K_V9")
    assert "DEFAULT" in words and "IMAGENET1K_V1," in words and ".safetensors" in words and "none" in words


def test_missing_and_unexpected_names_are_listed(state, tmp_path):
    broken = {name: value for name, value in state.items() if name != "features.0.weight"}
    torch.save({**broken, "features.0.kernel": state["features.0.weight"]}, tmp_path / "w.pth")
    words = refused(tmp_path / "w.pth")
    assert "missing: features.0.weight" in words and "unexpected: features.0.kernel" in words
    torch.save({**state, "head.weight": torch.zeros(1)}, tmp_path / "w.pth")
    assert "unexpected: head.weight" in refused(tmp_path / "w.pth")
    torch.save(network("resnet18").state_dict(), tmp_path / "w.pth")
    assert "and " in refused(tmp_path / "w.pth") and "Choose the backbone" in refused(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "classifier",
    [
        {"classifier.1.weight": torch.zeros(7, 512, 1, 1), "classifier.1.bias": torch.zeros(7)},
        {"classifier.1.0.weight": torch.zeros(7, 512), "classifier.1.2.bias": torch.zeros(7)},
        {},
    ],
    ids=["another shape", "other modules", "none at all"],
)
def test_another_classifier_matters_only_if_it_is_needed(state, tmp_path, classifier):
    torch.save(state, tmp_path / "whole.pth")
    body = {name: value for name, value in state.items() if not name.startswith("classifier")}
    torch.save({**body, **classifier}, tmp_path / "body.pth")
    np.testing.assert_array_equal(values(tmp_path / "body.pth"), values(tmp_path / "whole.pth"))
    extractor = Extractor(BACKBONE, ["features.3"], weights=str(tmp_path / "body.pth"))
    assert extractor.ignored == sorted(classifier)
    words = refused(tmp_path / "body.pth", ["classifier.1"])
    assert "classifier.1." in words and "if no asked layer needs it" in words
    if "classifier.1.weight" in classifier:
        assert "classifier.1.weight is 7x512x1x1 instead of 1000x512x1x1" in words


def test_values_that_are_not_finite_matter_only_if_they_are_needed(state, tmp_path):
    torch.save({**state, "classifier.1.bias": torch.full((1000,), float("nan"))}, tmp_path / "w.pth")
    assert np.isfinite(values(tmp_path / "w.pth")).all()
    assert "not finite in classifier.1.bias" in refused(tmp_path / "w.pth", ["classifier.1"])


def test_old_names_of_dense_layers_auxiliary_classifiers_and_half_precision(tmp_path):
    dense = network("densenet121").state_dict()
    torch.save(dense, tmp_path / "new.pth")
    old = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for name, value in dense.items()}
    assert set(old) != set(dense)
    torch.save(old, tmp_path / "old.pth")
    layers = ["features.denseblock1"]
    np.testing.assert_array_equal(
        values(tmp_path / "old.pth", layers, "densenet121"), values(tmp_path / "new.pth", layers, "densenet121")
    )
    google = network("googlenet").state_dict()
    torch.save({**google, "aux1.fc1.weight": torch.zeros(2, 2)}, tmp_path / "google.pth")
    assert values(tmp_path / "google.pth", ["inception_3a"], "googlenet").dtype == np.float16
    torch.save({name: value.half() for name, value in google.items()}, tmp_path / "google16.pth")
    assert np.isfinite(values(tmp_path / "google16.pth", ["avgpool"], "googlenet")).all()


def test_torchvisions_cache_is_used_and_checked(state, tmp_path, monkeypatch):
    """A cached file stands for a download; its name bears the first digits of its hash."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / "made.pth")
    digest = hashlib.sha256((folder / "made.pth").read_bytes()).hexdigest()
    named = folder / f"squeezenet1_1-{digest[:8]}.pth"
    (folder / "made.pth").rename(named)
    entry = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    monkeypatch.setattr(
        entry, "_value_", entry.value.__class__(f"file:///nowhere/{named.name}", entry.transforms, entry.meta)
    )
    extractor = Extractor(BACKBONE, ["features.3"], weights="DEFAULT")
    assert extractor.identity["weights"] == f"sha256:{digest}"
    assert extractor.weights_name == "SqueezeNet1_1_Weights.IMAGENET1K_V1"
    # The same file under any name is recognised, and its preprocessing with it.
    other = tmp_path / "mine.pth"
    other.write_bytes(named.read_bytes())
    assert find_weights(BACKBONE, str(other)).entry is entry
    named.write_bytes(named.read_bytes()[:-1] + b"?")
    assert "is damaged" in refused("DEFAULT") and "Delete it" in refused("IMAGENET1K_V1")


def test_a_download_is_stored_whole_or_not_at_all(state, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.save(state, tmp_path / "source.pth")
    digest = hashlib.sha256((tmp_path / "source.pth").read_bytes()).hexdigest()
    source = tmp_path / f"squeezenet1_1-{digest[:8]}.pth"
    (tmp_path / "source.pth").rename(source)
    entry = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    monkeypatch.setattr(entry, "_value_", entry.value.__class__(source.as_uri(), entry.transforms, entry.meta))
    assert Extractor(BACKBONE, ["features.3"], weights="DEFAULT").identity["weights"] == f"sha256:{digest}"
    assert [path.name for path in (tmp_path / "hub" / "checkpoints").iterdir()] == [source.name]


def test_a_failed_download_tells_the_ways_out(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    entry = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    missing = (tmp_path / "squeezenet1_1-00000000.pth").as_uri()
    monkeypatch.setattr(entry, "_value_", entry.value.__class__(missing, entry.transforms, entry.meta))
    words = refused("DEFAULT")
    for word in (missing, str(tmp_path / "hub" / "checkpoints"), "TORCH_HOME", "--weights FILE", "--weights none"):
        assert word in words
    assert not list((tmp_path / "hub" / "checkpoints").iterdir())


def test_mnasnet_from_a_file_that_tells_no_version(tmp_path):
    model = network("mnasnet0_5")
    torch.save(OrderedDict(model.state_dict().items()), tmp_path / "w.pth")
    assert values(tmp_path / "w.pth", ["layers.2"], "mnasnet0_5").shape == (2, 16, 32, 32)


def test_the_file_may_change_afterwards(tmp_path):
    """Values are copied out of the mapped file: rewriting it neither changes nor crashes a running extractor."""
    path = tmp_path / "dense.pth"
    torch.save(network("densenet121").state_dict(), path)
    pixels = torch.full((1, 3, 64, 64), 100, dtype=torch.uint8)
    extractor = Extractor("densenet121", ["features.norm5"], weights=str(path), size=64)
    before = extractor.submit(pixels).result()["features.norm5"]
    with path.open("r+b") as stream:
        stream.write(b"\0" * path.stat().st_size)
    np.testing.assert_array_equal(extractor.submit(pixels).result()["features.norm5"], before)

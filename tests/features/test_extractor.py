"""The extractor against torchvision's own networks, read by forward hooks."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from oracles.activations import activations, deviation, network, normalised
from tolerances import BF16_FEATURES, FUSED_FEATURES, SAME_FEATURES

from vidfeat.errors import ItemError, UsageError
from vidfeat.features import Extractor, fusion
from vidfeat.features.pointwise import PointwiseConv


def images(n: int, side: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 7, 7, generator=generator) * 255
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return smooth.to(torch.uint8).contiguous(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """name -> (network of torchvision, file of its weights), made once."""
    made = {}

    def get(name: str):
        if name not in made:
            model = network(name)
            path = tmp_path_factory.mktemp("weights") / f"{name}.pth"
            # Without VGG's classifier, half a gigabyte that no test asks for.
            torch.save(
                {k: v for k, v in model.state_dict().items() if not (name == "vgg11_bn" and "classifier" in k)}, path
            )
            made[name] = (model, str(path))
        return made[name]

    yield get
    for _, path in made.values():
        os.unlink(path)


DENSE_END = "features.denseblock2.denselayer12.conv2"


def own(*paths: str) -> dict[str, str]:
    """Layers asked for by the path of torchvision's module."""
    return {path: path for path in paths}


# backbone, side, {layer: module of torchvision}
CASES = [
    (
        "alexnet",
        96,
        {"conv1": "features.1", "conv2:pre": "features.3", "conv5": "features.11", "conv5:pre": "features.10",
         "pool5": "features.12", "fc6": "classifier.2", "fc7:pre": "classifier.4", "fc7": "classifier.5",
         "fc8": "classifier.6"},
    ),
    (
        "resnet18",
        64,
        {"conv1:pre": "bn1", "pool1": "maxpool", "fc": "fc"}
        | own("layer1", "layer1.0.bn2", "layer2.0.conv1", "layer2.0.downsample", "layer4"),
    ),
    ("resnet50", 64, own("layer1.0", "layer3", "layer4.2.bn3", "layer4")),
    ("vgg11_bn", 32, {"conv1_1": "features.2", "conv3_2:pre": "features.12", "conv5_2": "features.27"}),
    ("googlenet", 64, {"pool2": "maxpool2", "inception_4a": "inception4a"} | own("conv2", "inception5b")),
    ("densenet121", 64, {"features.denseblock2": DENSE_END} | own("features.norm0")),
    ("mobilenet_v3_small", 64, {"fc": "classifier.3"} | own("features.0", "features.4", "features.12")),
    ("mobilenet_v2", 64, own("features.3", "features.18")),
    ("efficientnet_b0", 64, own("features.4", "features.8")),
    ("squeezenet1_1", 64, own("features.4.squeeze", "features.12.expand3x3")),
    ("shufflenet_v2_x0_5", 64, own("stage3.0.branch1", "conv5")),
    ("mnasnet0_5", 64, own("layers.8")),
    ("regnet_y_400mf", 64, own("stem", "trunk_output")),
]  # fmt: skip


@pytest.mark.parametrize(("backbone", "side", "layers"), CASES, ids=[case[0] for case in CASES])
def test_layers_equal_torchvision(saved, backbone, side, layers):
    model, path = saved(backbone)
    extractor = Extractor(backbone, list(layers), weights=path, dtype="float32", size=side)
    pixels = images(3, side)
    got = extractor.submit(pixels).result()
    spec = extractor.input_spec
    wanted = activations(model, normalised(pixels, spec.mean, spec.std), list(layers.values()))
    assert list(got) == list(layers)
    for described in extractor.layers:
        values, reference = got[described.name], wanted[layers[described.name]]
        if backbone == "densenet121" and described.name.endswith("block2"):
            # A dense block's value is the concatenation; the hook sees its last layer's 32 channels.
            values = values[:, -32:]
        elif reference.ndim == 4 and values.ndim == 4:
            assert values.shape == (3, *described.shape)
        assert values.dtype == np.float32 and values.shape == reference.shape
        assert float(np.ptp(reference)) > 0.01
        assert deviation(values, reference) < FUSED_FEATURES, described.name


ALEXNET = ["conv1", "conv5", "conv5:pre", "fc7:pre", "fc7"]
RESNET = ["conv1", "layer1:pre", "layer1", "layer1.0.bn2", "layer2.0.conv1", "layer4", "layer4:pre", "fc"]
MOBILENET = ["features.0:pre", "features.0", "features.2.block.0.0", "features.12:pre", "fc"]
DENSENET = ["features.norm0", "features.relu0", "features.denseblock1"]


@pytest.mark.parametrize(
    ("backbone", "layers", "precision"),
    [
        ("alexnet", ALEXNET, "fp32"),
        ("resnet18", RESNET, "fp32"),
        ("resnet18", RESNET, "bf16"),
        ("mobilenet_v3_small", MOBILENET, "fp32"),
        ("densenet121", DENSENET, "fp32"),
    ],
    ids=["alexnet", "resnet18", "resnet18-bf16", "mobilenet", "densenet"],
)
def test_each_layer_alone_is_exactly_the_same_among_all(backbone, layers, precision):
    pixels = images(2, 64)
    settings = {"weights": "none", "precision": precision, "dtype": "float32", "size": 64}
    together = Extractor(backbone, layers, **settings).submit(pixels).result()
    for layer in layers:
        alone = Extractor(backbone, [layer], **settings).submit(pixels).result()
        np.testing.assert_array_equal(alone[layer], together[layer], err_msg=layer)
    for layer in layers:
        if layer + ":pre" in layers and backbone != "mobilenet_v3_small":
            np.testing.assert_array_equal(np.maximum(together[layer + ":pre"], 0), together[layer])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_without_onednns_fused_kernels(saved, monkeypatch, precision):
    """The way on a GPU, and on builds of torch without them: folded norms, channels-last, ordinary operations."""
    layers = ["conv1", "layer1.0.bn2", "layer2.0.conv1", "layer4:pre", "fc"]
    pixels = images(2, 64)
    settings = {"weights": saved("resnet18")[1], "dtype": "float32", "size": 64, "precision": precision}
    fused = Extractor("resnet18", layers, **settings).submit(pixels).result()
    monkeypatch.setattr(fusion, "fused_kernels", lambda precision: False)
    plain = Extractor("resnet18", layers, **settings)
    assert not [module for module in plain._network.modules() if isinstance(module, PointwiseConv)]
    assert not [module for module in plain._network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    together = plain.submit(pixels).result()
    for layer in layers:
        assert deviation(together[layer], fused[layer]) < (FUSED_FEATURES if precision == "fp32" else BF16_FEATURES)
        alone = Extractor("resnet18", [layer], **settings).submit(pixels).result()
        np.testing.assert_array_equal(alone[layer], together[layer])


@pytest.mark.parametrize("backbone", ["resnet18", "alexnet", "efficientnet_b0"])
def test_bf16_stays_near_fp32(backbone):
    pixels = images(4, 64)
    layer = "fc7" if backbone == "alexnet" else "avgpool"
    exact = Extractor(backbone, [layer], weights="none", size=64).submit(pixels).result()[layer]
    rounded = Extractor(backbone, [layer], weights="none", size=64, precision="bf16").submit(pixels).result()[layer]
    assert 1e-4 < deviation(rounded, exact) < BF16_FEATURES


def test_batches_of_any_size_and_format_agree():
    extractor = Extractor("resnet18", ["layer2", "avgpool"], weights="none", dtype="float32", size=64)
    pixels = images(5, 64)
    whole = extractor.submit(pixels).result()
    parts = [extractor.submit(part.contiguous()).result() for part in (pixels[:1], pixels[1:4], pixels[4:])]
    for layer in whole:
        assert deviation(np.concatenate([part[layer] for part in parts]), whole[layer]) < SAME_FEATURES


def test_images_of_another_size_give_their_own_maps(saved):
    model, path = saved("resnet18")
    extractor = Extractor("resnet18", ["layer2"], weights=path, dtype="float32")
    assert extractor.layers[0].shape == (128, 28, 28)
    pixels = images(2, 100)[:, :, :70]
    got = extractor.submit(pixels).result()["layer2"]
    wanted = activations(model, normalised(pixels, extractor.input_spec.mean, extractor.input_spec.std), ["layer2"])
    assert got.shape == (2, 128, 9, 13)
    assert deviation(got, wanted["layer2"]) < FUSED_FEATURES


def test_threads_may_bring_images_of_new_sizes_at_once():
    """As batches of ``--input-scales`` do."""
    extractor = Extractor("squeezenet1_1", ["features.11"], weights="none", size=64)
    sides = [32 + 16 * number for number in range(12)]
    start = threading.Barrier(len(sides))

    def shape_of(side):
        start.wait()
        return extractor.submit(images(1, side)).result()["features.11"].shape

    with ThreadPoolExecutor(len(sides)) as threads:
        found = list(threads.map(shape_of, sides))
    alone = Extractor("squeezenet1_1", ["features.11"], weights="none", size=64)
    assert found == [alone.submit(images(1, side)).result()["features.11"].shape for side in sides]


@pytest.mark.parametrize(("pool", "reduce"), [("avg", np.mean), ("max", np.max)])
def test_map_pool_reduces_maps_and_leaves_vectors(pool, reduce):
    layers = ["conv5", "fc6"]
    plain = Extractor("alexnet", layers, weights="none", dtype="float32", size=64).submit(images(2, 64)).result()
    pooled = Extractor("alexnet", layers, weights="none", map_pool=pool, size=64)
    got = pooled.submit(images(2, 64)).result()
    assert [layer.shape for layer in pooled.layers] == [(256,), (4096,)]
    assert got["conv5"].dtype == np.float32
    np.testing.assert_allclose(got["conv5"], reduce(plain["conv5"], axis=(2, 3)), rtol=SAME_FEATURES)
    np.testing.assert_array_equal(got["fc6"], plain["fc6"])


def test_stored_types_and_shapes():
    extractor = Extractor("alexnet", ["conv5", "avgpool", "fc7"], weights="none")
    got = extractor.submit(images(2, 224)).result()
    assert [(name, value.dtype.name, value.shape) for name, value in got.items()] == [
        ("conv5", "float16", (2, 256, 13, 13)), ("avgpool", "float16", (2, 256, 6, 6)), ("fc7", "float32", (2, 4096)),
    ]  # fmt: skip
    assert [layer.shape for layer in extractor.layers] == [value.shape[1:] for value in got.values()]
    assert all(value.flags.c_contiguous for value in got.values())
    pooled = Extractor("resnet18", ["avgpool"], weights="none", dtype="float16", size=64)
    assert pooled.submit(images(2, 64)).result()["avgpool"].dtype == np.float16


def test_results_belong_to_the_caller():
    extractor = Extractor("alexnet", ["fc6", "classifier.2", "fc7"], weights="none", size=64)
    first = extractor.submit(images(1, 64)).result()
    kept = first["fc6"].copy()
    np.testing.assert_array_equal(first["classifier.2"], kept)
    first["classifier.2"][:] = 7
    assert not np.array_equal(extractor.submit(images(1, 64, seed=1)).result()["fc6"], kept)
    np.testing.assert_array_equal(first["fc6"], kept)


def test_maps_of_networks_that_keep_channels_last_come_channels_first(saved):
    model, path = saved("swin_t")
    pixels = images(2, 64)
    extractor = Extractor("swin_t", ["features.1"], weights=path, dtype="float32", size=64)
    wanted = activations(model, normalised(pixels, extractor.input_spec.mean, extractor.input_spec.std), ["features.1"])
    assert extractor.layers[0].shape == (96, 16, 16)
    got = extractor.submit(pixels).result()["features.1"]
    assert deviation(got, wanted["features.1"].transpose(0, 3, 1, 2)) < FUSED_FEATURES


def test_identity_names_what_values_depend_on():
    def identity(**settings):
        return Extractor("squeezenet1_1", ["features.0"], **{"weights": "none", "size": 64, **settings}).identity

    base = identity()
    assert base["weights"] == "none:seed=0:v1" and base["dtype"] == {"features.0": "float16"}
    for settings in ({"seed": 1}, {"precision": "bf16"}, {"map_pool": "avg"}, {"dtype": "float32"}):
        assert identity(**settings) != base


def test_suggested_batch_grows_as_activations_shrink():
    large, small = (Extractor(name, ["avgpool"], weights="none").suggested_batch for name in ("resnet50", "alexnet"))
    assert 8 <= large < small <= 64


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"precision": "tf32"}, "precision 'tf32' needs a GPU"),
        ({"precision": "fp16"}, "precision 'fp16' needs a GPU"),
        ({"precision": "fp8"}, "allowed are fp32, tf32, bf16, fp16"),
        ({"device": "mps"}, "allowed are cpu, cuda and cuda:N"),
        ({"device": "cuda:x"}, "unknown device 'cuda:x'"),
        ({"map_pool": "sum"}, "allowed are avg, max"),
        ({"dtype": "float64"}, "allowed are float32, float16"),
        ({"layers": []}, "at least one layer name"),
        ({"layers": "fc7"}, "give a list"),
        ({"layers": ["fc7", "conv5", "fc7"]}, "layers asked for twice: fc7"),
        ({"size": 16}, "cannot take images of 16x16 pixels"),
        ({"size": 0}, "at least 1 pixel"),
    ],
)
def test_refusals(settings, words):
    arguments = {"layers": ["fc7"], "weights": "none", **settings}
    with pytest.raises(UsageError) as error:
        Extractor("alexnet", arguments.pop("layers"), **arguments)
    assert words in str(error.value)


def test_a_node_without_rows_per_image_is_refused():
    with pytest.raises(UsageError, match="not one row of values per image"):
        Extractor("shufflenet_v2_x0_5", ["stage2.0.size"], weights="none")
    with pytest.raises(UsageError, match="no map to pool"):
        Extractor("vit_b_32", ["encoder.layers.encoder_layer_0"], weights="none", map_pool="avg")


def test_wrong_pixels():
    extractor = Extractor("squeezenet1_1", ["features.12"], weights="none")
    with pytest.raises(UsageError, match=r"expected torch.uint8 \(N, 3, h, w\)"):
        extractor.submit(torch.zeros(1, 3, 64, 64))
    with pytest.raises(UsageError, match=r"\(3, 64, 64\)"):
        extractor.submit(torch.zeros(3, 64, 64, dtype=torch.uint8))
    with pytest.raises(ItemError, match="cannot take images of 9x8 pixels"):
        extractor.submit(torch.zeros(1, 3, 8, 9, dtype=torch.uint8))


@pytest.mark.skipif(torch.cuda.is_available(), reason="only where there is no GPU")
def test_cuda_without_a_gpu():
    with pytest.raises(UsageError, match="sees no CUDA GPU here; use --device cpu"):
        Extractor("alexnet", ["fc7"], weights="none", device="cuda:0")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("precision", "limit"), [("fp32", 1e-5), ("tf32", 0.01), ("bf16", BF16_FEATURES), ("fp16", 0.02)]
)
def test_gpu_equals_cpu(precision, limit):
    pixels = images(4, 64)
    settings = {"weights": "none", "dtype": "float32", "size": 64}
    wanted = Extractor("resnet18", ["layer3", "avgpool"], **settings).submit(pixels).result()
    extractor = Extractor("resnet18", ["layer3", "avgpool"], device="cuda", precision=precision, **settings)
    batches = [extractor.submit(pixels) for _ in range(3)]
    for batch in batches:
        for layer, values in batch.result().items():
            assert deviation(values, wanted[layer]) < limit

"""Layer names, the listing, and the networks they belong to."""

import pytest
import torch
from torchvision.models.feature_extraction import get_graph_node_names

from vidfeat.errors import UsageError
from vidfeat.features import layers, list_backbones
from vidfeat.features.backbones import build, check_backbone, input_spec
from vidfeat.features.naming import Names
from vidfeat.features.tracing import trace


def listed(backbone: str, **options) -> dict[str, tuple]:
    return {layer.name: (layer.node, layer.shape) for layer in layers(backbone, **options)}


def test_backbones_are_classification_networks():
    names = list_backbones()
    assert {"alexnet", "vgg16", "googlenet", "resnet50", "densenet121", "vit_b_16"} <= set(names)
    assert not [name for name in names if "quantized" in name or "rcnn" in name or "raft" in name or "fcn" in name]


def test_unknown_backbone_names_close_ones():
    with pytest.raises(UsageError) as error:
        check_backbone("resnet_50")
    assert "unknown backbone 'resnet_50'" in str(error.value) and "resnet50" in str(error.value)
    with pytest.raises(UsageError, match="unknown backbone 'i3d'"):
        layers("i3d")


def test_networks_are_built_without_values_and_without_in_place_modules():
    model = build("googlenet")
    assert all(parameter.is_meta for parameter in model.parameters())
    assert not any(buffer.is_meta for buffer in model.buffers())
    assert not any(getattr(module, "inplace", False) for module in build("alexnet").modules())
    assert not any(name.startswith("aux") for name, _ in model.named_parameters())
    assert not [node for node in trace(build("densenet121")).graph.nodes if node.kwargs.get("inplace")]


def test_building_leaves_other_networks_alone():
    build("squeezenet1_1")
    assert not torch.nn.Linear(2, 2).weight.is_meta


def test_alexnet():
    assert listed("alexnet") == {
        "conv1": ("features.1", (64, 55, 55)),
        "pool1": ("features.2", (64, 27, 27)),
        "conv2": ("features.4", (192, 27, 27)),
        "pool2": ("features.5", (192, 13, 13)),
        "conv3": ("features.7", (384, 13, 13)),
        "conv4": ("features.9", (256, 13, 13)),
        "conv5": ("features.11", (256, 13, 13)),
        "pool5": ("features.12", (256, 6, 6)),
        "avgpool": ("avgpool", (256, 6, 6)),
        "fc6": ("classifier.2", (4096,)),
        "fc7": ("classifier.5", (4096,)),
        "fc8": ("classifier.6", (1000,)),
    }


def test_vgg16_with_and_without_norms():
    plain, normed = listed("vgg16"), listed("vgg16_bn")
    convolutions = [f"conv{block}_{i}" for block, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, n + 1)]
    for names in (plain, normed):
        assert [name for name in names if name.startswith("conv")] == convolutions
        assert [name for name in names if name.startswith(("pool", "fc", "avg"))] == [
            "pool1", "pool2", "pool3", "pool4", "pool5", "avgpool", "fc6", "fc7", "fc8",
        ]  # fmt: skip
        assert names["conv5_3"][1] == (512, 14, 14) and names["fc7"] == ("classifier.4", (4096,))
    assert plain["conv5_3"][0] == "features.29" and normed["conv5_3"][0] == "features.42"


def test_googlenet_and_the_second_convolution_of_its_paper():
    names = {layer.name: layer for layer in layers("googlenet")}
    assert names["pool1"].shape == (64, 56, 56)
    assert names["conv2"].shape == (64, 56, 56) and "1x1 reduction" in names["conv2"].note
    assert names["conv3"].shape == (192, 56, 56)
    assert names["pool2"].shape == (192, 28, 28) and "conv2" in names["pool2"].note
    assert [name for name in names if name.startswith("inception")] == [
        f"inception_{block}" for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    ]
    assert names["inception_4a"].shape == (512, 14, 14) and names["avgpool"].shape == (1024,)


def test_resnets():
    assert listed("resnet50") == {
        "conv1": ("relu", (64, 112, 112)),
        "pool1": ("maxpool", (64, 56, 56)),
        "layer1": ("layer1.2.relu_2", (256, 56, 56)),
        "layer2": ("layer2.3.relu_2", (512, 28, 28)),
        "layer3": ("layer3.5.relu_2", (1024, 14, 14)),
        "layer4": ("layer4.2.relu_2", (2048, 7, 7)),
        "avgpool": ("avgpool", (2048,)),
        "fc": ("fc", (1000,)),
    }
    assert listed("resnet18", size=64)["layer4"][1] == (512, 2, 2)


@pytest.mark.parametrize(
    ("backbone", "dimensions"),
    [
        ("densenet121", 1024),
        ("mobilenet_v2", 1280),
        ("shufflenet_v2_x0_5", 1024),
        ("inception_v3", 2048),
        ("swin_t", 768),
    ],
)
def test_other_networks_have_an_avgpool_too(backbone, dimensions):
    assert listed(backbone)["avgpool"][1] == (dimensions,)
    assert listed(backbone)["fc" if backbone != "swin_t" else "head"][1] == (1000,)


@pytest.mark.parametrize("backbone", ["squeezenet1_1", "mobilenet_v3_small", "googlenet"])
def test_every_node_of_torchvisions_tracer_can_be_asked_for(backbone):
    model = build(backbone)
    expected = get_graph_node_names(model, suppress_diff_warning=True)[1][1:]
    names = Names(backbone, trace(model))
    positions = {node: position for position, node in enumerate(names.trace.graph.nodes)}
    found = [positions[names.find(name).node] for name in expected if name not in names.friendly]
    assert len(found) > 40 and found == sorted(found)


def test_module_paths_mean_their_last_node():
    names = Names("resnet18", trace(build("resnet18")))
    assert names.find("layer2.0").path == "layer2.0.relu_1"
    assert names.find("layer2.0:pre").path == "layer2.0.add"
    assert names.find("layer2.0.downsample").path == "layer2.0.downsample.1"
    assert names.find("conv1:pre").path == "bn1"
    # Dropout does nothing: its name leads to what it would have changed.
    alexnet = Names("alexnet", trace(build("alexnet")))
    assert alexnet.find("classifier.3").node is alexnet.find("fc6").node


@pytest.mark.parametrize(
    ("backbone", "request_", "words"),
    [
        ("alexnet", "fc9", ["alexnet has no layer 'fc9'", "fc8", "'vidfeat layers alexnet'"]),
        ("vgg16", "conv2_3", ["vgg16 has no layer 'conv2_3'", "conv2_2"]),
        ("googlenet", "inception4", ["inception_4"]),
        ("alexnet", "features.99", ["features.9"]),
        ("alexnet", "", ["has no layer ''"]),
        ("alexnet", "x", ["has no layer 'x'"]),
        ("alexnet", "fc9:pre", ["has no layer 'fc9:pre'"]),
        ("alexnet", "fc8:pre", ["'fc8:pre'", "does not end in a ReLU", "ask for 'fc8'"]),
        ("alexnet", "pool5:pre", ["does not end in a ReLU"]),
        ("resnet18", "avgpool:pre", ["does not end in a ReLU"]),
    ],
)
def test_unknown_layers_and_pre_without_a_relu(backbone, request_, words):
    names = Names(backbone, trace(build(backbone)))
    with pytest.raises(UsageError) as error:
        names.find(request_)
    for word in words:
        assert word in str(error.value)


def test_listing_of_all_nodes_has_shapes():
    every = layers("squeezenet1_1", nodes=True)
    assert {layer.name for layer in layers("squeezenet1_1")} < {layer.name for layer in every}
    assert {layer.name: layer.shape for layer in every}["features.3.cat"] == (128, 55, 55)


def test_preprocessing_follows_the_weights():
    from torchvision.models import ResNet50_Weights, VGG16_Weights

    old, new = input_spec("resnet50", ResNet50_Weights.IMAGENET1K_V1), input_spec("resnet50")
    assert (old.shorter_side, new.shorter_side, new.size) == (256, 232, 224)
    assert (new.interpolation, new.antialias) == ("bilinear", True) and new.mean == (0.485, 0.456, 0.406)
    assert input_spec("efficientnet_b0").interpolation == "bicubic"
    assert input_spec("vgg16", VGG16_Weights.IMAGENET1K_FEATURES).std == (1 / 255,) * 3
    # transform_input of torchvision: (x·s + m − 0.5)/0.5 of the usual normalisation is (p − 0.5)/0.5.
    assert input_spec("googlenet").mean == input_spec("inception_v3").std == (0.5, 0.5, 0.5)
    larger = input_spec("alexnet").resized(448)
    assert (larger.shorter_side, larger.size) == (512, 448)

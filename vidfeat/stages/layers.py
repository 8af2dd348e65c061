"""``vidfeat layers``: what can be asked of a network."""

from vidfeat import features
from vidfeat.stages.config.files import LayersConfig
from vidfeat.stages.summary import Summary


def run(config: LayersConfig) -> Summary:
    """All networks, or the layers of one with their shapes."""
    if config.backbone is None:
        return Summary({"networks": features.list_backbones()})
    layers = features.layers(config.backbone, nodes=config.all)
    return Summary({"backbone": config.backbone, "layers": [vars(layer) for layer in layers]})

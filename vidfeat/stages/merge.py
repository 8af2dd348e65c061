"""``vidfeat merge``: the shards of one extraction become one file."""

from vidfeat.stages.config.files import MergeConfig
from vidfeat.stages.summary import Summary
from vidfeat.store import merge


def run(config: MergeConfig) -> Summary:
    """Refuses missing, doubled or foreign shards before it writes anything."""
    items = merge(config.shards, config.output, link=config.link, partial=config.partial, overwrite=config.overwrite)
    return Summary({"output": str(config.output), "items": items})

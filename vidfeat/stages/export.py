"""``vidfeat export``: features in the layouts that other tools read."""

from vidfeat.stages.config.files import ExportConfig
from vidfeat.stages.summary import Summary
from vidfeat.store import export_features


def run(config: ExportConfig) -> Summary:
    """Write the named features, or all, of every item."""
    names = None if config.feature is None else [name.strip() for name in config.feature.split(",")]
    written = export_features(config.features, config.output, config.form, features=names, overwrite=config.overwrite)
    return Summary({"output": str(config.output), "written": written})

"""``vidfeat export``: features, and codes, in the layouts that other tools read."""

from vidfeat.stages.config.files import FLOW_FORMS, ExportConfig
from vidfeat.stages.summary import Summary
from vidfeat.store import export_features, export_libsvm


def run(config: ExportConfig) -> Summary:
    """Write the named features, or all, of every item."""
    if config.form in FLOW_FORMS:
        from vidfeat.stages import flow_export  # OpenCV, which no other form needs

        written = flow_export.run(config)
    elif config.form == "libsvm":
        written = export_libsvm(config.features, config.output, set_name=config.feature, overwrite=config.overwrite)
    else:
        names = None if config.feature is None else [name.strip() for name in config.feature.split(",")]
        written = export_features(
            config.features, config.output, config.form, features=names, overwrite=config.overwrite
        )
    return Summary({"output": str(config.output), "written": written, "form": config.form})

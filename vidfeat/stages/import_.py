"""``vidfeat import``: features of other tools become a features file."""

from vidfeat.stages.config.files import ImportConfig
from vidfeat.stages.failures import Failure, write_failures
from vidfeat.stages.summary import Summary
from vidfeat.store import import_features, import_libsvm


def run(config: ImportConfig) -> Summary:
    """Items whose arrays do not fit are left out and listed; exit code 1 if there are any. LIBSVM text gives codes."""
    if config.kind == "libsvm":
        ids = import_libsvm(config.sources[0], config.output, overwrite=config.overwrite)
        return Summary({"output": str(config.output), "items": len(ids), "failures": []})
    imported = import_features(
        config.sources, config.output, config.kind, feature=config.feature, fps=config.fps, overwrite=config.overwrite
    )
    failures = [Failure(item_id, "failed", reason) for item_id, reason in sorted(imported.failed.items())]
    write_failures(config.output, failures)
    facts = {"output": str(config.output), "items": len(imported.ids), "failures": [vars(f) for f in failures]}
    return Summary(facts, exit_code=1 if failures else 0)

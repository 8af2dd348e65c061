"""``vidfeat info``: what a features file, a codes file or a codebook holds."""

from collections import Counter

from vidfeat.errors import UsageError
from vidfeat.stages.config.files import InfoConfig
from vidfeat.stages.summary import Summary
from vidfeat.store import open_codes, summary
from vidfeat.store.codebook import is_codebook, read_codebook


def run(config: InfoConfig) -> Summary:
    """Facts of the file; of a features file that is being written, what is finished so far."""
    try:
        return Summary(summary(config.file))
    except UsageError as not_features:
        try:
            if is_codebook(config.file):
                return Summary({"file": str(config.file), **read_codebook(config.file).facts()})
            codes = open_codes(config.file)
        except UsageError:
            raise not_features from None
    with codes:
        return Summary(
            {
                "file": str(config.file),
                "kind": "codes",
                "items": len(codes.ids),
                "sets": {name: f"{codes.code_rows(name).shape[1]} numbers" for name in codes.sets},
                "labels": dict(sorted(Counter(label for own in codes.labels for label in own).items())),
                "groups": len(set(codes.groups)),
                "splits": {name: dict(Counter(column)) for name, column in codes.splits.items()},
                "provenance": codes.provenance,
            }
        )

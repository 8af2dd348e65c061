"""``vidfeat demo``: the whole path on a small synthetic set, from videos to the label of an unseen file."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidfeat.datasets.demo import MANIFEST_NAME, NEW_LABEL, NEW_NAME, write_demo
from vidfeat.stages import encode, extract, predict, svm
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.config.files import DemoConfig, PredictConfig
from vidfeat.stages.config.svm import SvmTrainConfig

log = logging.getLogger("vidfeat")

ENCODINGS: dict[str, dict[str, Any]] = {
    "avg": {"method": "avg"},
    "max": {"method": "max"},
    "rankpool": {"method": "rankpool"},
    "rankpool-both": {"method": "rankpool", "direction": "both"},
    "pyramid": {"method": "avg", "pyramid": 3},
}


@dataclass(frozen=True)
class DemoSummary:
    """Accuracy per encoding, and the prediction for the unseen file."""

    output: Path
    rows: list[dict[str, Any]]
    unseen: list[dict[str, Any]]
    seconds: float
    exit_code: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "output": str(self.output),
            "encodings": self.rows,
            "unseen": self.unseen,
            "seconds": round(self.seconds, 1),
        }


def run(config: DemoConfig) -> DemoSummary:
    """Generate, extract, encode with several methods, train, and predict; a second run resumes the extraction."""
    started = time.monotonic()
    folder = config.output
    videos = folder / "set"
    log.info("Writing the demo videos into %s", videos)
    write_demo(videos)
    features = folder / "feats.h5"
    extraction = ExtractConfig(
        inputs=[videos / MANIFEST_NAME],
        output=features,
        backbone="alexnet",
        layers="fc7",
        weights="none",
        stride=2,
        device=config.device,
    )
    extracted = extract.run(extraction)
    rows = []
    for name, options in ENCODINGS.items():
        codes = folder / f"codes-{name}.h5"
        encoded = encode.run(EncodeConfig(features=features, output=codes, **options))
        scores = svm.train(SvmTrainConfig(codes=codes, output=folder / f"svm-{name}", overwrite=True)).as_dict()
        rows.append(
            {
                "encoding": name,
                "dimension": encoded.dimension,
                "accuracy": scores["accuracy"],
                "mean_per_class_accuracy": scores["mean_per_class_accuracy"],
            }
        )
    best = max(rows, key=lambda row: row["accuracy"])["encoding"]
    answer = predict.run(PredictConfig(run=folder / f"svm-{best}", inputs=[videos / NEW_NAME], device=config.device))
    unseen = [{**item, "truth": NEW_LABEL} for item in answer.as_dict()["predictions"]]
    exit_code = max(extracted.exit_code, answer.exit_code)
    return DemoSummary(folder, rows, unseen, time.monotonic() - started, exit_code)

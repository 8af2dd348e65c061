"""``vidfeat end2end eval``: the figures of finished runs."""

from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.stages import svm
from vidfeat.stages.config.end2end import End2EndEvalConfig
from vidfeat.stages.summary import Summary


def evaluate(config: End2EndEvalConfig) -> svm.ScoresSummary | Summary:
    """Figures of one run, or of several side by side, which may be those of other commands."""
    for folder in config.runs:
        check_finished(folder, "results.json")
    return svm.evaluate(config)


def check_finished(folder: Path, needed: str) -> None:
    """UsageError in words unless the folder holds that file, which a run writes when it is done."""
    if (folder / needed).is_file():
        return
    if (folder / "run.json").is_file():
        raise UsageError(f"The run in {folder} is not finished. Give its 'vidfeat end2end train' command again.")
    what = f"it has no {needed}" if folder.is_dir() else "there is no such folder"
    raise UsageError(f"{folder} is not a run: {what}. 'vidfeat end2end train' writes one.")

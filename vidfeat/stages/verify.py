"""``vidfeat verify``: read every byte of feature files and check it."""

from vidfeat.progress import Progress
from vidfeat.stages.config.files import VerifyConfig
from vidfeat.stages.summary import Summary
from vidfeat.store import open_features, verify


def run(config: VerifyConfig) -> Summary:
    """Problems of all files; exit code 1 if there is one."""
    problems = []
    items = 0
    with Progress(len(config.files), unit="files") as progress:
        for path in config.files:
            found = verify(path)
            problems += [{"file": str(path), "id": problem.id, "what": problem.what} for problem in found]
            if not found:
                with open_features(path) as stored:
                    items += len(stored)
            progress.item_done("failed" if found else "done")
    facts = {"files": [str(path) for path in config.files], "items": items, "problems": problems}
    return Summary(facts, exit_code=1 if problems else 0)

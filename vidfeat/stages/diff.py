"""``vidfeat diff``: how two feature files differ."""

from vidfeat.stages.config.files import DiffConfig
from vidfeat.stages.summary import Summary
from vidfeat.store import diff


def run(config: DiffConfig) -> Summary:
    """Exit code 0 if ids, times, frames and labels are the same and features are within the tolerance, else 1."""
    found = diff(config.first, config.second)
    equal = found.equal(config.tolerance)
    facts = {
        "equal": equal,
        "settings": {name: f"{a} / {b}" for name, (a, b) in found.settings.items()},
        f"only in {config.first}": found.only_a,
        f"only in {config.second}": found.only_b,
        "largest difference": {name: f"{f.relative:.3g} ({f.id})" for name, f in found.features.items()},
        "mismatches": found.mismatches,
    }
    return Summary(facts, exit_code=0 if equal else 1)

"""What comes out of predicting single items."""

from dataclasses import dataclass, field
from typing import Any

from vidfeat.stages.failures import Failure


@dataclass(frozen=True)
class PredictSummary:
    """One entry per item: id, predicted class, and its best-scored classes, with probabilities where the run has
    them."""

    predictions: list[dict[str, Any]]
    failures: list[Failure] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return 1 if self.failures else 0

    def as_dict(self) -> dict[str, Any]:
        return {"predictions": self.predictions, "failures": [vars(failure) for failure in self.failures]}

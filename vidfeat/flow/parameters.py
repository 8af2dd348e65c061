"""The parameters of TV-L1, with the defaults of OpenCV's ``DualTVL1OpticalFlow``."""

from dataclasses import dataclass, fields
from typing import Any

from vidfeat.errors import UsageError
from vidfeat.flow.checks import fraction, positive, real, whole

MEDIAN_FILTERS = (1, 3, 5)


@dataclass(frozen=True)
class TVL1Parameters:
    """Parameters of  min_u Σ_pixels |∇u₁| + |∇u₂| + λ·|I₁(x + u) − I₀(x)|  on grey levels 0…255, and of its solution.

    The coupling term (1/2θ)·Σ‖u − v‖² splits it: v by thresholding, u by the dual scheme with time step τ/θ.

    Attributes:
        tau: time step τ of the dual scheme, > 0. Above 0.25 the scheme is not known to converge.
        lambda_: weight λ of the data term, > 0; smaller gives a smoother field.
        theta: tightness θ of the coupling, > 0.
        scales: most levels of the pyramid, ≥ 1; a smaller level under 16 pixels in width or height is not used.
        scale_step: size of each level as a share of the one below it, 0 < scale_step < 1.
        warps: times that the second image is warped and its gradient taken anew, at each level, ≥ 1.
        epsilon: the iterations of one warp end when Σ‖Δu‖² ≤ ε²·pixels; ≥ 0, in pixels of the level.
        inner_iterations: most updates of u and its dual between two median filters, ≥ 1.
        outer_iterations: most blocks of inner iterations for one warp, ≥ 1.
        median_filter: side in pixels of the median filter on u before each block: 5, 3, or 1 for none.

    Sources: C. Zach, T. Pock, H. Bischof, *A Duality Based Approach for Realtime TV-L1 Optical Flow*, 2007;
    J. Sánchez, E. Meinhardt-Llopis, G. Facciolo, *TV-L1 Optical Flow Estimation*, 2013 (dual scheme, defaults).
    """

    tau: float = 0.25
    lambda_: float = 0.15
    theta: float = 0.3
    scales: int = 5
    scale_step: float = 0.8
    warps: int = 5
    epsilon: float = 0.01
    inner_iterations: int = 30
    outer_iterations: int = 10
    median_filter: int = 5

    def __post_init__(self) -> None:
        for name in ("tau", "lambda_", "theta"):
            self._set(name, positive(name, getattr(self, name), self._default(name)))
        self._set("epsilon", real("epsilon", self.epsilon, self._default("epsilon")))
        if self.epsilon < 0:
            raise UsageError(f"epsilon is {self.epsilon!r}; it must be 0 or above{self._default('epsilon')}.")
        hint = f"{self._default('scale_step')}; for a single level give scales=1"
        self._set("scale_step", fraction("scale_step", self.scale_step, hint))
        for name in ("scales", "warps", "inner_iterations", "outer_iterations", "median_filter"):
            self._set(name, whole(name, getattr(self, name), 1, self._default(name)))
        if self.median_filter not in MEDIAN_FILTERS:
            raise UsageError(
                f"median_filter is {self.median_filter!r}; allowed are 5 or 3 pixels, or 1 for none"
                f"{self._default('median_filter')}."
            )

    @classmethod
    def of(cls, **given: Any) -> "TVL1Parameters":
        """The defaults with ``given`` in their place; UsageError for a name that is none of theirs."""
        names = [field.name for field in fields(cls)]
        unknown = [name for name in given if name not in names]
        if unknown:
            hint = " (the weight of the data term is lambda_, with an underscore)" if "lambda" in unknown else ""
            raise UsageError(f"unknown TV-L1 parameter {', '.join(unknown)}{hint}; allowed are {', '.join(names)}.")
        return cls(**given)

    def _set(self, name: str, value: float) -> None:
        object.__setattr__(self, name, value)

    def _default(self, name: str) -> str:
        return f" (default {type(self).__dataclass_fields__[name].default})"

"""Options of optical flow: those of ``vidfeat flow``, and those that every command has which computes flow."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.frames import FramesConfig, check_size, sides_of
from vidfeat.stages.config.options import flag_of, option, required_option
from vidfeat.stages.config.running import FILES, RunOptions

FLOW = "Flow"
_TVL1 = "Flow: --method tvl1"
_OTHERS = "Flow: other methods"

BOUND = 20.0

# Option -> (the method that it belongs to, its name among that method's settings).
SETTINGS = {
    **{
        name: ("tvl1", name)
        for name in (
            "backend tau lambda_ theta scales scale_step warps epsilon inner_iterations outer_iterations median_filter"
        ).split()
    },
    "dis_preset": ("dis", "preset"),
    **{
        f"farneback_{name}": ("farneback", name)
        for name in "pyr_scale levels winsize iterations poly_n poly_sigma gaussian".split()
    },
    **{f"raft_{name}": ("raft", name) for name in "model weights updates".split()},
}


@dataclass(frozen=True)
class MethodOptions:
    """How the motion from each sampled frame to the next is found.

    Options of a method are None where they were not given: the method has its own defaults.
    """

    method: Literal["tvl1", "dis", "farneback", "raft"] = option(
        "tvl1",
        "tvl1: TV-L1, the flow of two-stream networks. dis, farneback: OpenCV's dense inverse search and polynomial "
        "expansion, faster and coarser, on the CPU. raft: torchvision's recurrent network.",
        panel=FLOW,
    )
    backend: Literal["numba", "triton", "opencv"] | None = option(
        None,
        "numba (CPU) or triton (GPU): by default that of the device, with equal fields. opencv: the reference, slow, "
        "on the CPU.",
        panel=_TVL1,
    )
    tau: float | None = option(None, "Time step of the dual scheme. By default 0.25.", panel=_TVL1)
    lambda_: float | None = option(
        None, "Weight of the data term; smaller gives smoother flow. By default 0.15.", panel=_TVL1
    )
    theta: float | None = option(None, "Tightness of the coupling. By default 0.3.", panel=_TVL1)
    scales: int | None = option(None, "Most levels of the pyramid. By default 5.", panel=_TVL1)
    scale_step: float | None = option(None, "Size of a level as a share of the one below. By default 0.8.", panel=_TVL1)
    warps: int | None = option(None, "Warps of the second frame at each level. By default 5.", panel=_TVL1)
    epsilon: float | None = option(
        None, "Stop when flow changes by less, in pixels, root mean square. By default 0.01.", panel=_TVL1
    )
    inner_iterations: int | None = option(None, "Most updates between two median filters. By default 30.", panel=_TVL1)
    outer_iterations: int | None = option(None, "Most such blocks in each warp. By default 10.", panel=_TVL1)
    median_filter: int | None = option(None, "Side of that filter: 5, 3, or 1 for none. By default 5.", panel=_TVL1)

    dis_preset: Literal["ultrafast", "fast", "medium"] | None = option(
        None, "Of dis. By default medium, the most exact.", panel=_OTHERS
    )
    farneback_pyr_scale: float | None = option(
        None, "Size of a level of the pyramid as a share of the one below. By default 0.5.", panel=_OTHERS
    )
    farneback_levels: int | None = option(None, "Levels of the pyramid. By default 5.", panel=_OTHERS)
    farneback_winsize: int | None = option(None, "Side of the averaging window. By default 13.", panel=_OTHERS)
    farneback_iterations: int | None = option(None, "Iterations at each level. By default 10.", panel=_OTHERS)
    farneback_poly_n: int | None = option(
        None, "Side of the neighbourhood of the expansion, 5 or 7. By default 5.", panel=_OTHERS
    )
    farneback_poly_sigma: float | None = option(
        None, "Deviation of its Gaussian weights. By default 1.1.", panel=_OTHERS
    )
    farneback_gaussian: bool = option(False, "Average with a Gaussian window instead of a box.", panel=_OTHERS)
    raft_model: Literal["large", "small"] | None = option(None, "Of raft. By default large.", panel=_OTHERS)
    raft_weights: str | None = option(
        None,
        "Torchvision weights (DEFAULT, C_T_V2, …), a .pth or .safetensors file, or none (random). By default DEFAULT.",
        panel=_OTHERS,
    )
    raft_updates: int | None = option(None, "Refinements. By default 12.", panel=_OTHERS)

    @property
    def flow_settings(self) -> dict[str, Any]:
        """What was given of the settings of the chosen method, by the method's own names for them."""
        chosen = {setting: name for name, (method, setting) in SETTINGS.items() if method == self.method}
        return {setting: getattr(self, name) for setting, name in chosen.items() if self._is_given(name)}

    def check_flow(self) -> None:
        """UsageError for an option of another method than the chosen one."""
        for name, (method, _) in SETTINGS.items():
            if method != self.method and self._is_given(name):
                raise UsageError(
                    f"{self._as_typed(name)} has no effect with --method {self.method}, only with {method}. Leave it "
                    "out, on the command line or in the --config file, or change --method."
                )

    def _is_given(self, name: str) -> bool:
        return getattr(self, name) != type(self).__dataclass_fields__[name].default

    def _as_typed(self, name: str) -> str:
        value = getattr(self, name)
        return flag_of(name) if value is True else f"{flag_of(name)} {value}"


@dataclass(frozen=True)
class FlowOptions(MethodOptions):
    """How flow is found, and kept in 8 bits."""

    bound: float = option(
        BOUND,
        "Pixels of motion that become 0 (to the left, up) and 255 (to the right, down); longer motion is clipped. "
        "Zero motion is 128.",
        panel=FLOW,
    )

    def check_flow(self) -> None:
        """UsageError for a bound that cannot be, or an option of another method than the chosen one."""
        super().check_flow()
        if not 0 < self.bound < math.inf:
            raise UsageError(f"--bound is {self.bound:g}; it must be a number of pixels above 0, such as 20.")

    def given_flow_option(self) -> str:
        """An option of flow that differs from its default, as it would be typed; empty if there is none."""
        names = [field.name for field in fields(FlowOptions)]
        return next((self._as_typed(name) for name in names if self._is_given(name)), "")


def option_names(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Complete settings of a method by the names of their options, without dashes before them, for the fingerprint."""
    names = {setting: flag_of(name)[2:] for name, (owner, setting) in SETTINGS.items() if owner == method}
    return {names.get(setting, setting): value for setting, value in settings.items()}


@dataclass(frozen=True)
class FlowConfig(RunOptions, FlowOptions, FramesConfig):
    """Flow of which frames, found how, and stored how."""

    output: Path = required_option("File to write (HDF5). A rerun with the same options resumes it.", short="-o")
    size: str | None = option(
        None,
        "Resize frames before the flow is computed: their shorter side, e.g. 256, or exactly WxH, e.g. 340x256. By "
        "default as they are.",
        metavar="N|WxH",
        panel=FLOW,
    )
    dtype: Literal["uint8", "float16"] = option(
        "uint8",
        "Stored type: uint8, 256 levels within the bound (20: 0.16 pixels each), or float16 pixels without a bound.",
        panel=FLOW,
    )
    compression: Literal["none", "gzip"] = option(
        "gzip", "Compression of the fields; gzip is lossless, and 8-bit flow often shrinks to a tenth.", panel=FILES
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_run()
        self.check_flow()
        check_size(self.size)
        if self.dtype == "float16" and self.bound != BOUND:
            raise UsageError(
                f"--bound {self.bound:g} has no effect with --dtype float16, which holds pixels without a bound. Leave "
                "it out, or give --dtype uint8."
            )

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """(width, height), or (shorter side, None), or (None, None) to leave frames as they are."""
        return sides_of(self.size)

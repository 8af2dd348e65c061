"""TV-L1 optical flow: one function, several backends that compute the same field."""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from vidfeat.errors import UsageError
from vidfeat.flow.checks import whole
from vidfeat.flow.pairs import check_pairs, grey_levels, grey_tensors, is_tensor
from vidfeat.flow.parameters import TVL1Parameters


@dataclass(frozen=True)
class _Backend:
    """module: has ``flow_fields``; device: the kind it computes on; package: what it needs."""

    module: str
    device: str
    package: str


BACKENDS = {
    "numba": _Backend("tvl1_numba", "cpu", "numba"),
    "triton": _Backend("tvl1_triton", "cuda", "triton"),
    "opencv": _Backend("tvl1_opencv", "cpu", "opencv-contrib-python-headless"),
}
_DEFAULT = {"cpu": "numba", "cuda": "triton"}


@dataclass(frozen=True)
class TVL1Info:
    """How a result came about.

    Attributes:
        backend: that computed it.
        device: that it was computed on.
        parameters: of the method.
        iterations: ``[N]`` inner iterations of each pair, over all levels and warps; None where the backend does not
            tell (OpenCV).
    """

    backend: str
    device: str
    parameters: TVL1Parameters
    iterations: np.ndarray | None


def tvl1(
    prev: Any,
    next: Any,
    device: Any = "cpu",
    backend: str | None = None,
    return_info: bool = False,
    threads: int | None = None,
    **params: Any,
) -> Any:
    """Optical flow u from ``prev`` to ``next``: prev(x) ~ next(x + u(x)).

        min_u Σ_pixels |∇u₁| + |∇u₂| + λ·|next(x + u) − prev(x)|

    with algorithm, stopping rule and defaults of OpenCV's ``DualTVL1OpticalFlow``, without its illumination term.

    Args:
        prev, next: grey images ``[H, W]``, or N of them ``[N, H, W]``; NumPy arrays or torch tensors, both alike; uint8
            0…255, or floats 0…1, which are multiplied by 255 as OpenCV does.
        device: to compute on, ``cpu``, ``cuda`` or ``cuda:N``. Tensors on a GPU need that GPU here.
        backend: ``numba`` (CPU), ``triton`` (CUDA) or ``opencv`` (CPU; the reference). By default numba on a CPU and
            triton on CUDA.
        return_info: return (flow, :class:`TVL1Info`).
        threads: of a CPU backend; None for all it would take.
        params: fields of :class:`~vidfeat.flow.parameters.TVL1Parameters`.

    Returns:
        ``[2, H, W]`` or ``[N, 2, H, W]`` float32 pixels, x before y: an array for arrays, and a tensor where ``prev``
        lies for tensors.

    Raises:
        UsageError: wrong kinds, shapes, types or values; an unknown parameter or backend; one that is not installed or
            does not compute on the device; a device that is not there.

    Sources: C. Zach, T. Pock, H. Bischof, *A Duality Based Approach for Realtime TV-L1 Optical Flow*, 2007;
    J. Sánchez, E. Meinhardt-Llopis, G. Facciolo, *TV-L1 Optical Flow Estimation*, 2013.
    """
    parameters = TVL1Parameters.of(**params)
    if threads is not None:
        whole("threads", threads, 1, ", or None to leave it open")
    device = _checked_device(str(device))
    name = choose_backend(device, backend)
    check_pairs(prev, next)
    if is_tensor(prev):
        _check_place(prev, next, device)
    solver = load_backend(name)
    if BACKENDS[name].device == "cuda":
        import torch

        place = torch.device(device)
        with torch.cuda.device(place), torch.no_grad():
            flow, iterations = solver.flow_fields(*grey_tensors(prev, next, place), parameters)
        flow = flow.to(prev.device) if is_tensor(prev) else flow.cpu().numpy()
    else:
        flow, iterations = solver.flow_fields(*grey_levels(prev, next), parameters, threads=threads)
        if is_tensor(prev):
            import torch

            flow = torch.from_numpy(flow)
    flow = flow if prev.ndim == 3 else flow[0]
    if not return_info:
        return flow
    if iterations is not None:
        iterations = np.asarray(iterations.cpu() if is_tensor(iterations) else iterations, np.int64)
    return flow, TVL1Info(name, device, parameters, iterations)


def choose_backend(device: str, backend: str | None = None) -> str:
    """The backend for a device, by default its own; UsageError for an unknown one, or one of another device."""
    kind = device.partition(":")[0]
    if backend is None:
        return _DEFAULT[kind]
    check_backend(backend)
    if BACKENDS[backend].device != kind:
        fitting = [name for name, known in BACKENDS.items() if known.device == kind]
        raise UsageError(
            f"TV-L1 backend {backend!r} computes on {BACKENDS[backend].device}, not on {device}; for that use "
            f"{' or '.join(fitting)}, or give device={BACKENDS[backend].device!r}."
        )
    return backend


def check_backend(backend: str) -> None:
    """UsageError for a backend that is unknown."""
    if backend not in BACKENDS:
        raise UsageError(f"unknown TV-L1 backend {backend!r}; allowed are {', '.join(BACKENDS)}, or None to choose.")


def _checked_device(device: str) -> str:
    if device == "cpu":
        return device
    from vidfeat.precision import check_device

    return str(check_device(device))


def _check_place(prev: Any, next: Any, device: str) -> None:
    """UsageError if tensors would have to leave a GPU; those on the CPU may be sent to one."""
    places = {str(prev.device), str(next.device)}
    if len(places) > 1:
        raise UsageError(f"prev lies on {prev.device} and next on {next.device}; bring both to one device.")
    (place,) = places
    if place not in ("cpu", device):
        raise UsageError(f"the images lie on {place}, but device is {device!r}; give device={place!r}, or .cpu() them.")


def load_backend(backend: str) -> ModuleType:
    """The module of a backend; UsageError if what it needs is not installed."""
    try:
        return import_module(f"vidfeat.flow.{BACKENDS[backend].module}")
    except ImportError as error:
        if (error.name or "").startswith("vidfeat"):
            raise
        others = " or ".join(name for name in BACKENDS if name != backend)
        raise UsageError(
            f"TV-L1 backend {backend!r} cannot be loaded ({error}); install {BACKENDS[backend].package}, or give "
            f"backend= {others} on the device of that one."
        ) from error

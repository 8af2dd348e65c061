"""The flow methods by name, behind one interface."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from vidfeat.errors import UsageError
from vidfeat.flow.base import FlowMethod
from vidfeat.flow.checks import whole


@dataclass(frozen=True)
class Method:
    """Where a method is, and what one has to know of it before anything is loaded.

    Attributes:
        home: module and class.
        wants: ``grey`` or ``rgb`` frames.
        devices: kinds of device it computes on.
        summary: for people.
    """

    home: tuple[str, str]
    wants: Literal["grey", "rgb"]
    devices: tuple[str, ...]
    summary: str


METHODS = {
    "tvl1": Method(("tvl1_method", "TVL1"), "grey", ("cpu", "cuda"), "TV-L1; OpenCV's fields, many times its speed"),
    "dis": Method(("opencv_methods", "DIS"), "grey", ("cpu",), "dense inverse search (OpenCV): fast, coarser"),
    "farneback": Method(("opencv_methods", "Farneback"), "grey", ("cpu",), "polynomial expansion (OpenCV)"),
    "raft": Method(("raft", "RAFT"), "rgb", ("cpu", "cuda"), "recurrent network (torchvision); wants a GPU"),
}


def flow_method(name: str, device: str = "cpu", threads: int | None = None, **settings: Any) -> FlowMethod:
    """A flow method, ready to be called with frames.

    Args:
        name: key of ``METHODS``.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: on a CPU; None for all that the method would take. The numbers do not depend on it.
        settings: of the method:

            - ``tvl1``: fields of :class:`~vidfeat.flow.parameters.TVL1Parameters`, and ``backend``
            - ``dis``: ``preset`` ultrafast, fast or medium
            - ``farneback``: fields of :class:`~vidfeat.flow.opencv_methods.FarnebackParameters`
            - ``raft``: ``model`` large or small, ``weights``, ``updates``, ``seed``

    Raises:
        UsageError: an unknown method, setting or device; a setting that is not allowed; weights that cannot be had.
    """
    method = find_method(name)
    device = str(device)
    kind = device.partition(":")[0]
    if kind in ("cpu", "cuda") and kind not in method.devices:
        raise UsageError(
            f"flow method {name!r} computes on {' and '.join(method.devices)} only, not on {device!r}; use "
            f"--device cpu, or one of {', '.join(n for n, m in METHODS.items() if kind in m.devices)}."
        )
    if device != "cpu":
        from vidfeat.precision import check_device

        device = str(check_device(device))
    if threads is not None:
        whole("threads", threads, 1, ", or None to leave it open")
    return _class_of(method)(device, threads, **settings)


def method_settings(name: str, **settings: Any) -> dict[str, Any]:
    """``flow_method(name, **settings).settings``, without loading a network; its weights' file is looked up, though.

    Raises:
        UsageError: as :func:`flow_method`.
    """
    return _class_of(find_method(name)).complete(**settings)


def find_method(name: str) -> Method:
    """The entry of ``METHODS``; UsageError for a name that is not there."""
    if name not in METHODS:
        listed = "; ".join(f"{known} ({method.summary})" for known, method in METHODS.items())
        raise UsageError(f"unknown flow method {name!r}; allowed are {listed}.")
    return METHODS[name]


def _class_of(method: Method) -> type[FlowMethod]:
    module, name = method.home
    return getattr(import_module(f"vidfeat.flow.{module}"), name)

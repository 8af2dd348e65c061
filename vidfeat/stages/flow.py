"""``vidfeat flow``: the optical flow between sampled frames of videos, into one file."""

import time
from typing import Any

from vidfeat.errors import UsageError
from vidfeat.stages import job
from vidfeat.stages.computers import Computers, computes_on, place_of
from vidfeat.stages.config.flow import FlowConfig
from vidfeat.stages.devices import cores_per_device, default_workers, device_failures, resolve_devices
from vidfeat.stages.fields import FLOW, STREAM
from vidfeat.stages.flow_request import flow_recipe, flow_settings_of
from vidfeat.stages.plan import Expected, dry_run
from vidfeat.stages.recipe import DevicePlan, FlowRecipe, Recipe
from vidfeat.stages.request import frame_settings, sampling_of, select_items, whole_frames
from vidfeat.stages.summary import Summary

# Attributes of the dataset, for who reads it without this program.
_PAIRING = "row k leads from sampled frame k to sampled frame k + step; flow.time and flow.frame are those of frame k"
_COMPONENTS = "x (to the right), y (down)"


def run(config: FlowConfig) -> job.JobSummary | Summary:
    """Compute the flow of every listed item that has none yet; with ``dry_run``, only say what that would be.

    Raises UsageError before any work for bad input, and StorageError if the output cannot be written; finished items
    are kept in both cases and after a signal.
    """
    if config.dry_run:
        return _plan(config)
    started = time.monotonic()
    request = select_items(config)
    flow = flow_recipe(config, config.dtype)
    devices = flow_devices(config.device, flow)
    recipe, threads = Recipe(flow=flow), config.threads or cores_per_device(devices)
    with device_failures(devices[0]):
        computers = Computers(recipe, devices[0], threads)
    return job.fill(
        config,
        request,
        job.Job(
            plan=DevicePlan(
                recipe=recipe,
                geometry=whole_frames(config.sides),
                sampling=sampling_of(config),
                decode_threads=config.decode_threads,
                timeout=config.timeout,
                batch_size=config.batch_size,
                workers=config.workers or default_workers(devices),
                threads=threads,
            ),
            settings=settings_of(config),
            notes={FLOW: notes_of(config)},
            rows="fields",
            counted=STREAM,
        ),
        computers,
        devices,
        started,
    )


def flow_devices(spec: str, flow: FlowRecipe) -> list[str]:
    """Devices of a run that computes nothing but flow: ``auto`` means the CPU for what knows no other.

    UsageError for a device that is not there, or that the method or its backend does not compute on, and for a backend
    that wants another one.
    """
    devices = resolve_devices(spec)
    for device in devices:
        place_of(flow, device)
    if spec == "auto" and not computes_on(flow, devices[0]):
        return ["cpu"]
    for device in devices:
        if device != "cpu" and not computes_on(flow, device):
            backend = flow.settings.get("backend")
            what = f"--backend {backend}" if backend else f"--method {flow.method}"
            raise UsageError(f"--device {device}: {what} computes on the CPU only. Use --device cpu, or leave it out.")
    return devices


def settings_of(config: FlowConfig, weights: bool = True) -> dict[str, Any]:
    """All that determines the numbers in the file, by the names of the options."""
    return {
        **flow_settings_of(config, config.dtype, weights),
        **frame_settings(sampling_of(config)),
        "size": config.size,
        "dtype": config.dtype,
    }


def notes_of(config: FlowConfig) -> dict[str, Any]:
    """Attributes of the dataset ``flow``: what its numbers mean. u = (level − zero) · scale, in pixels."""
    notes = {"step": 1, "pairing": _PAIRING, "components": _COMPONENTS}
    if config.dtype == "float16":
        return {**notes, "unit": "pixels"}
    return {"bound": config.bound, **notes, "zero": 127.5, "scale": 2 * config.bound / 255}


def _plan(config: FlowConfig) -> Summary:
    geometry, width = whole_frames(config.sides), {"uint8": 1, "float16": 2}[config.dtype]

    def rows_and_bytes(expected: Expected) -> tuple[int, int]:
        rows = max(0, expected.frames - 1)
        height, wide = geometry.target(expected.height, expected.width)
        return rows, rows * (2 * height * wide * width + 16)

    flow_devices(config.device, flow_recipe(config))
    return dry_run(config, settings_of(config, weights=False), "fields", rows_and_bytes)

"""``vidfeat extract``: CNN activations of videos and images, of their optical flow, or of both, into one file."""

import logging
import time

from vidfeat.stages import extract_plan, job
from vidfeat.stages.computers import Computers
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.devices import cores_per_device, default_workers, device_failures
from vidfeat.stages.extract_request import devices_of, geometry_of, recipe_of, repeatable_options, settings_of
from vidfeat.stages.fields import STREAM
from vidfeat.stages.recipe import DevicePlan
from vidfeat.stages.request import sampling_of, select_items
from vidfeat.stages.summary import Summary

log = logging.getLogger("vidfeat")


def run(config: ExtractConfig) -> job.JobSummary | Summary:
    """Extract every listed item that is not finished yet; with ``dry_run``, only say what that would be.

    Raises UsageError before any work for bad input, and StorageError if the output cannot be written; finished items
    are kept in both cases and after a signal.
    """
    if config.dry_run:
        return extract_plan.run(config)
    started = time.monotonic()
    request = select_items(config)
    devices = devices_of(config)
    recipe = recipe_of(config)
    threads = config.threads or cores_per_device(devices)
    with device_failures(devices[0]):
        computers = Computers(recipe, devices[0], threads)
    for ignored in dict.fromkeys(", ".join(network.ignored) for network in computers.networks if network.ignored):
        log.info("Weights that no asked layer needs are left out: %s.", ignored)
    if computers.flow is not None and computers.flow.device != computers.device:
        log.info("Flow method %s computes on the CPU; the network on %s.", config.method, computers.device)
    rgb, flow = (network and network.identity for network in (computers.rgb, computers.flow_network))
    sampling, geometry = sampling_of(config), geometry_of(config, computers.networks[0].input_spec)
    return job.fill(
        config,
        request,
        job.Job(
            plan=DevicePlan(
                recipe=recipe,
                geometry=geometry,
                sampling=sampling,
                decode_threads=config.decode_threads,
                timeout=config.timeout,
                batch_size=config.batch_size,
                workers=config.workers or default_workers(devices),
                threads=threads,
            ),
            settings=settings_of(config, rgb, flow, sampling, geometry),
            run={"options": repeatable_options(config)},
            counted="" if rgb else STREAM,
        ),
        computers,
        devices,
        started,
    )

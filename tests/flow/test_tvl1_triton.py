"""The Triton backend of TV-L1: in Triton's interpreter against the oracle, compiled for GPUs, run where there is one.

A child process (``interpreting``) computes the interpreted cases and leaves the results in a file; the tests read that.
"""

import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.flow.interpreting import CASES, SHIFTS, images, orders, planes, scattered
from tests.oracles import tvl1 as oracle
from tests.tolerances import SAME_FEW_ITERATIONS, SAME_FIELD, SAME_WARP
from vidfeat.flow.parameters import TVL1Parameters

# Registers of a multiprocessor.
REGISTERS = 65536


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    pytest.importorskip("triton")
    target = tmp_path_factory.mktemp("interpreted") / "results.npz"
    child = subprocess.run(
        [sys.executable, "-m", "tests.flow.interpreting", str(target)],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert child.returncode == 0, child.stdout + child.stderr
    with np.load(target) as results:
        return dict(results)


@pytest.mark.parametrize("name", CASES)
def test_interpreted_flow_is_the_oracles(interpreted, name):
    shape, shifts, parameters, _, group = CASES[name]
    expected = [
        oracle.tvl1(*pair, **asdict(TVL1Parameters(**parameters))) for pair in zip(*images(shape, shifts), strict=True)
    ]
    assert any(u.abs().max() > 0.1 for u, _ in expected)
    for order in orders(group):
        assert interpreted[f"{name}: iterations, {order}"].tolist() == [sum(counts) for _, counts in expected]
        for ours, (u, _) in zip(interpreted[f"{name}: flow, {order}"], expected, strict=True):
            assert np.abs(ours - u.numpy()).max() <= SAME_FEW_ITERATIONS


def test_pairs_of_a_batch_stop_at_different_times(interpreted):
    counts = interpreted["two levels, pairs that stop at different times: iterations, first"]
    assert counts[1] == 2  # equal images: one iteration for each level and warp
    assert len(set(counts.tolist())) == 3


def test_interpreted_resize(interpreted):
    down = oracle.resize(planes(0, 2, 21, 34), (17, 27), (1.25, 1.25))
    assert np.abs(interpreted["down"] - down.numpy()).max() <= SAME_WARP
    up = oracle.resize(down, (21, 34), (17 / 21, 27 / 34)) * 1.25
    assert np.abs(interpreted["up"] - up.numpy()).max() <= SAME_WARP


def test_interpreted_gradient_and_warp(interpreted):
    images, first, u = planes(0, 2, 21, 34), planes(2, 2, 21, 34), scattered(1, 2, 21, 34)
    for pair in range(2):
        gradient = torch.stack(oracle.centred_gradient(images[pair]))
        assert np.array_equal(interpreted["gradient"][pair], gradient.numpy())
        warped, gx, gy = oracle.warp(torch.stack([images[pair], *gradient]), u[pair])
        assert (warped == 0).any()
        rho = warped - gx * u[pair, 0] - gy * u[pair, 1] - first[pair]
        for ours, expected in zip(interpreted["field"][pair], (gx, gy, rho), strict=True):
            near = (
                u[pair].abs().amax(0).numpy() < 100
            )  # ρc of a far vector is large where its gradient is 0 but rounded
            assert np.abs(ours - expected.numpy())[near].max() <= 10 * SAME_WARP
            assert np.isfinite(ours).all()


class Recorder:
    """In the place of a kernel: notes what it is launched with."""

    def __init__(self, kernel, launches):
        self.kernel, self.launches = kernel, launches

    def __getitem__(self, grid):
        return lambda *arguments, **named: self.launches.append((self.kernel, arguments, named))


def launches_of(monkeypatch, shape, parameters, group=1):
    from vidfeat.flow import tvl1_triton as backend

    launches = []
    for name in ("resize_kernel", "gradient_kernel", "warp_kernel", "solve_kernel"):
        monkeypatch.setattr(backend, name, Recorder(getattr(backend, name), launches))
    monkeypatch.setattr(backend, "_programs", lambda pairs, height, device: group)
    backend.flow_fields(torch.zeros(2, *shape), torch.zeros(2, *shape), TVL1Parameters(**parameters))
    return launches


def test_the_number_of_launches_does_not_depend_on_iterations(monkeypatch):
    pytest.importorskip("triton")
    few = launches_of(monkeypatch, (240, 320), {"inner_iterations": 1, "outer_iterations": 1})
    monkeypatch.undo()
    many = launches_of(monkeypatch, (240, 320), {"inner_iterations": 1000, "outer_iterations": 10})
    # Four levels resized (two images), flow resized four times, five gradients, 5 × 5 warps of two kernels.
    assert len(few) == len(many) == 8 + 4 + 5 + 50


def compiled(launch, architecture):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel, arguments, named = launch
    constants = {name: value for name, value in named.items() if name in kernel.arg_names}
    options = {name: value for name, value in named.items() if name not in constants}

    def kind(value):
        if isinstance(value, torch.Tensor):
            return {torch.float32: "*fp32", torch.int32: "*i32"}[value.dtype]
        return "fp32" if isinstance(value, float) else "i32" if abs(value) < 1 << 31 else "i64"

    signature = {name: kind(value) for name, value in zip(kernel.arg_names, arguments, strict=False)}
    source = ASTSource(kernel, signature | dict.fromkeys(constants, "constexpr"), constants)
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)


def resources(cubin, path):
    """(registers of a thread, bytes of its stack) that cuobjdump tells, or None without that tool."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    if not tool.is_file():
        return None
    path.write_bytes(cubin)
    told = subprocess.run([tool, "-res-usage", path], capture_output=True, text=True, check=True).stdout
    return tuple(int(re.search(rf"{name}:(\d+)", told)[1]) for name in ("REG", "STACK"))


@pytest.mark.parametrize("architecture", [80, 90])
def test_kernels_compile(monkeypatch, tmp_path, record_property, architecture):
    pytest.importorskip("triton")
    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("TRITON_INTERPRET is set: nothing is compiled")
    launches = {}
    for group, side in ((1, 5), (4, 3)):
        for launch in launches_of(monkeypatch, (24, 33), {"warps": 1, "median_filter": side}, group):
            launches[launch[0].__name__, launch[2].get("GROUP")] = launch
        monkeypatch.undo()
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    assert len(launches) == 5
    for (name, group), launch in launches.items():
        kernel = compiled(launch, architecture)
        assert kernel.asm["cubin"][:4] == b"\x7fELF"
        assert f".target sm_{architecture}" in kernel.asm["ptx"]
        used = resources(kernel.asm["cubin"], tmp_path / "kernel.cubin")
        record_property(f"sm_{architecture} {name} {group}: registers, stack", used)
        if name == "solve_kernel":
            # A pair's programs meet by release and acquire at the scope of the GPU; a lone program needs none of that.
            assert ("acq_rel" in kernel.asm["ptx"]) == (group > 1)
            assert used is None or used[0] * 32 * launch[2]["num_warps"] * 2 <= REGISTERS
        assert used is None or used[1] <= 128, "values of the loops are kept in memory"


@pytest.mark.parametrize("pairs", [1, 5, 300])
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_computes_the_oracles_field(pairs):
    """One pair by many programs, a few, and more pairs than multiprocessors."""
    from vidfeat.flow import tvl1_triton as backend

    shifts = [SHIFTS[k % 3] for k in range(pairs)]
    prev, following = (torch.from_numpy(image).float().cuda() for image in images((61, 83), shifts))
    flow, iterations = backend.flow_fields(prev, following, TVL1Parameters())
    again, _ = backend.flow_fields(prev, following, TVL1Parameters())
    assert torch.equal(flow, again)
    for k in range(min(pairs, 3)):
        u, counts = oracle.tvl1(*(image[k].byte().cpu().numpy() for image in (prev, following)))
        assert (flow[k].cpu() - u).abs().mean() <= SAME_FIELD
        assert abs(int(iterations[k]) - sum(counts)) <= 0.05 * sum(counts)

"""Cases of TV-L1's Triton kernels, and what computes them in Triton's interpreter.

The interpreter has to be chosen before Triton is imported, so that is a process of its own:

    TRITON_INTERPRET=1 python -m tests.flow.interpreting RESULTS.npz
"""

import inspect
import sys
import threading
import warnings

import numpy as np
import torch

from vidfeat.flow.parameters import TVL1Parameters

SHIFTS = [(0.4, 0.2), (0, 0), (1.5, -1)]
# name: (height and width, motions of the pairs, parameters, blocks, programs on a pair)
CASES = {
    "two levels, pairs that stop at different times": (
        (20, 27), SHIFTS, {"warps": 1, "inner_iterations": 8, "outer_iterations": 2, "epsilon": 0.06}, {}, 1,
    ),
    "odd size in many small blocks": (
        (17, 23), SHIFTS[:1],
        {"scales": 1, "warps": 2, "inner_iterations": 4, "outer_iterations": 2, "epsilon": 0.0, "median_filter": 3},
        {"BLOCK": 128, "FILTER_BLOCK": 256}, 1,
    ),
    "a block smaller than a row": (
        (4, 40), SHIFTS[:1], {"warps": 1, "inner_iterations": 6, "outer_iterations": 1, "epsilon": 0.0},
        {"BLOCK": 32}, 1,
    ),
    "every number another, no median": (
        (24, 25), SHIFTS[:1],
        {"tau": 0.2, "lambda_": 0.1, "theta": 0.4, "scale_step": 0.7, "warps": 2, "median_filter": 1,
         "inner_iterations": 15, "outer_iterations": 1}, {}, 1,
    ),
    "four programs on a pair": (
        (19, 21), SHIFTS[:2],
        {"scales": 1, "warps": 2, "inner_iterations": 2, "outer_iterations": 2, "epsilon": 0.05, "median_filter": 3},
        {"BLOCK": 128}, 4,
    ),
    "more programs than stripes": (
        (9, 30), SHIFTS[:1],
        {"warps": 1, "inner_iterations": 2, "outer_iterations": 2, "epsilon": 0.0, "median_filter": 3}, {}, 8,
    ),
    "a pair of one pixel's width": (
        (18, 1), SHIFTS[:1], {"warps": 1, "inner_iterations": 10, "outer_iterations": 1, "epsilon": 0.0}, {}, 1,
    ),
}  # fmt: skip


def images(shape, shifts):
    """(prev, next), [N, H, W] uint8: waves, moved by the shifts."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)

    def picture(dx, dy):
        waves = [
            np.sin((x - dx) * a + (y - dy) * b + c) for a, b, c in ((0.5, 0.2, 0), (-0.2, 0.45, 1), (0.15, 0.8, 2))
        ]
        return (127.5 + 40 * sum(waves)).clip(0, 255).astype(np.uint8)

    return np.stack([picture(0, 0)] * len(shifts)), np.stack([picture(*shift) for shift in shifts])


def planes(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32))


def scattered(seed, pairs, height, width):
    """Flows that lead inside, across the border and far beyond it."""
    u = np.random.default_rng(seed).normal(0, 6, (pairs, 2, height, width)).astype(np.float32)
    u[0, :, 0, :4] = [[1e9, -1e9, 0, 0], [0, 0, 1e9, -1e9]]
    return torch.from_numpy(u)


def orders(group):
    """In which the programs of a pair are run."""
    return ("first", "last") if group != 1 else ("first",)


def interpret_everything(target):
    """Results of all cases, by name, in an .npz file."""
    from triton.runtime.interpreter import InterpretedFunction

    from vidfeat.flow import triton_tvl1
    from vidfeat.flow import tvl1_triton as backend

    warnings.simplefilter("ignore", RuntimeWarning)  # lanes that are masked out divide by zero
    # Each call of a helper looks for what to replace in triton.language, as the launch of the kernel has done already.
    for helper in list(vars(triton_tvl1).values()):
        if isinstance(helper, InterpretedFunction) and not helper.__name__.endswith("kernel"):
            setattr(triton_tvl1, helper.__name__, helper.rewrite())
    results, usual = {}, (backend.SOLVE, backend._programs)
    for name, (shape, shifts, parameters, blocks, group) in CASES.items():
        backend.SOLVE = usual[0] | blocks
        backend._programs = lambda pairs, height, device, group=group: group
        prev, following = (torch.from_numpy(image).float() for image in images(shape, shifts))
        for order in orders(group):
            with together(order, group):
                flow, iterations = backend.flow_fields(prev, following, TVL1Parameters(**parameters))
            results[f"{name}: flow, {order}"], results[f"{name}: iterations, {order}"] = flow, iterations
    backend.SOLVE, backend._programs = usual
    results.update(interpret_kernels(backend))
    np.savez(target, **{name: np.asarray(value) for name, value in results.items()})


def interpret_kernels(backend):
    image, u, shape = planes(0, 2, 21, 34), scattered(1, 2, 21, 34), (21, 34, backend._reciprocal(34))
    down, up, gradient, field = (torch.empty(2, *size) for size in ((17, 27), (21, 34), (2, 21, 34), (3, 21, 34)))
    backend._resize(image, down, (1.25, 1.25))
    backend._resize(down, up, (17 / 21, 27 / 34), 1.25)
    backend.gradient_kernel[backend._grid(21 * 34, 2)](image, gradient, *shape, **backend.ONCE)
    backend.warp_kernel[backend._grid(21 * 34, 2)](
        planes(2, 2, 21, 34), image, gradient, u, field, *shape, **backend.ONCE
    )
    return {"down": down, "up": up, "gradient": gradient, "field": field}


class together:  # noqa: N801 (a context manager)
    """Lets the programs of a launch run in turns, from one meeting to the next, the first or the last program first.

    The interpreter runs a program to its end before it starts the next, which programs that wait for one another never
    reach. Here each has a thread, and only one thread runs at any time. A program that reads too early, or too late,
    what another one writes has another result in one of the two orders.
    """

    def __init__(self, order, group):
        self.order, self.group = order, group

    def __enter__(self):
        from triton.runtime import interpreter

        from vidfeat.flow import triton_tvl1

        self.modules = interpreter, triton_tvl1
        self.saved = interpreter.GridExecutor, triton_tvl1._meet
        if self.group > 1:
            interpreter.GridExecutor = executor_in_turns(self.order)
            triton_tvl1._meet = Turns.meet
        return self

    def __exit__(self, *_):
        interpreter, triton_tvl1 = self.modules
        interpreter.GridExecutor, triton_tvl1._meet = self.saved


def executor_in_turns(order):
    from triton.runtime import interpreter

    class InTurns(interpreter.GridExecutor):
        def __init__(self, fn, arg_names, grid, *rest):
            super().__init__(fn, arg_names, grid, *rest)
            if fn.__name__ != "solve_kernel":
                return
            turns, count = Turns(order), grid[0]

            def program(**arguments):
                turns.add(fn, arguments, interpreter.interpreter_builder)
                if len(turns.programs) == count:
                    turns.run()

            program.__signature__ = inspect.signature(fn)
            self.fn = program

    return InTurns


class Turns:
    """The programs of one launch, each in a thread that runs only when it is its turn."""

    running = None

    def __init__(self, order):
        self.order, self.programs, self.arrived, self.failure = order, [], {}, None

    def add(self, fn, arguments, builder):
        place, program = builder.grid_idx, Program()

        def body():
            program.wait()
            builder.set_grid_idx(*place)  # is read once, at the start
            try:
                fn(**arguments)
            except BaseException as error:
                self.failure = error
            program.alive = False
            program.paused.set()

        program.thread = threading.Thread(target=body, daemon=True)
        self.programs.append(program)

    def run(self):
        Turns.running = self
        for program in self.programs:
            program.thread.start()
        while self.failure is None and (alive := [program for program in self.programs if program.alive]):
            for program in alive if self.order == "first" else reversed(alive):
                self.now = program
                program.go.set()
                program.paused.wait()
                program.paused.clear()
        Turns.running = None
        if self.failure is not None:
            raise self.failure

    @staticmethod
    def meet(arrivals, target):
        """In the place of the kernel's ``_meet``: the others' turn, once for each; then all must have arrived."""
        self, counter, program = Turns.running, number(arrivals), Turns.running.now
        self.arrived[counter] = self.arrived.get(counter, 0) + 1
        program.paused.set()
        program.wait()
        if self.arrived[counter] < number(target):
            raise RuntimeError(f"{self.arrived[counter]} programs have arrived where {target} are waited for")


class Program:
    def __init__(self):
        self.go, self.paused, self.alive = threading.Event(), threading.Event(), True

    def wait(self):
        self.go.wait()
        self.go.clear()


def number(scalar):
    """Of a scalar of the interpreter, or a plain one."""
    return int(np.asarray(scalar.handle.data).reshape(-1)[0]) if hasattr(scalar, "handle") else int(scalar)


if __name__ == "__main__":
    import triton.language as tl  # noqa: F401 (the interpreter looks for it where a program's function is defined)

    interpret_everything(sys.argv[1])

"""Machine code of the compiled TV-L1, just made and kept from before."""

import os
import subprocess
import sys
from pathlib import Path

# Textured images and so many iterations that a difference of rounding would be seen.
PROGRAM = """
import hashlib
import numpy as np
from vidfeat.flow.numba_solver import solve
from vidfeat.compiled import has_machine_code
from vidfeat.flow.parameters import TVL1Parameters
from vidfeat.flow.tvl1_numba import flow_fields

random = np.random.default_rng(0)
y, x = np.mgrid[:97, :131]
wave = lambda dx, dy: 127 + 60 * np.sin((x + dx) / 3.1 + np.sin((y + dy) / 2.3)) + random.normal(0, 5, x.shape)
pair = [wave(*move).astype(np.float32)[None] for move in ((0, 0), (1.3, -0.6))]
known = has_machine_code(solve)
flow, iterations = flow_fields(*pair, TVL1Parameters(), threads=1)
print(known, iterations[0], hashlib.sha256(flow.tobytes()).hexdigest())
"""


def test_fields_are_the_same_to_the_bit_whether_machine_code_is_new_or_kept(tmp_path):
    def answer():
        paths = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
        call = [sys.executable, "-c", PROGRAM]
        run = subprocess.run(call, env={**os.environ, **paths}, capture_output=True, text=True, check=True)
        return run.stdout.split()

    new, *field = answer()
    kept, *again = answer()
    assert (new, kept) == ("False", "True")
    assert again == field

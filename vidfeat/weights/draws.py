"""Numbers drawn for a parameter by its name, the same on every machine.

Bits come from NumPy's PCG64, whose stream NumPy guarantees, seeded with the SHA-256 of ``vidfeat-weights-1:SEED:NAME``.
The upper 23 bits k of each 32-bit half give u = (2k + 1)/2²³ − 1, uniform on (−1, 1), exactly in float32.
"""

import hashlib

import numpy as np

VERSION = 1  # of the scheme, this one and the variances that go with it

_CHUNK = 1 << 18


def fill_uniform(out: np.ndarray, name: str, seed: int, bound: float) -> None:
    """Fill a flat float32 array with values uniform on (−bound, bound) that depend on name and seed only."""
    digest = hashlib.sha256(f"vidfeat-weights-{VERSION}:{seed}:{name}".encode()).digest()
    bits = np.random.PCG64(int.from_bytes(digest[:16], "little"))
    step = np.float32(bound / 2**23)
    # In chunks that stay in the processor's cache: five passes over 62 million values take four times as long.
    for start in range(0, len(out), _CHUNK):
        part = out[start : start + _CHUNK]
        raw = bits.random_raw((len(part) + 1) // 2).astype("<u8", copy=False).view("<u4")[: len(part)]
        odd = (raw >> np.uint32(8)) | np.uint32(1)  # 2k + 1, 24 bits, exact in float32
        np.subtract(odd, np.float32(2**23), out=part, dtype=np.float32)
        part *= step

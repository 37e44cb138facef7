"""What secure sums cost: quantise and mask, sum, unmask and decode one vector, in CPU seconds on one core.

Run: python benchmarks/masking.py [--values 25000000] [--members 4] [--results]
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from serai.aggregation.codec import Block, Codec, Encoder, is_wide_enough
from serai.aggregation.exchange import ChunkDigests, masked_chunks, read_total, sum_chunks
from serai.aggregation.masking import Mask
from serai.aggregation.ring import chunk_bytes, chunk_values

TENSORS = 20  # blocks with a step of their own, as a model's tensors would have
REPEATS = 3  # the best of them is reported: the others were disturbed

LEAST_GB_PER_S = 2.0


def seconds(work: Callable[[], object]) -> float:
    """CPU time of the fastest of some repeats."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def measure(bits: int, values: int, members: int) -> dict[str, float]:
    """Cost of each step for a float32 vector in a ring of ``bits``."""
    values -= values % TENSORS
    limit = min(2**20, ((1 << (bits - 1)) - 1) // members)
    step = Fraction(6, limit)
    codec = Codec(bits=bits, limit=limit, blocks=(Block(length=values // TENSORS, step=step),) * TENSORS)
    if not is_wide_enough(codec, members):
        message = f"a ring of {bits} bits holds no sum of {members} members"
        raise SystemExit(message)
    vector = np.random.default_rng(1).standard_normal(values, dtype=np.float32)
    masks = [Mask(os.urandom(32), 1 if number % 2 else -1) for number in range(members)]
    noise = memoryview(os.urandom(chunk_bytes(bits)))
    out = np.zeros(values, np.float32)
    masked: list[bytes] = []

    def upload(number: int) -> memoryview:
        return noise[: codec.ring.packed_bytes(chunk_values(values, number))]

    def mask() -> None:
        for _ in masked_chunks(codec, Encoder(codec, vector).chunk, masks):
            pass

    def add() -> None:
        masked.clear()
        masked.extend(bytes(chunk) for chunk in sum_chunks(codec, [upload] * members))

    def digest() -> None:
        digests = ChunkDigests()
        for chunk in masked:
            digests.add(chunk)

    return {
        "bits": bits,
        "members": members,
        "model_mb": round(vector.nbytes / 1e6, 1),
        "upload_mb": round(codec.upload_bytes / 1e6, 1),
        "quantise_mask_s": seconds(mask),
        "sum_s": seconds(add),
        "digest_s": seconds(digest),
        "unmask_decode_s": seconds(lambda: read_total(codec, masked.__getitem__, masks, out)),
    }


def aes_gb_per_s() -> float:
    """AES-256-CTR on one core, GB/s: what a mask costs before anything is added."""
    cipher = Cipher(algorithms.AES(os.urandom(32)), modes.CTR(bytes(16))).encryptor()
    zeros, out = bytes(2**20), bytearray(2**20 + 15)
    return 256 * 2**20 / seconds(lambda: [cipher.update_into(zeros, out) for _ in range(256)]) / 1e9


def print_results(row: dict[str, float]) -> None:
    """The figures of one ring as results to record."""
    name = f"{row['model_mb']:g} MB float32, {row['bits']}-bit ring, K={row['members']}, CPU of one core"
    mask_gb_per_s = row["members"] * row["upload_mb"] / row["quantise_mask_s"] / 1e3
    peer = "Flower 1.42 SecAgg+: 0.16 GB/s of mask"
    rows = [
        (f"quantise and mask, {name}", mask_gb_per_s, "GB/s of mask", peer, f"AES-256-CTR: {aes_gb_per_s():.1f} GB/s"),
        (f"sum at the center, {name}", row["sum_s"], "s", "", f"{row['members'] * row['upload_mb']:g} MB read once"),
        (f"unmask and decode, {name}", row["unmask_decode_s"], "s", "", ""),
    ]
    for what, value, unit, other, limit in rows:
        least = LEAST_GB_PER_S if unit == "GB/s of mask" else None
        promise = {"bar": f"at least {least:g} GB/s" if least else "", "holds": value >= least if least else None}
        result = {"issue": 2, "name": what, "value": round(value, 4), "unit": unit, **promise}
        print(json.dumps({**result, "peer": other, "limit": limit}), flush=True)


def main() -> None:
    """Print one row for each ring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", type=int, default=25_000_000)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--bits", type=int, nargs="*", default=[12, 16, 20, 32])
    parser.add_argument("--results", action="store_true", help="print results to record")
    options = parser.parse_args()
    for bits in options.bits:
        row = measure(bits, options.values, options.members)
        if options.results:
            print_results(row)
        else:
            print(json.dumps(row), flush=True)
    if not options.results:
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()

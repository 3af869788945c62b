"""Rates of the noisy raphe spikes: on the fly in JAX, and a store against a plain Zarr write of the same bytes."""

import resource
import statistics
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import zarr
from measuring import Results

from spiketype.datasets import batches, store
from spiketype.datasets.raphe import noisy
from spiketype.datasets.raphe import table as raphe
from spiketype.datasets.raphe.spikes import POINTS
from spiketype.train.tasks.raphe.config import RapheTaskConfig
from spiketype.train.tasks.raphe.task import find_store


def on_the_fly(table: raphe.RapheTable, batch: int = 4096, steps: int = 16, repeats: int = 20) -> list[float]:
    """Return noisy spikes a second, drawn in a scan of training steps whose batches are all written to memory."""
    train = np.arange(len(table.cell))
    plan = jax.tree.map(jnp.asarray, batches.plan(train, table.label, True))
    part = jax.tree.map(jnp.asarray, noisy.masks(table, train))
    base, window = jnp.asarray(noisy.smooth(table.spike_pA)), jnp.asarray(table.noise_pA)

    @jax.jit
    def run(key: jax.Array) -> jax.Array:
        def step(carry: None, number: jax.Array) -> tuple[None, jax.Array]:
            index_key, noise_key = jax.random.split(jax.random.fold_in(key, number))
            index = batches.draw(plan, index_key, batch)
            return None, noisy.noisy(noise_key, base, index, window, part)

        return jax.lax.scan(step, None, jnp.arange(steps, dtype=jnp.uint32))[1]

    run(jax.random.key(0)).block_until_ready()
    rates = []
    for repeat in range(repeats):
        start = time.perf_counter()
        run(jax.random.key(repeat)).block_until_ready()
        rates.append(batch * steps / (time.perf_counter() - start))
    return sorted(rates)


def plain_write(folder: Path, written: Path) -> float:
    """Return the seconds that Zarr alone takes to write the spikes again, in blocks, same chunks and compressor."""
    source = zarr.open_group(written, mode="r")["spike_pA"]
    assert isinstance(source, zarr.Array)
    spent, target = 0.0, None
    for first in range(0, source.shape[0], noisy.BLOCK):
        values = np.asarray(source[first : first + noisy.BLOCK])
        start = time.perf_counter()
        if target is None:
            target = zarr.create_array(
                folder / "plain.zarr",
                shape=source.shape,
                chunks=source.chunks,
                dtype=source.dtype,
                compressors=store.COMPRESSORS,
            )
        target[first : first + noisy.BLOCK] = values
        spent += time.perf_counter() - start
    return spent


def benchmark(rounds: int = 3, samples: int = 12_700_600) -> Results:
    """Print the rates of noisy spikes of the default simulated store, which is made where it is missing.

    Args:
        rounds: Times that the store is written; the median counts.
        samples: Noisy spikes in it: by default the published number, twice 8.1 GB in a temporary folder.
    """
    table = raphe.load(find_store(RapheTaskConfig()))
    rates = on_the_fly(table)
    on_the_fly_per_s = statistics.median(rates)
    print(f"on the fly: {on_the_fly_per_s / 1e6:.2f} million spikes/s, wanted 1.5", flush=True)
    half, size_MB = samples * 6_025_300 // 12_700_600, samples * POINTS * 4 / 1e6
    config = noisy.NoisyConfig(serotonergic=samples - half, other=half)
    times = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            start = time.perf_counter()
            noisy.generate(table, config, Path(name) / "noisy.zarr")
            ours = time.perf_counter() - start
            plain = plain_write(Path(name), Path(name) / "noisy.zarr")
        times.append((ours, plain))
        print(f"round {number + 1}: store {size_MB / ours:.0f} MB/s, plain Zarr {size_MB / plain:.0f} MB/s", flush=True)
    share = statistics.median(plain / ours for ours, plain in times)
    memory_GB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"store over plain Zarr, median of {rounds}: {share:.2f} (wanted 0.70)")
    print(f"largest memory {memory_GB:.2f} GB, wanted below 2")
    return {
        "on_the_fly_spikes_per_s": on_the_fly_per_s,
        "store_MB_per_s": size_MB / statistics.median(ours for ours, _ in times),
        "plain_Zarr_MB_per_s": size_MB / statistics.median(plain for _, plain in times),
        "store_over_plain_Zarr": share,
        "largest_memory_GB": memory_GB,
    }

"""Rates of the noisy raphe spikes: on the fly in JAX, and a store against a plain Zarr write of the same bytes.

python scripts/raphe_noisy_rate.py STORE [--samples 3000000]
"""

import resource
import shutil
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import zarr

from datasets import batches, raphe, raphe_noisy, store


def on_the_fly(table: raphe.RapheTable, batch: int = 4096, steps: int = 16, repeats: int = 20) -> list[float]:
    """Noisy spikes a second, drawn in a scan of training steps whose batches are all written to memory."""
    train = np.arange(len(table.cell))
    plan = jax.tree.map(jnp.asarray, batches.plan(train, table.label, True))
    part = jax.tree.map(jnp.asarray, raphe_noisy.masks(table, train))
    base, window = jnp.asarray(raphe_noisy.smooth(table.spike_pA)), jnp.asarray(table.noise_pA)

    @jax.jit
    def run(key: jax.Array) -> jax.Array:
        def step(carry: None, number: jax.Array) -> tuple[None, jax.Array]:
            index_key, noise_key = jax.random.split(jax.random.fold_in(key, number))
            index = batches.draw(plan, index_key, batch)
            return None, raphe_noisy.noisy(noise_key, base, index, window, part)

        return jax.lax.scan(step, None, jnp.arange(steps, dtype=jnp.uint32))[1]

    run(jax.random.key(0)).block_until_ready()
    rates = []
    for repeat in range(repeats):
        start = time.perf_counter()
        run(jax.random.key(repeat)).block_until_ready()
        rates.append(batch * steps / (time.perf_counter() - start))
    return sorted(rates)


def plain_write(folder: Path, noisy: Path) -> float:
    """Seconds to write the spikes of a noisy store again with Zarr alone, same chunks and compressor, in blocks."""
    source = zarr.open_group(noisy, mode="r")["spike_pA"]
    assert isinstance(source, zarr.Array)
    spent, target = 0.0, None
    for first in range(0, source.shape[0], raphe_noisy.BLOCK):
        values = np.asarray(source[first : first + raphe_noisy.BLOCK])
        start = time.perf_counter()
        if target is None:
            target = zarr.create_array(
                folder / "plain.zarr",
                shape=source.shape,
                chunks=source.chunks,
                dtype=source.dtype,
                compressors=store.COMPRESSOR,
            )
        target[first : first + raphe_noisy.BLOCK] = values
        spent += time.perf_counter() - start
    return spent


def main(data: tyro.conf.Positional[Path], samples: int = 3_000_000) -> None:
    """Print the rates."""
    table = raphe.load(data)
    print("on the fly, million spikes/s:", [round(r / 1e6, 2) for r in on_the_fly(table)][::5])
    with tempfile.TemporaryDirectory() as name:
        folder, half = Path(name), samples // 2
        config = raphe_noisy.NoisyConfig(serotonergic=samples - half, other=half)
        for _ in range(2):
            shutil.rmtree(folder / "noisy.zarr", ignore_errors=True)
            shutil.rmtree(folder / "plain.zarr", ignore_errors=True)
            start = time.perf_counter()
            raphe_noisy.generate(table, config, folder / "noisy.zarr")
            ours = time.perf_counter() - start
            plain = plain_write(folder, folder / "noisy.zarr")
            size = samples * 640 / 1e6
            print(f"store {size / ours:.0f} MB/s, plain Zarr {size / plain:.0f} MB/s, share {plain / ours:.2f}")
    print(f"largest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    tyro.cli(main)

"""The forward model on a GPU or a TPU, beside what the device could do at best."""

import statistics
import time
from collections.abc import Sequence

import jax

from spiketype.simulator.eap import forward, placement
from spiketype.simulator.eap.forward import SEGMENTS_PER_CHUNK, Factors
from spiketype.simulator.eap.probes import points, probe

# Operations of `forward.line_source` for a contact and a segment, a root or a logarithm counted as one.
SOURCE_FLOP = 53


def on_device(
    cells: Sequence[Factors], batch: int, rounds: int, peak_tflops: float, peak_gb_per_s: float
) -> dict[str, float]:
    """Print EAPs a second of JAX's default device and its roofline: by arithmetic, and by the bytes of the potentials.

    Args:
        cells: Each is as often computed as the others, on the array of 100 contacts.
        batch: Placements of a cell at once.
        rounds: Times that all are computed; the median counts.
        peak_tflops, peak_gb_per_s: Of the device.
    """
    contacts = jax.device_put(points(probe()))
    placed = placement.draw(0, "device", "BP", True, 0, batch, "3drot", n_spikes=min(len(c.spatial) for c in cells))
    taken = []
    for _ in range(1 + rounds):  # the first compiles
        began = time.perf_counter()
        for cell in cells:
            forward.potentials(cell, contacts, *placed).block_until_ready()
        taken.append(time.perf_counter() - began)
    rate = batch * len(cells) / statistics.median(taken[1:])
    flop = statistics.fmean(flop_of_eap(cell, len(contacts)) for cell in cells)
    written = statistics.fmean(4 * len(contacts) * cell.temporal.shape[2] for cell in cells)
    by_flop, by_bytes = peak_tflops * 1e12 / flop, peak_gb_per_s * 1e9 / written
    device, roofline = jax.devices()[0].device_kind, min(by_flop, by_bytes)
    print(
        f"forward model on one {device}, batches of {batch}: {rate:.0f} EAPs/s, {rate / roofline:.1%} of its roofline"
    )
    print(
        f"roofline: {by_flop:.0f} EAPs/s by {flop / 1e6:.1f} MFLOP an EAP at {peak_tflops:g} TFLOP/s, "
        f"{by_bytes:.0f} by {written / 1e3:.1f} kB written at {peak_gb_per_s:g} GB/s",
        flush=True,
    )
    return {
        "device_EAP_per_s": rate,
        "roofline_by_FLOP_EAP_per_s": by_flop,
        "roofline_by_bytes_EAP_per_s": by_bytes,
        "share_of_roofline": rate / roofline,
        "MFLOP_per_EAP": flop / 1e6,
        "kB_written_per_EAP": written / 1e3,
    }


def flop_of_eap(cell: Factors, contacts: int) -> float:
    """Return the operations of one EAP: the sources, and the products with the spatial and the temporal factors."""
    segments = -(-int(cell.segments) // SEGMENTS_PER_CHUNK) * SEGMENTS_PER_CHUNK
    rank, times = cell.temporal.shape[1:]
    return contacts * (segments * (SOURCE_FLOP + 2 * rank) + 2 * rank * times)

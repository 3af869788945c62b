"""A simulated raphe store against the published statistics: python scripts/raphe_calibration.py STORE."""

from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Float

from spiketype.datasets.raphe import table as raphe
from spiketype.simulator.raphe import cells


def spread(values: Float[np.ndarray, " value"]) -> str:
    """Return median and 5th to 95th percentile in words."""
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def noise_of(table: raphe.RapheTable, lag: int) -> Float[np.ndarray, " cell"]:
    """Return the autocorrelation of the windows of each cell at a lag, less each window's mean."""
    noise = table.noise_pA - table.noise_pA.mean(axis=1, keepdims=True)
    parts = [noise[table.noise_cell == c] for c in np.unique(table.noise_cell)]
    return np.array([(p[:, lag:] * p[:, :-lag]).sum() / (p**2).sum() for p in parts])


def power_90_kHz(table: raphe.RapheTable) -> Float[np.ndarray, " cell"]:
    """Return the frequency below which 90 % of the noise power of each cell lies."""
    found = []
    for c in np.unique(table.noise_cell):
        noise = table.noise_pA[table.noise_cell == c]
        power = np.abs(np.fft.rfft((noise - noise.mean(axis=1, keepdims=True)) * np.hanning(160))) ** 2
        share = power.sum(axis=0).cumsum()
        found.append(np.interp(0.9, share / share[-1], np.fft.rfftfreq(160, 1 / 40)))
    return np.array(found)


def main(data: tyro.conf.Positional[Path]) -> None:
    """Print a Markdown table of a simulated store beside the published statistics.

    Args:
        data: The store.
    """
    table = raphe.load(data)
    serotonergic = table.cell_label == 1
    mean = np.stack([table.spike_pA[table.cell == c].mean(axis=0) for c in range(len(table.cell_names))])
    rows = [
        ("cells, serotonergic / other", "108 / 45", f"{serotonergic.sum()} / {(~serotonergic).sum()}"),
        ("spikes", "29,773 / 13,554", " / ".join(f"{(table.label == k).sum():,}" for k in (1, 0))),
        ("days", "23", f"{len(table.day_names)}"),
    ]
    for name, mine, kind in (("serotonergic", serotonergic, True), ("other", ~serotonergic, False)):
        edge, count = cells.histogram(kind)
        each = np.repeat(edge + cells.UDI_BIN_MS / 2, count)
        rows += [(f"UDI, {name}, ms", spread(each), f"{spread(table.cell_udi_ms[mine])}")]
    atypical = (table.atypical == 1).sum() / serotonergic.sum()
    rows += [
        ("serotonergic with UDI < 0.9 ms", "20 %", f"{atypical:.0%}"),
        ("trough, pA", "-60 to -120", spread(mean.min(axis=1))),
        ("hump, pA", "+10 to +20", spread(mean[:, 45:].max(axis=1))),
        ("noise, pA rms", "2.9 and 4.0", spread(table.noise_rms_pA)),
        ("autocorrelation at lag 1", "0.71 and 0.84", spread(noise_of(table, 1))),
        ("autocorrelation at lag 2", "0.18 and 0.54", spread(noise_of(table, 2))),
        ("90 % of power below, kHz", "7 to 8", spread(power_90_kHz(table))),
        ("rate, Hz", "about 2", spread(table.rate_Hz)),
        ("ISI CV below 0.5", "97 %", f"{(table.isi_cv < 0.5).mean():.0%}"),
        ("correlation of rate and ISI CV", "-0.33", f"{np.corrcoef(table.rate_Hz, table.isi_cv)[0, 1]:.2f}"),
        ("UDI measured over simulated", "", spread(table.cell_udi_ms / table.true_udi_ms)),
    ]
    print("| statistic: median (5 % to 95 %) | published | simulated |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    tyro.cli(main)

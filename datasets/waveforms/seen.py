"""The waveforms that a model sees, as pictures show them: with their times, in words that say the scale."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spiketype.datasets.options import WaveformOptions
from spiketype.datasets.waveforms.inputs import inputs
from spiketype.datasets.waveforms.shape import WAVE_MS, largest, measure
from spiketype.datasets.waveforms.table import WaveformTable

FROM_TROUGH = "time from the trough (ms)"


class Seen(NamedTuple):
    """Waveforms as a model sees them.

    Attributes:
        waveform: NaN where the recorded one has ended, and the model sees its last value.
        time_ms: of each sample.
        time: what `time_ms` is, for an axis.
        scale: what `waveform` is, for an axis.
    """

    waveform: Float[np.ndarray, "row channel time"]
    time_ms: Float[np.ndarray, " time"]
    time: str
    scale: str


def seen(options: WaveformOptions, table: WaveformTable, rate_kHz: float | None = None) -> Seen:
    """Return the waveforms of a table as a model with these options sees them.

    Args:
        options: of the task.
        table: the waveforms.
        rate_kHz: that of the model, if it is not the table's.
    """
    if options.inputs == "shape":
        measured = measure(largest(table.waveform), table.rate_kHz)
        wave = np.where(measured.after_ms[:, None] >= WAVE_MS, measured.wave, np.nan)
        return Seen(wave[:, None], WAVE_MS, FROM_TROUGH, "over the depth of the trough")
    rate = rate_kHz or table.rate_kHz
    x = inputs(table, rate, options.window_ms, options.channels, options.normalise, hold=False)
    before = round(options.window_ms[0] * rate) if options.window_ms else 0
    scale = {
        "amplitude": "over the peak-to-peak amplitude",
        "zscore": "standard deviations of the waveform",
        "none": f"amplitude ({'µV' if table.units == 'uV' else table.units})",
    }[options.normalise]
    time = FROM_TROUGH if options.window_ms else "time from the start of the cut (ms)"
    return Seen(x, (np.arange(x.shape[2]) - before) / rate, time, scale)

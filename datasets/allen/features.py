"""The 41 features of a whole-cell recording: names, units, and usual values.

Twenty-seven are columns of the Allen Cell Types Database's ``ephys_features.csv``, under the same names. The other
fourteen are means over the spikes of a noise sweep (Ophir, Shefi & Lindenbaum 2024; see `datasets.allen.noise`).
"""

from typing import NamedTuple


class Feature(NamedTuple):
    """Unit of a feature, and its median over the 1424 mouse and 299 human cells of Ophir et al.: a check of units."""

    unit: str
    usual: float


NOISE = {
    "threshold_v": Feature("mV", -37.7),
    "threshold_i": Feature("pA", 207),
    "peak_v": Feature("mV", 29.6),
    "peak_i": Feature("pA", 207),
    "trough_v": Feature("mV", -54.1),
    "trough_i": Feature("pA", 162),
    "upstroke": Feature("V/s", 276),
    "upstroke_v": Feature("mV", -4.53),
    "downstroke": Feature("V/s", -92.5),
    "downstroke_v": Feature("mV", 6.2),
    "fast_trough_v": Feature("mV", -49.3),
    "fast_trough_i": Feature("pA", 201),
    "width": Feature("s", 0.000843),
    "upstroke_downstroke_ratio": Feature("1", 2.98),
}
DATABASE = {
    "f_i_curve_slope": Feature("Hz/pA", 0.195),
    "fast_trough_v_long_square": Feature("mV", -51.0),
    "fast_trough_v_ramp": Feature("mV", -51.0),
    "fast_trough_v_short_square": Feature("mV", -54.6),
    "input_resistance_mohm": Feature("MOhm", 182),
    "latency": Feature("s", 0.0367),
    "peak_v_long_square": Feature("mV", 33.9),
    "peak_v_ramp": Feature("mV", 36.1),
    "peak_v_short_square": Feature("mV", 35.9),
    "ri": Feature("MOhm", 160),
    "sag": Feature("1", 0.0586),
    "seal_gohm": Feature("GOhm", 1.58),
    "tau": Feature("ms", 17.4),
    "threshold_i_long_square": Feature("pA", 110),
    "threshold_i_ramp": Feature("pA", 99.8),
    "threshold_i_short_square": Feature("pA", 600),
    "threshold_v_long_square": Feature("mV", -38.0),
    "threshold_v_ramp": Feature("mV", -36.6),
    "threshold_v_short_square": Feature("mV", -45.1),
    "trough_v_long_square": Feature("mV", -55.0),
    "trough_v_ramp": Feature("mV", -55.0),
    "trough_v_short_square": Feature("mV", -72.9),
    "upstroke_downstroke_ratio_long_square": Feature("1", 3.0),
    "upstroke_downstroke_ratio_ramp": Feature("1", 3.03),
    "upstroke_downstroke_ratio_short_square": Feature("1", 2.95),
    "vm_for_sag": Feature("mV", -90.6),
    "vrest": Feature("mV", -72.2),
}
FEATURES = NOISE | DATABASE
FEATURES_14, FEATURES_27, FEATURES_41 = tuple(NOISE), tuple(DATABASE), tuple(FEATURES)

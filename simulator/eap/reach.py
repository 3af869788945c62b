"""The most that any placement of a cell can reach, by its currents alone: what can never be is refused at once."""

from collections.abc import Mapping

import numpy as np

from spiketype.edge import UserError
from spiketype.simulator.eap.box import Box
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.probes import Probe, points
from spiketype.simulator.neuron.source import Source

SHELL_UM = 1.0  # distances of the soma that are looked at together
ALLOWED = 10  # times the error of the currents' factors, which is measured, not proved
ROUNDING = 1.01


def check(config: EapConfig, layout: Probe, sources: Mapping[str, Source]) -> None:
    """Refuse a threshold that no placement of one of the cell models can reach, before candidates are searched in vain.

    Raises:
        UserError: names the cell model and what it could reach at most.
    """
    soma_um = nearest_um(points(layout, config.contact_points), config.box)
    for name, source in sources.items():
        most = most_uV(source, soma_um, config.sigma_S_per_m)
        most = ROUNDING * (most + ALLOWED * config.error_uV)
        if most < config.threshold_uV:
            raise UserError(
                f"cell {name}: no placement can reach --threshold-uv {config.threshold_uV:g} at a contact of"
                f" {config.probe}, because its currents give less than {most:.4g} uV in any: lower the threshold or"
                " move the box nearer"
            )


def nearest_um(contacts_um: np.ndarray, box: Box) -> float:
    """Return how near a soma in the box can be to a point (..., 3) of a contact."""
    low, high = np.array([box.x_um, box.y_um, box.z_um]).T
    there = np.asarray(contacts_um, np.float64)
    return float(np.linalg.norm(np.clip(there, low, high) - there, axis=-1).min())


def most_uV(source: Source, soma_um: float, sigma_S_per_m: float) -> float:
    """Return a bound of the peak-to-peak potential at any point that is at least `soma_um` from the soma.

    A segment whose points are r0 to r1 from the soma is |r - D| or more from a point that is D from it, and gives at
    most its current over that distance, or over its radius if that is larger. Segments are added up as if all were
    nearest and largest at once.
    """
    start, end = source.start_um.astype(np.float64), source.end_um.astype(np.float64)
    along = end - start
    share = -(start * along).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1e-12)
    foot = start + np.clip(share, 0, 1)[:, None] * along
    near, far = np.linalg.norm(foot, axis=1), np.maximum(*(np.linalg.norm(p, axis=1) for p in (start, end)))
    current_nA = np.ptp(source.current_nA, axis=2).max(axis=0)
    # Farther than all segments, the bound falls with the distance.
    distance_um = np.arange(soma_um, max(soma_um, far.max()) + SHELL_UM, SHELL_UM)[:, None]
    between_um = np.maximum(np.maximum(distance_um - far, near - distance_um - SHELL_UM), source.diameter_um / 2)
    return float((current_nA / between_um).sum(axis=1).max()) * 1e3 / (4 * np.pi * sigma_S_per_m)

"""Where the contacts are: named layouts, probeinterface objects or files, put in the plane x = 0."""

import functools
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import probeinterface
from jaxtyping import Float32
from probeinterface.generator import generate_linear_probe, generate_multi_columns_probe, generate_tetrode
from probeinterface.neuropixels_tools import build_neuropixels_probe

from spiketype.damage import readable
from spiketype.edge import UserError

NAMES = (
    "mea10x10 (or meaROWSxCOLUMNS, 15 um pitch), neuropixels1, neuropixels2, tetrode,"
    " linear16 (or linearN, 20 um pitch)"
)
NEUROPIXELS = {"neuropixels1": "NP1000", "neuropixels2": "NP2000"}  # part numbers of the single-shank probes
NEUROPIXELS_CHANNELS = 384  # recorded at once; the default is the bank next to the tip
UM_PER = {"um": 1.0, "mm": 1e3, "m": 1e6}
SAME_UM = 1e-3  # coordinates closer than this are one row or column
ALIGNED = 1e-6  # how far a contact's sides may be off y and z, as a cosine


@dataclass(frozen=True)
class Probe:
    """A planar probe in the plane x = 0, the middle of its contacts at the origin."""

    name: str
    contact_um: Float32[np.ndarray, "channel 3"]
    normal: tuple[float, float, float]  # unit vector out of the plane, towards the cells
    grid: tuple[int, int] | None  # (rows, columns): channel = row * columns + column, z and y ascending; or no grid
    contact_shape: str  # "circle", "square" or "rect"
    contact_size_um: Float32[np.ndarray, "channel 2"]  # extent along y and z


def probe(spec: str | Path | probeinterface.Probe = "mea10x10") -> Probe:
    """Return a probe by name, from a probeinterface JSON file, or from a probeinterface object.

    The probe's own (x, y) become (y, z) at x = 0. Contacts that are wired (``device_channel_indices``) come in the
    order of the recording's channels; those wired to none (-1) are left out, with a message on stderr. Without wiring,
    contacts that fill a regular grid are put in row-major order, so that images can be made of them; others keep their
    order. Neuropixels are the 384 sites next to the tip.

    Raises:
        UserError: the name is unknown; the file is missing, not probeinterface's, or has several probes; the probe
            is in an unknown unit, is not planar, has no contacts, contacts of several shapes or turned by less than
            a right angle, or two contacts on one channel.
    """
    if isinstance(spec, probeinterface.Probe):
        return _planar(spec, str(spec.annotations.get("model_name") or "probe"), "probe")
    if isinstance(spec, Path) or spec.endswith(".json") or "/" in spec:
        return _planar(_read(Path(spec)), Path(spec).stem, f"probe file {spec}")
    return _planar(_named(spec), spec, spec)


def points(probe: Probe, n: int = 1) -> Float32[np.ndarray, "channel {n} 3"]:
    """Spread n points evenly over each contact.

    One point is the centre. Circles get a sunflower (Vogel 1979), squares and rectangles a Kronecker
    lattice (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences"), each about the centre.
    """
    k = np.arange(n) + 0.5
    if n == 1:
        offset = np.zeros((1, 2))
    elif probe.contact_shape == "circle":
        angle = k * np.pi * (3 - np.sqrt(5))
        offset = np.sqrt(k / n)[:, None] / 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    else:
        offset = np.stack([k / n, np.mod(k * 0.7548776662466927, 1)], axis=1) - 0.5
    offset = offset - offset.mean(axis=0)
    result = np.repeat(probe.contact_um[:, None].astype(np.float64), n, axis=1)
    result[:, :, 1:] += offset * probe.contact_size_um[:, None]
    return result.astype(np.float32)


def _named(name: str) -> probeinterface.Probe:
    if name in NEUROPIXELS:
        whole = build_neuropixels_probe(NEUROPIXELS[name])
        return whole.get_slice(np.arange(NEUROPIXELS_CHANNELS))
    if name == "tetrode":
        return generate_tetrode()
    if found := re.fullmatch(r"linear([1-9]\d{0,3})", name):
        return generate_linear_probe(num_elec=int(found[1]), ypitch=20)
    if found := re.fullmatch(r"mea([1-9]\d{0,2})x([1-9]\d{0,2})", name):
        rows, columns = int(found[1]), int(found[2])
        return generate_multi_columns_probe(
            num_columns=columns,
            num_contact_per_column=rows,
            xpitch=15,
            ypitch=15,
            contact_shapes="circle",
            contact_shape_params={"radius": 5},
        )
    raise UserError(f"unknown probe {name!r}: choose {NAMES}, or give a probeinterface JSON file")


def _read(path: Path) -> probeinterface.Probe:
    if not path.is_file():
        raise UserError(f"probe file {path} is not there: give a probeinterface JSON file, or one of {NAMES}")
    with readable(f"probe file {path}", "probeinterface JSON", "write it with probeinterface.write_probeinterface"):
        group = probeinterface.read_probeinterface(path)
        for each in group.probes:
            _check(each)
    if len(group.probes) != 1:
        raise UserError(f"probe file {path} has {len(group.probes)} probes: write a file with one of them")
    return group.probes[0]


def _check(source: probeinterface.Probe) -> None:
    """Raise an error over arrays that probeinterface lets pass: no numbers, or not one for each contact."""
    count, device = source.get_contact_count(), source.device_channel_indices
    position, axes = (np.asarray(a, np.float64) for a in (source.contact_positions, source.contact_plane_axes))
    if position.shape != (count, source.ndim) or axes.shape != (count, 2, source.ndim):
        raise ValueError(f"positions of shape {position.shape} and axes of shape {axes.shape} for {count} contacts")
    if device is not None and np.asarray(device, np.int64).shape != (count,):
        raise ValueError("device_channel_indices is not a number for each contact")
    if np.shape(source.contact_shapes) != (count,) or np.shape(source.contact_shape_params) != (count,):
        raise ValueError("contact_shapes or contact_shape_params is not one for each contact")
    for parameters in source.contact_shape_params:
        if not all(0 < float(size) < np.inf for size in _sides(parameters)):
            raise ValueError(f"a contact has the sizes {parameters}")


def _planar(source: probeinterface.Probe, name: str, what: str) -> Probe:
    if source.ndim != 2:
        raise UserError(f"{what} is in {source.ndim}D: make it planar with probeinterface's to_2d()")
    if source.si_units not in UM_PER:
        raise UserError(f"{what} has the unit {source.si_units} (si_units): write it in {', '.join(UM_PER)}")
    wired, channels = _channels(source, what)
    position = np.asarray(source.contact_positions, np.float64)[channels] * UM_PER[source.si_units]
    if len(position) == 0 or not np.isfinite(position).all():
        raise UserError(f"{what} has no contacts, or contacts without a position: give each contact two finite numbers")
    position = position - (position.min(axis=0) + position.max(axis=0)) / 2
    shapes = set(map(str, np.asarray(source.contact_shapes)[channels]))
    if len(shapes) > 1:
        raise UserError(f"{what} has contacts of several shapes ({', '.join(sorted(shapes))}): give all the same")
    size = _sizes(source, what)[channels] * UM_PER[source.si_units]
    grid, order = _grid(position)
    if wired and (order != np.arange(len(order))).any():
        grid, order = None, np.arange(len(order))
    contact = np.concatenate([np.zeros((len(position), 1)), position[order]], axis=1)
    return Probe(
        name=name,
        contact_um=contact.astype(np.float32),
        normal=(1.0, 0.0, 0.0),
        grid=grid,
        contact_shape=shapes.pop(),
        contact_size_um=size[order].astype(np.float32),
    )


def _channels(source: probeinterface.Probe, what: str) -> tuple[bool, np.ndarray]:
    """Say whether contacts are wired, and return the contact of each channel; all -1 is how a probe is not wired."""
    contacts = np.arange(source.get_contact_count())
    if source.device_channel_indices is None:
        return False, contacts
    device = np.asarray(source.device_channel_indices, np.int64)
    if (device < 0).all():
        return False, contacts
    connected = contacts[device >= 0]
    channels = connected[np.argsort(device[connected], kind="stable")]
    again = device[channels][1:][np.diff(device[channels]) == 0]
    if len(again):
        raise UserError(f"{what} has several contacts wired to channel {again[0]}: give each its own, or -1 for none")
    if len(connected) < len(contacts):
        _tell(f"{what}: {len(contacts) - len(connected)} of {len(contacts)} contacts are wired to no channel: left out")
    return True, channels


@functools.cache  # a probe is read several times
def _tell(message: str) -> None:
    print(message, file=sys.stderr)


def _sizes(source: probeinterface.Probe, what: str) -> np.ndarray:
    """Return the extent of each contact along the probe's x and y (contact, 2), in its units."""
    parameters = source.contact_shape_params
    if all("radius" in p for p in parameters):
        return np.array([_sides(p) for p in parameters]).reshape(-1, 2)
    axes = np.asarray(source.contact_plane_axes, np.float64)
    turned = np.degrees(np.arctan2(axes[:, 0, 1], axes[:, 0, 0]))
    if (np.abs(axes).min(axis=2) > ALIGNED).any():
        one = np.ptp(turned) < 1e-3  # probeinterface turns (x, y) clockwise
        remedy = f"turn the probe with probe.rotate({turned[0]:g})" if one else "give all contacts one direction"
        raise UserError(f"{what} has contacts whose sides are not along x and y: {remedy} first")
    extent: np.ndarray = np.einsum("ca,cad->cd", np.array([_sides(p) for p in parameters]), np.abs(axes))
    return extent


def _sides(parameters: Mapping[str, float]) -> tuple[float, float]:
    if "radius" in parameters:
        return 2 * parameters["radius"], 2 * parameters["radius"]
    return parameters["width"], parameters.get("height", parameters["width"])


def _grid(position_um: np.ndarray) -> tuple[tuple[int, int] | None, np.ndarray]:
    """Return rows and columns, if positions ``(channel, 2)`` fill an even grid, and the order of its channels."""
    y, z = (np.unique(np.round(c / SAME_UM)) for c in position_um.T)
    even = all(len(axis) < 3 or np.ptp(np.diff(axis)) <= 2 for axis in (y, z))
    if not even or len(y) * len(z) != len(position_um):
        return None, np.arange(len(position_um))
    return (len(z), len(y)), np.lexsort(np.round(position_um / SAME_UM).T)

"""Units before a shank: which cell model, where, how it fires, and its spikes without noise.

All of a unit depends on the seed, the animal's name and the unit's number alone.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.linalg import toeplitz
from scipy.signal import butter, sosfiltfilt, sosfreqz

from spiketype.edge import UserError
from spiketype.simulator.eap import forward, lowrank, placement
from spiketype.simulator.eap.box import Box
from spiketype.simulator.eap.probes import points, probe
from spiketype.simulator.neuron.cells import CellModel
from spiketype.simulator.neuron.source import Source

RATE_KHZ, TIMES, TROUGH = 20.0, 32, 12  # of a spike; the sample at which its trough is
BOX = Box((10.0, 60.0), (-20.0, 20.0), (-80.0, 80.0))
LEAST_UV = 60.0  # peak to peak, at some contact: what sorting keeps
CANDIDATES, GIVE_UP = 32, 4096
RANK_MULTIPLE = 48
HIGHPASS_KHZ = 0.8  # of the published recordings' spike band
EXCITATORY_SHARE = 0.6
TRAITS, FIRING = 1, 2  # streams of random numbers
FREQUENCIES = 512  # at which the spectrum of the noise is summed
Roots = tuple[Float[np.ndarray, "channel channel"], Float[np.ndarray, "time time"]]


@dataclass(frozen=True)
class Animal:
    """What the units of an animal share.

    Attributes:
        name: of the animal; that of its stream has ".01" after it.
        gain_per_uV: int16 steps.
        noise_uV: root mean square of the recording noise.
        colour: the power of the noise is proportional to 1 / frequency^colour.
        reach_um: distance at which the correlation of the noise between contacts has fallen to 1/e.
        lowpass_kHz: of the amplifier.
        pace: how much faster or slower all spikes are (temperature).
    """

    name: str
    gain_per_uV: float
    noise_uV: float
    colour: float
    reach_um: float
    lowpass_kHz: float
    pace: float


@dataclass(frozen=True)
class Unit:
    """A unit: what its spikes look like and when it fires.

    Attributes:
        model: the cell model.
        position_um: of the soma.
        template_uV: the model's spikes that NEURON recorded, before the shank, filtered.
        dt_ms: of the template.
        stretch: of the time axis, which makes units of one cell model differ in width.
        time_ms: when it fires.
        excites, inhibits: number of cells that it excites, or inhibits, as a correlogram would show.
    """

    model: CellModel
    position_um: Float[np.ndarray, "3"]
    template_uV: Float[np.ndarray, "recorded channel time"]
    dt_ms: float
    stretch: float
    time_ms: Float[np.ndarray, " spike"]
    excites: int
    inhibits: int


def animal(seed: int, name: str) -> Animal:
    """Draw the recording of an animal: values in the range of what is published of hippocampal shanks."""
    rng = generator(seed, name, 0, TRAITS)
    return Animal(
        name=name,
        gain_per_uV=float(rng.uniform(2.0, 4.0)),
        noise_uV=float(rng.uniform(8.0, 16.0)),
        colour=float(rng.uniform(0.5, 1.5)),
        reach_um=float(rng.uniform(30.0, 80.0)),
        lowpass_kHz=float(rng.uniform(5.0, 8.0)),
        pace=float(rng.normal(1.0, 0.05)),
    )


def generator(seed: int, name: str, number: int, stream: int) -> np.random.Generator:
    """Return the random numbers of one purpose of one unit; number 0 is the animal itself."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), number, stream])


def factors(sources: Sequence[Source]) -> list[forward.Factors]:
    """Return the currents of all models in factors of one shape, which share one program."""
    contact_um = probe("linear8").contact_um
    made = [lowrank.factorise(source, 0.02, contact_um, BOX)[0] for source in sources]
    segments = max(len(source.diameter_um) for source in sources)
    rank = max(m.spatial.shape[2] for m in made)
    return [lowrank.pad(m, segments, -(-rank // RANK_MULTIPLE) * RANK_MULTIPLE) for m in made]


def unit(
    seed: int, of: Animal, number: int, models: Sequence[CellModel], currents: Sequence[forward.Factors], spikes: int
) -> Unit:
    """Make unit `number`, from 1, of an animal: the first placement that is large enough, and `spikes` spikes of it.

    Raises:
        UserError: none of `GIVE_UP` placements reaches `LEAST_UV`.
    """
    rng = generator(seed, of.name, number, TRAITS)
    excitatory = bool(rng.random() < EXCITATORY_SHARE)
    chosen = int(rng.choice([k for k, model in enumerate(models) if model.excitatory == excitatory]))
    model, source = models[chosen], currents[chosen]
    position_um, eap_uV = _seen(seed, f"{of.name}/{number}", model, source)
    dt_ms = 1 / 32
    band = butter(2, (HIGHPASS_KHZ, of.lowpass_kHz), "bandpass", fs=1 / dt_ms, output="sos")
    connected = int(rng.poisson(0.8))
    return Unit(
        model=model,
        position_um=position_um,
        template_uV=sosfiltfilt(band, eap_uV, axis=2),
        dt_ms=dt_ms,
        stretch=float(of.pace * np.exp(rng.normal(0, 0.12))),
        time_ms=times_ms(excitatory, spikes, generator(seed, of.name, number, FIRING)),
        excites=connected if excitatory else 0,
        inhibits=0 if excitatory else connected,
    )


def _seen(seed: int, name: str, model: CellModel, currents: forward.Factors) -> tuple[np.ndarray, np.ndarray]:
    """Return position and EAPs (recorded spike, channel, time) of the first candidate that is large enough."""
    contacts = points(probe("linear8"))
    recorded = currents.spatial.shape[0]
    for first in range(0, GIVE_UP, CANDIDATES):
        placed = placement.draw(seed, name, model.m_type, model.excitatory, first, CANDIDATES, "physrot", BOX, recorded)
        eap = np.asarray(forward.potentials(currents, contacts, *placed))
        large = np.flatnonzero(np.ptp(eap, axis=2).max(axis=1) >= LEAST_UV)
        if len(large):
            k = int(large[0])
            same = [np.repeat(np.asarray(a)[k : k + 1], recorded, axis=0) for a in placed[:2]]
            every = forward.potentials(currents, contacts, *same, np.arange(recorded, dtype=np.int32))
            return same[0][0], np.asarray(every)
    raise UserError(f"cell {model.name}: none of {GIVE_UP} placements reaches {LEAST_UV:g} uV at the shank")


def times_ms(excitatory: bool, spikes: int, rng: np.random.Generator) -> Float[np.ndarray, " {spikes}"]:
    """Draw when a unit fires: slower and more in bursts if excitatory, faster and more regular if not.

    Rates are lognormal about 2 and 8 Hz; a tenth of an excitatory unit's intervals, and a twentieth of an inhibitory
    one's, are 3 to 8 ms; the others are gamma distributed with a shape of 0.7 to 1.5, or 0.8 to 2.5. None is shorter
    than 2 ms. An assumption: in CA1 the two are further apart (Mizuseki and Buzsaki, Cell Rep. 4, 2013, 1010), and
    firing alone would name nearly all units.
    """
    rate_kHz = np.exp(rng.normal(np.log(2.0 if excitatory else 8.0), 0.9)) / 1000
    bursts = rng.beta(1, 9) if excitatory else rng.beta(1, 19)
    shape = rng.uniform(0.7, 1.5) if excitatory else rng.uniform(0.8, 2.5)
    isi = np.where(
        rng.random(spikes) < bursts, rng.uniform(3, 8, spikes), rng.gamma(shape, 1 / (rate_kHz * shape), spikes)
    )
    return np.cumsum(np.maximum(isi, 2.0))


def spikes_uV(of: Unit, rng: np.random.Generator) -> Float[np.ndarray, "spike channel time"]:
    """Draw the unit's spikes at `RATE_KHZ`, without noise.

    Each is one of those that NEURON recorded, smaller after a short interval (by up to 40 % in a burst of an
    excitatory cell, Henze et al., J. Neurophysiol. 84, 2000, 390; else by 10 %, recovering within 20 ms), with an
    amplitude that varies by 4 % and a trough that is anywhere inside its sample.
    """
    isi = np.diff(of.time_ms, prepend=-np.inf)
    lost = (0.4 if of.model.excitatory else 0.1) * np.exp(-isi / 20.0)
    amplitude = (1 - lost) * np.exp(rng.normal(0, 0.04, len(isi)))
    which = rng.integers(len(of.template_uV), size=len(isi))
    largest = np.ptp(of.template_uV, axis=2).max(axis=0).argmax()
    trough_ms = of.dt_ms * of.template_uV[:, largest].argmin(axis=1)
    time_ms = of.dt_ms * np.arange(of.template_uV.shape[2])
    offset = (np.arange(TIMES) - TROUGH) / RATE_KHZ / of.stretch
    jitter = rng.uniform(-0.5, 0.5, len(isi)) / RATE_KHZ
    at = np.clip(trough_ms[which][:, None] + jitter[:, None] + offset, time_ms[0], time_ms[-1])
    result = np.empty((len(isi), of.template_uV.shape[1], TIMES))
    for recorded in np.unique(which):
        rows = which == recorded
        result[rows] = np.moveaxis(CubicSpline(time_ms, of.template_uV[recorded], axis=1)(at[rows]), 0, 1)
    result *= amplitude[:, None, None]
    return result


def noise_factors(of: Animal, contact_um: Float[np.ndarray, "channel 3"]) -> Roots:
    """Return square roots of the noise's covariance between contacts and between times, in uV.

    White noise (channel, time) between them is the animal's noise: power 1/f^colour through the amplifier's band, as
    the background of distant spikes is, and correlation exp(-distance / reach) between contacts.
    """
    frequency = (np.arange(FREQUENCIES) + 0.5) * RATE_KHZ / 2 / FREQUENCIES
    band = butter(2, (HIGHPASS_KHZ, of.lowpass_kHz), "bandpass", fs=RATE_KHZ, output="sos")
    _, response = sosfreqz(band, frequency, fs=RATE_KHZ)
    power = np.abs(response) ** 4 * frequency**-of.colour  # forwards and backwards, as the spikes
    lag_ms = np.arange(TIMES) / RATE_KHZ
    in_time = (power[:, None] * np.cos(2 * np.pi * frequency[:, None] * lag_ms)).sum(axis=0) / power.sum()
    apart = np.linalg.norm(contact_um[:, None] - contact_um[None], axis=2)
    return of.noise_uV * _root(np.exp(-apart / of.reach_um)), _root(toeplitz(in_time))


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return the symmetric square root; in-band noise is nearly singular in time, where a Cholesky factor fails."""
    value, vector = np.linalg.eigh(covariance)
    root: np.ndarray = (vector * np.sqrt(np.maximum(value, 0))) @ vector.T
    return root


def noise(roots: Roots, spikes: int, rng: np.random.Generator) -> Float[np.ndarray, "{spikes} channel time"]:
    """Draw noise in uV, independent between spikes."""
    space, time = roots
    uV: np.ndarray = space @ rng.standard_normal((spikes, len(space), len(time))) @ time
    return uV

"""One cell model in NEURON: the program of the processes that `simulator.neuron.membrane` starts.

``python -m spiketype.simulator.neuron.child REQUEST`` with a `Request` as JSON writes a `Source` and tells on
stderr how the search for the amplitude goes. It never imports JAX, and LFPy and NEURON only within functions,
so that others may import this module.
"""

import contextlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spiketype.edge import Json
from spiketype.simulator.neuron import netpyne
from spiketype.simulator.neuron.nmodl import RATE
from spiketype.simulator.neuron.portal import Axon, morphologies, with_axon, without_synapses
from spiketype.simulator.neuron.protocol import Protocol, Verdict, judge
from spiketype.simulator.neuron.source import Source
from spiketype.simulator.neuron.variants import FAST_POTASSIUM, TRANSIENT_SODIUM, Kinetics

LFPyCell = Any  # neither LFPy nor NEURON has types
SEARCH = "search:"  # the lines on stderr that tell of the search begin with this
NO_AMPLITUDE = 3  # exit status where the search found none, and another will not either


@dataclass(frozen=True)
class Request:
    """What one child is asked to do, of types that JSON has."""

    name: str
    path: str
    """Of the cell model, as `cells.CellModel` has it: folder, file or archive."""
    member: str
    axon: Axon
    kinetics: Json | None
    """Of a variant; the library then has rates to set."""
    library: str
    protocol: Json
    start_nA: float
    out: str
    provenance: Json


@dataclass(frozen=True, eq=False)
class Run:
    """One simulation of the current step, as far as it went."""

    verdict: Verdict
    count: int
    """Spikes seen before the run was ended."""
    peak_ms: list[float]
    """When the soma peaked, for each spike that was kept."""
    current_nA: np.ndarray
    """(spike, segment, time): as NEURON has them; over segments they sum to the injected current."""
    soma_mV: np.ndarray
    """(spike, time)."""


def main(request: Request) -> None:
    """Load the cell, find the amplitude, write the source."""
    protocol = Protocol(**request.protocol)
    cell = load(request, protocol)
    amplitude_nA, run, tried = search(cell, request.start_nA, protocol)
    found = {"amplitude_nA": amplitude_nA, "tried": tried, "spike_times_ms": run.peak_ms}
    Source(
        name=request.name,
        start_um=np.stack([axis[:, 0] for axis in (cell.x, cell.y, cell.z)], 1).astype(np.float32),
        end_um=np.stack([axis[:, 1] for axis in (cell.x, cell.y, cell.z)], 1).astype(np.float32),
        diameter_um=np.asarray(cell.d, np.float32),
        current_nA=without_monopole(run.current_nA).astype(np.float32),
        soma_mV=run.soma_mV.astype(np.float32),
        dt_ms=protocol.dt_ms,
        provenance=request.provenance | found,
    ).save(Path(request.out))


def load(request: Request, protocol: Protocol) -> LFPyCell:
    """Load the cell, with its soma at the origin."""
    from neuron import h

    if h.nrn_load_dll(request.library) != 1:
        raise SystemExit(f"NEURON does not load {request.library}")
    path = Path(request.path)
    cell = _of_portal(path, request.axon, protocol) if path.is_dir() else _of_netpyne(path, request.member, protocol)
    if request.kinetics is not None:
        _vary(cell, Kinetics(**request.kinetics))
    return cell


def _of_portal(folder: Path, axon: Axon, protocol: Protocol) -> LFPyCell:
    """Return the cell of a folder in the portal's layout.

    Sections are divided by LFPy's default, the d_lambda rule at 100 Hz, as in the published data sets.
    """
    template = with_axon((folder / "template.hoc").read_text(errors="replace"), axon)
    name, text = without_synapses(template)
    import LFPy

    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(folder):
        changed = Path(temporary, "template.hoc")
        changed.write_text(text)
        return LFPy.TemplateCell(
            morphology=str(morphologies(folder)[0]),
            templatefile=["morphology.hoc", "biophysics.hoc", str(changed)],
            templatename=name,
            templateargs=0,  # no synapses
            dt=protocol.dt_ms,
            v_init=protocol.v_init_mV,
            celsius=protocol.celsius,
            pt3d=False,
            delete_sections=False,
        )


def _of_netpyne(path: Path, member: str, protocol: Protocol) -> LFPyCell:
    """Return the cell of a NetPyNE file, with its sections divided as they are there."""
    import LFPy
    from neuron import h

    read = {section.name: section for section in netpyne.parse(netpyne.read(path, member), str(path)).sections}
    made: dict[str, Any] = {}  # kept by the cell: NEURON deletes a section to which nothing refers
    sections = h.SectionList()
    for section in read.values():
        made[section.name] = new = h.Section(name=section.name)
        sections.append(sec=new)
        _set(new, section)
        if section.parent is not None:
            new.connect(made[section.parent](section.parent_x), section.child_x)
            joint_um = read[section.parent].place_um(section.parent_x)
            if section.points_um is not None and joint_um is not None:
                # Else NEURON moves the section so that it begins there: dendrites at the soma's centre, for one.
                h.pt3dstyle(1, *joint_um, sec=new)
    cell = LFPy.Cell(
        morphology=sections,
        passive=False,  # the file says how
        nsegs_method=None,
        dt=protocol.dt_ms,
        v_init=protocol.v_init_mV,
        celsius=protocol.celsius,
        pt3d=False,
    )
    cell.sections = made
    return cell


def _set(new: Any, section: netpyne.Section) -> None:
    """Give a section of NEURON the geometry, mechanisms and ions of one that was read."""
    new.nseg = section.segments
    if section.points_um is None:
        new.L = section.length_um
    else:
        for point_um in section.points_um:
            new.pt3dadd(*map(float, point_um))
    new.Ra = section.axial_ohm_cm
    for mechanism in section.mechanisms:
        new.insert(mechanism)
    for index, segment in enumerate(new):
        segment.cm = _at(section.capacitance_uF_per_cm2, index)
        if section.diameter_um:
            segment.diam = _at(section.diameter_um, index)
        for mechanism, parameters in section.mechanisms.items():
            for parameter, values in parameters.items():
                setattr(getattr(segment, mechanism), parameter, _at(values, index))
        for ion, given in section.ions.items():
            names = {"e": f"e{ion}", "i": f"{ion}i", "o": f"{ion}o"}
            for which, value in given.items():
                if hasattr(segment, f"{ion}_ion"):  # a mechanism here uses it
                    setattr(segment, names[which], value)


def _at(values: netpyne.Values, segment: int) -> float:
    return values[segment] if len(values) > 1 else values[0]


def _vary(cell: LFPyCell, kinetics: Kinetics) -> None:
    """Change a loaded cell to a variant. Its division into segments stays that of the published model."""
    from neuron import h

    factor = {(m, p): kinetics.transient_sodium for m, p in TRANSIENT_SODIUM.items()}
    factor |= {(m, p): kinetics.fast_potassium for m, p in FAST_POTASSIUM.items()}
    found = set[str]()
    for section in cell.allseclist:
        section.Ra *= kinetics.axial_resistance
        for segment in section:
            segment.cm *= kinetics.capacitance
            found |= {mechanism.name() for mechanism in segment}
            for (mechanism, parameter), times in factor.items():
                if hasattr(segment, mechanism):
                    part = getattr(segment, mechanism)
                    setattr(part, parameter, getattr(part, parameter) * times)
    for name in sorted(found):
        if hasattr(h, f"{RATE}_{name}"):
            setattr(h, f"{RATE}_{name}", kinetics.rates)


def search(cell: LFPyCell, amplitude_nA: float, protocol: Protocol) -> tuple[float, Run, list[tuple[float, int]]]:
    """Find the first amplitude, from the given one in the protocol's steps, with the wanted number of spikes.

    Returns:
        The amplitude, its run, and every (amplitude, number of spikes) on the way.
    """
    tried: list[tuple[float, int]] = []
    while len(tried) < protocol.max_tries:
        run = inject(cell, amplitude_nA, protocol)
        tried.append((amplitude_nA, run.count))
        line = f"{amplitude_nA:.4g} nA: {run.count} spikes, {run.verdict.value}"
        print(SEARCH, line, file=sys.stderr, flush=True)
        if run.verdict is Verdict.ACCEPTED:
            return amplitude_nA, run, tried
        amplitude_nA *= protocol.increase if run.verdict is Verdict.TOO_WEAK else protocol.decrease
    print(f"no amplitude gave {protocol.more_than + 1} to {protocol.at_most} spikes", file=sys.stderr)
    raise SystemExit(NO_AMPLITUDE)


def inject(cell: LFPyCell, amplitude_nA: float, protocol: Protocol) -> Run:
    """Inject a current step into the soma, and cut the spikes out as they pass.

    The membrane currents of all segments are kept for the last few milliseconds only (a ring of rows), which
    costs a twentieth of a step: no second run is needed to record them, no array has the length of the run.
    """
    before, after, cut, end, millisecond = (
        round(time_ms / protocol.dt_ms)
        for time_ms in (protocol.before_ms, protocol.after_ms, protocol.cut_ms, protocol.end_ms, 1.0)
    )
    ring_nA = np.zeros((before + cut + 1, cell.totnsegs))
    soma_mV = np.full(end + 1, protocol.v_init_mV)
    crossings: list[int] = []
    spikes: list[tuple[int, np.ndarray, np.ndarray]] = []
    for now, potential_mV, current_nA in _advance(cell, amplitude_nA, protocol):
        soma_mV[now] = potential_mV
        ring_nA[now % len(ring_nA)] = current_nA
        crossed = soma_mV[now] >= protocol.threshold_mV > soma_mV[now - 1]
        if crossed:
            crossings.append(now)
        if len(spikes) < protocol.wanted and crossings[len(spikes) :] and now == crossings[len(spikes)] + cut:
            peak = peak_index(soma_mV, crossings[len(spikes)], after, protocol.threshold_mV)
            rows = np.arange(peak - before, peak + after)
            spikes.append((peak, ring_nA[rows % len(ring_nA)].T, soma_mV[rows]))
        if crossed or now % millisecond == 0:
            verdict = judge([index * protocol.dt_ms for index in crossings], now * protocol.dt_ms, protocol)
            if verdict:
                return _run(verdict, len(crossings), spikes[protocol.skip :], protocol)
    raise AssertionError("every run that reaches the end of the step has a verdict")


def _run(verdict: Verdict, count: int, kept: list[tuple[int, np.ndarray, np.ndarray]], protocol: Protocol) -> Run:
    return Run(
        verdict=verdict,
        count=count,
        peak_ms=[peak * protocol.dt_ms for peak, _, _ in kept],
        current_nA=np.array([current_nA for _, current_nA, _ in kept]),
        soma_mV=np.array([trace_mV for _, _, trace_mV in kept]),
    )


def peak_index(soma_mV: np.ndarray, crossing: int, longest: int, threshold_mV: float) -> int:
    """Return the index of the peak of the spike that crosses the threshold at ``crossing``, in a trace (time,).

    It is searched for until the soma is below the threshold again, so that the next spike of a burst is not taken
    for it, and at most ``longest`` samples after the crossing.
    """
    above = soma_mV[crossing : crossing + longest + 1]
    below = np.flatnonzero(above < threshold_mV)
    return crossing + int(np.argmax(above[: below[0]] if len(below) else above))


def without_monopole(current_nA: np.ndarray) -> np.ndarray:
    """Return currents (spike, segment, time) less those at the first sample of each spike.

    The current clamp leaves a monopole: what is injected into the soma leaves through the membrane, so the
    membrane currents sum to the injected current at every time, and far from the cell that sum is all one
    sees. The step is constant while a spike passes, so the currents 2 ms before its peak have the same sum:
    less those, the sum is zero at all times, as for a neuron driven by nothing but its own membrane, and
    every potential starts at zero, as after a recording's high-pass filter. One sample and not a mean over
    several: the simulation has no noise to average away.
    """
    rest: np.ndarray = current_nA - current_nA[:, :, :1]
    return rest


def _advance(cell: LFPyCell, amplitude_nA: float, protocol: Protocol) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yield for each step from 1 on: index, somatic potential (mV), membrane currents (nA, overwritten by the next)."""
    from neuron import h

    soma = next(iter(cell.somalist))(0.5)
    clamp = h.IClamp(soma)
    clamp.delay, clamp.dur, clamp.amp = protocol.delay_ms, protocol.duration_ms, amplitude_nA
    h.cvode.active(0)
    h.cvode.use_fast_imem(1)
    h.celsius, h.dt = protocol.celsius, protocol.dt_ms
    h.finitialize(protocol.v_init_mV)
    segments = [segment for section in cell.allseclist for segment in section]
    pointers, gathered = h.PtrVector(len(segments)), h.Vector(len(segments))
    for index, segment in enumerate(segments):
        pointers.pset(index, segment._ref_i_membrane_)
    potential_mV, current_nA = soma._ref_v, gathered.as_numpy()
    for now in range(1, round(protocol.end_ms / protocol.dt_ms) + 1):
        h.fadvance()
        pointers.gather(gathered)
        yield now, potential_mV[0], current_nA


def _end_with_parent() -> None:
    """End this process when its parent does, however that dies: the other end of stdin is closed then."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    _end_with_parent()
    main(Request(**json.loads(sys.argv[1])))

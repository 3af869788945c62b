"""One cell model in NEURON: the program of the processes that `simulator.neuron.membrane` starts.

``python -m spiketype.simulator.neuron.child REQUEST`` with a `Request` as JSON writes a `Source` and tells on
stderr how the search for the amplitude goes. It never imports JAX, and LFPy and NEURON only within functions,
so that others may import this module.
"""

import contextlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spiketype.edge import Json
from spiketype.simulator.neuron.protocol import Protocol, Verdict, judge
from spiketype.simulator.neuron.source import Source

TemplateCell = Any  # LFPy's: neither it nor NEURON has types
SEARCH = "search:"  # the lines on stderr that tell of the search begin with this


@dataclass(frozen=True)
class Request:
    """What one child is asked to do, of types that JSON has."""

    name: str
    folder: str
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
    cell = load(Path(request.folder), request.library, protocol)
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


def load(folder: Path, library: str, protocol: Protocol) -> TemplateCell:
    """Load the cell of a folder in the portal's layout, with its soma at the origin.

    Sections are divided by LFPy's default, the d_lambda rule at 100 Hz, as in the published data sets.
    """
    name, text = without_synapses((folder / "template.hoc").read_text(errors="replace"))
    import LFPy
    from neuron import h

    if h.nrn_load_dll(library) != 1:
        raise SystemExit(f"NEURON does not load {library}")
    morphology = next(path for path in sorted((folder / "morphology").iterdir()) if path.is_file())
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(folder):
        template = Path(temporary, "template.hoc")
        template.write_text(text)
        return LFPy.TemplateCell(
            morphology=str(morphology),
            templatefile=["morphology.hoc", "biophysics.hoc", str(template)],
            templatename=name,
            templateargs=0,  # no synapses
            dt=protocol.dt_ms,
            v_init=protocol.v_init_mV,
            celsius=protocol.celsius,
            pt3d=False,
            delete_sections=False,
        )


def without_synapses(template: str) -> tuple[str, str]:
    """Return the name of a cell template in hoc, and its text with empty stand-ins for its synapse templates.

    The synapses need two mechanisms that NEURON 9 does not compile. A cell made without synapses never makes
    them, but when hoc reads the cell's template it wants to know theirs.
    """
    name = re.search(r"^begintemplate\s+(\w+)", template, re.MULTILINE)
    if name is None:
        raise SystemExit("template.hoc has no begintemplate")
    synapses = dict.fromkeys(re.findall(r"new\s+(synapses_\w+)", template))
    stand_ins = "".join(f"begintemplate {synapse}\nendtemplate {synapse}\n" for synapse in synapses)
    return name[1], stand_ins + re.sub(r"^load_file\(.*$", "", template, flags=re.MULTILINE)


def search(cell: TemplateCell, amplitude_nA: float, protocol: Protocol) -> tuple[float, Run, list[tuple[float, int]]]:
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
    raise SystemExit(f"no amplitude gave {protocol.more_than + 1} to {protocol.at_most} spikes")


def inject(cell: TemplateCell, amplitude_nA: float, protocol: Protocol) -> Run:
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


def _advance(cell: TemplateCell, amplitude_nA: float, protocol: Protocol) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yield for each step from 1 on: index, somatic potential (mV), membrane currents (nA, overwritten by the next)."""
    from neuron import h

    soma = cell.template.soma[0](0.5)
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


if __name__ == "__main__":
    main(Request(**json.loads(sys.argv[1])))

"""Variants: their prior, and that the changed channels are the published ones but for their speed."""

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiketype.edge import UserError
from spiketype.simulator.neuron import mechanisms, nmodl, variants
from spiketype.simulator.neuron.cells import catalogue, vary
from spiketype.simulator.neuron.child import Request
from spiketype.simulator.neuron.variants import PRIOR, Kinetics

ROOT = Path(__file__).parents[2]
AS_PUBLISHED = Kinetics(1.0, 1.0, 1.0, 1.0, 1.0)
GATE = """NEURON { : a comment }
    SUFFIX gate
    USEION k READ ek WRITE ik
    RANGE g
}
PARAMETER { g = 1 (S/cm2) }
ASSIGNED { v (mV) ek (mV) ik (mA/cm2) }
STATE { m h }
BREAKPOINT { SOLVE states METHOD cnexp ik = g*m*h*(v - ek) }
DERIVATIVE states {
    m' = EXPRESSION
    h' = -h/2 (ms)
}
"""


def test_a_draw_depends_on_its_arguments_alone() -> None:
    found = variants.draw(0, "L5_BP_bAC217_1", 1)
    assert asdict(found) == pytest.approx(
        {
            "rates": 2.3866967734777225,
            "transient_sodium": 1.5368610470418331,
            "fast_potassium": 3.223060440138414,
            "capacitance": 0.5991716222371627,
            "axial_resistance": 0.8499418649467071,
        },
        rel=1e-12,
    )
    others = [
        variants.draw(1, "L5_BP_bAC217_1", 1),
        variants.draw(0, "L5_BP_bAC217_1", 2),
        variants.draw(0, "L5_BP", 1),
    ]
    assert len({found, *others}) == 4


def test_draws_are_uniform_in_the_logarithm_over_the_prior() -> None:
    drawn = [asdict(variants.draw(0, "x", k)) for k in range(400)]
    for name, (low, high) in PRIOR.items():
        place = [math.log(one[name] / low) / math.log(high / low) for one in drawn]
        assert 0 <= min(place) < 0.02
        assert 0.98 < max(place) <= 1
        assert np.mean(place) == pytest.approx(0.5, abs=0.05)
    places = np.log([[*one.values()] for one in drawn])
    assert np.abs(np.corrcoef(places.T) - np.eye(5)).max() < 0.15


def test_the_width_stretches_the_prior_about_its_centre() -> None:
    at = {width: asdict(variants.draw(3, "x", 1, width)) for width in (0.0, 0.5, 1.0, 2.0)}
    for name, (low, high) in PRIOR.items():
        centre = math.sqrt(low * high)
        assert at[0.0][name] == pytest.approx(centre)
        for width in (0.5, 2.0):
            assert math.log(at[width][name] / centre) == pytest.approx(width * math.log(at[1.0][name] / centre))
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(UserError, match="--variant-width"):
            variants.draw(0, "x", 1, bad)


# NMODL ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        "(mInf-m)/mTau",
        "(minf(v) - m) / (2 (ms) + tau[1])",
        "alpha(v)*(1 - m) : to open\n        - beta(v, 2)*m",
        "-m^-2 + +3e-3 (/ms)",
        "(m)",
        "0",
    ],
)
def test_a_rate_multiplies_the_whole_derivative_and_nothing_else(expression: str) -> None:
    text = GATE.replace("EXPRESSION", expression)
    changed = nmodl.with_rate(text, "x")
    assert f"m' = spiketype_rate*({expression})\n" in changed
    assert "h' = spiketype_rate*(-h/2 (ms))\n" in changed
    assert "\tGLOBAL spiketype_rate\n}\n\nPARAMETER { spiketype_rate = 1 }\n" in changed
    undone = changed.replace("\tGLOBAL spiketype_rate\n", "").replace("\n\nPARAMETER { spiketype_rate = 1 }\n", "")
    undone = undone.replace(f"spiketype_rate*({expression})", expression)
    assert undone.replace("spiketype_rate*(-h/2 (ms))", "-h/2 (ms)") == text


def leaf() -> st.SearchStrategy[str]:
    return st.sampled_from(["m", "2", "1e-3 (ms)", "f(v)", "-h", "tab[0]", "(m + 1)"])


@given(st.lists(st.tuples(leaf(), st.sampled_from([" + ", "*", "/", " -\n", "^"])), min_size=1), leaf())
def test_any_expression_is_taken_whole(parts: list[tuple[str, str]], last: str) -> None:
    expression = "".join(operand + between for operand, between in parts) + last
    changed = nmodl.with_rate(GATE.replace("EXPRESSION", expression), "x")
    assert f"m' = spiketype_rate*({expression})\n" in changed


def test_what_only_tracks_a_concentration_is_left_alone() -> None:
    found, plain = mechanisms.channels(vary(catalogue(), 1, 0)), mechanisms.channels(catalogue())
    assert [name for name in found if found[name] == plain[name]] == ["CaDynamics_E2.mod"]
    assert all(
        found[name].count("spiketype_rate*(") == plain[name].split("DERIVATIVE")[1].split("}")[0].count("'")
        for name in found
        if name != "CaDynamics_E2.mod"
    )
    passive = GATE.split("STATE", maxsplit=1)[0] + "BREAKPOINT { ik = g*(v - ek) }\n"
    assert nmodl.with_rate(passive, "x") == passive


def test_a_channel_that_pumps_keeps_the_rate_of_its_concentration() -> None:
    text = GATE.replace("EXPRESSION", "-m").replace("USEION k READ ek WRITE ik", "USEION k READ ek WRITE ik, ki")
    changed = nmodl.with_rate(text.replace("h'", "ki'").replace("-h/2", "-ki/2"), "x")
    assert "m' = spiketype_rate*(-m)" in changed
    assert "ki' = -ki/2" in changed


@pytest.mark.parametrize(
    "text",
    [
        GATE.replace("DERIVATIVE", "PROCEDURE").replace("m' = EXPRESSION", "m = m + 1").replace("h' =", "h ="),
        GATE.replace("EXPRESSION", "* 2"),
        GATE.split("m' =")[0] + "m' = ",
        GATE.replace("EXPRESSION", "(m"),
        GATE.replace("DERIVATIVE states {", "KINETIC states { ~ m <-> h (1, 2) }\nPROCEDURE other() {"),
    ],
)
def test_other_ways_to_change_a_state_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^some/gate\.mod: its states do not change by derivatives.*--exclude"):
        nmodl.with_rate(text, "some/gate.mod")


# In NEURON -----------------------------------------------------------------------------------------

SPIKES = """
import json, sys
from spiketype.simulator.neuron import child
from spiketype.simulator.neuron.protocol import Protocol
cell = child.load(child.Request(**json.loads(sys.argv[1])), Protocol())
run = child.inject(cell, 0.0728, Protocol())
soma = next(iter(cell.somalist))
segment = soma(0.5)
print(json.dumps({"peak": run.peak_ms, "current": run.current_nA.ravel()[::400].tolist(), "Ra": soma.Ra,
    "cm": segment.cm, "gNa": segment.NaTs2_t.gNaTs2_tbar, "gKv3": segment.SKv3_1.gSKv3_1bar, "gIm": segment.Im.gImbar}))
"""
# A membrane so large that currents do not move its potential: a voltage clamp.
CLAMP = """
import json, sys
from neuron import h
assert h.nrn_load_dll(sys.argv[1]) == 1
names, rate, dt_ms = json.loads(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
section = h.Section()
section.cm = 1e12
h.celsius, h.dt = 34, dt_ms
found = {}
for name in names:
    section.insert(name)
    if hasattr(h, f"spiketype_rate_{name}"):
        setattr(h, f"spiketype_rate_{name}", rate)
segment = section(0.5)
for start, clamped in ((-80, -30), (-30, 10), (0, -70)):
    h.finitialize(start)
    if hasattr(segment, "ca_ion"):
        segment.cai = 3e-4
    segment.v = clamped
    for step in range(401):
        if step in (0, 4, 40, 400):
            for name in names:
                part, standard = getattr(segment, name), h.MechanismStandard(name, 3)
                full = h.ref("")
                for k in range(standard.count()):
                    standard.name(full, k)
                    state = full[0].removesuffix(f"_{name}")
                    found.setdefault(f"{name}.{state}", []).append(getattr(part, state))
        h.fadvance()
    assert abs(segment.v - clamped) < 1e-6
print(json.dumps(found))
"""


def program(text: str, *arguments: str) -> dict[str, list[float]]:
    done = subprocess.run(
        [sys.executable, "-c", text, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def libraries() -> tuple[Path, Path]:
    """The channels as published, and with rates; both from the user's cache, where they are there."""
    return mechanisms.library(catalogue()), mechanisms.library(vary(catalogue(), 1, 0))


def spikes(library: Path, kinetics: Kinetics | None) -> dict[str, list[float]]:
    model = next(model for model in catalogue() if model.name == "L5_SBC_bNAC219_1")
    how = {"path": str(model.path), "member": "", "axon": model.axon, "library": str(library), "out": ""}
    varied = None if kinetics is None else asdict(kinetics)
    request = Request(model.name, **how, kinetics=varied, protocol={}, start_nA=0.0, provenance={})
    return program(SPIKES, json.dumps(asdict(request)))


@pytest.mark.slow
def test_at_a_rate_of_one_the_spikes_are_the_published_ones(libraries: tuple[Path, Path]) -> None:
    plain, rated = libraries
    expected, found = spikes(plain, None), spikes(rated, AS_PUBLISHED)
    assert len(expected["peak"]) == 10
    assert found["peak"] == expected["peak"]
    scale_nA = np.abs(expected["current"]).max()
    np.testing.assert_allclose(found["current"], expected["current"], atol=1e-6 * scale_nA)
    np.testing.assert_allclose(
        [found[name] for name in ("Ra", "cm", "gNa", "gKv3", "gIm")],
        [expected[name] for name in ("Ra", "cm", "gNa", "gKv3", "gIm")],
    )


@pytest.mark.slow
def test_each_factor_multiplies_its_property(libraries: tuple[Path, Path]) -> None:
    expected = spikes(libraries[0], None)
    found = spikes(
        libraries[1],
        replace(AS_PUBLISHED, transient_sodium=2.0, fast_potassium=3.0, capacitance=0.5, axial_resistance=0.7),
    )
    names = ("gNa", "gKv3", "gIm", "cm", "Ra")
    np.testing.assert_allclose([found[name] / expected[name] for name in names], [2, 3, 1, 0.5, 0.7])


@pytest.mark.slow
def test_a_rate_divides_time_constants_and_leaves_steady_states(libraries: tuple[Path, Path]) -> None:
    """Under a clamp, a gate at time t and rate r is where that of the published channel is at time r t."""
    plain, rated = libraries
    names = json.dumps(sorted({*mechanisms.channels(catalogue())} - {"CaDynamics_E2.mod"})).replace(".mod", "")
    expected = program(CLAMP, str(plain), names, "1", "0.05")
    assert {name.split(".")[0] for name in expected} == set(json.loads(names))
    for rate, dt_ms in (("1", "0.05"), ("2.5", "0.02")):
        found = program(CLAMP, str(rated), names, rate, dt_ms)
        assert found.keys() == expected.keys()
        for state, values in expected.items():
            np.testing.assert_allclose(found[state], values, rtol=1e-9, atol=1e-12, err_msg=state)
    faster = program(CLAMP, str(rated), names, "2.5", "0.05")
    moved = {name for name in expected if not np.allclose(faster[name], expected[name], rtol=1e-3)}
    assert {"NaTs2_t.m", "NaTa_t.h", "SKv3_1.m", "K_Tst.h", "Ca_HVA.m"} <= moved

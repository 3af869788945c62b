"""How the store of a run was made: kept with the run, and held against its options and other stores."""

from dataclasses import fields

import numpy as np

from spiketype import reading
from spiketype.datasets import store
from spiketype.edge import Json, UserError
from spiketype.location import Location
from spiketype.simulator.eap.config import EapConfig
from spiketype.train.config import flag
from spiketype.train.tasks.eap.config import EapTaskConfig

SAME_UM = 0.1  # contacts that are closer are at one place
FILTERS = ("highpass_Hz", "lowpass_Hz", "filter_order", "filter_phase")
NOISE = ("noise_uV", "noise_spectrum", "mean_of")
RECORDED = (*NOISE, *FILTERS, "common_average", "waveform_kHz")
PLACED = ("threshold_uV", "rotation", "box", "probe")
RECORDED_OTHERWISE = "noise or recording chain are not those that the run was trained on"
# Option of a training -> what it is in the configuration of a store that is simulated for it.
SIMULATED = {name: name for name in ("rotation", "per_cell", "noise_uV", "probe", "cell_models")} | {
    "store_seed": "seed"
}
# What a store of an older version does not know is as by default: there was no other way.
DEFAULTS: Json = {field.name: field.default for field in fields(EapConfig)}


def made(path: Location) -> Json:
    """Return how the samples of a store were placed and recorded, and where the contacts are, for the manifest."""
    store.validate(path, "eap", ("contact_um",))
    config = store.config(store.attributes(path, "eap"))
    kept = {name: config[name] for name in (*RECORDED, *PLACED) if name in config}
    return {"contact_um": store.read(path, "contact_um").tolist(), "config": kept}


def rotation(path: Location) -> str:
    """Return the set of rotations of a store."""
    return str(store.config(store.attributes(path, "eap")).get("rotation", "?"))


def check_probe(manifest: Json, data: Location) -> None:
    """Refuse a store whose grid has its contacts elsewhere than that of the run's store.

    Raises:
        UserError: names both pitches, or which contact is elsewhere.
    """
    if manifest.get("lattice_um") or "store" not in manifest:  # runs of before do not know
        return
    ours, theirs = np.array(manifest["store"]["contact_um"]), np.array(made(data)["contact_um"])
    if ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=0, atol=SAME_UM):
        return
    pitches = [_pitch(contact_um, manifest["grid"]) for contact_um in (theirs, ours)]
    where = "in other places" if pitches[0] == pitches[1] else pitches[1]
    probe = manifest["store"]["config"].get("probe", "of the run's store")
    raise UserError(
        f"{data} has contacts {pitches[0]}, and those that the network was trained on are {where}: make a store with"
        f" --probe {probe}, or train a run on one with this probe"
    )


def _pitch(contact_um: np.ndarray, grid: list[int]) -> str:
    """Return how far apart the contacts of a grid are, in words."""
    rows, columns = grid
    whole = contact_um.reshape(rows, columns, 3)
    steps = [np.linalg.norm(np.diff(whole, axis=axis), axis=2) for axis in (1, 0)]
    return " x ".join(f"{np.median(step):.4g}" for step in steps if step.size) + " um apart"


def tell_differences(manifest: Json, data: Location) -> bool:
    """Note how a store was made otherwise than that of the run; return whether its noise or recording chain differ."""
    theirs = store.config(store.attributes(data, "eap"))
    ours = manifest.get("store", {}).get("config")
    if not ours or not theirs:  # runs of before do not know, nor do stores of another program
        return False
    recorded = _differences(_recorded(theirs), _recorded(ours))
    if told := recorded + _differences(_placed(theirs), _placed(ours)) + _elsewhere(manifest["store"], made(data)):
        reading.note(data, f"was made otherwise than the store that the run was trained on: {'; '.join(told)}")
    return bool(recorded)


def _elsewhere(ours: Json, theirs: Json) -> list[str]:
    """Return how two probes differ, of which a lattice takes any; positions suffer from it more than classes."""
    contact_um = [np.array(each["contact_um"]) for each in (theirs, ours)]
    places = [{*map(tuple, (np.round(each, 1) + 0.0).tolist())} for each in contact_um]  # in any order; no -0
    if places[0] == places[1]:
        return []
    sizes = [" x ".join(f"{length:.4g}" for length in np.ptp(each[:, 1:], axis=0)) for each in contact_um]
    found = [f"{len(each)} contacts over {size} um" for each, size in zip(contact_um, sizes, strict=True)]
    return [", there ".join(found) if found[0] != found[1] else "contacts at other places"]


def _differences(theirs: dict[str, str], ours: dict[str, str]) -> list[str]:
    both = [name for name in theirs if name in ours]
    return [f"{name} {theirs[name]}, there {ours[name]}" for name in both if theirs[name] != ours[name]]


def _recorded(config: Json) -> dict[str, str]:
    """Return in words what amplifier and noise a store has."""
    c = DEFAULTS | config
    corners = [f"{kind} {c[name]:g} Hz" for kind, name in zip(("from", "to"), FILTERS, strict=False) if c[name]]
    chain = any(c[name] != DEFAULTS[name] for name in RECORDED if name not in ("noise_uV", "waveform_kHz"))
    return {
        "noise": f"{c['noise_uV']:g} uV ({c['noise_spectrum']}, mean of {c['mean_of']})" if c["noise_uV"] else "0 uV",
        "filters": f"{' '.join(corners)} (order {c['filter_order']}, {c['filter_phase']})" if corners else "none",
        "common average": "subtracted" if c["common_average"] else "kept",
        "features": f"at {c['waveform_kHz']:g} kHz" if chain and c["waveform_kHz"] else "at the rate of the simulation",
    }


def _placed(config: Json) -> dict[str, str]:
    """Return in words where the somata of a store are, and which samples it has."""
    found = {}
    if "rotation" in config:
        found["rotations"] = str(config["rotation"])
    if "threshold_uV" in config:
        found["threshold"] = f"{config['threshold_uV']:g} uV"
    if "box" in config:
        found["box"] = ", ".join(f"{axis[0]} {low:g} to {high:g} um" for axis, (low, high) in config["box"].items())
    return found


def tell_unused(config: EapTaskConfig, path: Location) -> None:
    """Note options of a simulation that a store which is given instead does not have."""
    there = store.config(store.attributes(path, "eap"))
    differing = []
    for option, name in SIMULATED.items():
        given, found = getattr(config, option), there.get(name)
        found = tuple(found) if isinstance(found, list) else found
        if given not in (getattr(EapTaskConfig, option), found):
            differing.append(f"{flag(option)} {_text(given)}, the store has {_text(found)}")
    if differing:
        reading.note(path, f"is used as it is, so these options are ignored: {'; '.join(differing)}")


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)

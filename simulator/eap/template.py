"""The template of an EAP store: made once, by whoever comes first, and checked by everyone who continues it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from spiketype.damage import readable
from spiketype.datasets import store
from spiketype.edge import UserError, versions
from spiketype.location import Location
from spiketype.reading import note, shortened
from spiketype.simulator.eap import parts, recording
from spiketype.simulator.eap.blocks import variables
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.parts import Parts
from spiketype.simulator.eap.probes import Probe
from spiketype.simulator.neuron.cells import BBP, CellModel
from spiketype.simulator.neuron.membrane import Failure
from spiketype.simulator.neuron.source import Source

BBP_LICENCE = "CC-BY-NC-SA-4.0, which the cell models have and what is simulated with them keeps: not for sale"
CONTENTS = "cell_contents"  # the attribute: name of each published model -> digest of what was given of it
BBP_CITATION = (
    "Ramaswamy et al., The neocortical microcircuit collaboration portal, Frontiers in Neural Circuits 9:44 (2015); "
    "Buccino and Einevoll, MEArec, Neuroinformatics 19, 185 (2021)"
)


def create(
    out: Location,
    config: EapConfig,
    models: Sequence[CellModel],
    sources: Mapping[str, Source],
    failures: Mapping[str, Failure],
    made_of: Parts,
) -> None:
    """Write the template of the store of those `models` of `made_of` that can be simulated, in their order.

    Raises:
        AlreadyThere: something is at `out`; another process may have been first.
    """
    layout = made_of.layout
    facts = [_facts(sources[model.name]) for model in models]
    one = sources[models[0].name]  # all are cut alike
    matrix = recording.matrices(config, one.current_nA.shape[2], one.dt_ms).resampling
    kept = 0 if matrix is None or not config.waveform_kHz else matrix.shape[1]
    time_ms = np.arange(kept, dtype=np.float32) / np.float32(config.waveform_kHz or 1)
    sizes = {
        "sample": config.per_cell * len(models),
        "channel": len(layout.contact_um),
        "cell_model": len(models),
    }
    sizes |= {"axis": 3, "world": 3, "local": 3, "time": len(time_ms)}
    about, by_cell = store.Coordinate, ("cell_model",)
    segments = np.array([segments for segments, _ in facts], np.int32)
    coordinates = {
        "cell_model": about(by_cell, np.array([m.name for m in models]), "1", "name of the cell model, as an index"),
        "cell_name": about(by_cell, np.array([m.name for m in models]), "1", "cell model"),
        "m_type": about(by_cell, np.array([m.m_type for m in models]), "1", "morphological type"),
        "e_type": about(by_cell, np.array([m.e_type for m in models]), "1", "electrical type"),
        "layer": about(by_cell, np.array([m.layer for m in models]), "1", "cortical layer"),
        "excitatory": about(by_cell, np.array([m.excitatory for m in models]), "1", "excitatory, else inhibitory"),
        "axon": about(by_cell, np.array([m.axon for m in models]), "1", "a stub, or the full one of the morphology"),
        "variant": about(by_cell, np.array([m.variant for m in models], np.int32), "1", "number; 0 is as published"),
        "model_name": about(by_cell, np.array([m.model_name for m in models]), "1", "published model of a variant"),
        "segments": about(by_cell, segments, "1", "number of segments of the cell model"),
        "contact_um": about(("channel", "axis"), layout.contact_um, "um", "contact position"),
    }
    if len(time_ms):
        coordinates["time_ms"] = about(("time",), time_ms, "ms", "time from the start of the cut")
    attributes = {
        "config": _as_json(config),
        "seed": config.seed,
        "sources": json.dumps({m.name: made for m, (_, made) in zip(models, facts, strict=True)}, sort_keys=True),
        CONTENTS: json.dumps(made_of.contents, sort_keys=True),
        "left_out": json.dumps({name: failure.reason for name, failure in failures.items()}, sort_keys=True),
        "created_with": json.dumps(versions(commit=False), sort_keys=True),
        **_terms(config),
        "probe_grid": list(layout.grid) if layout.grid else [],
        **parts.contacts(layout),
    }
    block, spec = store.choose_block(config.per_cell), variables(config, len(time_ms))
    row_bytes = max(each.row_bytes(sizes) for each in spec.values() if each.dims[0] == "sample")
    run = store.choose_run(config.per_cell // block, block * row_bytes)
    store.create(out, "eap", sizes, block, spec, coordinates, attributes, run)


def _terms(config: EapConfig) -> dict[str, str]:
    """Return what the store is, under which licence, and whom to cite."""
    whose = {
        "title": "Simulated extracellular action potentials",
        "description": f"EAPs of cell models placed before the probe {config.probe} ({config.rotation}), by spiketype",
    }
    if config.cell_models != (BBP,):
        return whose | {"license": "that of the cell models it was simulated with"}
    return whose | {"license": BBP_LICENCE, "citation": BBP_CITATION}


def _facts(source: Source) -> tuple[int, object]:
    return source.current_nA.shape[1], source.provenance


def check_settings(out: Location, config: EapConfig, layout: Probe) -> None:
    """Refuse to continue a store of another configuration.

    Raises:
        UserError: says what differs, or that `out` is no EAP store of this schema.
    """
    if not (out / store.ROOT).is_file():
        raise UserError(f"{out} exists and is no EAP store: choose another --out")
    attributes = store.attributes(out, "eap")
    # An older store, which does not know of an option, is as the option's default has it.
    defaults, ours = json.loads(_as_json(EapConfig())), json.loads(_as_json(config))
    theirs = defaults | store.config(attributes)
    differing = [f"{name} is {theirs[name]} there, {ours[name]} here" for name in ours if theirs[name] != ours[name]]
    if not differing and not np.array_equal(store.read(out, "contact_um"), layout.contact_um):
        differing = [f"probe {config.probe} has other contacts there"]
    if not differing and any(attributes.get(name, size) != size for name, size in parts.contacts(layout).items()):
        differing = [f"probe {config.probe} has contacts of another shape or size there"]
    if differing:
        raise UserError(f"{out} was made with other settings ({'; '.join(differing)}): choose another --out")


def check_contents(out: Location, contents: Mapping[str, str]) -> None:
    """Refuse a store that was made of other files of cell models; note where one that is unfinished does not know.

    A store of an older version does not know. It is continued nevertheless, because days of work may be in it and few
    edit cell models in the meantime.

    Raises:
        UserError: names the models that differ, or that are on one side alone.
    """
    attributes = store.attributes(out, "eap")
    if CONTENTS not in attributes:
        if not store.done(out).all():
            note(
                out,
                "was begun by an older version, which did not record what was in the files of cell models and probe:"
                " if you changed any since, delete it and start again",
            )
        return
    with readable(out, "a store with its cell models", "make it again"):
        theirs: dict[str, str] = dict(json.loads(attributes[CONTENTS]))
    kinds = {
        "other files or types of": [name for name in theirs if contents.get(name, theirs[name]) != theirs[name]],
        "without": [name for name in contents if name not in theirs],
        "with": [name for name in theirs if name not in contents],
    }
    if told := [f"{kind} {shortened(names)}" for kind, names in kinds.items() if names]:
        raise UserError(
            f"{out} was made of other cell models than are there now ({'; '.join(told)}): put the files back as they"
            " were, or choose another --out"
        )


def models_of(out: Location, models: Sequence[CellModel]) -> list[CellModel]:
    """Return the models that an unfinished store was begun with, in its order.

    Raises:
        UserError: it was begun with others.
    """
    by_name = {model.name: model for model in models}
    names = [str(name) for name in store.read(out, "cell_name")]
    if absent := [name for name in names if name not in by_name]:
        raise UserError(f"{out} was begun with {shortened(absent)}, which are not there now: delete it and start again")
    return [by_name[name] for name in names]


def check_sources(
    out: Location, names: Sequence[str], sources: Mapping[str, Source], failures: Mapping[str, Failure]
) -> None:
    """Refuse to continue a store with other currents of the named models than it was begun with.

    Raises:
        UserError: names the models that differ, or have none now.
    """
    recorded = json.loads(store.attributes(out, "eap")["sources"])
    failed = [name for name in names if name in failures]
    changed = [n for n in names if n in sources and recorded[n] != json.loads(json.dumps(sources[n].provenance))]
    if failed or changed:
        other = shortened([*failed, *changed])
        raise UserError(f"{out} was begun with other currents of {other}: delete it and start again")


def _as_json(config: EapConfig) -> str:
    return json.dumps(asdict(config), sort_keys=True)

"""What a cluster run offers: the networks and centres of all seeds, which say where a unit belongs and if it fits."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from spiketype.datasets.waveforms.matrix import Form, Units, read_units
from spiketype.edge import Json, PyTree, UserError
from spiketype.models import agreement, autoencoder, dec
from spiketype.models.autoencoder import Net
from spiketype.train.judging.calls import Calls
from spiketype.train.task import Variables, in_pieces, of_member
from spiketype.train.tasks.cluster.config import ClusterConfig

RARE = 99.0  # percent of the trained units that are nearer to their centre than an outlier
ONE_CLOUD = "no cluster structure was found: the clusters are parts of one cloud"
OUTLIER = f"farther from its cluster than {RARE:g} % of the units that were trained on"
MOST_ROWS = 16_384  # that are encoded at once


def network(config: ClusterConfig, form: Form) -> Net:
    """Return the autoencoder of every member."""
    return autoencoder.make(config.network, form.features, form.shape, config.code, config.hidden)


def encode(net: Net, params: PyTree, x: Float[np.ndarray, "unit feature"]) -> Float[np.ndarray, "member unit code"]:
    """Return the codes of inputs by networks whose parameters have a member axis."""
    members = len(jax.tree.leaves(params)[0])
    each = [partial(_encode, net, of_member(params, number)) for number in range(members)]
    return np.stack([in_pieces(one, x, min(len(x), MOST_ROWS)) for one in each])


@partial(jax.jit, static_argnums=0)  # one program for all members
def _encode(net: Net, params: PyTree, x: jax.Array | np.ndarray) -> jax.Array:
    return autoencoder.apply(net, params, "encode", x)


class Seen(NamedTuple):
    """What every member makes of units; lengths are in units of the member's scale.

    Attributes:
        share: of each of the member's own clusters in a unit.
        distance: to the nearest centre.
        code: numbers that were clustered.
    """

    share: Float[np.ndarray, "member unit cluster"]
    distance: Float[np.ndarray, "member unit"]
    code: Float[np.ndarray, "member unit code"]


@dataclass(frozen=True)
class ClusterModel:
    """Autoencoders and centres, one of each a seed, whose clusters have the same names: "0" is the largest.

    Attributes:
        net: the autoencoder.
        variables: params (net and centre), alive, scale, each with a leading member axis.
        form: of the inputs.
        name_of: what each cluster of each member is called.
        far: distance to the nearest centre beyond which a unit fits none, for each member.
        seeds: of the members.
        fingerprint: of the units that were trained on.
        structure: whether clusters were found to be more than one cloud; None where nobody asked, and in older runs.
    """

    net: Net
    variables: Variables
    form: Form
    name_of: Int[np.ndarray, "member cluster"]
    far: Float[np.ndarray, " member"]
    seeds: tuple[int, ...]
    fingerprint: str
    structure: bool | None

    @classmethod
    def fit(
        cls, config: ClusterConfig, net: Net, variables: Variables, units: Units, structure: bool | None
    ) -> "ClusterModel":
        """Return the model of a training: it names the clusters by their sizes and says what is far."""
        kept = {name: variables[name] for name in ("params", "alive", "scale")}
        seen = see(net, kept, units.x)
        count = seen.share.shape[2]
        agreed = agreement.consensus(seen.share.argmax(axis=2), count)
        rank = np.argsort(np.argsort(-np.bincount(agreed.cluster, minlength=count), kind="stable"))
        far = np.percentile(seen.distance, RARE, axis=1)
        seeds = tuple(member.seed for member in config.members)
        return cls(net, kept, units.form, rank[agreed.name_of], far, seeds, units.fingerprint, structure)

    @classmethod
    def restore(cls, config: ClusterConfig, arrays: PyTree, manifest: Json) -> "ClusterModel":
        """Return the model that was taken apart."""
        form, named = Form.from_json(manifest), manifest["named"]
        return cls(
            network(config, form),
            arrays,
            form,
            np.array(named["of_member"]),
            np.array(named["far"]),
            tuple(manifest["seeds"]),
            manifest["fingerprint"],
            manifest.get("structure"),
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the clusters."""
        return tuple(map(str, range(self.name_of.shape[1])))

    def arrays(self) -> PyTree:
        """Return the variables."""
        return self.variables

    def manifest(self) -> Json:
        """Return the form of the inputs, the names of the clusters, and what was trained on."""
        return {
            **self.form._asdict(),
            "classes": list(self.classes),
            "seeds": list(self.seeds),
            "named": {"of_member": self.name_of.tolist(), "far": self.far.tolist()},
            "fingerprint": self.fingerprint,
            "structure": self.structure,
        }

    def see(self, x: Float[np.ndarray, "unit feature"]) -> Seen:
        """Return what every member makes of inputs."""
        return see(self.net, self.variables, x)

    def probability(self, x: Float[np.ndarray, "unit feature"]) -> Float[np.ndarray, "member unit cluster"]:
        """Return the share of each cluster in each input, by the names that all members share."""
        return self._named(self.see(x).share)

    def calls(self, units: Units, seen: Seen) -> Calls:
        """Return the calls of units, whose labels are no clusters; ``outlier``: most members find it far."""
        outlier = (seen.distance > self.far[:, None]).mean(axis=0) > 0.5
        return Calls(
            probability=self._named(seen.share),
            label=np.full(len(units.x), -1),
            group=units.group,
            class_names=self.classes,
            row_names=units.unit_names,
            measured={"outlier": np.where(outlier, "yes", "no")},
        )

    def table(self, calls: Calls, certain: float) -> dict[str, np.ndarray]:
        """Return the table of calls: a unit that is far from all clusters belongs to none, and of one cloud all are."""
        one_cloud = np.full(len(calls.label), self.structure is False)
        return calls.table(certain, never={ONE_CLOUD: one_cloud, OUTLIER: calls.measured["outlier"] == "yes"})

    def _named(self, share: np.ndarray) -> np.ndarray:
        renamed = np.empty_like(share)
        for one, mine, names in zip(renamed, share, self.name_of, strict=True):
            one[:, names] = mine
        return renamed


def see(net: Net, variables: Variables, x: Float[np.ndarray, "unit feature"]) -> Seen:
    """Return what the members with these variables make of inputs."""
    params, alive = variables["params"], np.asarray(variables["alive"][0])  # the same clusters of each, the first ones
    codes = encode(net, params["net"], x) / np.asarray(variables["scale"])[:, None, None]
    share, distance = [], []
    for z, centre in zip(codes, np.asarray(params["centre"]), strict=True):
        log_q = dec.log_assignment(jnp.asarray(z), jnp.asarray(centre), jnp.asarray(alive))
        share.append(np.exp(np.asarray(log_q, np.float64))[:, alive])
        distance.append(np.sqrt(((z[:, None] - centre[None, alive]) ** 2).sum(axis=2).min(axis=1)))
    return Seen(np.stack(share), np.stack(distance), codes)


def evaluate(config: ClusterConfig, model: ClusterModel, data: Path) -> NoReturn:
    """Refuse: what judges a clustering are the units that it is of.

    Raises:
        UserError: always.
    """
    raise UserError("a cluster run is judged when it is trained: see summary.json, or use spiketype predict")


def predict(config: ClusterConfig, model: ClusterModel, data: Path) -> dict[str, np.ndarray]:
    """Return the call of every unit of a table, the share of each cluster, and whether it is an outlier."""
    units = read_units(config, data, model.form)
    return model.table(model.calls(units, model.see(units.x)), config.certain)

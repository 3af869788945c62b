"""Deep embedded clustering: Student-t assignments to centres, their sharpened target, and the losses of the family.

DEC: Xie, Girshick and Farhadi, ICML 2016. IDEC, which keeps the reconstruction: Guo et al., IJCAI 2017. Parameters are
{"net": of the autoencoder, "centre": (cluster, code)}, the state is that of `fresh_state`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from spiketype.edge import PyTree
from spiketype.models import autoencoder
from spiketype.models.autoencoder import Net
from spiketype.models.options import ClusterLoss

Change = Callable[[jax.Array, jax.Array], jax.Array]  # (key, x (unit, feature)) -> x, augmented
Loss = tuple[Float[Array, ""], dict[str, Float[Array, ""]]]  # with what is watched


def log_assignment(
    z: Float[Array, "unit code"],
    centre: Float[Array, "cluster code"],
    alive: Bool[Array, " cluster"],
    alpha: float = 1.0,
) -> Float[Array, "unit cluster"]:
    """Return ln q_ij, q_ij ~ (1 + |z_i - m_j|^2 / alpha)^(-(alpha + 1) / 2) (equation 1).

    q_ij is the share of cluster j in unit i; a cluster that is not alive has the share 0. In log space, so that no
    distance makes a share 0 or NaN.
    """
    square = jnp.sum((z[:, None] - centre[None]) ** 2, axis=2)
    kernel = -0.5 * (alpha + 1) * jnp.log1p(square / alpha)
    return jax.nn.log_softmax(jnp.where(alive[None], kernel, -jnp.inf), axis=1)


def target(log_q: Float[Array, "unit cluster"], share: Float[Array, " cluster"] | None) -> Float[Array, "unit cluster"]:
    """Return the sharpened assignment p_ij ~ q_ij^2 s_j / f_j, f_j = sum_i q_ij (equation 3), rows summing to one.

    share: the sizes that classes are believed to have, largest first, given to the clusters in the order of their
    sizes; equal ones are the paper's. None: as they are, s_j ~ f_j, so that p_ij ~ q_ij^2 and no cluster is pressed
    towards the size of the others.
    """
    bend = jnp.zeros(log_q.shape[1])
    if share is not None:
        size = jax.scipy.special.logsumexp(log_q, axis=0)
        rank = jnp.argsort(jnp.argsort(-size))
        bend = jnp.log(share)[rank] - jnp.where(jnp.isfinite(size), size, 0)
    return jax.nn.softmax(2 * log_q + bend[None], axis=1)


def divergence(p: Float[Array, "unit cluster"], log_q: Float[Array, "unit cluster"]) -> Float[Array, ""]:
    """Return the mean over units of KL(p || q) in nat (equation 2); clusters that are not alive do not count."""
    finite = jnp.where(jnp.isfinite(log_q), log_q, 0)
    return jnp.mean(jnp.sum(xlogy(p, p) - p * finite, axis=1))


def contrast(z: Float[Array, "unit code"], other: Float[Array, "unit code"]) -> Float[Array, ""]:
    """Return the mean of -ln(k(z_i, o_i) / sum_j k(z_i, o_j)) in both directions, k = 1 / (1 + |z - o|^2).

    This is contrastive neighbour embedding (Damrich et al., ICLR 2023; Boehm et al., ICLR 2023). The kernel is that of
    the assignments (alpha 1), so that the code comes in groups that the centres can find.
    """
    near = -jnp.log1p(jnp.sum((z[:, None] - other[None]) ** 2, axis=2))
    both = [jnp.diagonal(jax.nn.log_softmax(near, axis=axis)) for axis in (0, 1)]
    return -0.5 * jnp.mean(both[0] + both[1])


def reseed(
    z: Float[Array, "unit code"],
    centre: Float[Array, "cluster code"],
    label: Int[Array, " unit"],
    alive: Bool[Array, " cluster"],
) -> tuple[Float[Array, "cluster code"], Int[Array, ""]]:
    """Move each centre without a unit to a unit that is far from its own; return the centres, and how many moved.

    The farthest units are taken first, one for each centre. Units that are alone in a cluster stay.
    """
    size = jnp.zeros(len(centre), jnp.int32).at[label].add(1)
    empty = alive & (size == 0)
    distance = jnp.sum((z - centre[label]) ** 2, axis=1)
    far = jax.lax.top_k(jnp.where(size[label] > 1, distance, -1.0), min(len(centre), len(z)))[1]
    turn = jnp.clip(jnp.cumsum(empty) - 1, 0, len(far) - 1)
    return jnp.where(empty[:, None], z[far[turn]], centre), empty.sum().astype(jnp.int32)


def health(
    z: Float[Array, "unit code"], log_q: Float[Array, "unit cluster"], alive: Bool[Array, " cluster"]
) -> dict[str, Float[Array, ""]]:
    """Return the measures that show a collapse.

    ``entropy`` of the mean assignment over that of equal sizes: 1 when clusters are equal, 0 when one has all units.
    ``variance`` of the code, summed over its numbers: 0 when all units have one code.
    """
    mean = jnp.exp(jax.scipy.special.logsumexp(log_q, axis=0)) / len(log_q)
    entropy = -jnp.sum(xlogy(mean, mean)) / jnp.log(jnp.maximum(alive.sum(), 2).astype(mean.dtype))
    return {"entropy": entropy, "variance": jnp.var(z, axis=0).sum()}


def fresh_state(count: int, most: int, code: int) -> dict[str, jax.Array]:
    """Return what clustering keeps beside parameters, before its first step, for `count` units and `most` centres.

    Which centres are alive; by what the code is divided; of every unit the target, the cluster (-1: none yet) and the
    code after pretraining; the share of units whose cluster changed at the last refresh; how often a centre was moved
    because its cluster was empty.
    """
    return {
        "alive": jnp.ones(most, bool),
        "scale": jnp.ones(()),
        "target": jnp.zeros((count, most)),
        "label": jnp.full(count, -1, jnp.int32),
        "pretrained": jnp.zeros((count, code)),
        "changed": jnp.ones(()),
        "reseeded": jnp.zeros((), jnp.int32),
    }


def refresh(
    net: Net, params: PyTree, state: PyTree, x: Float[Array, "unit feature"], share: Float[Array, " cluster"] | None
) -> tuple[PyTree, PyTree]:
    """Return parameters and state with the targets of all units, and with centres moved out of empty clusters."""
    z = autoencoder.apply(net, params["net"], "encode", x) / state["scale"]
    label = log_assignment(z, params["centre"], state["alive"]).argmax(axis=1).astype(jnp.int32)
    centre, moved = reseed(z, params["centre"], label, state["alive"])
    new = {
        "target": target(log_assignment(z, centre, state["alive"]), share),
        "label": label,
        "changed": jnp.mean((label != state["label"]).astype(jnp.float32)),
        "reseeded": state["reseeded"] + moved,
    }
    return {**params, "centre": centre}, {**state, **new}


def clustering_loss(
    net: Net,
    params: PyTree,
    state: PyTree,
    index: Int[Array, " unit"],
    x: Float[Array, "unit feature"],
    key: PRNGKeyArray,
    kind: ClusterLoss,
    share: Float[Array, " cluster"] | None,
    beta: float,
    gamma: float,
) -> Loss:
    """Return the loss of units `index`, whose (augmented) inputs are x.

    ``dec``: the divergence from the target. ``idec``: gamma times it, plus the reconstruction, of a variational code
    with its own divergence times beta. ``joint``: the same with a target made anew for the batch, as `share` says.
    """
    if kind == "dec":
        error, z = jnp.zeros(()), autoencoder.apply(net, params["net"], "encode", x)
    else:
        error, z = autoencoder.reconstruction(net, params["net"], x, x, key, beta)
    z = z / state["scale"]
    log_q = log_assignment(z, params["centre"], state["alive"])
    aim = jax.lax.stop_gradient(target(log_q, share)) if kind == "joint" else state["target"][index]
    kl = divergence(aim, log_q)
    watched = {"kl": kl, "changed": state["changed"], **health(z, log_q, state["alive"])}
    return (kl if kind == "dec" else error + gamma * kl), watched


def pretraining_loss(
    net: Net,
    params: PyTree,
    x: Float[Array, "unit feature"],
    neighbour: Float[Array, "unit feature"] | None,
    key: PRNGKeyArray,
    change: Change,
    corruption: float,
    beta: float,
    weight: float,
) -> Loss:
    """Return the error of reconstructing units from inputs of which a share is set to zero.

    With neighbours, the codes of units are also drawn to theirs and driven from those of other units: `contrast` times
    `weight`.
    """
    change_key, drop_key, code_key, other_key = jax.random.split(key, 4)
    x = change(change_key, x)
    seen = jnp.where(jax.random.bernoulli(drop_key, 1 - corruption, x.shape), x, 0)
    error, z = autoencoder.reconstruction(net, params["net"], x, seen, code_key, beta)
    if neighbour is None:
        return error, {}
    apart = contrast(z, autoencoder.apply(net, params["net"], "encode", change(other_key, neighbour)))
    return error + weight * apart, {"reconstruction": error, "contrast": apart}

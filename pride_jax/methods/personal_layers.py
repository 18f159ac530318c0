"""Personal layers: some parameters stay with each client, the others are learned together.

Arivazhagan, Aggarwal, Singh & Choudhary 2019, Federated Learning with Personalization Layers
(FedPer), where the last layers are personal; Li, Jiang, Zhang, Kamp & Dou 2021, FedBN, where those
of the norm layers are.

A client sends what the wrapped method sends, without the personal parameters, and keeps those.
What may be encrypted, and the sensitivity, are the wrapped method's.
"""

import fnmatch
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pride_jax.errors import ConfigError
from pride_jax.methods.method import ClientRule, Local, Method, Own, Round, State, Update
from pride_jax.types import Params


def personal_layers(method: Method, personal: Sequence[str]) -> Method:
    """Makes some of a method's parameters personal.

    Args:
      method: sends its parameters, receives changes of them, and has clients that keep nothing,
        as FedAvg and FedProx.
      personal: patterns of parameters' names, such as ``layers/1/*``; names are paths with ``/``.

    Raises:
      ConfigError: the method is of another kind, or the patterns name no parameter, or all.
    """
    shapes = jax.eval_shape(lambda key: method.send(method.init(key)), jax.random.key(0))
    if jax.tree.leaves(jax.eval_shape(method.client.state, shapes)):
        raise ConfigError(
            "personal_layers of a method whose clients keep a state: expected one whose clients "
            "keep nothing, such as fedavg or fedprox"
        )
    named, tree = jax.tree.flatten_with_path(shapes)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in named]
    mine = [any(fnmatch.fnmatchcase(name, each) for each in personal) for name in names]
    if all(mine) or not any(mine):
        raise ConfigError(
            f"personal={list(personal)} names {'all' if all(mine) else 'none'} of the parameters, "
            f"expected some of them: {', '.join(names)}"
        )

    def divided(params: Params) -> tuple[list[Array], list[Array]]:
        """The personal leaves, and those that are shared."""
        leaves = list(zip(jax.tree.leaves(params), mine, strict=True))
        return [leaf for leaf, own in leaves if own], [leaf for leaf, own in leaves if not own]

    def joined(kept: Sequence[Array], shared: Sequence[Array]) -> Params:
        own, others = iter(kept), iter(shared)
        return jax.tree.unflatten(tree, [next(own if each else others) for each in mine])

    def own_model(sent: Params, state: list[Array]) -> Params:
        return joined(state, divided(sent)[1])

    def start(round_: Round, sent: Params, state: list[Array]) -> Local:
        local = method.client.start(round_, own_model(sent, state), ())

        def finish(carry: Any, steps: Int[Array, ""]) -> tuple[Update, State]:
            changes, shared = divided(local.finish(carry, steps)[0])
            return shared, jax.tree.map(jnp.add, state, changes)

        return Local(local.carry, local.step, finish)

    def apply(round_: Round, own: Own, mean: Update, share: Float[Array, ""]) -> Own:
        kept, _ = divided(method.send(own))
        still = [jnp.zeros_like(leaf) for leaf in kept]
        return method.apply(round_, own, joined(still, mean), share)

    return method._replace(
        client=ClientRule(lambda sent: divided(sent)[0], start),
        apply=apply,
        personal=own_model,
    )

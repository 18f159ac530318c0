"""Flower's own wrapper for central DP over its weighted mean, as a round for the kit."""

# pyright: reportMissingImports=false
# Flower is an extra.

import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from flwr.common import (
    Code,
    FitIns,
    FitRes,
    Parameters,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.server.client_manager import SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg

from pride_jax.attacks.audit_probes import Client
from results.attacks.strategies import CLIENTS, NOISE, NORM, RATE

_LATER = 2
"""Not the first round, in which Flower warns of metrics."""


class _Proxy(ClientProxy):
    """A client that answers with the update it was given."""

    def __init__(self, number: int, by_examples: bool) -> None:
        super().__init__(str(number))
        self.by_examples = by_examples
        self.given = Client(np.zeros(0), 1)

    def fit(self, ins: FitIns, timeout: float | None, group_id: int | None) -> FitRes:
        """The parameters that it was sent, plus its update."""
        del timeout, group_id
        (sent,) = parameters_to_ndarrays(ins.parameters)
        return FitRes(
            status=Status(Code.OK, ""),
            parameters=ndarrays_to_parameters([sent + self.given.update]),
            num_examples=self.given.examples if self.by_examples else 1,
            metrics={},
        )

    def get_properties(self, ins: Any, timeout: float | None, group_id: int | None) -> Any:
        """Never asked for."""
        raise NotImplementedError

    get_parameters = evaluate = reconnect = get_properties


def flower_round(seed: int, by_examples: bool) -> Callable[[Parameters, Sequence[Client]], Any]:
    """A round of Flower's FedAvg in `DifferentialPrivacyServerSideFixedClipping`.

    Flower's client manager draws, and its strategies clip, weigh, add and noise.

    Args:
      seed: of Python's and NumPy's global generators, from which Flower draws.
      by_examples: whether clients tell their numbers of examples, by which FedAvg weighs; else 1.
    """
    logging.getLogger("flwr").setLevel(logging.ERROR)
    random.seed(seed)
    np.random.seed(seed)
    called = round(RATE * CLIENTS)
    manager = SimpleClientManager()
    proxies = [_Proxy(number, by_examples) for number in range(CLIENTS)]
    for proxy in proxies:
        manager.register(proxy)
    strategy = DifferentialPrivacyServerSideFixedClipping(
        FedAvg(fraction_fit=RATE, min_fit_clients=called, min_available_clients=CLIENTS),
        noise_multiplier=NOISE,
        clipping_norm=NORM,
        num_sampled_clients=called,
    )

    def one_round(state: Parameters, clients: Sequence[Client]) -> Any:
        for proxy, client in zip(proxies, clients, strict=True):
            proxy.given = client
        asked = strategy.configure_fit(_LATER, state, manager)
        answers = [(proxy, proxy.fit(ins, None, None)) for proxy, ins in asked]
        after, _ = strategy.aggregate_fit(_LATER, answers, [])
        return after

    return one_round


def start(size: int) -> Parameters:
    """Flower's parameters, all zeros."""
    return ndarrays_to_parameters([np.zeros(size)])


def values(state: Parameters) -> Any:
    """The vector in Flower's parameters."""
    (vector,) = parameters_to_ndarrays(state)
    return vector

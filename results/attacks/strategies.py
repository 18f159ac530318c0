"""Rounds for the conformance kit: in plain NumPy, one right and others wrong; and Flower's own."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from pride_jax.attacks.audit_probes import Client

RATE, NORM, NOISE, CLIENTS, PARAMETERS = 0.1, 1.0, 1.0, 100, 50
"""What all of them claim."""

Vector = Float[np.ndarray, "parameters"]
Round = Callable[[Vector, Sequence[Client]], Vector]


class Right:
    """DP-FedAvg with Poisson sampling; what is wrong with others is a method of theirs.

    Attributes:
      rng: of cohorts and noise; a deployment's own would be the operating system's.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, params: Vector, clients: Sequence[Client]) -> Vector:
        """A round."""
        called = np.flatnonzero(self.cohort(len(clients)))
        total = sum(
            (self.weight(clients[each]) * self.clipped(clients[each].update) for each in called),
            np.zeros_like(params),
        )
        weight = sum(self.weight(clients[each]) for each in called)
        return params + total / self.denominator(weight) + self.noise(params) / (RATE * CLIENTS)

    def cohort(self, clients: int) -> Bool[np.ndarray, "clients"]:
        """Who is called."""
        return self.rng.random(clients) < RATE

    def clipped(self, update: Vector) -> Vector:
        """An update of at most the clipping norm."""
        return update * min(1.0, NORM / float(np.linalg.norm(update)))

    def weight(self, client: Client) -> float:
        """How much a client counts."""
        del client
        return 1.0

    def denominator(self, weight: float) -> float:
        """What the sum is divided by, given the weight of who was called."""
        del weight
        return RATE * CLIENTS

    def noise(self, params: Vector) -> Vector:
        """Of the sum."""
        return NOISE * NORM * self.rng.normal(size=params.shape)


class Unclipped(Right):
    """Forgets to clip."""

    def clipped(self, update: Vector) -> Vector:
        """An update as it is."""
        return update


class Oversampled(Right):
    """Calls each client half again as often as it says."""

    def cohort(self, clients: int) -> Bool[np.ndarray, "clients"]:
        """Too many."""
        return self.rng.random(clients) < 1.5 * RATE


class ReusedNoise(Right):
    """Seeds its noise anew in every round."""

    def noise(self, params: Vector) -> Vector:
        """The same again."""
        return NOISE * NORM * np.random.default_rng(0).normal(size=params.shape)


class RealisedWeight(Right):
    """Divides by the number of clients that were called, not by the expected one."""

    def denominator(self, weight: float) -> float:
        """That number."""
        return max(1.0, weight)


class QuietNoise(Right):
    """Has four fifths of the noise that it says."""

    def noise(self, params: Vector) -> Vector:
        """Too little."""
        return 0.8 * super().noise(params)


WRONG = {
    Unclipped: "clipping",
    Oversampled: "sampling rate",
    ReusedNoise: "fresh noise",
    RealisedWeight: "denominator",
    QuietNoise: "noise",
}
"""What the kit must say of each."""


def flower(seed: int, by_examples: bool = True) -> Round:
    """A round of Flower's FedAvg within its wrapper for central DP with fixed clipping.

    Flower's own client manager, strategy and wrapper do everything; only training is ours.

    Args:
      seed: of Python's and NumPy's global generators, which Flower draws from.
      by_examples: whether clients report their numbers of examples, by which Flower weighs, or 1.
    """
    import random

    from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
    from flwr.server.client_manager import SimpleClientManager
    from flwr.server.client_proxy import ClientProxy
    from flwr.server.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg

    logging.getLogger("flwr").setLevel(logging.ERROR)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    size = round(RATE * CLIENTS)

    class Proxy(ClientProxy):
        """A client that sends the update it is given."""

        def fit(self, ins: Any, timeout: Any, group_id: Any) -> FitRes:
            del timeout, group_id
            (params,) = parameters_to_ndarrays(ins.parameters)
            update, examples = self.properties["client"]
            return FitRes(
                status=Status(Code.OK, ""),
                parameters=ndarrays_to_parameters([params + update]),
                num_examples=examples if by_examples else 1,
                metrics={},
            )

        def get_properties(self, ins: Any, timeout: Any, group_id: Any) -> Any:
            raise NotImplementedError

        get_parameters = evaluate = reconnect = get_properties

    manager = SimpleClientManager()
    proxies = [Proxy(str(number)) for number in range(CLIENTS)]
    for proxy in proxies:
        manager.register(proxy)
    strategy = DifferentialPrivacyServerSideFixedClipping(
        FedAvg(fraction_fit=RATE, min_fit_clients=size, min_available_clients=CLIENTS),
        noise_multiplier=NOISE,
        clipping_norm=NORM,
        num_sampled_clients=size,
    )

    def one_round(params: Vector, clients: Sequence[Client]) -> Vector:
        for proxy, client in zip(proxies, clients, strict=True):
            proxy.properties = {"client": client}  # pyright: ignore
        asked = strategy.configure_fit(2, ndarrays_to_parameters([params]), manager)
        answers = [(proxy, proxy.fit(ins, None, None)) for proxy, ins in asked]
        parameters, _ = strategy.aggregate_fit(2, answers, [])
        assert parameters is not None
        return parameters_to_ndarrays(parameters)[0]

    return one_round

"""Simulates a config client by client in a process of its own, some messages lost on the way.

Arguments: a file of the config, a JSON object ``{round: [clients whose messages are lost]}``, and
a JSON list of clients whose inputs are NaN.
Prints the digest of the parameters after every evaluation's rounds, as JSON.
"""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from pride_jax.runs.devices import use_cores
from pride_jax.settings.files import from_dict


def main():
    config = from_dict(json.loads(Path(sys.argv[1]).read_text()))
    lost = {int(round_): set(clients) for round_, clients in json.loads(sys.argv[2]).items()}
    broken = json.loads(sys.argv[3])
    config = dataclasses.replace(
        config,
        engine=dataclasses.replace(config.engine, per_client=True),
        aggregation=dataclasses.replace(config.aggregation, protocol="plain"),
    )
    use_cores(config.engine.devices)

    from pride_jax.aggregation.messages import from_bytes
    from pride_jax.runs import experiment, prepared
    from pride_jax.settings import build

    real, divide = build.build_secure_aggregation, prepared.federate_each

    def arrives(data):
        message = from_bytes(data)
        return message.client not in lost.get(message.header.round, ())

    def lossy(*arguments):
        return real(*arguments)._replace(network=lambda sent: list(filter(arrives, sent)))

    def damaged(*arguments):
        data, *others = divide(*arguments)
        owners = np.repeat(np.arange(data.num_clients), data.sizes)
        rows = np.asarray(data.index)[np.isin(owners, broken)]
        return data._replace(inputs=data.inputs.at[rows].set(np.nan)), *others

    build.build_secure_aggregation = lossy
    # After the data set was looked at: a simulation refuses one that holds NaN.
    prepared.federate_each = damaged
    with tempfile.TemporaryDirectory() as folder:
        summary = experiment.run(config, Path(folder) / "run")
    print(json.dumps(summary["parameters_sha256"]))


if __name__ == "__main__":
    main()

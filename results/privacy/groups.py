"""ε for all the clients together that hold one digit: ``python -m results.privacy.groups FILE``.

Needs MNIST, of which the configs' own partitions say how many clients hold a digit. Reads the
sweeps in ``accuracy/`` and writes the file.
"""

import sys
from dataclasses import replace
from pathlib import Path

from pride_jax.data.partition import most_holders
from pride_jax.files import write_json
from pride_jax.privacy.groups import group_epsilon
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.plan import Plan
from pride_jax.runs.budget import finite
from pride_jax.runs.environment import environment
from pride_jax.settings.build import build_dataset, build_partition, build_plan
from pride_jax.settings.files import load_config
from results.privacy.geyer import CLIENTS, with_noise

_RESULTS = Path(__file__).parents[1]
_PARAMETERS = 5010


def main(path: Path) -> None:
    """Computes what the sweeps promise of a digit."""
    rows = []
    for name, sweep in with_noise(_RESULTS).items():
        config = load_config(_RESULTS.parent / "configs" / f"mnist_dp_{CLIENTS[name]}.py")
        # Whose each digit is does not depend on its features.
        config = replace(config, data=replace(config.data, features="pixels"))
        partition = build_partition(config, build_dataset(config))
        plan, holders = (
            build_plan(config, len(partition.sizes), _PARAMETERS),
            most_holders(partition),
        )
        assert isinstance(plan, Plan), "the configs are private"
        for asked in dict.fromkeys(run["settings"]["privacy.epsilon"] for run in sweep["runs"]):
            run = next(r for r in sweep["runs"] if r["settings"]["privacy.epsilon"] == asked)
            same = replace(plan, mechanism=Gaussian(run["noise_multiplier"]), delta=run["delta"])
            together = finite(group_epsilon(same, holders))
            rows.append(
                {
                    "clients": name,
                    "settings": {"privacy.epsilon": asked},
                    "delta": run["delta"],
                    "epsilon": run["epsilon"],
                    "holders": holders,
                    "epsilon_of_holders": together,
                }
            )
    write_json(path, {"environment": environment(), "rows": rows})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

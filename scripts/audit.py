"""Audit a config's claimed ε: ``python scripts/audit.py --config configs/digits_dp.py``.

Canary clients go through the config's own pipeline. The exit status is 0 if the lower bound on ε
does not exceed the claim, 1 if it does, and 2 if there is nothing to audit.
"""

import argparse
import json
import sys
from pathlib import Path

from pride_jax.benchmarks import audit
from pride_jax.config import load_config
from pride_jax.errors import PrideError
from pride_jax.reporting.audit_plots import audits
from pride_jax.reporting.plots import save
from pride_jax.runs.devices import use_cores
from pride_jax.runs.files import write_atomically


def main() -> int:
    """Reads the command line, audits, and returns the exit status."""
    default = audit.Setting()
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--canaries", type=int, default=default.canaries, help="clients to add")
    parser.add_argument("--repetitions", type=int, default=default.repetitions, help="audits")
    parser.add_argument("--seed", type=int, default=default.seed, help="of coins and noise")
    parser.add_argument("--json", action="store_true", help="print one JSON object as last line")
    parser.add_argument("--out", type=Path, help="folder for audit.json and audit.png")
    arguments = parser.parse_args()
    try:
        return run(arguments)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(arguments: argparse.Namespace) -> int:
    """Audits as asked."""
    config = load_config(arguments.config)
    use_cores(config.engine.devices)
    setting = audit.Setting(arguments.canaries, arguments.repetitions, seed=arguments.seed)
    secrets = Path("runs") / arguments.config.stem / "secrets"
    report = audit.measure(config, setting, secrets)
    audit.show(report, setting)
    line = audit.as_json(arguments.config.stem, setting, report)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.out / "audit.json", line + "\n")
        save(audits([json.loads(line)]), arguments.out / "audit.png")
    if arguments.json:
        print(line)
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())

"""Audit a config's claimed ε: ``python scripts/audit.py --config configs/digits_dp.py``.

Canary clients go through the config's own pipeline. The exit status is 0 if the lower bound on ε
does not exceed the claim, 1 if it does, 2 if there is nothing to audit, and 3 if no bound could
have exceeded the claim, so that nothing is said of it. Any setting of the config can be overridden:
``--privacy.epsilon 1``.
"""

import argparse
import json
import sys
from pathlib import Path

import checkout  # noqa: F401, since importing it finds the package
from pride_jax.errors import PrideError
from pride_jax.settings.command_line import override
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import load_config


def main() -> int:
    """Reads the command line, audits, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="whose claim of ε is audited"
    )
    parser.add_argument(
        "--canaries", type=int, default=1000, metavar="N", help="clients to add, at most; 1000"
    )
    parser.add_argument(
        "--repetitions", type=int, default=1, metavar="R", help="audits, in one program; 1"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object as last line")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder whose audit.json and audit.png it joins"
    )
    arguments, overrides = parser.parse_known_args()
    try:
        config = override(
            load_config(arguments.config),
            overrides,
            prog="audit.py --config FILE [--canaries N] [--repetitions R] [--json] [--out DIR]",
        )
        return audit(config, arguments)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def audit(config: Experiment, arguments: argparse.Namespace) -> int:
    """Audits as asked."""
    from pride_jax.attacks.run_audit import Setting, as_json, measure, show
    from pride_jax.reporting.audit_plots import join
    from pride_jax.runs.devices import keep_programs, use_devices

    use_devices(config.engine)
    keep_programs()
    setting = Setting(arguments.canaries, arguments.repetitions)
    report = measure(config, setting, Path("runs") / arguments.config.stem / "secrets")
    show(report, setting)
    line = as_json(arguments.config.stem, config, setting, report)
    if arguments.out:
        join(json.loads(line), arguments.out)
    if arguments.json:
        print(line)
    return {"pass": 0, "FAIL": 1, "no power": 3}[report.verdict]


if __name__ == "__main__":
    sys.exit(main())

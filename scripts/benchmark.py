"""Measure what the code costs: ``python scripts/benchmark.py engine --json``.

A benchmark is a file of ``scripts/bench/`` with a ``Setting`` (a dataclass of defaults), and

- ``measure(setting) -> report``,
- ``show(report)``, which prints tables, and
- ``as_json(setting, report)``, which gives one line of JSON.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

import checkout  # noqa: F401, since importing it finds the package

# isort: split
import tyro

from pride_jax.errors import PrideError

BENCHMARKS = sorted(
    file.stem for file in (Path(__file__).parent / "bench").glob("*.py") if file.stem != "__init__"
)


def main() -> int:
    """Reads the command line, measures, and returns the exit status."""
    parser = argparse.ArgumentParser(
        usage="benchmark.py NAME [--json] [options of that benchmark; see NAME --help]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        # After a name, the benchmark's own help is asked for.
        add_help=len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS,
    )
    parser.add_argument("name", choices=BENCHMARKS, help="what is measured")
    parser.add_argument("--json", action="store_true", help="print one JSON object as last line")
    arguments, options = parser.parse_known_args()
    benchmark = import_module(f"bench.{arguments.name}")
    try:
        setting = tyro.cli(
            benchmark.Setting,
            args=options,
            prog=f"benchmark.py {arguments.name} [--json]",
            description=benchmark.__doc__,
        )
        report = benchmark.measure(setting)
        benchmark.show(report)
        if arguments.json:
            print(benchmark.as_json(setting, report))
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

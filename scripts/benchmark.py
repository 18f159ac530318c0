"""Measure what the code costs: ``python scripts/benchmark.py engine|encryption|privacy|…``."""

import sys
from pathlib import Path

import tyro

from pride_jax.benchmarks import encryption, engine, privacy, process, scale
from pride_jax.errors import PrideError

app = tyro.extras.SubcommandApp()


@app.command(name="engine")
def time_engine(setting: tyro.conf.OmitArgPrefixes[engine.Setting], json: bool = False) -> None:
    """Times the engine against two straightforward loops.

    Args:
      setting: what is timed.
      json: print one JSON object as the last line.
    """
    report = engine.measure_in_processes(setting)
    engine.show(report)
    if json:
        print(engine.as_json(setting, report))


@app.command(name="encryption")
def time_encryption(
    setting: tyro.conf.OmitArgPrefixes[encryption.Setting], json: bool = False
) -> None:
    """Times every way to add updates unseen against naive Paillier.

    Args:
      setting: what is timed.
      json: print one JSON object as the last line.
    """
    report = encryption.measure(setting)
    encryption.show(report)
    if json:
        print(encryption.as_json(setting, report))


@app.command(name="privacy")
def time_privacy(setting: tyro.conf.OmitArgPrefixes[privacy.Setting], json: bool = False) -> None:
    """Times clipping and noise in a round, and the accountant.

    Args:
      setting: what is timed.
      json: print one JSON object as the last line.
    """
    report = privacy.measure(setting)
    privacy.show(report)
    if json:
        print(privacy.as_json(setting, report))


@app.command(name="scale")
def time_scale(setting: tyro.conf.OmitArgPrefixes[scale.Setting], json: bool = False) -> None:
    """Times rounds against cohort, clients, devices, and how clients are computed.

    Args:
      setting: what is timed.
      json: print one JSON object as the last line.
    """
    rows = scale.measure(setting)
    scale.show(rows)
    if json:
        print(scale.as_json(setting, rows))


@app.command(name="process")
def time_process(setting: tyro.conf.OmitArgPrefixes[process.Setting], json: bool = False) -> None:
    """Times whole runs of a config, from the command to its end.

    Args:
      setting: what is timed.
      json: print one JSON object as the last line.
    """
    report = process.measure(setting, Path(__file__).with_name("train.py"))
    process.show(report)
    if json:
        print(process.as_json(setting, report))


def main() -> int:
    """Reads the command line, measures, and returns the exit status."""
    try:
        app.cli(description=__doc__)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

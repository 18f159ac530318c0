"""Runs Flower's commands one after another: ``python -m pride_jax.deploy.flwr_commands COMMANDS``.

These are JSON: lists of words. A process for each would import Flower each time.
"""

# pyright: reportMissingImports=false
# Flower is an extra.

import json
import sys


def main(commands: list[list[str]]) -> None:
    """Runs ``flwr`` with each command's words; what it prints, it prints."""
    from flwr.cli.app import app

    for words in commands:
        app(words, standalone_mode=False)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

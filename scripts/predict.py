"""Answers of a trained model: ``python scripts/predict.py runs/iris_two_party flowers.csv``.

FILE is a table with the columns of the run's own (.csv, .parquet), an image, a folder or an archive
of images, a text (.txt) whose lines are to go on, or arrays (.npy, .npz with ``inputs``). A CSV
with a row for each example goes to the terminal or to --out; of sequences, what follows the last
token. The code that came with a run is not run, unless --trust-code says that you have read it.
"""

import argparse
import contextlib
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import checkout  # noqa: F401, since importing it finds the package

# isort: split
import numpy as np

from pride_jax.errors import ConfigError, PrideError, RunError


def parser_of() -> argparse.ArgumentParser:
    """The script's options."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").replace("``", ""), allow_abbrev=False
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run that has ended")
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="examples to answer")
    parser.add_argument("--out", type=Path, metavar="CSV", help="where answers go, if not here")
    parser.add_argument(
        "--best", action="store_true", help="the model of the best evaluation, not the last"
    )
    parser.add_argument(
        "--client", type=int, metavar="ID", help="that client's own model, if clients have such"
    )
    parser.add_argument(
        "--export", type=Path, metavar="NPZ", help="write the parameters as plain arrays"
    )
    parser.add_argument(
        "--trust-code", action="store_true", help="run the code in the run's own folder"
    )
    return parser


def main() -> int:
    """Reads the command line, answers, and returns the exit status."""
    arguments = parser_of().parse_args()
    try:
        if arguments.file is None and arguments.export is None:
            raise ConfigError("There is nothing to do: expected a FILE of examples, or --export")
        predict(arguments)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def predict(arguments: argparse.Namespace) -> None:
    """Loads the model, and writes what is asked for.

    Raises:
      PrideError: the model or the examples cannot be read, or answers cannot be written.
    """
    from pride_jax.files import explained
    from pride_jax.runs.examples import TEXT, read_inputs, read_prompts
    from pride_jax.runs.load import export, load

    loaded = load(
        arguments.run,
        which="best" if arguments.best else "last",
        client=arguments.client,
        trust_code=arguments.trust_code,
    )
    if arguments.export is not None:
        with explained("write", arguments.export):
            export(arguments.export, loaded.params)
    if arguments.file is None:
        return
    if arguments.file.suffix == TEXT:
        inputs, ends = read_prompts(arguments.file, loaded.seen)
    else:
        inputs = read_inputs(arguments.file, loaded.seen, loaded.config.data.columns)
        ends = np.full(len(inputs), -1)
    answers, outputs = loaded.predict(inputs)
    if loaded.config.task.name == "next_token":
        at = np.arange(len(inputs)), ends
        answers, outputs = answers[at], outputs[at]
    if outputs.ndim != 2:
        raise RunError(
            f"The model gives {list(outputs.shape)} for {arguments.file}: expected one answer an "
            "example; use pride_jax.load"
        )
    names = loaded.seen.class_names or tuple(map(str, range(outputs.shape[1])))
    classes = answers.ndim == 1
    with destination(arguments.out) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*(["answer"] if classes else []), *names])
        for number, output in enumerate(outputs.tolist()):
            told = [f"{value:.6g}" for value in output]
            rows.writerow([*([answers[number]] if classes else []), *told])


@contextlib.contextmanager
def destination(path: Path | None) -> Iterator[TextIO]:
    """A file to write to, or the terminal.

    Raises:
      RunError: it cannot be written.
    """
    from pride_jax.files import explained

    if path is None:
        yield sys.stdout
        return
    with explained("write", path), path.open("w", newline="") as file:
        yield file


if __name__ == "__main__":
    sys.exit(main())

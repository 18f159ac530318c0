"""Draw anew from saved numbers: ``python scripts/plot.py runs/iris_two_party``, or ``results``.

The folder of a run or a sweep gets its own pictures again. A study of this repository's results/
gets its pictures and the tables of its page. The code that came with a run is not run, unless
--trust-code says that you have read it.
"""

import argparse
import sys
from pathlib import Path

import checkout  # noqa: F401, since importing it finds the package
from pride_jax.errors import PrideError, RunError
from pride_jax.reporting.redraw import redraw

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Reads the command line, draws, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", type=Path, help="of a run, a sweep, or a study in results/")
    parser.add_argument(
        "--trust-code", action="store_true", help="run the code in the run's own folder"
    )
    arguments = parser.parse_args()
    try:
        draw(arguments.folder.resolve(), arguments.trust_code)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def draw(folder: Path, trusted: bool) -> None:
    """Draws what the folder has, and says which pictures were left and why.

    Args:
      folder: of a run, a sweep or a study.
      trusted: whether the run's own copy of its code may be run.

    Raises:
      RunError: there is no such folder, or nothing to draw in it.
    """
    if not folder.is_dir():
        raise RunError(f"There is no folder {folder}: expected one of a run, a sweep or a study")
    if studied := is_studied(folder):
        sys.path.insert(0, str(ROOT))
        from results.studies import draw

        print(*draw(folder), sep="\n")
    if not studied or (folder / "metrics.jsonl").exists():
        drawn, left = redraw(folder, trusted)
        print(*drawn, sep="\n")
        for path, why in left.items():
            print(f"left as it is: {path}: {why}", file=sys.stderr)


def is_studied(folder: Path) -> bool:
    """Whether there are studies in it: of this repository alone, since their code is run."""
    return folder.is_relative_to(ROOT / "results") and any(folder.rglob("study.py"))


if __name__ == "__main__":
    sys.exit(main())

"""The files of an earlier commit: ``python -m results.earlier COMMIT FOLDER``.

For benchmarks that time an earlier commit's code beside today's.
"""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


def main(commit: str, folder: Path) -> None:
    """Writes the commit's files into a folder, which is made."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        subprocess.run(
            ["git", "archive", f"--output={file.name}", commit],
            cwd=Path(__file__).parents[1],
            check=True,
        )
        with tarfile.open(file.name) as archive:
            archive.extractall(folder, filter="data")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

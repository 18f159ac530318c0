"""The frameworks that are measured beside this one, and the environments that they run in."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from pride_jax.errors import RunError

DRIVERS = Path(__file__).parents[1] / "drivers"
_DONE = "requirements.json"
_MOST_MINUTES = 30


class Peer(NamedTuple):
    """A framework.

    Attributes:
      name: in tables.
      driver: its file in ``drivers/``.
      requirements: what is installed; nothing for this checkout, which runs where this runs.
      python: the first version of Python that it runs on, and the first that it does not.
      gaussian: whether it clips updates and adds Gaussian noise.
      sums: the names of its sums that hide updates, measured here.
    """

    name: str
    driver: str
    requirements: tuple[str, ...]
    python: tuple[tuple[int, int], tuple[int, int]]
    gaussian: bool = False
    sums: tuple[str, ...] = ()


OURS = "pride_jax"
_TORCH, _NUMPY = "torch==2.13.0", "numpy==2.4.6"
PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            OURS,
            "with_pride.py",
            (),
            ((3, 11), (4, 0)),
            gaussian=True,
            sums=("lattice(two_servers)", "lattice(paillier)"),
        ),
        # The JAX that is installed here, so that both have the same.
        Peer(
            "FedJAX",
            "with_fedjax.py",
            ("fedjax==0.0.17", "dm-haiku==0.0.17", f"jax=={version('jax')}"),
            ((3, 11), (4, 0)),
        ),
        Peer(
            "pfl",
            "with_pfl.py",
            ("pfl[pytorch]==0.6.0", _TORCH),
            ((3, 10), (3, 13)),
            gaussian=True,
        ),
        Peer(
            "Flower",
            "with_flower.py",
            ("flwr[simulation]==1.42.0", "ray==2.55.1", _TORCH, _NUMPY),
            ((3, 10), (3, 14)),
            gaussian=True,
            sums=("secagg+",),
        ),
        Peer(
            "BlazeFL 3",
            "with_blazefl.py",
            ("blazefl[contrib,reproducibility]==3.0.0", _TORCH),
            ((3, 14), (4, 0)),
        ),
        Peer(
            "BlazeFL 2",
            "with_blazefl.py",
            ("blazefl[contrib,reproducibility]==2.0.3", _TORCH),
            ((3, 12), (3, 14)),
        ),
        Peer("PyTorch", "with_torch.py", (_TORCH, _NUMPY), ((3, 10), (3, 15))),
    )
}


def command(peer: Peer) -> str:
    """How the driver is started, for whoever reads a table."""
    place = f"{_folder(peer)}/bin/" if peer.requirements else ""
    return f"{place}python scripts/bench/drivers/{peer.driver} task.json"


def interpreter(peer: Peer, folder: Path, pythons: Sequence[Path]) -> Path:
    """The interpreter of a peer's environment, which is made if it is not there.

    Args:
      peer: whose.
      folder: where environments are kept.
      pythons: interpreters to make it with, besides those on the path.

    Raises:
      RunError: no interpreter is of its versions, or its packages cannot be installed.
    """
    if not peer.requirements:
        return Path(sys.executable)
    place = folder / _folder(peer)
    own, done = place / "bin" / "python", place / _DONE
    if done.exists() and tuple(json.loads(done.read_text())) == peer.requirements:
        return own
    base = _fitting(peer, pythons)
    shutil.rmtree(place, ignore_errors=True)
    print(f"installing {' '.join(peer.requirements)}", file=sys.stderr, flush=True)
    _run([str(base), "-m", "venv", str(place)])
    _run([str(own), "-m", "pip", "install", "--quiet", *peer.requirements])
    done.write_text(json.dumps(peer.requirements))
    return own


def _folder(peer: Peer) -> str:
    return peer.name.lower().replace(" ", "_")


def _fitting(peer: Peer, pythons: Sequence[Path]) -> Path:
    first, beyond = peer.python
    for python in _candidates(pythons):
        if first <= _version(python) < beyond:
            return python
    raise RunError(
        f"{peer.name} needs Python {'.'.join(map(str, first))} or later, below "
        f"{'.'.join(map(str, beyond))}, and none was found: name one with --pythons"
    )


def _candidates(pythons: Sequence[Path]) -> Iterator[Path]:
    yield from pythons
    yield Path(sys.executable)
    # Without the lock that lets one thread run at a time, a minor version is preferred.
    for name in (f"python3.{minor}{kind}" for minor in range(10, 16) for kind in ("t", "")):
        if found := shutil.which(name):
            yield Path(found)


def _version(python: Path) -> tuple[int, int]:
    """Of an interpreter; ``(0, 0)`` of what cannot be run, such as a manager's stand-in."""
    asked = subprocess.run(
        [str(python), "-c", "import sys; print(*sys.version_info[:2])"],
        capture_output=True,
        text=True,
        env=without_paths(),
    )
    if asked.returncode:
        return 0, 0
    major, minor = map(int, asked.stdout.split())
    return major, minor


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60 * _MOST_MINUTES, env=without_paths()
        )
    except subprocess.TimeoutExpired:
        raise RunError(f"{Path(command[0]).name} took over {_MOST_MINUTES} minutes") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise RunError((errors or done.stderr.splitlines() or ["it failed without a word"])[-1])


def without_paths() -> dict[str, str]:
    """The environment of processes here, less what would lead another Python to its packages."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }

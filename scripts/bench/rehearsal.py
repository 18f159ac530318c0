"""A deployment on machines of their own, rehearsed: what goes wrong there, and what becomes of it.

Every role joins by ``deploy.py`` in a network namespace of its own, whose wire to the server's is
slow and loses packets. Root of a Linux machine is needed, nginx, and faketime for the wrong clock.
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.common.far_apart import SERVER, machines
from pride_jax.deploy.agreement import ROSTER
from pride_jax.deploy.bundle import save_bundle
from pride_jax.deploy.certificates import AUTHORITY, CERTIFICATE, KEY, make_certificates
from pride_jax.deploy.enrolment import SECRETS
from pride_jax.deploy.finishing import MODEL
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.roster import load_roster
from pride_jax.errors import RunError
from pride_jax.files import read_json
from pride_jax.reporting import metrics
from pride_jax.runs.experiment import run
from pride_jax.runs.lines import as_line
from pride_jax.settings.command_line import override
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import load_config

_SCRIPT = Path(__file__).parents[1] / "deploy.py"
_PORT = 8000
_DISK_MEBIBYTES = 64
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Setting:
    """What is rehearsed.

    Attributes:
      config: of the run.
      overrides: of its settings.
      rounds: of each run.
      milliseconds: that a packet takes one way.
      lost: share of the packets that never arrive.
      patience: seconds in which each run has to end.
    """

    config: str = "configs/iris_two_party.py"
    overrides: tuple[str, ...] = ("--evaluation.no-comparison", "--evaluation.every", "1")
    rounds: int = 6
    milliseconds: float = 40.0
    lost: float = 0.01
    patience: float = 420.0


class Rehearsed(NamedTuple):
    """What became of a run.

    Attributes:
      what: went wrong.
      same: whether everybody ended with the simulation's very model.
      seconds: the run took, from the start of the first role to the end of the last.
      lost: messages that were not in their round's sum.
      said: by who was refused or stopped on the way: the last line.
    """

    what: str
    same: bool
    seconds: float
    lost: int
    said: str


class _Stage:
    """A deployment whose roles can be started, each on its machine, and ended.

    Args:
      config: the settings.
      setting: how far apart they are.
      folder: new; ``disk`` in it is the server's.
      ends: ends what was started.
    """

    def __init__(
        self, config: Experiment, setting: Setting, folder: Path, ends: contextlib.ExitStack
    ) -> None:
        self.folder, self.ends = folder, ends
        self.disk, self.roles = folder / "disk", folder / "roles"
        self.disk.mkdir(parents=True)
        size = f"size={_DISK_MEBIBYTES}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "disk", self.disk], check=True)
        ends.callback(subprocess.run, ["umount", "-l", self.disk], check=False)
        enrol_all(config, self.roles)
        self.server = self.disk / "server"
        shutil.move(self.roles / "server", self.server)
        for made in (AUTHORITY, CERTIFICATE, f"{SECRETS}/{KEY}"):
            (self.server / made).unlink()
        make_certificates(self.server, [SERVER])
        roster = load_roster(self.server / ROSTER)
        self.bundle = save_bundle(self.server, config, roster, f"{SERVER}:{_PORT}")
        self.roster = roster.short
        self.names = sorted(each.name for each in self.roles.iterdir())
        apart = machines(self.names, setting.milliseconds, setting.lost)
        self.at = ends.enter_context(apart)
        self.processes: dict[str, subprocess.Popen] = {}

    def start(self, name: str, *before: str, resume: bool = False) -> None:
        """Starts a role, or the server; ``before`` begins its command."""
        arguments = ["--join", self.roles / name, "--bundle", self.bundle, "--roster", self.roster]
        if name == "server":
            arguments = ["--serve", self.server, "--workdir", self.disk / "run", "--timeout", "120"]
        command = [*self.at[name], *before, sys.executable, _SCRIPT, *arguments]
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [*command, *(["--resume"] if resume else [])],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes[name] = process
        self.ends.callback(process.wait)
        self.ends.callback(process.terminate)

    def log(self, name: str) -> Path:
        """What it has said."""
        return self.folder / f"{name}.txt"

    def end(self, name: str) -> None:
        """Has a role, or the server, end at once."""
        self.processes[name].terminate()
        self.processes[name].wait()

    def last_line(self, name: str) -> str:
        """Of what it has said; places without the folder of this rehearsal."""
        return self.log(name).read_text().splitlines()[-1].replace(f"{self.folder}/", "")

    def rounds(self) -> int:
        """How many are over."""
        path = self.disk / "run" / "metrics.jsonl"
        return len(metrics.read_so_far(path)) - 1 if path.exists() else 0


def _nothing(_: _Stage, __: Callable[[Callable[[], bool]], None]) -> str:
    return ""


def _rolling_restart(stage: _Stage, wait: Callable[[Callable[[], bool]], None]) -> str:
    for rounds, name in enumerate([*stage.names, "server"], 1):
        wait(lambda least=rounds: stage.rounds() >= least)
        stage.end(name)
        stage.start(name, resume=name == "server")
    return ""


def _wrong_clock(stage: _Stage, wait: Callable[[Callable[[], bool]], None]) -> str:
    name = stage.names[-1]
    stage.end(name)
    stage.start(name, "faketime", "-f", "+1h")
    wait(lambda: stage.processes[name].poll() is not None)
    said = stage.last_line(name)
    stage.start(name)
    return said


def _full_disk(stage: _Stage, wait: Callable[[Callable[[], bool]], None]) -> str:
    wait(lambda: stage.rounds() >= 2)
    filler = stage.disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    wait(lambda: stage.processes["server"].poll() is not None)
    said = stage.last_line("server")
    filler.unlink()
    stage.start("server", resume=True)
    return said


_SCENES = {
    "nothing": _nothing,
    "every role restarted, one after another": _rolling_restart,
    "a party's clock an hour ahead": _wrong_clock,
    "the server's disk full": _full_disk,
}


def measure(setting: Setting) -> list[Rehearsed]:
    """Rehearses everything.

    Raises:
      PrideError: a run cannot start here.
    """
    needed = ("ip", "mount", "nginx", "faketime")
    if missing := [name for name in needed if shutil.which(name) is None]:
        raise RunError(f"{', '.join(missing)} not found: install the system's package")
    config = override(
        load_config(Path(setting.config)),
        [*setting.overrides, "--rounds", str(setting.rounds)],
        prog="benchmark.py rehearsal",
    )
    alike = replace(config, engine=replace(config.engine, per_client=True))
    with tempfile.TemporaryDirectory() as name:
        run(alike, Path(name) / "simulated")
        model = (Path(name) / "simulated" / MODEL).read_bytes()
        return [
            _rehearsed(config, setting, what, Path(name) / f"scene-{number}", model)
            for number, what in enumerate(_SCENES)
        ]


def _rehearsed(
    config: Experiment, setting: Setting, what: str, folder: Path, model: bytes
) -> Rehearsed:
    with contextlib.ExitStack() as ends:
        stage = _Stage(config, setting, folder, ends)
        end = time.monotonic() + setting.patience

        def wait(happens: Callable[[], bool]) -> None:
            while not happens():
                if time.monotonic() > end:
                    lines = "; ".join(
                        f"{each}: {stage.last_line(each)}" for each in stage.processes
                    )
                    raise RunError(f"{what}: not over in {setting.patience:g} s ({lines})")
                time.sleep(_LOOK_SECONDS)

        start = time.monotonic()
        for name in ("server", *stage.names):
            stage.start(name)
        said = _SCENES[what](stage, wait)
        wait(lambda: all(each.poll() is not None for each in stage.processes.values()))
        summary = read_json(stage.disk / "run" / "summary.json")
        found = [(stage.roles / name / MODEL).read_bytes() for name in stage.names]
        same = set(found) == {model}
        return Rehearsed(what, same, time.monotonic() - start, summary["lost_messages"], said)


def show(report: list[Rehearsed]) -> None:
    """Prints a row a run."""
    table = Table("what went wrong", "model", "seconds", "messages lost", "was said")
    for each in report:
        model = "the simulation's" if each.same else "another"
        table.add_row(each.what, model, f"{each.seconds:.0f}", str(each.lost), each.said)
    Console().print(table)


def as_json(setting: Setting, report: list[Rehearsed]) -> str:
    """The report on one line."""
    return as_line({"rehearsed": [each._asdict() for each in report]}, setting)

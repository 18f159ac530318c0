"""Machines of their own, as far as one machine can play them: network namespaces, far apart.

A wire between two is a pair of TUN devices. A thread carries each packet over, late or never.
"""

import contextlib
import ctypes
import fcntl
import os
import queue
import random
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pride_jax.errors import RunError

SERVER = "10.77.0.1"
_NEW_NETWORK, _SET_INTERFACE, _TUN_WITHOUT_HEADER = 0x40000000, 0x400454CA, 0x1001
_LARGEST_PACKET = 65_536


@contextlib.contextmanager
def machines(names: list[str], milliseconds: float, lost: float) -> Iterator[dict[str, list[str]]]:
    """A server's machine and others, each with a wire to the server's alone.

    Args:
      names: the others'.
      milliseconds: a packet takes one way.
      lost: share of the packets that never arrive.

    Yields:
      Of ``server`` and each other machine: what a command begins with to run there.

    Raises:
      RunError: this user may make no namespaces.
    """
    with contextlib.ExitStack() as stack:
        run = {name: f"pride-{os.getpid()}-{number}" for number, name in enumerate(names)}
        run["server"] = f"pride-{os.getpid()}-server"
        for name in run.values():
            _ip("netns", "add", name)
            stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", run["server"], "address", "add", f"{SERVER}/32", "dev", "lo")
        for number, name in enumerate(names, 1):
            here, there = (_end(run[each], f"wire{number}") for each in ("server", name))
            near, far = (f"10.77.{number}.{each}" for each in (1, 2))
            for at, own, other in ((run["server"], near, far), (run[name], far, near)):
                wire = ("dev", f"wire{number}")
                _ip("-n", at, "address", "add", own, "peer", other, *wire)
                _ip("-n", at, "link", "set", f"wire{number}", "up")
            _ip("-n", run[name], "route", "add", "default", "dev", f"wire{number}")
            for one, other in ((here, there), (there, here)):
                _carry(one, other, milliseconds / 1000, lost)
        yield {name: ["ip", "netns", "exec", at] for name, at in run.items()}


def _ip(*arguments: str) -> None:
    answer = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if answer.returncode:
        raise RunError(
            f"ip {' '.join(arguments)}: {answer.stderr.strip()}; expected a Linux machine, and its "
            "root"
        )


def _end(namespace: str, name: str) -> int:
    """A new TUN device in a namespace: whoever has its descriptor is the wire."""
    made: list[int] = []

    def make() -> None:
        # A namespace is a thread's: this one ends with it.
        with Path(f"/run/netns/{namespace}").open() as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _NEW_NETWORK):
                return
        device = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(
            device, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER)
        )
        made.append(device)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if not made:
        raise RunError(f"No TUN device in namespace {namespace}: expected /dev/net/tun, and root")
    return made[0]


def _carry(one: int, other: int, seconds: float, lost: float) -> None:
    """Carries packets from one device to another until this process ends."""
    under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def take() -> None:
        with contextlib.suppress(OSError):
            while True:
                packet = os.read(one, _LARGEST_PACKET)
                if random.random() >= lost:
                    under_way.put((time.monotonic() + seconds, packet))

    def give() -> None:
        while True:
            due, packet = under_way.get()
            time.sleep(max(0.0, due - time.monotonic()))
            with contextlib.suppress(OSError):
                os.write(other, packet)

    for work in (take, give):
        threading.Thread(target=work, daemon=True).start()

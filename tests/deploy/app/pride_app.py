"""The app as a dishonest or broken party would change it: by the ``tamper.py`` in its folder."""

import runpy

from pride_jax.deploy import flower
from pride_jax.deploy.flower import client, server

__all__ = ["client", "server"]

_honest = flower.respond


def _respond(folder, request):
    script = folder / "tamper.py"
    if not script.exists():
        return _honest(folder, request)
    return runpy.run_path(str(script))["respond"](_honest, folder, request)


flower.respond = _respond

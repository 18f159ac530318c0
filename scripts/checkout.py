"""Lets the scripts of a checkout find the package beside them, where none is installed."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_ASKED = ("numpy", "jax", "tyro")
"""Of what the package needs, a few: whoever has installed them has installed the rest."""

if missing := [name for name in _ASKED if find_spec(name) is None]:
    sys.exit(
        f"error: {', '.join(missing)} cannot be found: expected what the package needs; "
        f"pip install -e {_ROOT}"
    )
if find_spec("pride_jax") is None:
    sys.path.append(str(_ROOT))
    # Processes that are started from here look there, too.
    paths = [*filter(None, [os.environ.get("PYTHONPATH")]), str(_ROOT)]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)

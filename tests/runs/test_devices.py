"""A run computes on the devices that its settings ask for, or refuses to start."""

import subprocess
import sys

import jax
import pytest

from pride_jax.errors import ConfigError
from pride_jax.runs.experiment import run
from pride_jax.settings import Experiment
from pride_jax.settings.experiment import Engine

ALONE = """
import jax
from pride_jax.runs.devices import GRAPHS, devices_told, use_devices
from pride_jax.settings.experiment import Engine
use_devices(Engine(platform="cpu", graphs=True, devices=1))
# Fails at a flag that XLA does not know.
print(jax.numpy.ones(3).sum(), GRAPHS in __import__("os").environ["XLA_FLAGS"], devices_told())
"""


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="there is a GPU")
def test_a_gpu_that_jax_does_not_see_is_missed_before_anything_is_written(tmp_path):
    config = Experiment(engine=Engine(platform="gpu"))
    with pytest.raises(ConfigError, match=r"platform='gpu', but JAX sees CPU cores alone"):
        run(config, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_process_computes_where_it_is_told_to_and_says_so():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert done.stdout.split(maxsplit=2)[:2] == ["3.0", "True"], done.stderr
    assert done.stdout.split(maxsplit=2)[2].startswith("1 CPU core")

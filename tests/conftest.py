"""Strictness for every test, and the real MNIST for those that need it."""

import base64
import gc
import os
import signal
import tempfile

import jax
import pytest
from hypothesis import HealthCheck, settings

from pride_jax.runs import devices

# Two devices, so that everything that is sharded is tested sharded. A run within a test asks for
# as many as there are cores, when JAX has computed already: it gets the same two on any machine.
jax.config.update("jax_num_cpu_devices", 2)
devices.cores = lambda: [0, 1]
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Each of pytest's processes has a core: threads of OpenBLAS would wait for one another. Read when
# NumPy is imported, which in these processes is later than this.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# How fast inputs are drawn tells how busy the machine is.
settings.register_profile("busy", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# Programs run for a moment: compiling them well takes longer than they do. It holds for processes
# that tests start, too; ``XLA_FLAGS= pytest`` compiles programs as they are shipped. XLA's older
# code generator takes two thirds of the time. Later versions know the flag no more, and XLA ends
# the process at a flag that it does not know.
_FLAGS = ["--xla_backend_optimization_level=0"]
if jax.__version_info__ < (0, 11):
    _FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(_FLAGS))

# Most time goes to compiling: a program that was compiled before is loaded instead. Each process
# has a folder of its own, since JAX does not write these files as a whole.
PROGRAMS = tempfile.TemporaryDirectory(prefix="pride_jax_programs_")
jax.config.update("jax_compilation_cache_dir", PROGRAMS.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


# A shell that starts pytest in the background has it ignore Ctrl-C; so would what tests start, and
# a test that presses Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# JAX makes objects by the thousand, and Python would look for garbage every 700.
gc.set_threshold(20_000, 20, 20)


WHITE_POINT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def blank_pictures():
    """A run's pictures are planned and not drawn, which would take as long as all of the run.

    For tests that run a lot and look at no picture.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pride_jax.reporting.plots.as_png", lambda figure: WHITE_POINT)
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("PRIDE_DATA_DIR"):
        return
    needing_data = [item for item in items if item.get_closest_marker("data")]
    config.hook.pytest_deselected(items=needing_data)
    items[:] = [item for item in items if not item.get_closest_marker("data")]


def pytest_report_header() -> str:
    folder = os.environ.get("PRIDE_DATA_DIR")
    if folder:
        return f"MNIST for tests marked data: {folder}"
    return "PRIDE_DATA_DIR is not set: tests marked data (real MNIST) are deselected"

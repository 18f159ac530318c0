"""Ctrl-C ends a run wherever Python happens to be, and the run can be resumed."""

import contextlib
import gc
import signal
import threading

import pytest

from pride_jax.reporting import metrics
from pride_jax.runs.experiment import run
from pride_jax.runs.interrupts import interruptible
from pride_jax.settings.experiment import Data, Evaluation, Experiment, Model

pytestmark = pytest.mark.usefixtures("blank_pictures")


def press():
    signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def collected(called):
    """Within, the garbage collector calls a function, as JAX lets it; what it raises is lost."""

    def callback(phase, info):
        if phase == "start":
            called()

    gc.callbacks.append(callback)
    try:
        yield
    finally:
        gc.callbacks.remove(callback)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_in_a_callback_of_the_garbage_collector_is_lost_and_told_when_asked():
    with collected(press):
        gc.collect(0)
    with pytest.raises(KeyboardInterrupt), interruptible() as heed:
        heed()
        with collected(press):
            gc.collect(0)
        heed()
        pytest.fail("Ctrl-C was lost")


def test_ctrl_c_of_which_a_library_makes_another_error_is_ctrl_c():
    with pytest.raises(KeyboardInterrupt), interruptible():
        try:
            press()
        except KeyboardInterrupt as error:
            raise RuntimeError("a callback failed") from error


def test_errors_without_ctrl_c_are_left_as_they_are():
    with pytest.raises(RuntimeError, match="disk"), interruptible():
        raise RuntimeError("disk")


def test_a_handler_of_the_callers_and_other_threads_are_left_alone():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        with interruptible() as heed:
            press()
            heed()
        assert pressed == [True]
    finally:
        signal.signal(signal.SIGINT, before)

    def elsewhere():
        with interruptible() as heed:
            heed()
        pressed.append(False)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert pressed == [True, False]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_whose_ctrl_c_was_lost_stops_and_goes_on_to_the_same_rows(tmp_path):
    config = Experiment(
        rounds=6,
        data=Data("iris", test_examples=90),
        model=Model("logistic"),
        evaluation=Evaluation(every=2),
    )
    run(config, tmp_path / "undisturbed")

    def lose(row):
        with contextlib.suppress(KeyboardInterrupt):
            press()

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "stopped", report=lose)
    assert not (tmp_path / "stopped" / "summary.json").exists()
    run(config, tmp_path / "stopped", resume=True)

    def losses(folder):
        rows = metrics.read(tmp_path / folder / "metrics.jsonl")
        return [(row["round"], row["test_loss"]) for row in rows]

    assert losses("stopped") == losses("undisturbed")

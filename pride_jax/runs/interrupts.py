"""Ctrl-C that is not lost on its way.

Python raises KeyboardInterrupt wherever the program happens to be. Where that is a function which a
library calls back, the error may not arrive: of one that the garbage collector calls, as JAX has,
Python prints the error and goes on; others make another error of it.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Keeps in mind that Ctrl-C was pressed.

    Where Python does not raise KeyboardInterrupt, in other threads than the main one and under a
    handler of the caller's, nothing is changed.

    Yields:
      A function to be called now and then, which raises KeyboardInterrupt if one was lost.

    Raises:
      KeyboardInterrupt: what is done within ended with another error after Ctrl-C.
    """
    pressed = threading.Event()

    def heed() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    def handle(number: int, frame: FrameType | None) -> None:
        pressed.set()
        signal.default_int_handler(number, frame)

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, handle)
    try:
        yield heed
    except Exception as error:
        if pressed.is_set():
            raise KeyboardInterrupt from error
        raise
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

"""Functions of the caller's, which a run calls while it goes on."""

from collections.abc import Callable
from typing import Any

from pride_jax.errors import RunError


def blamed(name: str, given: Callable[..., None] | None) -> Callable[..., None]:
    """A function of the caller's; what it raises is told as its own.

    Raises (when called):
      RunError: it raised an error.
    """

    def called(*arguments: Any) -> None:
        try:
            if given is not None:
                given(*arguments)
        except Exception as error:
            raise RunError(
                f"{name}, the function that run was given, raised {type(error).__name__}: {error}. "
                "What the run has written is whole: mend the function, then resume the run"
            ) from error

    return called

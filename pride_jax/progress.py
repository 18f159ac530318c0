"""What a long piece of work tells of itself while it goes on: its stage, how much, of how much."""

from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")

Tell = Callable[[str, int, int], None]
"""``(stage, done, of) -> None``. A stage that is counted is over when all of it is done; one of 0
of 0, which nobody counts, lasts until the next of these."""


def silent(stage: str, done: int, of: int) -> None:
    """Tells nobody."""
    del stage, done, of


def counted(tell: Tell, stage: str, items: Collection[_Item]) -> Iterator[_Item]:
    """The items in their order; what is done with one is told when the next is asked for."""
    for done, item in enumerate(items):
        tell(stage, done, len(items))
        yield item
    tell(stage, len(items), len(items))


def uncounted(tell: Tell) -> Tell:
    """As `tell`, without numbers: a stage is told once when it begins, however long it is.

    Neither what is told nor how often depends on any count.
    """
    latest = ""

    def begins(stage: str, done: int, of: int) -> None:
        nonlocal latest
        del done, of
        if stage != latest:
            latest = stage
            tell(stage, 0, 0)

    return begins

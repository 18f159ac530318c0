"""Which of the machine's cores this process may use."""

import os


def cores() -> list[int]:
    """Their numbers, at least one; all there are where the system keeps no process to some."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def keep_to(numbers: frozenset[int]) -> None:
    """Keeps this process, and what it starts, to some cores where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, numbers)

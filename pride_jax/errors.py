"""Errors that a user can mend: each message names the value, what was expected and what to do."""


class PrideError(Exception):
    """A mistake in what was asked for, not in this code; scripts print it and exit with 2."""


class ConfigError(PrideError, ValueError):
    """A setting that is impossible, or two that contradict each other."""


class DataError(PrideError, ValueError):
    """Data that cannot be had, or that is not what it says it is."""


class ProtocolError(PrideError, ValueError):
    """A message or key that an aggregation protocol refuses."""


class TooFewError(ProtocolError):
    """Fewer clients' messages than a sum must have to be opened."""


class RunError(PrideError, RuntimeError):
    """A run that cannot start, continue or be resumed as asked."""


class DivergedError(RunError):
    """A run whose model no longer is one: its loss, or every update, is NaN or infinite."""

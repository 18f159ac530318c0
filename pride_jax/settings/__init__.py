"""Settings of an experiment, and from settings to functions."""

from pride_jax.settings.experiment import (
    Aggregation,
    Client,
    Cohort,
    Data,
    Engine,
    Evaluation,
    Experiment,
    Model,
    Partition,
    Privacy,
    Server,
)

__all__ = [
    "Aggregation",
    "Client",
    "Cohort",
    "Data",
    "Engine",
    "Evaluation",
    "Experiment",
    "Model",
    "Partition",
    "Privacy",
    "Server",
]

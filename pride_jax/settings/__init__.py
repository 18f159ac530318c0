"""Settings of an experiment, and from settings to functions."""

from pride_jax.settings.experiment import (
    Aggregation,
    Client,
    Cohort,
    Data,
    Engine,
    Evaluation,
    Experiment,
    Method,
    Model,
    Partition,
    Privacy,
    Server,
    Task,
    Watch,
)

__all__ = [
    "Aggregation",
    "Client",
    "Cohort",
    "Data",
    "Engine",
    "Evaluation",
    "Experiment",
    "Method",
    "Model",
    "Partition",
    "Privacy",
    "Server",
    "Task",
    "Watch",
]

"""Benchmarks: the engine beside plain loops, and how a round grows."""

from results.benchmarks import (
    engine,
    feature_table,
    gpu_tables,
    peer_tables,
    scale_plots,
    scale_tables,
)
from results.provenance import sources
from results.redo import steps_table

PICTURES = {"growth.png": scale_plots.growth, "ways.png": scale_plots.ways}
TABLES = {
    "sources": sources(
        "benchmarks/scale.json",
        "benchmarks/devices.json",
        "benchmarks/engine_2nn.json",
        "benchmarks/engine_under_load.json",
        "benchmarks/gpu_schedule.json",
        "benchmarks/peers.json",
        "benchmarks/networks.json",
        "benchmarks/long_run.json",
    ),
    "steps": steps_table("benchmarks"),
    "engine setting": engine.setting,
    "engine speed": engine.speed,
    "engine memory": engine.memory,
    "cohorts": scale_tables.by_cohort,
    "clients": scale_tables.by_clients,
    "ways": scale_tables.ways("scale"),
    "devices": scale_tables.ways("devices"),
    "gpu schedule": gpu_tables.schedule,
    "peers": peer_tables.peers,
    "networks": peer_tables.networks,
    "long run": scale_tables.long_run,
    "beside others": feature_table.beside_others,
    "feature sources": feature_table.feature_sources,
}

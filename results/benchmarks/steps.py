"""How speed and growth are measured: ``python -m results.redo benchmarks``."""

from results.redo import benchmarks

STEPS = benchmarks(
    {
        "engine_2nn": "engine --models 2nn --chunks 1",
        "engine_under_load": "engine",
        "peers": "peers --comparisons 2nn 2nn_two_cores cnn pfl --rows OUT/peers.jsonl",
        "networks": "networks --turns 21",
        "long_run": "long_run",
        "scale": "scale",
        "devices": "scale --cohorts 100 --clients 10000 --chunks 1 --precisions float32 "
        "--devices 1 2 --repetitions 15 --seconds 60",
        "gpu_schedule": "gpu_schedule",
    }
)

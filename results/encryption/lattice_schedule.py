"""What a GPU would run to hide a million values: kernels, and bytes they move; no GPU is needed.

XLA compiles for a card that is described in a file (openxla/xla has them under
xla/backends/gpu/target_config/specs)::

    pip install 'jax[cuda13]'
    JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 PYTHONPATH=.:scripts \
        python results/encryption/lattice_schedule.py --target h100_sxm.txtpb \
        > results/encryption/lattice_schedule.json
"""

import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bench.common.gpu_text import kernels
from pride_jax.aggregation.lattice import programs
from pride_jax.aggregation.lattice.integers import INTEGERS
from pride_jax.aggregation.lattice.parameters import lattice_of
from pride_jax.aggregation.secure_sum import Terms
from pride_jax.runs.environment import environment


def main(target: Path, values: int = 1_000_000) -> None:
    """Prints what both programs would run on the card that ``target`` describes."""
    topology = topologies.get_topology_desc(
        topology_name="", platform="cuda", topology="1x1x1", target_config=target.read_text()
    )
    here = NamedSharding(Mesh(np.array(topology.devices).reshape(1), ("card",)), PartitionSpec())
    lattice = lattice_of(Terms(values, 16, 1.0, 1, 128))
    count, rows, columns = len(lattice.primes), lattice.rows, lattice.columns
    with jax.default_device(jax.devices("cpu")[0]):
        ring = programs.ring_of(INTEGERS, lattice.degree, lattice.primes)
    ring = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), ring)

    def array(dtype: type, *shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=here)

    public = array(jnp.uint32, lattice.blocks, count, rows, columns)
    key, errors = (
        array(jnp.uint32, count, rows, 1, columns),
        array(jnp.int8, rows, lattice.blocks, columns),
    )
    weights = array(jnp.uint32, count, lattice.slots, 1, 1)
    masked = array(jnp.uint32, count, rows, lattice.lanes)
    vector = array(jnp.int32, lattice.slots, rows, lattice.lanes)
    lowered = {
        "mask": programs.masked_blocks.lower(INTEGERS, ring, public, key, errors),
        "hide": programs.with_values.lower(INTEGERS, ring.moduli, weights, masked, vector),
    }
    found = {"values": values, "target": target.stem, "jax": jax.__version__, "programs": {}}
    for name, program in lowered.items():
        text = str(program.compile().as_text())
        launched = kernels(text)
        found["programs"][name] = {
            "types": sorted(set(re.findall(r"\b([a-z]+\d+)\[", text))),
            "bytes": sum(each.bytes for each in launched),
            "kernels": [
                {
                    "kind": "matrix product" if each.product else "elementwise",
                    "writes": each.writes,
                    "bytes": each.bytes,
                }
                for each in launched
            ],
        }
    print(json.dumps(found | {"environment": environment()}, indent=1))


if __name__ == "__main__":
    tyro.cli(main)

"""A round of masking as commit d4c1d8d played it; run with that checkout in PYTHONPATH.

Prints processor seconds, seconds, and the bytes that all clients sent.
"""

# pyright: reportMissingImports=false, reportCallIssue=false
# What it imports is another checkout's.

import os
import sys
import time

import numpy as np
from pride_jax.aggregation.masking import masking

from pride_jax.aggregation.secure_sum import Role, Terms
from pride_jax.aggregation.simulation import simulate

clients, params, bits = map(int, sys.argv[1:])
protocol, terms = masking(), Terms(params, bits, 1.0, 2, clients)
rows = np.random.default_rng(0).integers(-2047, 2048, (clients, params), np.int32)
aggregator = simulate(protocol, terms, protocol.keygen(os.urandom, Role.KEY_HOLDER), os.urandom)
start, began = time.process_time(), time.perf_counter()
added = aggregator.add(aggregator.announce(0, range(clients), 2), rows)
spent = time.process_time() - start, time.perf_counter() - began
assert np.array_equal(added.total, rows.sum(0, dtype=np.int64))
print(*spent, added.transport.bytes_sent)

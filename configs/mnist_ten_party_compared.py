"""MNIST, ten parties, the 2NN: the same twenty rounds under every protocol, to compare the bits.

    python scripts/sweep.py --config configs/mnist_ten_party_compared.py --over \
        'aggregation.protocol,aggregation.key_apart=plain,never;two_servers,never;bfv,never'

Expected: one `parameters_sha256` for all.
"""

from pride_jax.settings import Aggregation, Client, Data, Evaluation, Experiment, Model, Partition

config = Experiment(
    rounds=20,
    data=Data("mnist"),
    partition=Partition("iid", clients=10),
    model=Model("2nn"),
    client=Client(learning_rate=0.1, epochs=1, batch_size=10),
    aggregation=Aggregation("plain", bits=16, limit=0.5),
    evaluation=Evaluation(every=5),
)

"""MNIST, ten parties, the 2NN: the same twenty rounds under every protocol, to compare the bits.

    python scripts/sweep.py --config configs/mnist_ten_party_compared.py \
        --over aggregation.protocol=plain,two_servers,masking,bfv,paillier
    python scripts/sweep.py --config configs/mnist_ten_party_compared.py --rounds 3 \
        --over aggregation.protocol=plain,threshold --workdir runs/threshold_compared

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

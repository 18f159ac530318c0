"""CIFAR-10, ten clients of uneven classes: a ResNet-8 with group normalisation and dropout.

    PRIDE_DATA_DIR=FOLDER python scripts/train.py --config configs/cifar_resnet.py

FOLDER holds cifar10-jpeg.tar.xz. Clients mirror and shift their images. The rate was not tuned.
Measured so far, since machines here are slow: eight rounds of a fifth of the work (--rounds 8
--partition.clients 50), see results/first_curves/README.md. A run ends with a pass over all 50,000
training images, which tests the model on each client's own: less than a round's work.
"""

from pride_jax.settings import Client, Cohort, Data, Experiment, Model, Partition

config = Experiment(
    rounds=100,
    data=Data("cifar10_jpeg"),
    partition=Partition("dirichlet", clients=10, alpha=0.5),
    model=Model("resnet", {"dropout": 0.1}),
    client=Client(
        learning_rate=0.1,
        schedule="cosine",
        batch_size=50,
        augment="flips_and_crops",
    ),
    cohort=Cohort("fixed_size", size=5),
)

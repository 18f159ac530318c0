"""CIFAR-10, ten clients of uneven classes: a ResNet-8 with group normalisation and dropout.

    PRIDE_DATA_DIR=FOLDER python scripts/train.py --config configs/cifar_resnet.py

FOLDER holds cifar10-jpeg.tar.xz. Clients mirror and shift their images. The rate was not tuned.
Measured so far, on two cores that others kept busy: the first two rounds of two clients each
(--rounds 2 --cohort.size 2) took test accuracy from 0.100 to 0.163 and 0.190, in 143 s, compilation
included, and 9 s. The run's last step, testing on all training images, was not waited for.
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

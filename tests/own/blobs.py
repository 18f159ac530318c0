"""A config whose data and model are the researcher's own, beside it."""

from common import ROUNDS

from pride_jax.settings import Data, Evaluation, Experiment, Model

config = Experiment(
    rounds=ROUNDS,
    data=Data("sets.py:blobs", {"examples": 30}),
    model=Model("nets.py:net", {"width": 4}),
    evaluation=Evaluation(every=2),
)

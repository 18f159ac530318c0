"""Shakespeare's speakers as clients, the next character, an LSTM.

PRIDE_DATA_DIR=… python scripts/train.py --config configs/shakespeare_lstm.py
"""

from pride_jax.settings import Client, Cohort, Data, Evaluation, Experiment, Model, Partition, Task

config = Experiment(
    rounds=300,
    data=Data("shakespeare", length=80),
    partition=Partition("groups"),
    model=Model("char_lstm"),
    task=Task("next_token"),
    client=Client(learning_rate=1.0, epochs=1, batch_size=4),
    cohort=Cohort("fixed_size", size=10),
    evaluation=Evaluation(every=5),
)

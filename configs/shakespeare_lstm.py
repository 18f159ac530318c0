"""Shakespeare's speakers are the clients; an LSTM predicts the next character.

    PRIDE_DATA_DIR=FOLDER python scripts/train.py --config configs/shakespeare_lstm.py

FOLDER holds tinyshakespeare.txt. Of 309 speakers, 256 have an example of 80 characters; the last
fifth of each one's examples is kept for testing. The rate was not tuned. Measured so far, since
machines here are slow: the first 40 rounds (--rounds 40), see results/first_curves/README.md.
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

"""Three hospitals, each with a table of its own, and a fourth organisation that holds a key.

pride_jax/deploy/README.md has the commands. All have this file; nobody has another's table.
"""

from pride_jax.settings import Aggregation, Client, Data, Experiment, Model, Partition

config = Experiment(
    rounds=5,
    data=Data(
        "hospital.csv",
        target="finding",
        # All classes, by name and in one order: a table shows those of its own rows only.
        categories=(("finding", "benign"), ("finding", "malignant")),
        # Public ranges, not those of anybody's rows.
        ranges=(("age", 0.0, 120.0), ("size", 0.0, 50.0)),
        leave_out=("patient",),
    ),
    partition=Partition("iid", clients=3),
    model=Model("logistic"),
    client=Client(learning_rate=0.5, batch_size=None, epochs=5),
    aggregation=Aggregation("two_servers", bits=16, limit=4.0),
)

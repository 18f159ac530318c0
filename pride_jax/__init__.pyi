from .aggregation.paillier import paillier
from .aggregation.plain import plain
from .aggregation.secure_sum import Role, SecureSum
from .data.datasets import Dataset, load_dataset
from .data.federated import FederatedData, federate, federate_each
from .data.partition import (
    Partition,
    by_group,
    by_sizes,
    dirichlet,
    hold_out_of_each,
    iid,
    label_shards,
)
from .engine.client import LocalTraining
from .engine.evaluation import Metrics, evaluator
from .federated import (
    Algorithm,
    RoundInfo,
    SecureAggregation,
    ServerState,
    federated_averaging,
    private_key,
)
from .models.modules import from_module
from .models.networks import cnn, logistic, mlp, two_nn
from .privacy.accounting import calibrate, epsilon
from .privacy.plan import PrivacyPlan
from .privacy.sampling import fixed_size
from .runs.experiment import run
from .settings.experiment import Experiment
from .types import Model

__all__ = [
    "Algorithm",
    "Dataset",
    "Experiment",
    "FederatedData",
    "LocalTraining",
    "Metrics",
    "Model",
    "Partition",
    "PrivacyPlan",
    "Role",
    "RoundInfo",
    "SecureAggregation",
    "SecureSum",
    "ServerState",
    "by_group",
    "by_sizes",
    "calibrate",
    "cnn",
    "dirichlet",
    "epsilon",
    "evaluator",
    "federate",
    "federate_each",
    "federated_averaging",
    "fixed_size",
    "from_module",
    "hold_out_of_each",
    "iid",
    "label_shards",
    "load_dataset",
    "logistic",
    "mlp",
    "paillier",
    "plain",
    "private_key",
    "run",
    "two_nn",
]

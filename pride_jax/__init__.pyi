from .aggregation.protocols.lattice import lattice
from .aggregation.protocols.masking import masking
from .aggregation.protocols.paillier import paillier
from .aggregation.protocols.plain import plain
from .aggregation.protocols.threshold import threshold_paillier
from .aggregation.secure_sum import Role, SecureSum
from .attacks.audit_round import AuditReport, audit_round
from .data.augment import Augment, borrowed_scatter, flips_and_crops
from .data.columns import Columns
from .data.dataset import Dataset
from .data.datasets import load_dataset
from .data.federated import Batch, FederatedData, federate, federate_each
from .data.hints import DataHint
from .data.partition import (
    Partition,
    by_group,
    by_sizes,
    dirichlet,
    hold_out_of_each,
    iid,
    label_shards,
)
from .engine.evaluation import Metrics, evaluator
from .engine.on_device import on_device
from .engine.rounds import Algorithm, RoundInfo, ServerState
from .engine.secure import SecureAggregation
from .engine.simulated import one_by_one, simulated
from .errors import ConfigError, DataError, PrideError, ProtocolError, RunError, TooFewError
from .federated import federated
from .methods.ditto import ditto
from .methods.fedavg import fedavg
from .methods.feddyn import feddyn
from .methods.fedprox import fedprox
from .methods.method import (
    WHOLE,
    ClientRule,
    Local,
    LocalTraining,
    Method,
    Round,
    by_examples,
    uniform,
)
from .methods.personal_layers import personal_layers
from .methods.scaffold import scaffold
from .models.linen import from_linen
from .models.modules import from_module
from .models.networks import char_lstm, cnn, logistic, mlp, resnet, two_nn
from .models.parameters import read_parameters, write_parameters
from .models.precision import with_precision
from .privacy.accounting import calibrate, epsilon, epsilons
from .privacy.clipping import Adaptive, Flat, Unclipped
from .privacy.dp_sgd import dp_sgd, example_epsilon
from .privacy.events import plan_of_event
from .privacy.mechanisms.banded import Banded
from .privacy.mechanisms.blt import BufferedToeplitz
from .privacy.mechanisms.discrete_gaussian import DiscreteGaussian
from .privacy.mechanisms.gaussian import Gaussian
from .privacy.mechanisms.skellam import Skellam
from .privacy.plan import Plan
from .privacy.randomness import secret_key, study_key
from .privacy.readers import READERS, Reader
from .privacy.sampling import cyclic_poisson, fixed_size, full, truncated_poisson
from .privacy.trade_off import TradeOff, trade_off
from .privacy.values import DeviceIntegers, Floats, Integers, Rotated
from .runs.experiment import run
from .runs.load import Loaded, Predictions, load
from .settings.experiment import Experiment
from .task import Scores, Task, classification, mean_gradient, next_token, regression
from .types import Cohort, Model

__all__ = [
    "READERS",
    "WHOLE",
    "Adaptive",
    "Algorithm",
    "AuditReport",
    "Augment",
    "Banded",
    "Batch",
    "BufferedToeplitz",
    "ClientRule",
    "Cohort",
    "Columns",
    "ConfigError",
    "DataError",
    "DataHint",
    "Dataset",
    "DeviceIntegers",
    "DiscreteGaussian",
    "Experiment",
    "FederatedData",
    "Flat",
    "Floats",
    "Gaussian",
    "Integers",
    "Loaded",
    "Local",
    "LocalTraining",
    "Method",
    "Metrics",
    "Model",
    "Partition",
    "Plan",
    "Predictions",
    "PrideError",
    "ProtocolError",
    "Reader",
    "Role",
    "Rotated",
    "Round",
    "RoundInfo",
    "RunError",
    "Scores",
    "SecureAggregation",
    "SecureSum",
    "ServerState",
    "Skellam",
    "Task",
    "TooFewError",
    "TradeOff",
    "Unclipped",
    "audit_round",
    "borrowed_scatter",
    "by_examples",
    "by_group",
    "by_sizes",
    "calibrate",
    "char_lstm",
    "classification",
    "cnn",
    "cyclic_poisson",
    "dirichlet",
    "ditto",
    "dp_sgd",
    "epsilon",
    "epsilons",
    "evaluator",
    "example_epsilon",
    "fedavg",
    "feddyn",
    "federate",
    "federate_each",
    "federated",
    "fedprox",
    "fixed_size",
    "flips_and_crops",
    "from_linen",
    "from_module",
    "full",
    "hold_out_of_each",
    "iid",
    "label_shards",
    "lattice",
    "load",
    "load_dataset",
    "logistic",
    "masking",
    "mean_gradient",
    "mlp",
    "next_token",
    "on_device",
    "one_by_one",
    "paillier",
    "personal_layers",
    "plain",
    "plan_of_event",
    "read_parameters",
    "regression",
    "resnet",
    "run",
    "scaffold",
    "secret_key",
    "simulated",
    "study_key",
    "threshold_paillier",
    "trade_off",
    "truncated_poisson",
    "two_nn",
    "uniform",
    "with_precision",
    "write_parameters",
]

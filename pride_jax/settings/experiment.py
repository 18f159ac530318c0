"""What an experiment is: frozen, validated settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pride_jax.errors import ConfigError
from pride_jax.settings.aggregation import Aggregation
from pride_jax.settings.data import Data
from pride_jax.settings.names import KINDS, Named, expected_options
from pride_jax.settings.options import complete
from pride_jax.settings.own import Code, is_own
from pride_jax.validated import Validated


@dataclass(frozen=True)
class Partition(Validated):
    """Which client holds which examples."""

    kind: Literal["iid", "sizes", "shards", "dirichlet", "groups"] = "iid"
    """`iid`: in equal parts; `sizes`: in parts of these sizes; `shards`: each client gets few
    classes; `dirichlet`: classes in random shares; `groups`: by who made them."""
    clients: int = 2
    """Number of clients; `sizes` and `groups` bring their own."""
    sizes: tuple[int, ...] = ()
    """Examples of each client, for `sizes`."""
    shards_per_client: int = 2
    """Label shards a client, for `shards`."""
    copies: int = 1
    """How often the training set is repeated before `shards` are dealt (Geyer et al. 2017)."""
    alpha: float = 0.5
    """Concentration, for `dirichlet`."""
    held_out: float = 0.0
    """Share of each client's own examples that it keeps for its own test; never its only one."""

    def _check(self) -> None:
        self._at_least(1, "clients", "shards_per_client", "copies")
        self._below_one("held_out")
        if self.held_out and self.copies > 1:
            self._refuse("held_out", "0 with copies, which others would train on")
        self._above_zero("alpha")
        if (self.kind == "sizes") != bool(self.sizes):
            self._refuse("sizes", f"sizes if, and only if, kind is 'sizes', which is {self.kind!r}")


@dataclass(frozen=True)
class Model(Named):
    """What is trained."""

    name: str = "mlp"
    """logistic, mlp, 2nn, cnn, resnet, char_lstm, or your own: file.py:function or
    module:function."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of `mlp`: hidden, the widths of its sigmoid layers; of `resnet`: width, dropout; of
    `char_lstm`: embedding, hidden, layers; of your own: its parameters beyond features and
    outputs."""


@dataclass(frozen=True)
class Task(Named):
    """What is learned from an example."""

    name: str = "classification"
    """classification, regression, next_token, or your own: file.py:function or module:function."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of `classification`: label_smoothing, the share of each target that is spread evenly over all
    classes; of your own: its parameters beyond model and outputs."""


@dataclass(frozen=True)
class Method(Named):
    """How clients and server learn."""

    name: str = "fedavg"
    """fedavg, fedprox, scaffold, feddyn, ditto, or your own: file.py:function or
    module:function."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of `fedprox`: proximal, its μ; of `feddyn`: alpha; of `ditto`: attraction, its λ; of your
    own: its parameters beyond task, client_optimizer, client_rate, server_optimizer, weighting and
    training."""
    personal: tuple[str, ...] = ()
    """Parameters that each client keeps for itself (FedPer, FedBN), as patterns of their names,
    such as layers/1/*; for methods whose clients keep nothing else."""


@dataclass(frozen=True)
class Client(Validated):
    """How a client trains on its own examples."""

    optimizer: Literal["sgd", "adam"] = "sgd"
    """Whose steps a client takes."""
    learning_rate: float = 0.1
    """Of a client's steps."""
    momentum: float = 0.0
    """Of `sgd`, within a round."""
    weight_decay: float = 0.0
    """Decoupled: parameters shrink by this times the learning rate each step."""
    schedule: Literal["constant", "cosine", "exponential"] = "constant"
    """How the learning rate follows the rounds; `cosine` ends at zero."""
    decay: float = 0.99
    """Factor a round, for `exponential`."""
    epochs: int = 1
    """Passes through a client's examples in a round."""
    batch_size: int | None = 10
    """Examples a step; None is all of a client's."""
    borrowed_scatter: float = 0.0
    """Each example moves by so many times the deviation of another of the client's, of any class,
    from the mean of its class: classes then share how they scatter, as discriminant analysis has
    it. For clients of few examples, whose number squared it takes in memory."""
    augment: Literal["none", "flips_and_crops"] = "none"
    """`flips_and_crops`: images are mirrored half of the time and moved by up to 4 pixels."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """In which a client multiplies; parameters and updates are float32 in any case."""

    def _check(self) -> None:
        self._above_zero("learning_rate", "decay")
        self._at_least(0, "weight_decay", "borrowed_scatter")
        self._at_least(1, "epochs", "batch_size")
        self._below_one("momentum")
        if self.augment != "none" and self.borrowed_scatter:
            self._refuse("augment", "'none' with borrowed_scatter, which moves the examples, too")


@dataclass(frozen=True)
class Server(Validated):
    """What the server does with the mean update (Reddi et al. 2021)."""

    optimizer: Literal["sgd", "adam", "yogi", "adagrad"] = "sgd"
    """`sgd` with learning rate 1 is FedAvg, with momentum FedAvgM; the others are FedAdam, …"""
    learning_rate: float = 1.0
    """Of the server's steps."""
    schedule: Literal["constant", "cosine"] = "constant"
    """How the learning rate follows the rounds; `cosine` ends at zero."""
    momentum: float = 0.0
    """Of `sgd`; for `adam` and `yogi`, β₁ is 0.9 and β₂ is 0.99."""
    epsilon: float = 1e-3
    """Added to the denominator of the adaptive optimizers."""

    def _check(self) -> None:
        self._above_zero("learning_rate", "epsilon")
        self._below_one("momentum")


@dataclass(frozen=True)
class Cohort(Validated):
    """Who takes part in a round, and how much each counts."""

    sampling: Literal["full", "fixed_size", "truncated_poisson", "cyclic_poisson"] = "full"
    """Everybody, so many at random, each with the same probability, or that in turns of groups."""
    size: int = 10
    """Clients a round; for the Poisson samplings, those expected."""
    capacity: int | None = None
    """Most clients a round of the Poisson samplings; size + 6·√size if not given."""
    groups: int = 1
    """Groups that take turns, for `cyclic_poisson`."""
    weighting: Literal["default", "examples", "uniform"] = "default"
    """`examples`: a client counts by how many it holds, the default without a privacy.mechanism;
    with one it is `uniform`, unless privacy.public_sizes."""

    def _check(self) -> None:
        self._at_least(1, "size", "capacity", "groups")


@dataclass(frozen=True)
class Privacy(Validated):
    """What bounds a client's influence, and what hides it: client-level differential privacy."""

    clipping_norm: float | None = None
    """Updates with a larger L2 norm are scaled down to it; None leaves them."""
    clipping: Literal["flat", "adaptive"] = "flat"
    """`adaptive` moves the norm, from `clipping_norm`, to a quantile (Andrew et al. 2021)."""
    quantile: float = 0.5
    """Share of updates within the clipping norm, for `adaptive`."""
    mechanism: Literal["none", "gaussian", "skellam", "discrete_gaussian", "banded", "blt"] = "none"
    """`gaussian` on the sum; `skellam` and `discrete_gaussian`: integers, each client a share;
    `banded` and `blt`: correlated over rounds, the latter over all of them and never amplified."""
    noise: Literal["integers", "floats"] = "integers"
    """`integers` on the public grid of the sum, of a stated distance from what is accounted;
    `floats`, of none, for studies, as that of `banded` and `blt` always is."""
    rotation: bool = True
    """Whether a secure sum adds integers of rotated updates where these are of a finer grid, which
    is where updates are long and `aggregation.bits` few; not for `banded` and `blt`."""
    epsilon: float | None = None
    """The noise is made so large that the whole run costs this ε; it also ends a run that would
    cost more after a crash."""
    noise_multiplier: float | None = None
    """Instead of `epsilon`: standard deviation of the sum's noise in clipping norms."""
    delta: float | None = None
    """Of (ε, δ); at most 1/(10·clients) is usual."""
    stop_at_epsilon: float | None = None
    """The run ends before it would cost more."""
    band: int = 1
    """Rounds whose noise is correlated, for `banded`."""
    buffers: int = 2
    """Copies of the model in which `blt` remembers past noise."""
    dropouts: int = 0
    """Clients that may be missing from a sum of shares of noise; with more, nothing is opened."""
    exchangeable_dropouts: bool = False
    """Whether those missing are any of the called alike; if not, `dropouts` void amplification."""
    colluders: int = 1
    """Clients that may tell their shares of noise, and how many were called."""
    public_sizes: bool = False
    """Whether clients' numbers of examples are public: ε does not cover them, and updates may be
    weighed by them."""
    seed: int | None = None
    """Of noise and cohorts, for studies: no guarantee against who knows it. From the system if not
    given."""

    def _check(self) -> None:
        self._above_zero("clipping_norm", "epsilon", "noise_multiplier", "stop_at_epsilon")
        self._above_zero("quantile", "delta")
        self._below_one("quantile")
        self._at_least(1, "band")
        self._at_least(0, "dropouts", "colluders", "seed", "buffers")
        if self.noise == "floats" and self.mechanism in ("none", "skellam", "discrete_gaussian"):
            self._refuse("noise", f"'integers' with mechanism={self.mechanism!r}")
        if self.noise == "integers" and self.mechanism in ("banded", "blt"):
            self._refuse(
                "noise",
                f"'floats' with mechanism={self.mechanism!r}, whose noise is in floating point: "
                "for studies, since no distance of it from what is accounted is stated",
            )
        if self.mechanism == "none":
            for name in ("epsilon", "noise_multiplier", "delta", "stop_at_epsilon"):
                if getattr(self, name) is not None:
                    self._refuse(name, "nothing without a privacy.mechanism: name one")
            if self.public_sizes:
                self._refuse("public_sizes", "False without a privacy.mechanism: name one")
            if self.clipping == "adaptive":
                self._refuse("clipping", "'flat' without a privacy.mechanism: name one")
            return
        if self.clipping_norm is None:
            self._refuse("clipping_norm", f"a norm, for mechanism={self.mechanism!r}")
        if self.delta is None or self.delta >= 1:
            self._refuse("delta", f"more than 0 and below 1, for mechanism={self.mechanism!r}")
        if (self.epsilon is None) == (self.noise_multiplier is None):
            self._refuse(
                "epsilon",
                f"either it or noise_multiplier, which is {self.noise_multiplier!r}, for "
                f"mechanism={self.mechanism!r}",
            )

    @property
    def is_private(self) -> bool:
        """Whether there is a plan."""
        return self.mechanism != "none"

    @property
    def hides(self) -> bool:
        """Whether what ε does not cover is kept from all but the run's owner.

        A study with a public seed hides nothing: who knows the seed knows the cohorts.
        """
        return self.is_private and self.seed is None


@dataclass(frozen=True)
class Engine(Validated):
    """How the device does the work; changes speed and memory, not what is computed."""

    platform: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute: on GPUs where JAX sees some, never, or not at all without one."""
    chunk: int | None = None
    """Clients trained together on a device; a measured default if not given."""
    devices: int | None = None
    """Devices of each process, over which clients are sharded: CPU cores or GPUs; all if not
    given."""
    per_client: bool = False
    """Each client is trained by itself, on its own examples alone, as a party of a deployment is:
    to the same bits, and slower. For protocols that add integers."""
    graphs: bool = False
    """Whether a GPU runs loops as parts of CUDA graphs, without waiting for the host at each step.
    No card has measured it yet."""
    convolutions: Literal["grouped", "products"] = "grouped"
    """What a convolution with other kernels for each client becomes on a GPU: grouped, or products
    of matrices, which move more bytes. No card has measured it yet."""

    def _check(self) -> None:
        self._at_least(1, "chunk", "devices")


@dataclass(frozen=True)
class Evaluation(Validated):
    """What is measured, and how often."""

    every: int = 1
    """Rounds from one evaluation, and checkpoint, to the next."""
    target_accuracy: float | None = None
    """Accuracy whose first round the summary tells, as McMahan et al. (2016) count."""
    stop_at_target: bool = False
    """Whether the run ends there."""
    fine_tuning: int = 0
    """Epochs that each client trains the final model for itself before it is tested on the
    examples that the client holds out; 0 leaves that out. Needs partition.held_out."""
    comparison: bool = False
    """Whether a central model, and each client alone, is trained as long, for comparison."""

    def _check(self) -> None:
        self._at_least(1, "every")
        self._at_least(0, "fine_tuning")
        self._above_zero("target_accuracy")
        if self.target_accuracy is not None and self.target_accuracy > 1:
            self._refuse("target_accuracy", "at most 1")
        if self.stop_at_target and self.target_accuracy is None:
            self._refuse("stop_at_target", "False without a target_accuracy")


@dataclass(frozen=True)
class Watch(Validated):
    """Which other programs may look on while a run goes on."""

    tensorboard: bool = False
    """Whether TensorBoard's files are written into the run's folder; extra tensorboard."""
    wandb: bool = False
    """Whether Weights & Biases' offline files are, when the run ends or stops; extra wandb."""


@dataclass(frozen=True)
class Experiment(Validated):
    """A federated training run."""

    seed: int = 0
    """Of the split, the partition, the initial parameters, cohorts and shuffles."""
    rounds: int = 10
    """After which the run ends."""
    data: Data = field(default_factory=Data)
    partition: Partition = field(default_factory=Partition)
    model: Model = field(default_factory=Model)
    task: Task = field(default_factory=Task)
    method: Method = field(default_factory=Method)
    client: Client = field(default_factory=Client)
    server: Server = field(default_factory=Server)
    cohort: Cohort = field(default_factory=Cohort)
    privacy: Privacy = field(default_factory=Privacy)
    aggregation: Aggregation = field(default_factory=Aggregation)
    engine: Engine = field(default_factory=Engine)
    evaluation: Evaluation = field(default_factory=Evaluation)
    watch: Watch = field(default_factory=Watch)
    code: Code = field(default_factory=Code)

    @property
    def weighting(self) -> Literal["examples", "uniform"]:
        """How much each client counts."""
        if self.cohort.weighting != "default":
            return self.cohort.weighting
        return "uniform" if self.privacy.is_private else "examples"

    def _section(self) -> str:
        return ""

    def _check(self) -> None:
        self._at_least(0, "seed")
        self._at_least(1, "rounds")
        private = self.privacy.is_private and not self.privacy.public_sizes
        if private and self.cohort.weighting == "examples":
            raise ConfigError(
                f"cohort.weighting='examples' with privacy.mechanism={self.privacy.mechanism!r}: "
                "expected 'uniform', since ε does not cover clients' numbers of examples; or "
                "privacy.public_sizes=True, if these are public"
            )
        if self.evaluation.fine_tuning and not self.partition.held_out:
            raise ConfigError(
                f"evaluation.fine_tuning={self.evaluation.fine_tuning} with partition.held_out=0: "
                "expected a share that clients hold out, to test on"
            )
        if self.engine.per_client and self.aggregation.protocol == "none":
            raise ConfigError(
                "engine.per_client=True with aggregation.protocol='none': expected a protocol that "
                "adds integers, such as plain, paillier or masking"
            )
        if self.code.trusted:
            self._complete_own()

    def _complete_own(self) -> None:
        """Checks the options of own functions, and records what these are made of."""
        named: dict[str, Named] = {section: getattr(self, section) for section in KINDS}
        code = self.code.covering(*(part.name for part in named.values()))
        object.__setattr__(self, "code", code)
        for section, part in named.items():
            if not is_own(part.name):
                continue
            expected = expected_options(section, part.name, code)
            options = complete(f"{section}.options", part.options, part.name, expected)
            object.__setattr__(self, section, replace(part, options=options))

"""From settings to functions: the one place where strings become objects."""

import functools
import itertools
import warnings
from dataclasses import replace

import jax
import numpy as np
from jax.sharding import Mesh

from pride_jax import settings as config
from pride_jax.aggregation.secure_sum import Public, Secret, SecureSum
from pride_jax.data import partition
from pride_jax.data.datasets import Dataset, load_dataset
from pride_jax.data.features import with_scattering
from pride_jax.data.hints import DataHint, all_drawn
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.secure import SecureAggregation
from pride_jax.errors import ConfigError
from pride_jax.privacy.accounting import calibrate
from pride_jax.privacy.clipping import Adaptive, Clipping, Flat, Unclipped
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.blt import BufferedToeplitz
from pride_jax.privacy.mechanisms.discrete_gaussian import DiscreteGaussian
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Mechanism, Plan
from pride_jax.privacy.sampling import (
    Accounted,
    cyclic_poisson,
    fixed_size,
    full,
    truncated_poisson,
)
from pride_jax.privacy.values import DeviceIntegers, Floats, Integers, integers_of
from pride_jax.progress import Tell, silent
from pride_jax.settings import own
from pride_jax.settings.names import call


def build_dataset(experiment: config.Experiment, tell: Tell = silent) -> Dataset:
    """The data set, split by the experiment's seed where it has no split of its own."""
    data = experiment.data
    tell("reading data", 0, 0)
    if own.is_own(data.name):
        # A run tells the same by itself, see `described`.
        with warnings.catch_warnings(action="ignore", category=DataHint):
            dataset = call(data, experiment.code, Dataset)
    else:
        dataset = load_dataset(
            data.name,
            directory=data.dir,
            columns=data.columns,
            test_examples=data.test_examples,
            validation_examples=data.validation_examples,
            length=data.length,
            seed=experiment.seed,
        )
    return with_scattering(dataset, tell) if data.features == "scattering" else dataset


def build_partition(experiment: config.Experiment, dataset: Dataset) -> partition.Partition:
    """Which client trains on which examples: the first of `build_partitions`.

    Raises:
      ConfigError: the data set does not allow the partition.
    """
    return build_partitions(experiment, dataset)[0]


def build_partitions(
    experiment: config.Experiment, dataset: Dataset
) -> tuple[partition.Partition, partition.Partition]:
    """Which client trains on which examples, and which of its own it holds out for its test.

    Raises:
      ConfigError: the data set does not allow the partition.
    """
    by_group = experiment.partition.kind == "groups"
    if by_group and dataset.drawn_groups and experiment.privacy.hides:
        raise ConfigError(
            f"{dataset.name}: {all_drawn(dataset.drawn_groups)[0]}. Who the clients are is public: "
            "it must not depend on how many examples somebody has"
        )
    rng = np.random.default_rng(experiment.seed)
    whole = _build_whole(experiment.partition, dataset, rng)
    return partition.hold_out_of_each(rng, whole, experiment.partition.held_out)


def _build_whole(
    settings: config.Partition, dataset: Dataset, rng: np.random.Generator
) -> partition.Partition:
    """Which client holds which examples."""
    targets = dataset.train_targets
    match settings.kind:
        case "iid":
            return partition.iid(rng, len(targets), settings.clients)
        case "sizes":
            return partition.by_sizes(rng, len(targets), settings.sizes)
        case "shards":
            return partition.label_shards(
                rng, targets, settings.clients, settings.shards_per_client, settings.copies
            )
        case "dirichlet":
            return partition.dirichlet(rng, targets, settings.clients, settings.alpha)
        case "groups":
            if dataset.groups is None:
                raise ConfigError(
                    f"partition.kind='groups': nobody knows who made the examples of "
                    f"{dataset.name}; expected a set with groups: a table or .npz with "
                    "data.group, a text by speaker, a data set with groups of its own, or mnist "
                    "with qmnist-train-labels-idx2-int.gz beside the IDX files of --data.dir. "
                    "Divide other sets by another kind"
                )
            return partition.by_group(dataset.groups)


def build_sampler(settings: config.Cohort, num_clients: int) -> Accounted:
    """Who takes part in a round.

    Raises:
      ConfigError: the clients are too few, or settings contradict one another.
    """
    if settings.groups != 1 and settings.sampling != "cyclic_poisson":
        raise ConfigError(
            f"cohort.groups={settings.groups}: expected 1, since only "
            "cohort.sampling='cyclic_poisson' has groups that take turns"
        )
    if settings.capacity is not None and settings.sampling in ("full", "fixed_size"):
        raise ConfigError(
            f"cohort.capacity={settings.capacity}: expected none, since "
            f"cohort.sampling={settings.sampling!r} says how many take part"
        )
    if settings.sampling != "full" and settings.size > num_clients:
        raise ConfigError(
            f"cohort.size={settings.size}: expected at most the {num_clients} clients"
        )
    rate = settings.size / num_clients
    match settings.sampling:
        case "full":
            return full(num_clients)
        case "fixed_size":
            return fixed_size(num_clients, settings.size)
        case "truncated_poisson":
            return truncated_poisson(num_clients, rate, settings.capacity)
        case "cyclic_poisson":
            return cyclic_poisson(num_clients, rate, settings.groups, settings.capacity)


def build_clipping(settings: config.Privacy) -> Clipping | Unclipped:
    """To which norm updates are scaled down."""
    if settings.clipping_norm is None:
        return Unclipped()
    return _clipping_to(settings.clipping_norm, settings)


def _clipping_to(norm: float, settings: config.Privacy) -> Clipping:
    match settings.clipping:
        case "flat":
            return Flat(norm)
        case "adaptive":
            return Adaptive(norm, settings.quantile)


def build_plan(
    experiment: config.Experiment,
    num_clients: int,
    num_parameters: int,
    client_state: bool = False,
) -> Plan | NoPlan:
    """The privacy plan, calibrated where a target ε is given; `NoPlan` without a mechanism.

    Args:
      experiment: the settings.
      num_clients: as many as there are.
      num_parameters: numbers that a client sends.
      client_state: whether the method's clients keep state between their rounds.

    Raises:
      ConfigError: nothing accounts for such a plan, no noise is enough for the target, or δ is
        not below one in so many clients.
    """
    privacy = experiment.privacy
    sampler = build_sampler(experiment.cohort, num_clients)
    if privacy.mechanism == "none":
        return NoPlan(sampler, build_clipping(privacy))
    delta = _given(privacy, "delta")
    if delta >= 1 / num_clients:
        raise ConfigError(
            f"privacy.delta={delta:g} with {num_clients} clients: expected less than 1 in "
            f"{num_clients}, with which giving one client's data away at random would be private; "
            f"at most {1 / (10 * num_clients):.2g} is usual"
        )
    make = functools.partial(_build_mechanism, experiment, num_parameters)
    rest = {
        "sampler": sampler,
        "clipping": _clipping_to(_given(privacy, "clipping_norm"), privacy),
        "rounds": experiment.rounds,
        "delta": delta,
        "client_state": client_state,
    }
    if privacy.epsilon is not None:
        plan = calibrate(make, privacy.epsilon, **rest)
    else:
        plan = Plan(mechanism=make(_given(privacy, "noise_multiplier")), **rest)
    return replace(plan, public_sizes=privacy.public_sizes)


def _given(settings: config.Privacy, name: str) -> float:
    """A setting that a plan cannot do without.

    Raises:
      ConfigError: it has no value.
    """
    value = getattr(settings, name)
    if value is None:
        raise ConfigError(
            f"privacy.{name}=None with privacy.mechanism={settings.mechanism!r}: expected a number"
        )
    return value


def _build_mechanism(
    experiment: config.Experiment, num_parameters: int, noise_multiplier: float
) -> Mechanism:
    privacy, aggregation = experiment.privacy, experiment.aggregation
    if aggregation.protocol != "none":
        # What noise that is correlated over rounds takes back must lie as it did when it was added.
        rotation = privacy.rotation and privacy.mechanism not in ("banded", "blt")
        values = integers_of(num_parameters, aggregation.bits, rotation=rotation)
        if privacy.noise == "floats" and privacy.mechanism not in ("banded", "blt"):
            raise ConfigError(
                f"privacy.noise='floats' with aggregation.protocol={aggregation.protocol!r}: "
                "expected 'integers', which it adds"
            )
    elif privacy.noise == "integers":
        values = DeviceIntegers(num_parameters)
    else:
        values = Floats()
    if privacy.band != 1 and privacy.mechanism != "banded":
        raise ConfigError(
            f"privacy.band={privacy.band}: expected 1, since only privacy.mechanism='banded' "
            "has a band of rounds that share noise"
        )
    if privacy.buffers != 2 and privacy.mechanism != "blt":
        raise ConfigError(
            f"privacy.buffers={privacy.buffers}: expected 2, since only privacy.mechanism='blt' "
            "has buffers"
        )
    match privacy.mechanism:
        case "skellam" | "discrete_gaussian":
            if not isinstance(values, Integers) or isinstance(values, DeviceIntegers):
                raise ConfigError(
                    f"privacy.mechanism={privacy.mechanism!r} with aggregation.protocol='none': "
                    "expected a protocol that adds integers, such as plain or masking"
                )
            kind = Skellam if privacy.mechanism == "skellam" else DiscreteGaussian
            return kind(
                noise_multiplier,
                values,
                dropouts=privacy.dropouts,
                colluders=privacy.colluders,
                exchangeable=privacy.exchangeable_dropouts,
            )
        case "banded":
            return Banded(noise_multiplier, privacy.band, values)
        case "blt":
            return BufferedToeplitz(
                noise_multiplier,
                privacy.buffers,
                build_momentum(experiment.server),
                experiment.server.schedule,
                values,
            )
        case "gaussian":
            return Gaussian(noise_multiplier, values)
        case "none":
            raise ConfigError("privacy.mechanism='none': expected a mechanism to build one")


def build_momentum(settings: config.Server) -> float:
    """How much of a step the server's next step repeats; what else Adam and Yogi do is left out."""
    match settings.optimizer:
        case "sgd":
            return settings.momentum
        case "adam" | "yogi":
            return 0.9
        case "adagrad":
            return 0.0


def build_mesh(settings: config.Engine) -> Mesh:
    """The devices over which clients are sharded: as many of every process.

    Raises:
      ConfigError: more devices are asked for than there are, or others.
    """
    here = jax.local_devices()
    if settings.platform == "gpu" and here[0].platform == "cpu":
        raise ConfigError(
            "engine.platform='gpu', but JAX sees CPU cores alone: install the extra cuda and see "
            "that the driver loads (nvidia-smi), or ask for 'auto'"
        )
    count = settings.devices or len(here)
    if count > len(here):
        raise ConfigError(
            f"engine.devices={count}: this process sees {len(here)} {here[0].platform} devices; "
            "ask for fewer"
        )
    by_process = itertools.groupby(jax.devices(), lambda device: device.process_index)
    return clients_mesh([device for _, own in by_process for device in list(own)[:count]])


def build_secure_aggregation(
    experiment: config.Experiment, protocol: SecureSum, key_holder: tuple[Secret, Public]
) -> SecureAggregation:
    """How updates are quantised and added up.

    Args:
      experiment: the settings.
      protocol: that they name.
      key_holder: its keys.

    Raises:
      ConfigError: the settings contradict each other.
    """
    settings = experiment.aggregation
    return SecureAggregation(
        protocol,
        key_holder,
        settings.bits,
        build_limit(experiment),
        smallest_cohort=settings.smallest_cohort,
    )


def build_limit(experiment: config.Experiment) -> float:
    """The value that the largest integer stands for.

    Raises:
      ConfigError: it is not the clipping norm, and noise is made for that.
    """
    limit, privacy = experiment.aggregation.limit, experiment.privacy
    if privacy.mechanism == "none":
        return 1.0 if limit is None else limit
    norm = build_clipping(privacy).norm
    if limit not in (None, norm):
        raise ConfigError(
            f"aggregation.limit={limit} with privacy.mechanism={privacy.mechanism!r}: expected "
            f"none, since no value of an update exceeds privacy.clipping_norm={norm}"
        )
    return norm

"""pfl-research's federated averaging of a PyTorch model (``pfl.algorithm``), simulated."""

# pyright: reportMissingImports=false

import asked
import torch
import torch_networks
from asked import Arrays, Task
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from pfl.privacy import CentrallyAppliedPrivacyMechanism, GaussianMechanism
from torch import nn
from torch.nn import functional


class Classifier(nn.Module):
    """A network with the loss and the metrics that pfl asks for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def loss(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Of a batch."""
        self.train()
        return functional.cross_entropy(self.network(images), labels)

    def metrics(self, images: torch.Tensor, labels: torch.Tensor) -> dict:
        """None: clients are not evaluated."""
        del images, labels
        return {}


class Timed(TrainingProcessCallback):
    """Lets pfl's own loop go on to the next round when one is asked for."""

    def __init__(self, task: Task, arrays: Arrays, model: Classifier) -> None:
        self.rounds = asked.rounds(
            lambda: torch_networks.accuracy(model.network, task, arrays),
            torch_networks.num_parameters(model),
            "pfl",
            "torch",
        )

    def on_train_begin(self, *, model: PyTorchModel) -> Metrics:
        """Waits for the first."""
        del model
        next(self.rounds)
        return Metrics()

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        """Waits for the next, or ends."""
        del aggregate_metrics, model, central_iteration
        return next(self.rounds, self) is self, Metrics()


def main() -> None:
    """Does the rounds that are asked for."""
    task = asked.read_task()
    torch.set_num_threads(len(task.cores))
    arrays = asked.read_arrays(task)
    users = dict(enumerate(torch_networks.clients_of(task, arrays)))
    sampler = get_user_sampler("random", list(users))
    data = FederatedDataset(lambda user: PyTorchTensorDataset(users[user]), sampler)
    network = Classifier(torch_networks.network(task, arrays.weights))
    model = PyTorchModel(
        model=network,
        local_optimizer_create=torch.optim.SGD,
        central_optimizer=torch.optim.SGD(network.parameters(), 1.0),
    )
    noise = GaussianMechanism(task.norm, task.noise_multiplier)
    backend = SimulatedBackend(
        training_data=data,
        val_data=None,
        postprocessors=[CentrallyAppliedPrivacyMechanism(noise)]
        if task.protection == "gaussian"
        else [],
    )
    FederatedAveraging().run(
        NNAlgorithmParams(
            central_num_iterations=task.rounds + 1,
            evaluation_frequency=task.rounds + 2,
            train_cohort_size=task.cohort,
            val_cohort_size=0,
        ),
        backend,
        model,
        NNTrainHyperParams(
            local_learning_rate=task.rate,
            local_num_epochs=task.epochs,
            local_batch_size=task.batch_size,
        ),
        callbacks=[Timed(task, arrays, network)],
    )


if __name__ == "__main__":
    main()

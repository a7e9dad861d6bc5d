"""Time per member and epoch: stacked training beside training one member after another.

    python benchmarks/training.py                  # all cases, under a minute
    python benchmarks/training.py --threads 1 --members 100 --repeats 5

Three ways of training the same members are timed in turn, several times over, in this one process;
the quickest time of each counts, so other load on the machine biases none of them:

    ordinary  nn.Sequential, DataLoader(shuffle=True), torch.optim as it comes
    lean      no DataLoader: rows gathered by index, fused torch.optim; the best plain loop we know
    stacked   cch.training.stack.train_stack, all members at once, divided by their number

"ordinary" and "lean" train one member, the others would take as long each. "differ" is the largest
difference between the logits of that member after "lean" and after "stacked", to show that both
did the same work.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from cch.config import Network, Training
from cch.data.rng import keyed_seed, torch_generator
from cch.training.stack import Member, TrainedStack, train_stack

TEMPERATURE, WEIGHT = 3.0, 0.5


@dataclass(frozen=True)
class Case:
    """One line of the output: a network, how it is trained, on how many rows."""

    name: str
    network: Network
    training: Training
    features: int
    outputs: int
    rows: int
    members: int
    distilled: bool = False
    images: bool = False

    @property
    def task(self) -> str:
        """What train_stack calls it."""
        return "regression" if self.outputs == 1 else "classification"

    def data(self) -> dict[str, torch.Tensor]:
        """Random inputs, labels and soft targets, the same in every run."""
        draw = torch_generator("benchmark", self.name)
        if self.images:
            shape = (self.rows, self.features)
            inputs = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)
        else:
            inputs = torch.randn(self.rows, self.features, generator=draw)
        labels = torch.randint(0, max(self.outputs, 2), (self.rows,), generator=draw)
        if self.task == "regression":
            labels = torch.randn(self.rows, generator=draw)
        soft = torch.randn(self.rows, self.outputs, generator=draw)
        return {"inputs": inputs, "labels": labels, "soft": soft}

    @property
    def scale(self) -> float:
        """Factor from stored values to network inputs."""
        return 1 / 255 if self.images else 1.0


def cases(members: int) -> Iterator[Case]:
    tcga = Network(hidden=[64])
    for optimizer in ("sgd", "adam"):
        for batch in (32, 128):
            training = Training(
                optimizer=optimizer,
                learning_rate=0.01,
                momentum=0.9 if optimizer == "sgd" else 0.0,
                batch_size=batch,
                epochs=4,
            )
            yield Case("100-64-5", tcga, training, 100, 5, 750, members)
            yield Case("100-64-5 Eq. 2", tcga, training, 100, 5, 750, members, distilled=True)
    synthetic = Training(optimizer="adam", learning_rate=0.01, batch_size=256, epochs=1)
    yield Case("100-64-1 Eq. 4", tcga, synthetic, 100, 1, 10_000, members, distilled=True)
    digits = Training(optimizer="sgd", learning_rate=0.01, momentum=0.9, batch_size=64, epochs=1)
    wide = Network(hidden=[1024, 256], activation="leaky_relu")
    yield Case("784-1024-256-10", wide, digits, 784, 10, 2000, 6, images=True)


def module(case: Case) -> nn.Sequential:
    """One member as nn.Sequential, with the weights that its key draws."""
    with torch.random.fork_rng():
        torch.manual_seed(keyed_seed("student", 0, "weights", bits=56))
        layers: list[nn.Module] = []
        fan_in = case.features
        for units in case.network.hidden:
            relu = case.network.activation == "relu"
            layers += [nn.Linear(fan_in, units), nn.ReLU() if relu else nn.LeakyReLU(0.01)]
            fan_in = units
        return nn.Sequential(*layers, nn.Linear(fan_in, case.outputs))


def optimizer(case: Case, model: nn.Module, fused: bool | None) -> torch.optim.Optimizer:
    training = case.training
    if training.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=training.learning_rate, fused=fused)
    return torch.optim.SGD(
        model.parameters(), lr=training.learning_rate, momentum=training.momentum, fused=fused
    )


def loss_of(case: Case, s: torch.Tensor, y: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Eqs. 2 and 4 as one writes them for one network."""
    if case.task == "regression":
        loss = functional.mse_loss(s.squeeze(1), y)
        return loss + WEIGHT * functional.mse_loss(s, t) if case.distilled else loss
    loss = functional.cross_entropy(s, y)
    if not case.distilled:
        return loss
    divergence = functional.kl_div(
        functional.log_softmax(s / TEMPERATURE, dim=1),
        functional.softmax(t / TEMPERATURE, dim=1),
        reduction="batchmean",
    )
    return (1 - WEIGHT) * loss + WEIGHT * TEMPERATURE**2 * divergence


def step(case: Case, model: nn.Module, chosen: torch.optim.Optimizer, batch: list) -> None:
    inputs, labels, soft = batch
    inputs = inputs.float() * case.scale if case.images else inputs
    loss = loss_of(case, model(inputs), labels, soft)
    chosen.zero_grad()
    loss.backward()
    chosen.step()


def ordinary(case: Case, data: dict[str, torch.Tensor]) -> nn.Module:
    model = module(case)
    chosen = optimizer(case, model, fused=None)
    loader = DataLoader(
        TensorDataset(data["inputs"], data["labels"], data["soft"]),
        batch_size=case.training.batch_size,
        shuffle=True,
        generator=torch_generator("benchmark"),
    )
    for _ in range(case.training.epochs):
        for batch in loader:
            step(case, model, chosen, batch)
    return model


def lean(case: Case, data: dict[str, torch.Tensor]) -> nn.Module:
    model = module(case)
    chosen = optimizer(case, model, fused=True)
    order = torch_generator("student", 0, "order")
    for _ in range(case.training.epochs):
        for rows in torch.randperm(case.rows, generator=order).split(case.training.batch_size):
            step(case, model, chosen, [data[name][rows] for name in ("inputs", "labels", "soft")])
    return model


def stacked(case: Case, data: dict[str, torch.Tensor]) -> TrainedStack:
    """All members; five share a seed, as the students of one seed do."""
    members = [
        Member(
            key=("student", number // 5),
            teacher=0 if case.distilled else None,
            temperature=TEMPERATURE,
            weight=WEIGHT if case.distilled else 0.0,
        )
        for number in range(case.members)
    ]
    return train_stack(
        network=case.network,
        training=case.training,
        task=case.task,
        inputs=data["inputs"],
        input_scale=case.scale,
        labels=data["labels"],
        row_sets=[torch.arange(case.rows)],
        soft_targets=data["soft"][None],
        members=members,
        outputs=case.outputs,
    )


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(case: Case, repeats: int) -> str:
    data = case.data()
    ways = {"ordinary": ordinary, "lean": lean, "stacked": stacked}
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(repeats):
        for name, way in ways.items():
            best[name] = min(best[name], timed(lambda way=way: way(case, data)))
    each = {name: 1e3 * seconds / case.training.epochs for name, seconds in best.items()}
    each["stacked"] /= case.members
    inputs = data["inputs"].float() * case.scale
    gap = lean(case, data)(inputs) - stacked(case, data).predict(data["inputs"]).logits[0]
    training = case.training
    return (
        f"{case.name:<16}{training.optimizer:<6}{training.batch_size:>5}{case.rows:>7}"
        f"{case.members:>8}{each['ordinary']:>11.2f}{each['lean']:>9.2f}{each['stacked']:>9.3f}"
        f"{each['ordinary'] / each['stacked']:>11.1f}x{each['lean'] / each['stacked']:>8.1f}x"
        f"{gap.abs().max().item():>10.0e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=50, help="members of the narrow stacks")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; the quickest counts")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, CPU, {options.threads} threads, best of {options.repeats}")
    print("milliseconds per member and epoch; how many times as fast as stacked is beside it\n")
    print(
        f"{'network':<16}{'optim':<6}{'batch':>5}{'rows':>7}{'members':>8}{'ordinary':>11}"
        f"{'lean':>9}{'stacked':>9}{'/ordinary':>12}{'/lean':>9}{'differ':>10}"
    )
    for case in cases(options.members):
        print(measure(case, options.repeats), flush=True)


if __name__ == "__main__":
    main()

"""An optimiser: every weight moves by the learning rate, against the sign of its gradient."""

from cch.config.registry import OPTIMIZERS


def make(groups, training):
    import torch  # here, because planning loads this file and trains nothing

    class Sign(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                for weight in group["params"]:
                    weight.sub_(group["lr"] * weight.grad.sign())

    return Sign(groups, {"lr": training.learning_rate})


class Sign:
    linear = False

    make = staticmethod(make)

    @staticmethod
    def state(training):
        return 0


OPTIMIZERS.add("sign", Sign)

"""The network on tables, its gradients taken by scikit-learn's ``MLPClassifier``.

A step of plain SGD at a rate of 1, without decay or momentum, moves each parameter by
its gradient. So what one ``partial_fit`` moved is the gradient, by public attributes
alone, and AdamW's moments stay in the member's memory: those inside
``MLPClassifier`` are private, and would not outlive a worker.

It needs the extra ``serai[sklearn]``.
"""

import numpy as np
import numpy.typing as npt
from sklearn.neural_network import MLPClassifier

from serai.recipes.engines.adamw import Array32
from serai.recipes.engines.network import Network, Rows
from serai.training.tensors import Model


class SklearnGradients:
    """Gives losses and gradients.

    Args:
        network: the size.

    """

    def __init__(self, network: Network) -> None:
        self._classifier = MLPClassifier(
            hidden_layer_sizes=(network.hidden,),
            activation="relu",
            solver="sgd",
            learning_rate="constant",
            learning_rate_init=1.0,
            momentum=0.0,
            alpha=0.0,
            batch_size=1,
            shuffle=False,
            random_state=0,
        )
        # The first fit makes the arrays and learns which labels there are; a later batch may hold one of them only.
        self._classifier.partial_fit(np.zeros((1, network.features)), [0], classes=[0, 1])

    def __call__(self, model: Model, rows: Rows) -> tuple[float, dict[str, Array32]]:
        """The mean log-loss and its gradients."""
        x, y = rows
        # In float64, so that what is left of p - (p - gradient) is the gradient to more than float32's digits.
        before = {name: tensor.astype(np.float64) for name, tensor in model.items()}
        classifier = self._classifier
        classifier.coefs_ = [before["hidden_weight"].copy(), before["out_weight"].reshape(-1, 1).copy()]
        classifier.intercepts_ = [before["hidden_bias"].copy(), before["out_bias"].copy()]
        classifier.set_params(batch_size=len(x))
        classifier.partial_fit(x.astype(np.float64), (y > 0.5).astype(np.int64))
        after: dict[str, npt.NDArray[np.float64]] = {
            "hidden_bias": classifier.intercepts_[0],
            "hidden_weight": classifier.coefs_[0],
            "out_bias": classifier.intercepts_[1],
            "out_weight": classifier.coefs_[1].reshape(-1),
        }
        return float(classifier.loss_), {name: (before[name] - after[name]).astype(np.float32) for name in after}

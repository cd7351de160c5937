"""scikit-learn estimators: an ensemble of replicas that train together, with the spread of what they predict."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from engine.configuration import TrainingConfig
from engine.evaluation import predict
from engine.methods.initializers import initialize
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.splits import Split
from engine.stopping import Patience
from engine.training import train
from engine.validation import check_count, check_number

LOOKS = 20  # points of the loss curve where nothing else asks for a look


class _Ensemble(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: settings, training, the outputs of every replica."""

    def __init__(
        self,
        hidden_layer_sizes: tuple[int, ...] = (32, 32),
        *,
        activation: str = "relu",
        initializer: str = "he_uniform",
        optimizer: str = "adam",
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        batch_size: int = 32,
        max_epochs: int = 100,
        schedule: str = "constant",
        l2: float = 0.0,
        weight_decay: float = 0.0,
        dropout: float = 0.0,
        n_replicas: int = 8,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        dtype: Literal["float32", "float64"] = "float64",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.initializer = initializer
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.schedule = schedule
        self.l2 = l2
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.n_replicas = n_replicas
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.dtype = dtype
        self.random_state = random_state

    def _train(self, X: FloatArray, targets: FloatArray, weight: FloatArray | None, n_outputs: int, loss: str) -> None:
        check_count(self.n_replicas, "n_replicas", 1)
        check_count(self.max_epochs, "max_epochs", 1)
        network = NetworkConfig(
            n_inputs=X.shape[1],
            hidden_layer_sizes=tuple(self.hidden_layer_sizes),
            n_outputs=n_outputs,
            activation=self.activation,
            output_activation="linear",
            initializer=self.initializer,
        )
        rng = check_random_state(self.random_state)
        seeds = rng.randint(2**31 - 1, size=self.n_replicas).astype(np.uint64)
        split, splits = self._splits(X, targets, weight, loss, rng)
        training = TrainingConfig(
            loss=loss,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            batch_size=_batch_size(self.batch_size, split.X.shape[1]),
            max_epochs=self.max_epochs,
            schedule=self.schedule,
            regularizer="l2" if self.l2 else "none",
            regularization_rate=self.l2,
            weight_decay=self.weight_decay,
            dropout=(self.dropout,),
            dtype=self.dtype,
        )
        first = initialize(network, [np.random.default_rng([int(seed), 0]) for seed in seeds])
        rule = Patience("validation", self.patience) if self.early_stopping else None
        last = self.max_epochs
        looks = range(1, last + 1) if rule else np.unique(np.linspace(1, last, min(LOOKS, last)).astype(int)).tolist()
        result = train(network, training, split, first, seeds, look_at=looks, evaluate_on=splits, on_look=rule)
        self.network_ = network
        self.parameters_ = _finite(rule.best_parameters if rule else result.state.parameters, self.learning_rate)
        self.n_epochs_ = result.epochs[-1]
        self.loss_epochs_ = np.array(result.epochs)
        self.loss_curve_ = result.losses["train"]

    def _splits(
        self,
        X: FloatArray,
        targets: FloatArray,
        weight: FloatArray | None,
        loss: str,
        rng: np.random.RandomState,
    ) -> tuple[Split, dict[str, Split]]:
        """Return the training points, and what is looked at: they and perhaps the points held out."""
        arrays = [X, targets] if weight is None else [X, targets, weight]
        if not self.early_stopping:
            split = Split(*(array[None] for array in arrays))
            return split, {"train": split}
        check_number(self.validation_fraction, "validation_fraction", 0, 1, open_below=True)
        classes = targets if loss == "softmax_cross_entropy" else None
        parts = train_test_split(*arrays, test_size=self.validation_fraction, stratify=classes, random_state=rng)
        split, held_out = (Split(*(array[None] for array in parts[start::2])) for start in (0, 1))
        for name, part in (("training", split), ("validation", held_out)):
            if part.weight is not None and not part.weight.any():
                raise ValueError(
                    f"sample_weight: only zeros among the {name} points; give more points a weight above 0"
                )
        return split, {"train": split, "validation": held_out}

    def _outputs(self, X: Any) -> FloatArray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return predict(self.network_, self.parameters_, X[None])


class MLPRegressor(RegressorMixin, _Ensemble):  # type: ignore[misc]
    """Regression by an ensemble of fully connected networks.

    Inputs and targets are used as they are: put a scaler before it.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int
        Units of each hidden layer; empty means a linear model.
    activation : str
        Name in `engine.methods.activations.ACTIVATIONS`.
    initializer : str
        Name in `engine.methods.initializers.INITIALIZERS`.
    loss : str
        ``"mse"``, ``"half_squared_error"``, ``"mae"`` or ``"huber"``.
    optimizer : str
        Name in `engine.methods.optimizers.OPTIMIZERS`.
    learning_rate : float
        Positive.
    momentum : float
        For ``"momentum"`` and ``"nesterov"``.
    batch_size : int
        Examples an update; all of them where there are fewer.
    max_epochs : int
        Passes over the data.
    schedule : str
        Name in `engine.methods.schedules.SCHEDULES`.
    l2 : float
        Strength lambda of the penalty ``(lambda / 2) w**2``.
    weight_decay : float
        Decoupled decay rate.
    dropout : float
        Rate after every hidden layer.
    n_replicas : int
        Networks of the ensemble; they differ in first weights, order and dropout.
    early_stopping : bool
        Hold a share of the data out and keep each replica's parameters of the epoch with the lowest loss there.
    validation_fraction : float
        That share.
    patience : int
        Epochs without improvement that end a replica.
    dtype : str
        Type of training, ``"float64"`` or, about twice as fast, ``"float32"``. Prediction runs in float64.
    random_state : int, RandomState or None
        As everywhere in scikit-learn.

    Attributes
    ----------
    network_ : NetworkConfig
        What was trained.
    parameters_ : Parameters
        Float64 weights and biases of the replicas that did not diverge.
    n_epochs_ : int
        Epochs done.
    loss_curve_ : ndarray (n_looks, n_replicas)
        Mean training loss, without penalty, at `loss_epochs_`.
    loss_epochs_ : ndarray (n_looks,)
        Epochs of the looks.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.
    """

    def __init__(
        self,
        hidden_layer_sizes: tuple[int, ...] = (32, 32),
        *,
        activation: str = "relu",
        initializer: str = "he_uniform",
        loss: str = "mse",
        optimizer: str = "adam",
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        batch_size: int = 32,
        max_epochs: int = 100,
        schedule: str = "constant",
        l2: float = 0.0,
        weight_decay: float = 0.0,
        dropout: float = 0.0,
        n_replicas: int = 8,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        dtype: Literal["float32", "float64"] = "float64",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation=activation,
            initializer=initializer,
            optimizer=optimizer,
            learning_rate=learning_rate,
            momentum=momentum,
            batch_size=batch_size,
            max_epochs=max_epochs,
            schedule=schedule,
            l2=l2,
            weight_decay=weight_decay,
            dropout=dropout,
            n_replicas=n_replicas,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            dtype=dtype,
            random_state=random_state,
        )
        self.loss = loss

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train the replicas.

        Parameters
        ----------
        X : array-like (n, n_features)
            Inputs.
        y : array-like (n,) or (n, n_outputs)
            Targets.
        sample_weight : array-like (n,), optional
            How much each row counts, not negative; None: all the same. Training takes the NumPy road then.

        Raises
        ------
        ValueError
            If the data or a setting cannot be used, or every replica diverged.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        y = np.asarray(y, dtype=np.float64)
        self._is_vector = y.ndim == 1
        targets = y[:, None] if y.ndim == 1 else y
        self._train(X, targets, _weight(sample_weight, X), targets.shape[1], self.loss)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the mean prediction of the replicas.

        Parameters
        ----------
        X : array-like (n, n_features)
            Inputs.
        return_std : bool
            Also return the standard deviation over replicas, shaped like the prediction: how far the networks disagree,
            not how noisy the targets are.

        Returns
        -------
        ndarray (n,) or (n, n_outputs), or a pair of them
        """
        outputs = self.predict_replicas(X)
        mean = outputs.mean(axis=0)
        return (mean, outputs.std(axis=0)) if return_std else mean

    def predict_replicas(self, X: Any) -> FloatArray:
        """Return the prediction of every replica, (n_replicas, n) or (n_replicas, n, n_outputs)."""
        outputs = self._outputs(X)
        return outputs[..., 0] if self._is_vector else outputs

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that several targets are welcome."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class MLPClassifier(ClassifierMixin, _Ensemble):  # type: ignore[misc]
    """Classification by an ensemble of fully connected networks with softmax cross-entropy.

    Inputs are used as they are: put a scaler before it. Parameters are those of `MLPRegressor`, without `loss`.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
        The labels, sorted.
    network_, parameters_, n_epochs_, loss_curve_, loss_epochs_, n_features_in_, feature_names_in_
        See `MLPRegressor`.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPClassifier:
        """Train the replicas.

        Parameters
        ----------
        X : array-like (n, n_features)
            Inputs.
        y : array-like (n,)
            Labels of at least two classes.
        sample_weight : array-like (n,), optional
            How much each row counts, not negative; None: all the same. Training takes the NumPy road then.

        Raises
        ------
        ValueError
            If the data or a setting cannot be used, or every replica diverged.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y: one class only ({self.classes_[0]!r}); give at least two")
        targets = codes.astype(np.float64)[:, None]
        self._train(X, targets, _weight(sample_weight, X), len(self.classes_), "softmax_cross_entropy")
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the label with the largest mean probability, (n,)."""
        chosen = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    def predict_proba(self, X: Any, return_std: bool = False) -> Any:
        """Return the mean probabilities of the replicas.

        Parameters
        ----------
        X : array-like (n, n_features)
            Inputs.
        return_std : bool
            Also return their standard deviation over replicas.

        Returns
        -------
        ndarray (n, n_classes), or a pair of them
            In the order of `classes_`.
        """
        shares = self.predict_replicas(X)
        mean = shares.mean(axis=0)
        return (mean, shares.std(axis=0)) if return_std else mean

    def predict_replicas(self, X: Any) -> FloatArray:
        """Return the probabilities of every replica, (n_replicas, n, n_classes)."""
        logits = self._outputs(X)
        shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def _weight(sample_weight: Any, X: FloatArray) -> FloatArray | None:
    if sample_weight is None:
        return None
    return np.asarray(_check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True))


def _batch_size(asked: int, n: int) -> int:
    check_count(asked, "batch_size", 1)
    return min(asked, n)


def _finite(parameters: Parameters, learning_rate: float) -> Parameters:
    """Return the replicas that did not diverge, in float64."""
    finite = np.ones(parameters.n_replicas, dtype=np.bool_)
    for array in (*parameters.weights, *parameters.biases):
        finite &= np.isfinite(array).reshape(len(finite), -1).all(axis=1)
    if not finite.any():
        raise ValueError(
            f"learning_rate: {learning_rate!r} made every replica diverge; give a smaller one, scale X or y"
        )
    chosen = parameters.select(np.flatnonzero(finite))
    return Parameters(
        [W.astype(np.float64) for W in chosen.weights],
        [b.astype(np.float64) for b in chosen.biases],
        None if chosen.slopes is None else chosen.slopes.astype(np.float64),
    )

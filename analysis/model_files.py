"""The reader of the networks that a certificate leaves beside its record."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from engine.network import NetworkConfig, Parameters


class ModelFileError(ValueError):
    """A model file that cannot be read; the message names it."""


@dataclass(frozen=True, slots=True)
class SavedModel:
    """Trained networks as they were saved.

    Parameters
    ----------
    network : NetworkConfig
    parameters : Parameters
        Of R replicas, in the order of the record's seeds.
    """

    network: NetworkConfig
    parameters: Parameters


def load_model(path: Path) -> SavedModel:
    """Read the networks of one certificate.

    Parameters
    ----------
    path : Path
        ``<stage>-<number>.npz`` with ``weights_<layer>`` (R, fan_in, fan_out), ``biases_<layer>`` (R, fan_out) and
        perhaps ``slopes``; beside it ``<stage>-<number>.json`` with the network's configuration and the file's
        SHA-256.

    Raises
    ------
    ModelFileError
        If one of the two files is missing, altered, or does not fit the other.
    """
    try:
        description = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != description["sha256"]:
            raise ModelFileError(f"{path}: altered (its SHA-256 does not match {path.stem}.json)")
        given: dict[str, Any] = dict(description["network"])
        given["hidden_layer_sizes"] = tuple(given["hidden_layer_sizes"])
        network = NetworkConfig(**given)
        with np.load(path, allow_pickle=False) as arrays:
            layers = range(len(network.layer_sizes) - 1)
            parameters = Parameters(
                [arrays[f"weights_{i}"] for i in layers],
                [arrays[f"biases_{i}"] for i in layers],
                arrays.get("slopes"),
            )
    except (OSError, BadZipFile, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ModelFileError(f"{path}: not a model of this version ({error})") from None
    sizes = network.layer_sizes
    if any(W.shape[1:] != shape for W, shape in zip(parameters.weights, itertools.pairwise(sizes), strict=True)):
        raise ModelFileError(f"{path}: its weights do not fit the layers {'-'.join(map(str, sizes))}")
    return SavedModel(network, parameters)

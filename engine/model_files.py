"""Trained networks on disk: the numbers in an ``.npz`` without pickle, their description in a ``.json`` beside it.

``<name>.npz``
    ``weights_<layer>`` (R, fan_in, fan_out), ``biases_<layer>`` (R, fan_out) and, for learnt slopes, ``slopes``.
``<name>.json``
    ``network`` (the fields of `NetworkConfig`), ``shapes`` and ``dtypes`` of the arrays, ``versions``, ``sha256`` of
    the ``.npz``, ``extra`` (what the caller adds), and ``description_sha256``, the digest of all that.

Whatever bit of either file changes is found when they are read, and reading executes nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import platform
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np

from engine.names import LONGEST_SHOWN, InputMessageError, cut
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.validation import check_array, check_parameters, validate_network

FORMAT = 1
_UTF8_NAME = 0x800
"""The one flag that Python's `zipfile` sets on what it writes without compression."""
_HEADER = re.compile(
    rb"\{'descr': '(?P<type><f[48])', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>[0-9, ]{0,80})\), \} *\n"
)
"""How NumPy heads an array of floating-point numbers in version 1.0 of its format."""


class ModelFileError(InputMessageError):
    """A model that cannot be read; the message names the file."""


@dataclass(frozen=True, slots=True)
class SavedModel:
    """Trained networks as they were saved.

    Parameters
    ----------
    network : NetworkConfig
        What they are.
    parameters : Parameters
        Their numbers, R replicas.
    extra : dict
        What the caller added, as plain JSON values.
    versions : dict of str to str
        Python and NumPy that wrote the files.
    """

    network: NetworkConfig
    parameters: Parameters
    extra: dict[str, Any]
    versions: dict[str, str]


def save_model(
    folder: Path, name: str, network: NetworkConfig, parameters: Parameters, extra: Mapping[str, Any]
) -> Path:
    """Write ``<name>.npz`` and ``<name>.json``, each whole or not at all.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    name : str
        File name without ending.
    network : NetworkConfig
        What the networks are.
    parameters : Parameters
        Their numbers, R replicas.
    extra : mapping
        JSON values to keep beside them.

    Returns
    -------
    Path
        Of the ``.npz``.

    Raises
    ------
    ValueError
        If the name is not a plain file name, the parameters do not fit the network, or `extra` is not JSON.
    """
    if not name or Path(name).name != name:
        raise ValueError(f"name: {name!r}; give a file name without folder")
    check_parameters(network, parameters)
    arrays = _arrays(parameters)
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    content = stream.getvalue()
    description = {
        "format": FORMAT,
        "network": dataclasses.asdict(network),
        "shapes": {key: list(array.shape) for key, array in arrays.items()},
        "dtypes": {key: array.dtype.name for key, array in arrays.items()},
        "versions": {"numpy": np.__version__, "python": platform.python_version()},
        "extra": dict(extra),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    try:
        description["description_sha256"] = _digest(description)
    except (TypeError, ValueError) as error:
        raise ValueError(f"extra: not JSON values ({error}); give numbers, texts, lists and dicts") from None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npz"
    _write(path, content)
    _write(folder / f"{name}.json", json.dumps(description, indent=1, allow_nan=False).encode())
    return path


def load_model(path: Path) -> SavedModel:
    """Read networks that `save_model` wrote.

    Parameters
    ----------
    path : Path
        Of the ``.npz``; the ``.json`` lies beside it.

    Raises
    ------
    ModelFileError
        If one of the two files is missing, altered, of another format, or does not fit the other.
    """
    beside = path.parent / f"{path.stem}.json"
    description = _read_description(beside)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != description["sha256"]:
        raise ModelFileError(f"{path}: altered (its SHA-256 is not the one in {beside.name})")
    try:
        fields = dict(description["network"])
        network = NetworkConfig(**{**fields, "hidden_layer_sizes": tuple(fields["hidden_layer_sizes"])})
        validate_network(network)
        parameters = _parameters(network, _read_arrays(content))
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: does not hold the network of {beside.name} ({_reason(error)})") from None
    return SavedModel(network, parameters, description["extra"], description["versions"])


def _read_arrays(content: bytes) -> dict[str, FloatArray]:
    """Return the arrays of an ``.npz`` as `save_model` writes it; raises ValueError for any other.

    NumPy's own reader takes much more than we write, and what it calls on the way (`tokenize`, `zipfile`) fails in a
    dozen ways on forged bytes. Here only members that are stored as they are get read, each as a header that is one of
    few texts, and numbers.
    """
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            for member in members:
                if member.compress_type != ZIP_STORED or member.flag_bits & ~_UTF8_NAME:
                    raise ValueError(f"{member.filename!r} is not stored as it is")
            return {member.filename.removesuffix(".npy"): _read_array(archive.read(member)) for member in members}
    except (BadZipFile, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise ValueError(f"not an archive that was written here: {error}") from None


def _read_array(member: bytes) -> FloatArray:
    header_end = 10 + int.from_bytes(member[8:10], "little")
    header = _HEADER.fullmatch(member[10:header_end])
    if member[:8] != b"\x93NUMPY\x01\x00" or header is None:
        raise ValueError("an array that was not written here")
    shape = tuple(int(n) for n in header["shape"].split(b",") if n.strip())
    values = np.frombuffer(member[header_end:], np.dtype(header["type"].decode()))
    if len(values) != math.prod(shape):
        raise ValueError(f"{len(values)} numbers for an array of {shape}")
    return values.reshape(shape, order="F" if header["fortran"] == b"True" else "C").copy(order="K")


def _reason(error: Exception) -> str:
    return cut(" ".join(str(error).split()), 2 * LONGEST_SHOWN)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_bytes())
        digest = description.pop("description_sha256")
        is_whole = _digest(description) == digest
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise ModelFileError(f"{path}: altered, or not the description of a model") from None
    if not is_whole:
        raise ModelFileError(f"{path}: altered (its SHA-256 does not match)")
    if description.get("format") != FORMAT:
        raise ModelFileError(f"{path}: format {description.get('format')!r}; this version reads format {FORMAT}")
    kinds = {"network": dict, "extra": dict, "versions": dict, "sha256": str}
    for key, kind in kinds.items():
        if not isinstance(description.get(key), kind):
            raise ModelFileError(f"{path}: {key} is {'missing' if key not in description else 'of another type'}")
    return dict(description)


def _digest(description: Mapping[str, Any]) -> str:
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _arrays(parameters: Parameters) -> dict[str, FloatArray]:
    arrays = {f"weights_{i}": W for i, W in enumerate(parameters.weights)}
    arrays |= {f"biases_{i}": b for i, b in enumerate(parameters.biases)}
    return arrays if parameters.slopes is None else {**arrays, "slopes": parameters.slopes}


def _parameters(network: NetworkConfig, arrays: Mapping[str, FloatArray]) -> Parameters:
    layers = range(len(network.layer_sizes) - 1)
    parameters = Parameters(
        [arrays[f"weights_{i}"] for i in layers], [arrays[f"biases_{i}"] for i in layers], arrays.get("slopes")
    )
    check_parameters(network, parameters)
    for key, array in _arrays(parameters).items():
        check_array(array, key, array.ndim, must_be_finite=False)  # a diverged network is a result too
    return parameters


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None

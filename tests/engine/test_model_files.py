import copy
import io
import json
import pickle
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from forged_models import alter_description, altered_content, read_description, write_forged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tally import many

from engine.methods.initializers import initialize
from engine.model_files import ModelFileError, load_model, save_model
from engine.network import NetworkConfig, Parameters

NETWORK = NetworkConfig(2, (3, 2), 1, "prelu", "tanh", activation_slope=0.2)


def parameters_of(network: NetworkConfig = NETWORK) -> Parameters:
    return initialize(network, [np.random.default_rng(r) for r in range(3)])


@pytest.mark.parametrize("network", [NETWORK, NetworkConfig(1, ())])
def test_what_is_saved_is_read_back_bit_for_bit(tmp_path: Path, network: NetworkConfig) -> None:
    parameters = parameters_of(network)
    path = save_model(tmp_path / "models", "winner.final", network, parameters, {"epochs": 12, "seeds": ["0.1"]})
    assert sorted(file.name for file in path.parent.iterdir()) == ["winner.final.json", "winner.final.npz"]
    model = load_model(path)
    assert model.network == network
    assert model.extra == {"epochs": 12, "seeds": ["0.1"]}
    assert set(model.versions) == {"numpy", "python"}
    for a, b in zip(model.parameters.weights, parameters.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(model.parameters.biases, parameters.biases, strict=True):
        np.testing.assert_array_equal(a, b)
    if parameters.slopes is not None:
        np.testing.assert_array_equal(model.parameters.slopes, parameters.slopes)


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    one, two = (save_model(tmp_path / name, "m", NETWORK, parameters_of(), {"a": 1}) for name in "ab")
    assert one.read_bytes() == two.read_bytes()
    assert one.with_suffix(".json").read_bytes() == two.with_suffix(".json").read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([".npz", ".json"]), st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_any_flipped_bit_is_reported(tmp_path: Path, ending: str, place: float, bit: int) -> None:
    path = save_model(tmp_path, "m", NETWORK, parameters_of(), {})
    file = path.with_suffix(ending)
    content = bytearray(file.read_bytes())
    whole = json.loads(content) if ending == ".json" else None
    content[int(place * len(content))] ^= 1 << bit
    file.write_bytes(content)
    try:
        if whole is not None and json.loads(content) == whole:
            return  # white space: the same description
    except ValueError:
        pass
    with pytest.raises(ModelFileError, match=r"altered|cannot be read"):
        load_model(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    path = save_model(tmp_path, "m", NETWORK, parameters_of(), {})
    path.unlink()
    with pytest.raises(ModelFileError, match=r"m\.npz: cannot be read \(No such file or directory\)$"):
        load_model(path)
    with pytest.raises(ModelFileError, match=r"other\.json: cannot be read \(No such file or directory\)$"):
        load_model(tmp_path / "other.npz")


def forge(tmp_path: Path, content: bytes) -> Path:
    """Write another content with digests that fit it."""
    path = save_model(tmp_path, "m", NETWORK, parameters_of(), {})
    write_forged(path, read_description(path), content)
    return path


@pytest.mark.parametrize("n", [300, pytest.param(many(3000), marks=pytest.mark.faults)])
def test_forged_files_with_digests_that_fit_are_read_or_refused_in_one_line(
    tmp_path: Path, n: int, tally: Callable[[str, float, float], None]
) -> None:
    rng = random.Random(n)
    path = save_model(tmp_path, "m", NETWORK, parameters_of(), {"epochs": 3, "seeds": ["0.1"]})
    whole, content = read_description(path), path.read_bytes()
    n_refused = n_bad = 0
    for i in range(n):
        description = copy.deepcopy(whole)
        path.write_bytes(content)
        if i % 3 == 0:
            alter_description(description, rng)
        write_forged(path, description, None if i % 3 == 0 else altered_content(content, rng))
        try:
            load_model(path)
        except ModelFileError as error:
            n_refused += 1
            n_bad += "\n" in str(error) or len(str(error)) > 300
    tally("model files with forged digests", n, n_bad)
    assert n_bad == 0
    assert n_refused > n / 2


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, weights_0=np.zeros((1, 1000, 1000)))
    with pytest.raises(ModelFileError, match=r"\('weights_0.npy' is not stored as it is\)$"):
        load_model(forge(tmp_path, stream.getvalue()))


def archive(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def test_a_wrong_shape_is_reported(tmp_path: Path) -> None:
    other = parameters_of(NetworkConfig(2, (3, 3), 1))
    arrays = {f"weights_{i}": W for i, W in enumerate(other.weights)}
    arrays |= {f"biases_{i}": b for i, b in enumerate(other.biases)}
    with pytest.raises(ModelFileError, match=re.escape("the network needs [(3, 2, 3), (3, 3, 2), (3, 2, 1)]")):
        load_model(forge(tmp_path, archive(**arrays)))


def test_a_missing_array_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"does not hold the network of m.json \('weights_0'\)$"):
        load_model(forge(tmp_path, archive(biases_0=np.zeros(1))))


class Trap:
    """Leaves a trace when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("as_archive", [True, False])
def test_loading_never_executes(tmp_path: Path, as_archive: bool) -> None:
    trace = tmp_path / "executed"
    array = np.array([Trap(trace)], dtype=object)
    content = archive(weights_0=array) if as_archive else pickle.dumps(Trap(trace))
    with pytest.raises(ModelFileError):
        load_model(forge(tmp_path, content))
    assert not trace.exists()


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^name: '../m'; give a file name without folder$"):
        save_model(tmp_path, "../m", NETWORK, parameters_of(), {})
    with pytest.raises(ValueError, match=r"^extra: not JSON values"):
        save_model(tmp_path, "m", NETWORK, parameters_of(), {"loss": float("nan")})
    with pytest.raises(ValueError, match=r"^parameters.weights: shapes"):
        save_model(tmp_path, "m", NetworkConfig(2, (4,)), parameters_of(), {})
    assert not list(tmp_path.iterdir())

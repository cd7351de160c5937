"""Rows of a homework table give what the page gives, and honest ones are plausible."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.claimed import LEVEL, plausibility
from sweeps.commands.main import main
from sweeps.data.sheet import Setting, SheetRow
from sweeps.data.sheet_cells import Claimed
from sweeps.run.handed_in import check_rows, losses_of, page_seeds

SETTINGS = [(Setting("xor", "relu", 30, (6, 2), 40), 0.1), (Setting("circle", "tanh", 10, (3,), 30), 0.03)]


@pytest.fixture(scope="module")
def pools():
    """Return the losses of many draws by setting."""
    return [losses_of(setting, rate, page_seeds(1000, 7)) for setting, rate in SETTINGS]


def test_a_row_is_trained_as_the_page_does_to_the_last_digit(capsys):
    setting = Setting("xor", "relu", 10, (4, 2), 12)
    train_loss, test_loss = losses_of(setting, 0.03, ["0.12345", "0.5"])
    url = "#dataset=xor&activation=relu&networkShape=4,2&noise=20&percTrainData=70&seed=0.5"
    assert main(["playground", url, "--epochs", "12"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"12 {train_loss[1]:.17g} {test_loss[1]:.17g}"


@pytest.mark.parametrize("decimals", [2, 3])
def test_honest_rows_are_plausible_in_about_95_of_100(pools, decimals):
    rng = np.random.default_rng(3)
    values = []
    for train_loss, test_loss in pools:
        for _ in range(500):
            chosen = rng.permutation(len(train_loss))[:65]
            both = [one[chosen] for one in (train_loss, test_loss)]
            claimed = [round(float(one[-1]), decimals) for one in both]
            values.append(plausibility([one[:-1] for one in both], claimed, [decimals] * 2))
    assert 0.93 <= np.mean(np.array(values) > LEVEL) <= 0.99


def test_made_up_rows_are_not(pools):
    rng = np.random.default_rng(4)
    for (train_loss, test_loss), made_up in zip(pools, [(0.01, 0.02), (0.02, 0.03)], strict=True):
        values = []
        for _ in range(100):
            chosen = rng.permutation(len(train_loss))[:64]
            values.append(plausibility([train_loss[chosen], test_loss[chosen]], made_up, [2, 2]))
        assert np.mean(np.array(values) > LEVEL) <= 0.05


def test_equal_settings_are_trained_once_and_a_row_without_one_not_at_all():
    told = []
    setting = Setting("gauss", "linear", 10, (), 2, 0.1)
    claimed = {"training loss": Claimed(0.5, 1), "test loss": "no loss is given"}
    rows = [SheetRow("a.csv", i, "", one, claimed, (), ()) for i, one in enumerate([setting, None, setting])]
    found = check_rows(rows, seed=1, n_draws=8, on_setting=lambda *one: told.append(one))
    assert told == [(1, 1, setting)]
    assert [row.n for row in found] == [8, 0, 8]
    assert [row.verdict for row in found[1:2]] == ["not trained"]
    assert found[0].sentences == {"test loss": "no loss is given"}

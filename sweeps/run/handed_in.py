"""Rows of a homework table, trained as the Playground page does: what each of them really gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.statistics.claimed import CheckedRow
from analysis.statistics.homework import dataset_title
from analysis.statistics.intervals import FloatArray
from analysis.words import say, translated
from engine.playground.draws import draw
from engine.playground.page import LEARNING_RATES, PageState
from engine.playground.page_settings import settings_of
from engine.training import train
from sweeps.data.playground import N_PAGE_SEEDS
from sweeps.data.sheet import LOSSES, NOISE, TRAIN_SHARE, Setting, SheetRow

N_DRAWS = 64
STREAM_SHEET = 71
_SPLITS = ("train", "test")


def page_seeds(n: int, seed: int) -> list[str]:
    """Return n of the page's seeds."""
    chosen = np.random.default_rng([seed, STREAM_SHEET]).choice(N_PAGE_SEEDS, n, replace=False)
    return [f"0.{k:05d}" for k in chosen.tolist()]


def losses_of(setting: Setting, rate: float, seeds: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Return training and test loss (n,) of one setting for some of the page's seeds.

    Everything is the page's own: points, their order, first weights, carried-over batches, float64. Infinite where a
    weight was not finite at the end.
    """
    state = PageState(
        activation=setting.activation,
        batch_size=float(setting.batch_size),
        dataset=setting.dataset,
        learning_rate=rate,
        noise=100.0 * setting.noise,
        network_shape=tuple(map(float, setting.hidden)),
        perc_train_data=100.0 * setting.train_share,
    )
    page = settings_of(state, setting.epochs)
    data = draw(page.dataset, page.noise, page.train_share, seeds, page.features)
    result = train(
        page.network,
        page.training,
        data.train,
        data.initial_parameters(page.network.layer_sizes),
        np.zeros(len(seeds), np.uint64),  # fixed order, no dropout, no noise: nothing is drawn while it trains
        look_at=[setting.epochs],
        evaluate_on={"train": data.train, "test": data.test},
    )
    train_loss, test_loss = (
        np.where(np.isfinite(result.losses[split][-1]), result.losses[split][-1], np.inf) for split in _SPLITS
    )
    return train_loss, test_loss


def check_rows(
    rows: Sequence[SheetRow], *, seed: int, n_draws: int = N_DRAWS, on_setting: Callable[[int, int, Setting], None]
) -> list[CheckedRow]:
    """Train the setting of every row that has one, each setting once.

    Parameters
    ----------
    rows : sequence of SheetRow
    seed : int
        Chooses the page's seeds.
    n_draws : int
        Draws of each setting and rate.
    on_setting : callable (number, of, setting) -> None
        Told before a setting is trained.
    """
    seeds = page_seeds(n_draws, seed)
    settings = list(dict.fromkeys(row.setting for row in rows if row.setting is not None))
    found: dict[Setting, dict[str, FloatArray]] = {}
    for number, setting in enumerate(settings, start=1):
        on_setting(number, len(settings), setting)
        pairs = [losses_of(setting, rate, seeds) for rate in rates_of(setting)]
        found[setting] = {loss: np.stack(one) for loss, one in zip(LOSSES, zip(*pairs, strict=True), strict=True)}
    return [_checked(row, found) for row in rows]


def told_again(rows: Sequence[SheetRow], checked: Sequence[CheckedRow]) -> list[CheckedRow]:
    """Return checked rows in the words of the same rows, read in another language."""
    return [
        _checked(row, {} if row.setting is None else {row.setting: one.losses})
        for row, one in zip(rows, checked, strict=True)
    ]


def rates_of(setting: Setting) -> tuple[float, ...]:
    """Return the learning rates that a setting may mean: its own, or the page's menu."""
    return LEARNING_RATES if setting.learning_rate is None else (setting.learning_rate,)


def setting_words(setting: Setting) -> str:
    """Return a setting as a reader recognizes it."""
    parts = [
        setting.activation,
        say("batch {batch_size}", batch_size=setting.batch_size),
        "-".join(map(str, setting.hidden)) or say("no hidden layer"),
        say("{epochs} epochs", epochs=setting.epochs),
    ]
    if setting.learning_rate is not None:
        parts.append(say("rate {learning_rate:g}", learning_rate=setting.learning_rate))
    if setting.noise != NOISE:
        parts.append(say("noise {noise:.0%}", noise=setting.noise))
    if setting.train_share != TRAIN_SHARE:
        parts.append(say("{train_share:.0%} training data", train_share=setting.train_share))
    return ", ".join(parts)


def _checked(row: SheetRow, found: dict[Setting, dict[str, FloatArray]]) -> CheckedRow:
    setting, fatal = row.setting, row.fatal
    return CheckedRow(
        source=row.source,
        line=row.line,
        dataset=dataset_title(setting.dataset) if setting else row.words,
        setting=setting_words(setting) if setting else f"{translated(fatal.column)}: {fatal.message}" if fatal else "",
        rates=rates_of(setting) if setting else (),
        losses=found[setting] if setting else {},
        claimed={loss: (one.value, one.decimals) for loss, one in row.claimed.items() if not isinstance(one, str)},
        sentences={loss: one for loss, one in row.claimed.items() if isinstance(one, str)},
        notes=row.notes,
        mistakes=tuple(one.kind for one in row.troubles),
    )

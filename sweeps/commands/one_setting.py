"""The commands about one setting: ``train``, ``replay``, ``playground``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from sweeps.commands.compiling import compile_loop, tell_cache
from sweeps.commands.options import (
    Commands,
    InputError,
    add_command,
    add_results_option,
    layer_sizes,
    nonnegative_float,
    positive_float,
    positive_int,
    sweep_folder,
    whole_number,
)

if TYPE_CHECKING:
    from engine.playground.page_settings import PageSettings

EXAMPLE_URL = "'https://playground.tensorflow.org/#dataset=xor&networkShape=4,2&seed=0.5'"


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    _add_train(commands)
    replay = add_command(
        commands, "replay", "run a recorded trial again and compare it bit for bit", "replay homework/xor 0"
    )
    replay.add_argument("study", metavar="SWEEP/DATASET", help="for instance homework/xor")
    replay.add_argument("number", type=whole_number, metavar="TRIAL", help="number of a search trial")
    add_results_option(replay)
    replay.set_defaults(call=replay_command)
    page = add_command(
        commands,
        "playground",
        "train what a Playground address shows, exactly as the page does",
        f"playground {EXAMPLE_URL} --epochs 20",
    )
    page.add_argument("url", metavar="URL", help="address of the page, or its part after the #")
    page.add_argument("--epochs", type=positive_int, default=100, metavar="N", help="default: 100")
    page.set_defaults(call=playground_command)


def _add_train(commands: Commands) -> None:
    train = add_command(
        commands,
        "train",
        "train one given setting and say what it really gives",
        "train --dataset xor --activation relu --batch-size 30 --hidden 6,2 --epochs 156 --replicas 64",
    )
    train.add_argument("--dataset", default="xor", metavar="NAME", help="gauss, xor, circle or spiral (default: xor)")
    train.add_argument("--activation", default="tanh", metavar="NAME", help="default: tanh")
    train.add_argument("--hidden", type=layer_sizes, default=(4, 2), metavar="SIZES", help="default: 4,2")
    train.add_argument("--epochs", type=positive_int, default=100, metavar="N", help="default: 100")
    train.add_argument("--batch-size", type=positive_int, default=10, metavar="N", help="default: 10")
    train.add_argument("--optimizer", default="sgd", metavar="NAME", help="default: sgd")
    train.add_argument("--learning-rate", type=positive_float, default=0.03, metavar="RATE", help="default: 0.03")
    train.add_argument("--regularizer", default="none", metavar="NAME", help="none, l1 or l2 (default: none)")
    train.add_argument("--regularization-rate", type=nonnegative_float, default=0.0, metavar="RATE", help="default: 0")
    train.add_argument("--noise", type=nonnegative_float, default=0.2, metavar="SHARE", help="0 to 0.5 (default: 0.2)")
    train.add_argument("--train-share", type=positive_float, default=0.7, metavar="SHARE", help="default: 0.7")
    train.add_argument("--goal", default="test_loss < 0.1", metavar="GOAL", help="default: 'test_loss < 0.1'")
    train.add_argument("--replicas", type=positive_int, default=64, metavar="R", help="default: 64")
    train.add_argument("--seed", type=whole_number, default=1, metavar="N", help="default: 1")
    train.add_argument("--each", action="store_true", help="print the losses of each replica, too")
    train.add_argument(
        "--same-data", action="store_true", help="all replicas on the first one's data, with first weights of their own"
    )
    train.set_defaults(call=train_command)


def train_command(arguments: argparse.Namespace) -> int:
    """Train one setting and print losses, pass rate, floor, and both sides of the range."""
    from analysis.records.study import Study
    from analysis.statistics.homework import dataset_title, homework_rows, range_rows, setting_text
    from sweeps.commands.printing import certainty_text, each_text, guess_sentences, range_text
    from sweeps.run.one_setting import train_setting

    study: Study = train_setting(
        arguments.dataset,
        params={
            "network.activation": arguments.activation,
            "network.n_hidden_layers": len(arguments.hidden),
            **{f"network.hidden_layer_sizes.{i}": size for i, size in enumerate(arguments.hidden, start=1)},
            "training.optimizer": arguments.optimizer,
            "training.learning_rate": arguments.learning_rate,
            "training.batch_size": arguments.batch_size,
            "training.regularizer": arguments.regularizer,
            "training.regularization_rate": arguments.regularization_rate,
        },
        epochs=arguments.epochs,
        noise=arguments.noise,
        train_share=arguments.train_share,
        goal=arguments.goal,
        n_replicas=arguments.replicas,
        seed=arguments.seed,
        same_data=arguments.same_data,
        on_checked=lambda: compile_loop("float32"),
        on_draws=training_lines(arguments.replicas, arguments.epochs),
    )
    record = study.trials[0]
    if record.state == "failed":
        raise InputError(f"train: {record.reason}")
    print(f"{dataset_title(arguments.dataset)}: {setting_text(record)}")
    if arguments.same_data:
        print("  all replicas have the first one's data: intervals and pass rate are over first weights alone")
    if record.reason:
        print(f"  {record.reason}")
    below = "means shown to be below the goal" if record.candidate else "means not shown to be below the goal"
    row = dataclasses.replace(homework_rows([study])[0], verdict=below)
    print(certainty_text(row))
    print(range_text(dataclasses.replace(one, setting="given") for one in range_rows([study])))
    for sentence in guess_sentences(study, record):
        print(sentence)
    if arguments.each:
        print(each_text(record))
    if record.playground_url is not None:
        print(f"replica 0 on the page: {record.playground_url}")
    return 0


def training_lines(n_replicas: int, epochs: int) -> Callable[[int], None]:
    """Return what tells on stderr which of the replicas begin to train."""
    begun = 0

    def on_draws(n: int) -> None:
        nonlocal begun
        if begun < n_replicas:
            which = f"{begun + 1} to {begun + n} of {n_replicas}"
            print(f"training replicas {which}, {epochs} epochs ...", file=sys.stderr, flush=True)
        begun += n

    return on_draws


def replay_command(arguments: argparse.Namespace) -> int:
    """Run a trial again; status 1 where it differs although the versions are equal, 2 where they are not."""
    from sweeps.run.replay import replay

    sweep, _, dataset = arguments.study.rpartition("/")
    if not sweep:
        raise InputError(f"replay {arguments.study}: name sweep and dataset, as in homework/xor")
    folder = sweep_folder(arguments.results, sweep)
    tell_cache()
    result = replay(folder, dataset, arguments.number)
    if not result.differences:
        print(f"{arguments.study} {arguments.number}: equal bit for bit (sha256 {result.sha256})")
        return 0
    print(f"{arguments.study} {arguments.number}: differs in {', '.join(result.differences)}")
    if not result.changed:
        return 1
    print(f"  it was recorded with other versions, so bits may differ: {'; '.join(result.changed)}")
    return 2


def playground_command(arguments: argparse.Namespace) -> int:
    """Train a page address in float64 and print the page's two losses after every epoch."""
    import numpy as np

    from engine.playground.draws import draw
    from engine.playground.page import beyond_buttons, ignored_parts, parse_hash, pasted_address, random_seed
    from engine.playground.page_settings import settings_of
    from engine.playground.registry import DATASETS
    from engine.roads.memory import check_network
    from engine.training import Look, train

    try:
        address = pasted_address(arguments.url)
        state = parse_hash(arguments.url)
        settings = settings_of(state, arguments.epochs)
        check_network(settings.network, settings.training, 1, DATASETS[settings.dataset].n_samples)
        seed = random_seed(np.random.default_rng()) if settings.seed is None else settings.seed
        data = draw(settings.dataset, settings.noise, settings.train_share, [seed], settings.features)
        first = data.initial_parameters(settings.network.layer_sizes, settings.init_zero)
    except ValueError as error:
        raise InputError(str(error)) from None
    for note in (*address.notes, *ignored_parts(address.content), *beyond_buttons(state)):
        print(f"address: {note}", file=sys.stderr)
    if settings.seed is None:
        print(f"the address has no seed; took {seed}", file=sys.stderr)
    print(_page_text(settings, seed), file=sys.stderr, flush=True)

    def on_look(look: Look) -> bool:
        print(f"{look.epoch} {look.losses['train'][0]:.17g} {look.losses['test'][0]:.17g}")
        return False

    tell_cache()
    train(
        settings.network,
        settings.training,
        data.train,
        first,
        np.zeros(1, np.uint64),  # fixed order, no dropout, no noise: nothing is drawn while it trains
        look_at=range(1, arguments.epochs + 1),
        evaluate_on={"train": data.train, "test": data.test},
        on_look=on_look,
    )
    return 0


def _page_text(settings: PageSettings, seed: str) -> str:
    """Return in one line what a page address trains."""
    network, training = settings.network, settings.training
    layers = ",".join(map(str, network.hidden_layer_sizes)) or "none"
    penalty = "" if training.regularizer == "none" else f", {training.regularizer} {training.regularization_rate:g}"
    return (
        f"trains {settings.dataset}: noise {settings.noise:.0%}, {settings.train_share:.0%} of the points; inputs "
        f"{','.join(settings.features)}; hidden layers {layers}, {network.activation}; learning rate "
        f"{training.learning_rate:g}, batches of {training.batch_size}{penalty}; seed {seed}; "
        f"{training.max_epochs} epochs"
    )

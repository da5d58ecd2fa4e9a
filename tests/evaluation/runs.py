# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Work folders of imagined runs, with logs like those of TrainLogHook."""

from mask_plugins.utils.files import write_json_lines

PER_EPOCH = 10
# One epoch of drop ratios, in stretches of two iterations.
CYCLE = [0.8, 0.8, 0.4, 0.4, 0.0, 0.0, 0.4, 0.4, 0.8, 0.8]


def write_run(
    folder,
    epochs=3,
    schedule=True,
    accuracy=80.0,
    config=None,
    config_name='recipe.py',
):
    """Write logs into ``folder``; an iteration takes 0.1 to 1 s by ratio."""
    folder.mkdir(parents=True)
    train, val = [], []
    for iteration in range(epochs * PER_EPOCH):
        drop = CYCLE[iteration % PER_EPOCH] if schedule else None
        train.append(
            dict(
                epoch=iteration // PER_EPOCH,
                iteration=iteration,
                loss=3.0 - 0.01 * iteration,
                time=1.0 - (drop or 0.0),
            )
        )
        if schedule:
            train[-1]['patch_drop_ratio'] = drop
    for epoch in range(epochs):
        val.append(
            dict(
                epoch=epoch,
                iteration=(epoch + 1) * PER_EPOCH,
                loss=1.0 - 0.1 * epoch,
                acc1=accuracy + 5.0 * (epoch - epochs + 1),
                rankme=10.0 + epoch,
            )
        )
    for name, lines in (('train_log.json', train), ('val_log.json', val)):
        write_json_lines(str(folder / name), lines)
    if config is not None:
        (folder / config_name).write_text(config)
    return str(folder)

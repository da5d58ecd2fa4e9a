# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What runs of wandb in offline mode have written."""

import json
import struct

BLOCK = 1 << 15
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(path):
    """Each record of a ``.wandb`` file, a log in the format of LevelDB."""
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    assert data[:4] == b':W&B'
    place, parts = 7, b''
    while place + 7 <= len(data):
        left = BLOCK - place % BLOCK
        if left < 7:  # padding at the end of a block
            place += left
            continue
        size, kind = struct.unpack('<HB', data[place + 4 : place + 7])
        if kind == 0:
            return
        parts += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b''
            yield record


def read_runs(folder):
    """The runs of a folder and all that was logged.

    Returns:
        tuple: A set of (id, group, name), and a list of (step, name, value).
    """
    runs, rows = set(), []
    for path in sorted(folder.glob('wandb/offline-run-*/*.wandb')):
        for record in records(path):
            if record.HasField('run'):
                run = record.run
                runs.add((run.run_id, run.run_group, run.display_name))
            items = {
                '/'.join([item.key, *item.nested_key]).strip('/'): item
                for item in record.history.item
            }
            step = items.pop('_step', None)
            for name, item in items.items():
                if not name.startswith('_'):
                    value = json.loads(item.value_json)
                    rows.append((json.loads(step.value_json), name, value))
    return runs, rows

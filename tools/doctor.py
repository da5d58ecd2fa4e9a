# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Say what is installed, whether it fits together, and what fixes it.

Everything here is from the standard library, and whatever may be broken is
imported in another process: the doctor works where nothing else does.
"""

import argparse
import importlib.util
import json
import os
import sys
from typing import Callable, List, NamedTuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _doctor_facts import (
    FAIL,
    OK,
    PIP,
    WARN,
    Facts,
    check_allocator,
    check_native,
    find_driver,
    installed,
    listed,
    numbers,
    try_probe,
)
from _doctor_openmmlab import (
    check_click,
    check_forks,
    check_mmcv,
    check_mmengine,
    check_mmpretrain,
    check_numpy,
    check_openmim,
    check_setuptools,
)


class Row(NamedTuple):
    """One line of the table: ``fix`` is a command that fixes it."""

    name: str
    found: str
    status: str = OK
    fix: str = ''


# ------------------------------------------------------------------ checks
CHECKS: List[Callable[[Facts], Row]] = []


def check(name: str) -> Callable:
    """Make a row of what a check returns: found, or (found, status, fix)."""

    def wrap(function: Callable) -> Callable[[Facts], Row]:
        def checked(facts: Facts) -> Row:
            answer = function(facts)
            return Row(name, *((answer,) if type(answer) is str else answer))

        checked.name = name
        CHECKS.append(checked)
        return checked

    return wrap


@check('python')
def check_python(facts):
    """Python is of a release that the tests have run on."""
    found = '.'.join(map(str, facts.python))
    low, high = (3, 9), (3, 13)
    if low <= facts.python[:2] <= high:
        return found
    found += ', the package runs on 3.9 to 3.13'
    status = FAIL if facts.python < low else WARN
    return found, status, 'make setup PYTHON=python3.11'


@check('mask_plugins')
def check_plugin(facts):
    """The plugin is installed, and mim finds its configs."""
    spec = importlib.util.find_spec('mask_plugins')
    if spec is None or not spec.submodule_search_locations:
        return 'not installed', FAIL, f'{PIP} install -e .'
    folder = next(iter(spec.submodule_search_locations))
    found = f'{facts.versions.get("mask-plugins", "?")} in {folder}'
    fix = f'{PIP} install --no-build-isolation --no-deps -e .'
    if 'mask-plugins' not in facts.versions:
        return f'{found}, not installed', FAIL, fix
    if not os.path.isdir(os.path.join(folder, '.mim', 'configs')):
        return f'{found}, without the configs (.mim)', WARN, fix
    return found


@check('torch')
def check_torch(facts):
    """Torch is there and can be imported."""
    found = listed(facts.pick('torch'))
    fix = f'{PIP} install torch==2.11.0 torchvision==0.26.0'
    if found == 'none':
        return found, FAIL, fix
    works, output = facts.probe('torch')
    if not works:
        return f'{found}: {output}', FAIL, f'{fix} --force-reinstall'
    if facts.release('torch') < (2, 1):
        return f'{found}, 2.1 or newer is needed', FAIL, fix
    return found


@check('torch/torchvision')
def check_torchvision(facts):
    """Torchvision is of torch's release and build, and its operators load."""
    found = listed(facts.pick('torch', 'torchvision'))
    if not facts.release('torch'):
        return found, FAIL, 'see the row torch'
    major, minor = facts.release('torch')[:2]
    # torch 2.11 goes with torchvision 0.26, 1.13 with 0.14.
    wanted = (0, minor + 15 if major == 2 else minor + 1)
    series = '.'.join(map(str, wanted))
    torch = facts.versions['torch']
    fix = (
        f'{PIP} install --force-reinstall --no-deps '
        f"torch=={torch.split('+')[0]} 'torchvision=={series}.*'"
    )
    vision = facts.versions.get('torchvision')
    if vision is None:
        if 'mmpretrain' not in facts.versions:
            return found
        return f'{found}, mmpretrain needs torchvision', FAIL, fix
    if numbers(vision)[:2] != wanted:
        found += f', but this torch pairs with torchvision {series}'
        return found, FAIL, fix
    if len({v.split('+')[1] for v in (torch, vision) if '+' in v}) > 1:
        return f'{found}, two different builds', FAIL, fix
    works, output = facts.probe('torchvision')
    return found if works else (f'{found}: {output}', FAIL, fix)


@check('gpu')
def check_gpu(facts):
    """Torch sees the GPU, if there is one."""
    works, output = facts.probe('torch')
    if not works:
        return 'unknown', FAIL, 'see the row torch'
    torch = json.loads(output)
    driver, newest = facts.driver
    if torch['available']:
        return f'{", ".join(torch["names"])}, driver {driver or "?"}'
    if not driver:
        return 'none, CPU only'
    found = f'driver {driver}'
    index = f"from PyTorch's index for CUDA {newest or 'of the driver'}"
    if torch['cuda'] is None:
        found += ', but torch is a build without CUDA'
        fix = f'{PIP} uninstall -y torch torchvision, then install both '
        return found, WARN, fix + index
    if newest and numbers(newest)[:1] < numbers(torch['cuda'])[:1]:
        found += f' serves CUDA {newest}, torch is built for {torch["cuda"]}'
        fix = f'update the NVIDIA driver to one for CUDA {torch["cuda"]}, or '
        return found, FAIL, f'{fix}install torch and torchvision {index}'
    found += f', but torch (CUDA {torch["cuda"]}) sees no GPU'
    fix = 'unset CUDA_VISIBLE_DEVICES; then `nvidia-smi` should list a GPU'
    return found, WARN, fix


check_forks = check('forks')(check_forks)
check_mmengine = check('mmengine')(check_mmengine)
check_mmcv = check('mmcv')(check_mmcv)
check_openmim = check('mim')(check_openmim)
check_setuptools = check('setuptools/mim')(check_setuptools)
check_click = check('click/mim')(check_click)
check_numpy = check('numpy/mmpretrain')(check_numpy)
check_mmpretrain = check('mmpretrain')(check_mmpretrain)


@check('registries')
def check_registries(facts):
    """Every type of ours resolves through mmengine by its prefix."""
    works, output = facts.probe('registries')
    if not works:
        return output, FAIL, 'fix the rows above first'
    found = json.loads(output)
    broken = {k: v for k, v in found.items() if isinstance(v, str)}
    text = ', '.join(f'{k} {v}' for k, v in (broken or found).items())
    if not broken:
        return text
    # Without mmpretrain the models are expected to be missing.
    if not facts.pick('mmpretrain', 'onedl-mmpretrain'):
        return text, WARN, 'see the row mmpretrain'
    return text, FAIL, f'{PIP} install --no-build-isolation --no-deps -e .'


@check('embedded data')
def check_data(facts):
    """The embedded data set can be read."""
    found = listed(facts.pick('scikit-learn'))
    if found == 'none':
        return found, WARN, f'{PIP} install scikit-learn'
    return f'UCI digits of {found}'


check_native = check('native')(check_native)
check_allocator = check('allocator')(check_allocator)


def examine(facts: Facts) -> List[Row]:
    """Run every check; one that breaks becomes a row that says so."""
    rows = []
    for one in CHECKS:
        try:
            rows.append(one(facts))
        except Exception as error:
            found = f'the check failed: {error!r}'
            rows.append(Row(one.name, found, FAIL, 'please report it'))
    return rows


def table(rows: List[Row]) -> str:
    """Write the rows as a table, each with the command that fixes it."""
    rows = [Row('name', 'found', 'status', 'what fixes it'), *rows]
    width = max(len(row.name) for row in rows)
    lines = []
    for row in rows:
        lines.append(f'{row.name:<{width}}  {row.status:<6}  {row.found}')
        if row.fix:  # below and not in a column: made to be copied
            lines.append(f'{"":<{width}}  {"":<6}  -> {row.fix}')
    return '\n'.join(lines)


def main() -> int:
    """Print the table; 1 if a row failed, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog='example: python tools/doctor.py --json > doctor.json',
    )
    parser.add_argument(
        '--json', action='store_true', help='print a list of rows as JSON'
    )
    args = parser.parse_args()
    python = sys.version_info[:3]
    rows = examine(Facts(installed(), try_probe, find_driver(), python))
    if args.json:
        print(json.dumps([row._asdict() for row in rows], indent=2))
    else:
        print(table(rows))
        count = {s: sum(r.status == s for r in rows) for s in (WARN, FAIL)}
        print(f'doctor: {count[FAIL]} to fix, {count[WARN]} to know about')
    return int(any(row.status == FAIL for row in rows))


if __name__ == '__main__':
    sys.exit(main())

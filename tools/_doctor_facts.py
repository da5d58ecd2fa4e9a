# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the doctor looks at, from the standard library alone.

Whatever may be broken is imported in another process.
"""

import functools
import json
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from typing import Any, Callable, Dict, Mapping, NamedTuple, Tuple

OK, WARN, FAIL = 'ok', 'warn', 'fail'
PIP = f'{sys.executable} -m pip'
# What is tried, by name. Each prints its answer.
PROBES = {
    'torch': """
import json, torch
print(json.dumps(dict(cuda=torch.version.cuda,
    available=torch.cuda.is_available(),
    names=[torch.cuda.get_device_name(i)
           for i in range(torch.cuda.device_count())])))
""",
    'torchvision': """
import torch, torchvision.ops
torchvision.ops.nms(torch.tensor([[0., 0., 1., 1.]]), torch.ones(1), 0.5)
""",
    'mmcv': 'import mmcv',
    'mmpretrain': 'import mmpretrain.models',
    'native': """
from mask_plugins.native import status
print(status())
""",
    'registries': """
import importlib, json
import mask_plugins.registry as ours
from mmengine.registry import DefaultScope, Registry
found = {}
for label, registry in vars(ours).items():
    if not isinstance(registry, Registry) or registry.scope != 'mask_plugins':
        continue
    try:
        for location in registry._locations:
            importlib.import_module(location)
        with DefaultScope.overwrite_default_scope('mmengine'):
            for name in registry.module_dict:
                if registry.parent.get(f'mask_plugins.{name}') is None:
                    raise KeyError(f'mask_plugins.{name} is not found')
        found[label] = len(registry)
    except Exception as error:
        found[label] = f'{type(error).__name__}: {error}'
print(json.dumps(found))
""",
}
# All of them in one process, which saves four imports of torch.
ALL_PROBES = """
import contextlib, io, json, sys
answers = {}
for name, code in json.loads(sys.argv[1]).items():
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            exec(code, {'__name__': name})
        answers[name] = True, output.getvalue().strip()
    except BaseException as error:
        answers[name] = False, f'{type(error).__name__}: {error}'
print(json.dumps(answers))
"""


# As in mask_plugins/sweeps/local_runner.py.
ALLOCATOR = dict(
    MALLOC_MMAP_MAX_='0',
    MALLOC_TRIM_THRESHOLD_='-1',
    MALLOC_TOP_PAD_='268435456',
)


class Facts(NamedTuple):
    """What the checks look at, so that a test can state it.

    Args:
        versions (Mapping[str, str]): Version of each installed distribution.
        probe (Callable): Maps a name in :data:`PROBES` to (works, answer or
            error).
        driver (tuple): NVIDIA driver version and the newest CUDA it serves,
            ``('', '')`` without one.
        python (tuple): Version of Python.
        environ (Mapping[str, str]): The variables. Defaults to this
            process's.
    """

    versions: Mapping[str, str]
    probe: Callable[[str], Tuple[bool, str]]
    driver: Tuple[str, str]
    python: Tuple[int, ...]
    environ: Mapping[str, str] = os.environ

    def pick(self, *names: str) -> Dict[str, str]:
        """Those of the named distributions that are installed."""
        return {n: self.versions[n] for n in names if n in self.versions}

    def release(self, name: str) -> Tuple[int, ...]:
        """Version as numbers; empty if it is not installed."""
        return numbers(self.versions.get(name, ''))


def installed() -> Dict[str, str]:
    """Map each installed distribution (normalized name) to its version."""
    found: Dict[str, str] = {}
    for dist in metadata.distributions():
        name = re.sub(r'[-_.]+', '-', dist.metadata['Name'] or '').lower()
        found.setdefault(name, dist.version)
    return found


def run_python(code: str, *args: str) -> Tuple[bool, str]:
    """Run code in a new process; give its output, or its last error line."""
    command = [sys.executable, '-W', 'ignore', '-c', code, *args]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300
        )
    except subprocess.TimeoutExpired:
        return False, 'no answer within 300 s'
    if done.returncode == 0:
        return True, done.stdout.strip()
    lines = done.stderr.strip().splitlines()
    return False, lines[-1] if lines else f'exit code {done.returncode}'


@functools.lru_cache(None)
def try_all() -> Dict[str, Tuple[bool, str]]:
    """Try every probe; one by one if they take their process down."""
    works, output = run_python(ALL_PROBES, json.dumps(PROBES))
    if works:
        answers = json.loads(output.splitlines()[-1])
        return {name: tuple(answer) for name, answer in answers.items()}
    return {name: run_python(code) for name, code in PROBES.items()}


def try_probe(name: str) -> Tuple[bool, str]:
    """Say whether a probe of :data:`PROBES` works, and what it answers."""
    return try_all()[name]


def find_driver() -> Tuple[str, str]:
    """Give the NVIDIA driver's version and the newest CUDA it serves."""
    try:
        done = subprocess.run(
            ['nvidia-smi'], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return '', ''
    driver = re.search(r'Driver Version:\s*([\d.]+)', done.stdout)
    cuda = re.search(r'CUDA[\w ]* Version:\s*([\d.]+)', done.stdout)
    return (driver.group(1) if driver else ''), (cuda.group(1) if cuda else '')


def numbers(version: str) -> Tuple[int, ...]:
    """Take the release numbers of a version: '2.11.0+cpu' is (2, 11, 0)."""
    match = re.match(r'\d+(\.\d+)*', version)
    return tuple(map(int, match.group().split('.'))) if match else ()


def listed(packages: Mapping[str, str]) -> str:
    """Write packages as 'name version, name version'."""
    return ', '.join(f'{n} {v}' for n, v in packages.items()) or 'none'


def check_allocator(facts: Facts) -> str:
    """Say whether glibc keeps the memory that a training step frees."""
    if platform.libc_ver()[0] != 'glibc':
        return 'not glibc, nothing to set'
    found = {n: facts.environ[n] for n in ALLOCATOR if n in facts.environ}
    text = ' '.join(f'{name}={value}' for name, value in found.items())
    missing = [f'{n}={v}' for n, v in ALLOCATOR.items() if n not in found]
    if missing:
        gives = 'keeps memory between steps (docs/troubleshooting.md)'
        text += f'{"; " * bool(text)}not set: `export {" ".join(missing)}` '
        text += gives
    return text


def check_native(facts: Facts) -> Any:
    """The kernels are compiled for this version; torch serves where not."""
    works, output = facts.probe('native')
    if not works:
        return output, FAIL, 'fix the rows above first'
    if 'built' not in output and 'again' not in output:
        return output
    return output, WARN, f'{PIP} install --no-build-isolation --no-deps -e .'

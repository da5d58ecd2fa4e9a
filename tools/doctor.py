# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Say what is installed, whether it fits together, and what mends it.

Everything here is from the standard library, and whatever may be broken is
imported in a process of its own: the doctor works where nothing else does.
"""

import argparse
import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

OK, WARN, FAIL = 'ok', 'warn', 'fail'
PIP = f'{sys.executable} -m pip'
MMCV_RANGE = ((2, 0), (2, 4))
FORKED = ('mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmsegmentation')

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
# All of them in one process, which spares four imports of torch.
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


class Row(NamedTuple):
    """One line of the table."""

    name: str
    found: str
    status: str = OK
    mend: str = ''


class Facts:
    """What the checks look at, so that a test can state it.

    Args:
        versions (Mapping[str, str], optional): Version of each installed
            distribution. Defaults to those of this environment.
        probe (Callable, optional): Maps a name in :data:`PROBES` to (works,
            answer or error). Defaults to trying it.
        driver (tuple, optional): NVIDIA driver version and the newest CUDA it
            serves, ``('', '')`` without one. Defaults to asking nvidia-smi.
        python (tuple, optional): Version of Python. Defaults to this one's.
    """

    def __init__(
        self,
        versions: Optional[Mapping[str, str]] = None,
        probe: Optional[Callable[[str], Tuple[bool, str]]] = None,
        driver: Optional[Tuple[str, str]] = None,
        python: Optional[Tuple[int, ...]] = None,
    ) -> None:
        self.versions = installed() if versions is None else versions
        self.probe = probe or try_probe
        self.driver = find_driver() if driver is None else driver
        self.python = python or tuple(sys.version_info[:3])

    def pick(self, *names: str) -> Dict[str, str]:
        """Those of the named distributions that are installed."""
        return {n: self.versions[n] for n in names if n in self.versions}

    def release(self, name: str) -> Tuple[int, ...]:
        """Version as numbers; empty if it is not installed."""
        return numbers(self.versions.get(name, ''))


def installed() -> Dict[str, str]:
    """Map each installed distribution (normalized name) to its version."""
    found = {}
    for dist in metadata.distributions():
        name = dist.metadata['Name']
        if name:
            name = re.sub(r'[-_.]+', '-', name).lower()
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


def paired_torchvision(torch: Tuple[int, ...]) -> str:
    """Name the torchvision series built for a torch: 2.11 goes with 0.26."""
    major, minor = torch[:2]
    return f'0.{minor + 15}' if major == 2 else f'0.{minor + 1}'


# ------------------------------------------------------------------ checks
def check_python(facts: Facts) -> Row:
    """Python is new enough."""
    found = '.'.join(map(str, facts.python))
    if facts.python >= (3, 9):
        return Row('python', found)
    return Row(
        'python', found, FAIL, 'make setup PYTHON=python3.11  (3.9 or newer)'
    )


def check_plugin(facts: Facts) -> Row:
    """The plugin is installed, and mim finds its configs."""
    spec = importlib.util.find_spec('mask_plugins')
    if spec is None or not spec.submodule_search_locations:
        return Row(
            'mask_plugins', 'not installed', FAIL, f'{PIP} install -e .'
        )
    folder = next(iter(spec.submodule_search_locations))
    found = f'{facts.versions.get("mask-plugins", "?")} in {folder}'
    mend = f'{PIP} install --no-build-isolation --no-deps -e .'
    if 'mask-plugins' not in facts.versions:
        return Row('mask_plugins', f'{found}, not installed', FAIL, mend)
    if not os.path.isdir(os.path.join(folder, '.mim', 'configs')):
        found += ', without the configs (.mim)'
        return Row('mask_plugins', found, WARN, mend)
    return Row('mask_plugins', found)


def check_torch(facts: Facts) -> Row:
    """Torch is there and can be imported."""
    found = listed(facts.pick('torch'))
    mend = f'{PIP} install torch==2.11.0 torchvision==0.26.0'
    if found == 'none':
        return Row('torch', found, FAIL, mend)
    works, output = facts.probe('torch')
    if not works:
        return Row(
            'torch', f'{found}: {output}', FAIL, f'{mend} --force-reinstall'
        )
    if facts.release('torch') < (2, 5):
        return Row('torch', f'{found}, 2.5 or newer is needed', FAIL, mend)
    return Row('torch', found)


def check_torchvision(facts: Facts) -> Row:
    """Torchvision is of torch's release and build, and its operators load."""
    found = listed(facts.pick('torch', 'torchvision'))
    torch = facts.release('torch')
    vision = facts.versions.get('torchvision')
    if not torch:
        return Row('torch/torchvision', found, FAIL, 'see the row torch')
    wanted = paired_torchvision(torch)
    mend = (
        f'{PIP} install --force-reinstall --no-deps '
        f'torch=={facts.versions["torch"].split("+")[0]} '
        f"'torchvision=={wanted}.*'"
    )
    if vision is None:
        if 'mmpretrain' not in facts.versions:
            return Row('torch/torchvision', found)
        found += ', mmpretrain needs torchvision'
        return Row('torch/torchvision', found, FAIL, mend)
    if '.'.join(map(str, numbers(vision)[:2])) != wanted:
        found += f', but this torch pairs with torchvision {wanted}'
        return Row('torch/torchvision', found, FAIL, mend)
    builds = [facts.versions['torch'], vision]
    builds = {v.split('+')[1] for v in builds if '+' in v}
    if len(builds) > 1:
        found += ', two different builds'
        return Row('torch/torchvision', found, FAIL, mend)
    works, output = facts.probe('torchvision')
    if not works:
        return Row('torch/torchvision', f'{found}: {output}', FAIL, mend)
    return Row('torch/torchvision', found)


def check_forks(facts: Facts) -> Row:
    """No project is installed twice, as itself and as its OneDL fork."""
    forks = facts.pick(*(f'onedl-{name}' for name in FORKED), 'onedl-mim')
    both = [
        name
        for name in (*FORKED, 'openmim')
        if name in facts.versions
        and 'onedl-' + name.replace('openmim', 'mim') in forks
    ]
    if both:
        pairs = ' '.join(
            f'{name} onedl-{name.replace("openmim", "mim")}' for name in both
        )
        kept = ' '.join(f'{name}=={facts.versions[name]}' for name in both)
        return Row(
            'forks',
            f'{", ".join(both)}: upstream and the OneDL fork write into the '
            'same folder',
            FAIL,
            f'{PIP} uninstall -y {pairs} && {PIP} install {kept}',
        )
    if 'onedl-mmpretrain' in forks and 'openmim' in facts.versions:
        return Row(
            'forks',
            f'{listed(forks)}; openmim would install upstream over it',
            WARN,
            f'{PIP} uninstall -y openmim && {PIP} install onedl-mim',
        )
    return Row('forks', listed(forks))


def check_mmcv(facts: Facts) -> Row:
    """One of mmcv and mmcv-lite is there, in the range mmpretrain takes."""
    found = facts.pick('mmcv', 'mmcv-lite', 'mmcv-full', 'onedl-mmcv')
    if len(found) > 1:
        # Uninstalling one removes files of the other: both have to go.
        kept = 'mmcv' if 'mmcv' in found else next(iter(found))
        return Row(
            'mmcv',
            f'{listed(found)}: they write into the same folder',
            FAIL,
            f'{PIP} uninstall -y {" ".join(found)} && '
            f'{PIP} install --no-build-isolation {kept}=={found[kept]}',
        )
    mend = f"{PIP} install 'mmcv-lite>=2.0.0,<2.4.0'"
    if not found:
        return Row('mmcv', 'none, the models need it', FAIL, mend)
    ((name, version),) = found.items()
    low, high = MMCV_RANGE
    if not low <= numbers(version)[:2] < high:
        mend = f"{PIP} install '{name}>=2.0.0,<2.4.0'"
        found = f'{name} {version}, mmpretrain takes 2.0 to 2.3'
        return Row('mmcv', found, FAIL, mend)
    works, output = facts.probe('mmcv')
    if not works:
        mend = f'{PIP} install --force-reinstall --no-deps {name}=={version}'
        if 'libGL' in output:
            mend = (
                f'{PIP} uninstall -y opencv-python && {PIP} install '
                '--force-reinstall opencv-python-headless'
            )
        return Row('mmcv', f'{name} {version}: {output}', FAIL, mend)
    return Row('mmcv', f'{name} {version}')


def check_openmim(facts: Facts) -> Row:
    """Openmim is a release that leaves the environment as it is."""
    found = listed(facts.pick('openmim', 'onedl-mim'))
    mend = f'{PIP} install openmim==0.3.7'
    if found == 'none':
        return Row('mim', 'none, `mim train` is not there', WARN, mend)
    if facts.release('openmim') >= (0, 3, 8):
        found += ', which drags in pins that break torch'
        return Row('mim', found, WARN, mend)
    return Row('mim', found)


def check_setuptools(facts: Facts) -> Row:
    """The pkg_resources that openmim imports is still there."""
    found = listed(facts.pick('setuptools', 'openmim'))
    if 'openmim' in facts.versions:
        mend = f"{PIP} install 'setuptools<81'"
        setuptools = facts.release('setuptools')
        if not setuptools or setuptools >= (82,):
            found += ', mim does not start without pkg_resources'
            return Row('setuptools/mim', found, FAIL, mend)
        if setuptools >= (81,):
            found += ', about to lose pkg_resources'
            return Row('setuptools/mim', found, WARN, mend)
    return Row('setuptools/mim', found)


def check_click(facts: Facts) -> Row:
    """Click is a release on which mim's SLURM launcher works."""
    found = listed(facts.pick('click', 'openmim'))
    if 'openmim' in facts.versions and facts.release('click') >= (8, 3):
        found += ", mim's SLURM launcher breaks"
        return Row('click/mim', found, WARN, f"{PIP} install 'click<8.3'")
    return Row('click/mim', found)


def check_numpy(facts: Facts) -> Row:
    """Numpy still has what mmpretrain calls."""
    found = listed(facts.pick('numpy', 'mmpretrain'))
    old = 'mmpretrain' in facts.versions
    if old and facts.release('numpy') >= (2, 4):
        found += ', its retrieval metrics call np.in1d, which is gone'
        return Row(
            'numpy/mmpretrain', found, WARN, f"{PIP} install 'numpy<2.4'"
        )
    return Row('numpy/mmpretrain', found)


def check_mmpretrain(facts: Facts) -> Row:
    """Mmpretrain is there and can be imported."""
    found = facts.pick('mmpretrain', 'onedl-mmpretrain')
    if not found:
        return Row(
            'mmpretrain',
            'none, only the parts for other projects can be used',
            WARN,
            f'{PIP} install mmpretrain==1.2.0',
        )
    works, output = facts.probe('mmpretrain')
    if not works:
        return Row(
            'mmpretrain',
            f'{listed(found)}: {output}',
            FAIL,
            'mend the rows above first, then: '
            f'{PIP} install --force-reinstall --no-deps '
            + ' '.join(f'{n}=={v}' for n, v in found.items()),
        )
    return Row('mmpretrain', listed(found))


def check_gpu(facts: Facts) -> Row:
    """Torch sees the GPU, if there is one."""
    works, output = facts.probe('torch')
    if not works:
        return Row('gpu', 'unknown', FAIL, 'see the row torch')
    torch = json.loads(output)
    driver, newest = facts.driver
    if torch['available']:
        found = ', '.join(torch['names'])
        return Row('gpu', f'{found}, driver {driver or "?"}')
    if not driver:
        return Row('gpu', 'none, CPU only')
    if torch['cuda'] is None:
        return Row(
            'gpu',
            f'driver {driver}, but torch is a build without CUDA',
            WARN,
            f'{PIP} uninstall -y torch torchvision, then install both from '
            f"PyTorch's index for CUDA {newest or 'of the driver'}",
        )
    if newest and numbers(newest)[:1] < numbers(torch['cuda'])[:1]:
        return Row(
            'gpu',
            f'driver {driver} serves CUDA {newest}, torch is built for '
            f'{torch["cuda"]}',
            FAIL,
            f'update the NVIDIA driver to one for CUDA {torch["cuda"]}, or '
            f"install torch and torchvision from PyTorch's index for CUDA "
            f'{newest}',
        )
    return Row(
        'gpu',
        f'driver {driver}, but torch (CUDA {torch["cuda"]}) sees no GPU',
        WARN,
        'unset CUDA_VISIBLE_DEVICES; then `nvidia-smi` should list a GPU',
    )


def check_registries(facts: Facts) -> Row:
    """Every type of ours resolves through mmengine by its prefix."""
    works, output = facts.probe('registries')
    if not works:
        mend = 'mend the rows above first'
        return Row('registries', output, FAIL, mend)
    found = json.loads(output)
    broken = {k: v for k, v in found.items() if isinstance(v, str)}
    if broken:
        # Without mmpretrain the models are expected to be missing.
        has_mmpretrain = facts.pick('mmpretrain', 'onedl-mmpretrain')
        status = FAIL if has_mmpretrain else WARN
        mend = f'{PIP} install --no-build-isolation --no-deps -e .'
        if not has_mmpretrain:
            mend = 'see the row mmpretrain'
        text = '; '.join(f'{k}: {v}' for k, v in broken.items())
        return Row('registries', text, status, mend)
    text = ', '.join(f'{k} {v}' for k, v in found.items())
    return Row('registries', text)


def check_data(facts: Facts) -> Row:
    """The embedded data set can be read."""
    found = listed(facts.pick('scikit-learn'))
    if found == 'none':
        mend = f'{PIP} install scikit-learn'
        return Row('embedded data', 'none', WARN, mend)
    return Row('embedded data', f'UCI digits of {found}')


CHECKS = (
    check_python,
    check_plugin,
    check_torch,
    check_torchvision,
    check_gpu,
    check_forks,
    check_mmcv,
    check_openmim,
    check_setuptools,
    check_click,
    check_numpy,
    check_mmpretrain,
    check_registries,
    check_data,
)


def examine(facts: Facts) -> List[Row]:
    """Run every check; one that breaks becomes a row that says so."""
    rows = []
    for check in CHECKS:
        try:
            rows.append(check(facts))
        except Exception as error:
            name = check.__name__.replace('check_', '')
            found = f'the check itself failed: {error!r}'
            rows.append(Row(name, found, FAIL, 'please report this line'))
    return rows


def table(rows: List[Row]) -> str:
    """Write the rows as a table, each with the command that mends it."""
    rows = [Row('name', 'found', 'status', 'what mends it'), *rows]
    width = max(len(row.name) for row in rows)
    lines = []
    for row in rows:
        lines.append(f'{row.name:<{width}}  {row.status:<6}  {row.found}')
        if row.mend:
            # Below and not in a column: made to be copied.
            lines.append(f'{"":<{width}}  {"":<6}  -> {row.mend}')
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
    rows = examine(Facts())
    if args.json:
        print(json.dumps([row._asdict() for row in rows], indent=2))
    else:
        print(table(rows))
        count = {s: sum(r.status == s for r in rows) for s in (WARN, FAIL)}
        print(f'doctor: {count[FAIL]} to mend, {count[WARN]} to know about')
    return int(any(row.status == FAIL for row in rows))


if __name__ == '__main__':
    sys.exit(main())

# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The order of the floors, what an import costs, and how types are named."""

import ast
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from mmengine.registry import Registry

from mask_plugins import registry as registries

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'mask_plugins'
# Imports point down this list; the leaves below it serve every floor.
FLOORS = (
    'compat',
    'sweeps',
    'benchmarks',
    'analysis',
    'engine',
    'apis',
    'evaluation',
    'datasets',
    'models',
    'visualization',
    'core',
    'functional',
    'native',
    'utils',
)
# What these may import in addition to torch and numpy: nothing of OpenMMLab.
TORCH_ONLY = ('core', 'functional', 'native')
OPENMMLAB = ('mmengine', 'mmcv', 'mmpretrain')
LEAVES = ('registry', 'version')


def imports_of(path, package_root):
    """Absolute names of every module that a file imports, anywhere in it."""
    parts = path.relative_to(package_root.parent).with_suffix('').parts
    package = parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            base = base if node.level else ()
            module = '.'.join((*base, *filter(None, [node.module])))
            yield module
            for alias in node.names:
                yield f'{module}.{alias.name}'


def violations(package_root):
    """Every import that the order of the floors forbids."""
    name = package_root.name
    found = []
    for path in sorted(package_root.rglob('*.py')):
        relative = path.relative_to(package_root)
        if '.mim' in relative.parts:
            continue
        floor = relative.parts[0].split('.')[0]
        for module in sorted(set(imports_of(path, package_root))):
            top, *rest = module.split('.')
            target = rest[0] if rest else None
            if top != name:
                if floor in TORCH_ONLY and top in OPENMMLAB:
                    found.append(f'{relative}: {module} (torch only)')
                elif floor == 'registry' and top != 'mmengine':
                    found.append(f'{relative}: {module} (a leaf)')
                continue
            if floor == '__init__' or floor in LEAVES:
                wrong = target not in (None, 'version', '__version__')
                wrong = wrong or floor in LEAVES
                # Below all floors, and without an import of ours.
                leaves = (f'{name}.utils.checked', f'{name}.utils.openmmlab')
                checks = module.startswith(leaves)
                wrong = wrong and not (floor == 'registry' and checks)
            elif target in FLOORS:
                wrong = FLOORS.index(target) < FLOORS.index(floor)
            elif floor in TORCH_ONLY:
                wrong = True
            else:
                wrong = target not in (None, '__version__', *LEAVES)
            if wrong:
                found.append(f'{relative}: {module}')
    return found


def test_imports_point_down():
    assert violations(PACKAGE) == []


def test_every_folder_is_a_floor():
    folders = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    assert folders == set(FLOORS)


def test_rooms_hold_what_their_name_asks():
    """Metrics only in evaluation, no loose file in engine."""
    for room in ('evaluation', 'engine'):
        files = [path.name for path in (PACKAGE / room).glob('*.py')]
        assert files == ['__init__.py'], room
    folders = [path.parent for path in PACKAGE.glob('evaluation/*/*.py')]
    assert {path.name for path in folders} == {'metrics'}


WRONG = [
    ('core/a.py', 'from mmengine.hooks import Hook'),
    ('core/a.py', 'from mask_plugins.registry import MODELS'),
    ('core/a.py', 'from ..models import a'),
    ('models/a.py', 'from mask_plugins.engine import a'),
    ('models/a.py', 'from .. import datasets'),
    ('models/deep/a.py', 'from ...evaluation.b import c'),
    ('functional/a.py', 'from mask_plugins.core.weights import a'),
    ('functional/a.py', 'import mmengine'),
    ('evaluation/a.py', 'from mask_plugins.analysis import cli'),
    ('visualization/a.py', 'def f():\n    import mask_plugins.models.a'),
    ('registry.py', 'from .core import a'),
    ('registry.py', 'import torch'),
    ('__init__.py', 'from .registry import MODELS'),
]
RIGHT = [
    ('engine/a.py', 'from mask_plugins.core.b import c'),
    ('models/deep/a.py', 'from ..b import c\nfrom ...core import d'),
    ('models/a.py', 'from mask_plugins.registry import MODELS'),
    ('core/deep/a.py', 'import torch\nfrom ..b import c'),
    ('core/a.py', 'from mask_plugins.functional.knn import c'),
    ('__init__.py', 'from .version import __version__'),
]


@pytest.mark.parametrize(('file', 'line'), WRONG + RIGHT)
def test_a_wrong_import_is_found(tmp_path, file, line):
    path = tmp_path / 'mask_plugins' / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line)
    found = violations(tmp_path / 'mask_plugins')
    assert bool(found) == ((file, line) in WRONG)


def run_fresh(code):
    """Run code in a new interpreter; its output."""
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


BLOCK = """
import sys, importlib.abc
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Block())
"""


def test_the_package_imports_little():
    """Neither mmcv nor mmpretrain, nor torch, and nothing is registered."""
    loaded = run_fresh('import sys, mask_plugins; print(*sys.modules)')
    heavy = {'mmcv', 'mmpretrain', 'torch', 'mask_plugins.registry'}
    assert heavy.isdisjoint(loaded)
    ours = {name for name in loaded if name.startswith('mask_plugins')}
    assert ours == {'mask_plugins', 'mask_plugins.version'}


def test_the_package_makes_its_configs_resolvable():
    code = (
        'from mmengine.config.utils import MODULE2PACKAGE as table\n'
        'before = dict(table)\n'
        'import mask_plugins\n'
        'added = {k: v for k, v in table.items() if k not in before}\n'
        'print(added == {"mask_plugins": "mask_plugins"})'
    )
    assert run_fresh(code) == ['True']


def modules_of(*rooms):
    """Dotted names of every module in these rooms."""
    found = set()
    for room in rooms:
        for path in (PACKAGE / room).rglob('*.py'):
            parts = path.relative_to(ROOT).with_suffix('').parts
            found.add('.'.join(parts).removesuffix('.__init__'))
    return sorted(found)


def test_core_and_functional_need_torch_only():
    modules = modules_of('core', 'functional')
    assert 'mask_plugins.core.weights' in modules
    code = BLOCK.format(blocked=OPENMMLAB) + (
        f'import importlib\nfor name in {modules}:\n'
        '    importlib.import_module(name)\n'
        'import mask_plugins as mp\n'
        'print(mp.apply_weight_masks.__name__, mp.apply_patch_gates.__name__)'
    )
    assert run_fresh(code) == ['apply_weight_masks', 'apply_patch_gates']


def test_the_demo_of_plain_pytorch_runs_without_openmmlab():
    demo = ROOT / 'demo/token_sampling_in_plain_pytorch.py'
    code = BLOCK.format(blocked=OPENMMLAB) + (
        'import runpy\n'
        f'sys.argv = [{str(demo)!r}, "--epochs", "1"]\n'
        f'runpy.run_path({str(demo)!r}, run_name="__main__")'
    )
    assert run_fresh(code)[:3] == ['epoch', '0:', 'top-1']


def test_hooks_need_mmengine_only():
    code = BLOCK.format(blocked=OPENMMLAB[1:]) + (
        'import mask_plugins.engine\n'
        'import mask_plugins.engine.launching.run_config\n'
        'from mmengine.registry import HOOKS\n'
        'print(HOOKS.get("mask_plugins.PSSHook").__name__)'
    )
    assert run_fresh(code)[-1] == 'PSSHook'


# ----------------------------------------------------------------- grammar
def test_verbs_are_exported_lazily():
    import mask_plugins as mp

    verbs = {
        f'{verb}_{thing}'
        for verb in ('apply', 'remove')
        for thing in ('weight_masks', 'token_sampling', 'patch_gates')
    }
    assert verbs | {'pack_masks', 'load_masks', 'merge_masks'} <= set(dir(mp))
    for name in mp.__all__:
        assert getattr(mp, name) is not None
    with pytest.raises(AttributeError, match='no attribute'):
        mp.apply_nothing  # noqa: B018


# ------------------------------------------------------------------- names
def our_types():
    """Every type that our registries hold, after their locations loaded."""
    found = set()
    for registry in vars(registries).values():
        if isinstance(registry, Registry) and registry.scope == 'mask_plugins':
            for location in registry._locations:
                importlib.import_module(location)
            found |= set(registry.module_dict)
    return found


def pages():
    """Texts and configs in which types are named, relative to the root."""
    found = [*ROOT.glob('*.md'), *ROOT.glob('demo/**/*.md')]
    found += [*ROOT.glob('configs/**/*.py'), *ROOT.glob('configs/**/*.md')]
    for path in found:
        yield str(path.relative_to(ROOT)), path.read_text(encoding='utf-8')


def bare_types(text, ours):
    """Uses of ``type='X'`` or ``"type": 'X'`` where X is ours, unprefixed."""
    pattern = r"""\btype['"]?\s*[=:]\s*['"]([\w.]+)['"]"""
    return [name for name in re.findall(pattern, text) if name in ours]


def test_every_type_of_ours_carries_the_prefix():
    ours = our_types()
    assert {'PSSHook', 'PSSVisionTransformer', 'Digits'} <= ours
    wrong = {name: bare_types(text, ours) for name, text in pages()}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_a_bare_type_is_found():
    assert bare_types("dict(type='PSSHook')", {'PSSHook'}) == ['PSSHook']
    assert bare_types('{"type": "PSSHook"}', {'PSSHook'}) == ['PSSHook']
    assert bare_types("type='mask_plugins.PSSHook'", {'PSSHook'}) == []


def test_every_prefixed_type_exists():
    ours = our_types()
    pattern = r"""type['"]?\s*[=:]\s*['"]mask_plugins\.(\w+)['"]"""
    unknown = {
        f'{page}: {name}'
        for page, text in pages()
        for name in re.findall(pattern, text)
        # `X` and `Y` stand for any type in the texts.
        if name not in ours and len(name) > 1
    }
    assert unknown == set()


def test_basenames_are_unique():
    """Mim finds a config by its basename anywhere below the package.

    And a tool anywhere below tools/, which the package may share names with.
    """
    places = defaultdict(list)
    for folder in ('configs', 'tools', 'mask_plugins'):
        for path in (ROOT / folder).rglob('*.py'):
            if path.name != '__init__.py' and '.mim' not in path.parts:
                places[path.name].append(path.relative_to(ROOT))
    several = {}
    for name, found in places.items():
        folders = [path.parts[0] for path in found]
        outside = [f for f in folders if f != 'mask_plugins']
        if len(outside) > 1 or ('configs' in folders and len(found) > 1):
            several[name] = found
    assert several == {}


def test_every_file_says_its_license():
    notice = (
        '# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.'
    )
    missing = [
        str(path.relative_to(ROOT))
        for folder in ('mask_plugins', 'tools', 'tests')
        for path in (ROOT / folder).rglob('*.py')
        if '.mim' not in path.parts
        and path.stat().st_size
        and not path.read_text(encoding='utf-8').startswith(notice)
    ]
    assert missing == []

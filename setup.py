# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Packaging, with the ``.mim`` folder that OpenMIM looks for.

``mim train mask_plugins CONFIG`` searches the installed package for configs
and tools. They lie at the top of the repository, so they are copied into a
wheel (``mask_plugins/.mim``), and linked where a checkout is installed in
editable mode. onedl-mim takes the folder of the first installed file for the
package; that is the metadata, so a wheel has a copy there, too.

Hooking the build commands instead of reading ``sys.argv`` keeps this right for
every front end (pip, build, ``setup.py develop``), and building a wheel does
not touch the links of an editable checkout.
"""

import os
import platform
import shutil
from glob import glob

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.develop import develop
from setuptools.command.editable_wheel import editable_wheel

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools below 70.1
    from wheel.bdist_wheel import bdist_wheel

ROOT = os.path.dirname(os.path.abspath(__file__))
PACKAGE = 'mask_plugins'
# The compiled kernels: all sources, once per instruction set.
SOURCES = os.path.join(PACKAGE, 'native', 'src')
CFLAGS = ['-std=c++17', '-O3', '-g0', '-fvisibility=hidden']
INSTRUCTION_SETS = {'baseline': []}
if platform.machine().lower() in ('x86_64', 'amd64'):
    avx2 = ['-mavx2', '-mfma']
    INSTRUCTION_SETS['avx2'] = avx2
    wide = ['-mavx512f', '-mavx512vl', '-mavx512bw']
    INSTRUCTION_SETS['avx512'] = avx2 + wide
    INSTRUCTION_SETS['avx512bf16'] = avx2 + wide + ['-mavx512bf16']
MIM_ITEMS = ('configs', 'tools', 'demo', 'model-index.yml')


def read(*parts):
    """Read a text file of the repository."""
    with open(os.path.join(ROOT, *parts), encoding='utf-8') as file:
        return file.read()


def get_version():
    """Read the version without importing the package (and so torch)."""
    scope = {}
    exec(read(PACKAGE, 'version.py'), scope)
    return scope['__version__']


def get_long_description():
    """Read the README, without which a package still builds."""
    has_readme = os.path.isfile(os.path.join(ROOT, 'README.md'))
    return read('README.md') if has_readme else ''


def parse_requirements(name):
    """List the requirements of ``requirements/<name>.txt``, comments cut."""
    lines = read('requirements', f'{name}.txt').splitlines()
    lines = (line.split('#')[0].strip() for line in lines)
    return [line for line in lines if line]


def remove(path):
    """Remove a file, a link (never what it points at) or a folder."""
    if os.path.islink(path) or os.path.isfile(path):
        os.remove(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)


def add_mim_extension(package_dir, link, leave_out=()):
    """Put configs, tools and the model index into ``package_dir/.mim``.

    Args:
        package_dir (str): The folder to extend: the package of the checkout,
            its copy in the build folder, or the metadata of a wheel.
        link (bool): Link (a checkout, so that edits count at once) instead of
            copying (a wheel). Where the file system has no links, files are
            copied.
        leave_out (tuple[str]): Patterns of files that are not copied.
    """
    target_root = os.path.join(package_dir, '.mim')
    remove(target_root)
    os.makedirs(target_root)
    for item in MIM_ITEMS:
        source = os.path.join(ROOT, item)
        target = os.path.join(target_root, item)
        if not os.path.exists(source):
            continue
        if link:
            try:
                os.symlink(os.path.relpath(source, target_root), target)
                continue
            except OSError:
                pass
        if os.path.isdir(source):
            ignore = shutil.ignore_patterns(
                '__pycache__', '*.py[cod]', *leave_out
            )
            shutil.copytree(source, target, ignore=ignore)
        else:
            shutil.copy2(source, target)


class BuildPy(build_py):
    """``build_py`` that adds ``.mim``: to the wheel, or to the checkout."""

    def run(self):
        super().run()
        if getattr(self, 'editable_mode', False):
            add_mim_extension(os.path.join(ROOT, PACKAGE), link=True)
        else:
            package_dir = os.path.join(self.build_lib, PACKAGE)
            add_mim_extension(package_dir, link=False)


class EditableWheel(editable_wheel):
    """``pip install -e .`` that mim and mmengine can follow to the checkout.

    Both look for the package next to its metadata in site-packages, where an
    editable install has no folder, and then join site-packages with the first
    line of ``top_level.txt``. An absolute path there is what join returns: so
    ``mim train mask_plugins`` and ``mask_plugins::`` bases find the checkout.
    """

    def _ensure_dist_info(self):
        super()._ensure_dist_info()
        path = os.path.join(str(self.dist_info_dir), 'top_level.txt')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(f'{os.path.join(ROOT, PACKAGE)}\n{PACKAGE}\n')


class BuildExt(build_ext):
    """``build_ext`` for libraries that ctypes loads; none is a must."""

    def get_ext_filename(self, fullname):
        # Without the suffix that says for which Python: they serve all.
        return os.path.join(*fullname.split('.')) + '.so'

    def build_extension(self, ext):
        # The same sources with other flags: each in a folder of its own.
        shared, self.build_temp = (
            self.build_temp,
            os.path.join(self.build_temp, ext.name),
        )
        try:
            super().build_extension(ext)
        except Exception as error:
            print(f'{PACKAGE}: no {ext.name}, torch serves ({error})')
        finally:
            self.build_temp = shared


class BdistWheel(bdist_wheel):
    """A wheel for every Python of a platform, or of all without kernels."""

    def get_tag(self):
        system = super().get_tag()[2]
        folders = [
            self.bdist_dir,
            self.get_finalized_command('build').build_lib,
        ]
        built = any(
            glob(os.path.join(folder or '', PACKAGE, 'native', '*.so'))
            for folder in folders
        )
        return 'py3', 'none', system if built else 'any'

    def write_wheelfile(self, wheelfile_base, *args, **kwargs):
        super().write_wheelfile(wheelfile_base, *args, **kwargs)
        # An editable install has links, and its metadata outlives edits.
        if os.path.dirname(wheelfile_base) == self.bdist_dir:
            pictures = ('*.png', '*.jpg', '*.gif', '*.svg')
            add_mim_extension(wheelfile_base, link=False, leave_out=pictures)


class Develop(develop):
    """The old ``setup.py develop``, which does not run ``build_py``."""

    def run(self):
        add_mim_extension(os.path.join(ROOT, PACKAGE), link=True)
        super().run()


if __name__ == '__main__':
    setup(
        name=PACKAGE,
        version=get_version(),
        description='Masks of weights, tokens, features and patches as '
        'plugins for OpenMMLab',
        long_description=get_long_description(),
        long_description_content_type='text/markdown',
        author='mask_plugins contributors',
        keywords='computer vision, masking, sparsity, OpenMMLab, mmpretrain',
        license='Apache-2.0',
        classifiers=[
            'Development Status :: 4 - Beta',
            'Intended Audience :: Science/Research',
            'Operating System :: POSIX',
            'Programming Language :: Python :: 3',
            'Topic :: Scientific/Engineering :: Artificial Intelligence',
        ],
        packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
        python_requires='>=3.9',
        install_requires=parse_requirements('runtime'),
        extras_require={
            'mim': parse_requirements('mminstall'),
            'analysis': parse_requirements('analysis'),
            'clip': parse_requirements('clip'),
            'onedl': parse_requirements('onedl'),
            'openmmlab': parse_requirements('openmmlab'),
            'demo': parse_requirements('demo'),
            'docs': parse_requirements('docs'),
            'optional': parse_requirements('optional'),
            'pretrained': parse_requirements('pretrained'),
            'search': parse_requirements('search'),
            'tests': parse_requirements('tests'),
            'timm': parse_requirements('timm'),
            'trackers': parse_requirements('trackers'),
        },
        ext_modules=[
            Extension(
                f'{PACKAGE}.native.kernels_{name}',
                sorted(glob(os.path.join(SOURCES, '*.cpp'))),
                depends=sorted(glob(os.path.join(SOURCES, '*.h'))),
                extra_compile_args=CFLAGS + flags,
                language='c++',
                optional=True,
            )
            for name, flags in INSTRUCTION_SETS.items()
        ],
        cmdclass={
            'bdist_wheel': BdistWheel,
            'build_ext': BuildExt,
            'build_py': BuildPy,
            'develop': Develop,
            'editable_wheel': EditableWheel,
        },
        zip_safe=False,
    )

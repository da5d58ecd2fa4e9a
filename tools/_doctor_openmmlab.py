# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The doctor's rows about OpenMMLab's projects, of upstream or of OneDL.

Of the standard library alone, as everything of the doctor.
"""

from _doctor_facts import FAIL, PIP, WARN, Facts, listed, numbers

FORKED = ('mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmsegmentation')


def wanted(facts: Facts, upstream: str, fork: str) -> str:
    """The command that installs one of two next to what is installed."""
    onedl = any(name.startswith('onedl-') for name in facts.versions)
    return f'{PIP} install {fork if onedl else upstream}'


def check_forks(facts):
    """No project is installed twice, as itself and as its OneDL fork."""
    fork = {name: f'onedl-{name}' for name in FORKED}
    fork['openmim'] = 'onedl-mim'
    found = facts.pick(*fork.values())
    both = [n for n in fork if n in facts.versions and fork[n] in found]
    if both:
        pairs = ' '.join(f'{name} {fork[name]}' for name in both)
        kept = ' '.join(f'{name}=={facts.versions[name]}' for name in both)
        return (
            f'{", ".join(both)}: upstream and the OneDL fork write into the '
            'same folder',
            FAIL,
            f'{PIP} uninstall -y {pairs} && {PIP} install {kept}',
        )
    if 'onedl-mmpretrain' in found and 'openmim' in facts.versions:
        fix = f'{PIP} uninstall -y openmim && {PIP} install onedl-mim'
        text = f'{listed(found)}; openmim would install upstream over it'
        return text, WARN, fix
    return listed(found)


def check_mmengine(facts):
    """Mmengine is there, of a release that the tests have run on."""
    found = facts.pick('mmengine', 'onedl-mmengine')
    if not found:
        fix = wanted(facts, 'mmengine==0.10.7', 'onedl-mmengine==0.10.12')
        return 'none, only core/ and functional/ work', FAIL, fix
    name, version = next(iter(found.items()))
    if (0, 10) <= numbers(version)[:2] < (1, 0):
        return listed(found)
    fix = f"{PIP} install '{name}>=0.10,<1'"
    return f'{listed(found)}, 0.10 or newer is needed', FAIL, fix


def check_mmcv(facts):
    """One of mmcv and mmcv-lite is there, in the range mmpretrain takes."""
    found = facts.pick('mmcv', 'mmcv-lite', 'mmcv-full', 'onedl-mmcv')
    if len(found) > 1:
        # Uninstalling one removes files of the other: both have to go.
        kept = 'mmcv' if 'mmcv' in found else next(iter(found))
        fix = f'{PIP} uninstall -y {" ".join(found)} && '
        fix += f'{PIP} install --no-build-isolation {kept}=={found[kept]}'
        text = f'{listed(found)}: they write into the same folder'
        return text, FAIL, fix
    if not found:
        fix = wanted(facts, 'mmcv-lite==2.1.0', 'onedl-mmcv==2.3.6')
        return 'none, the models need it', FAIL, fix
    name, version = next(iter(found.items()))
    fix = f"{PIP} install '{name}>=2.0.0,<2.4.0'"
    low, high = (2, 0), (2, 4)
    if not low <= numbers(version)[:2] < high:
        return f'{listed(found)}, mmpretrain takes 2.0 to 2.3', FAIL, fix
    works, output = facts.probe('mmcv')
    if works:
        return listed(found)
    fix = f'{PIP} install --force-reinstall --no-deps {name}=={version}'
    if 'libGL' in output:
        fix = f'{PIP} uninstall -y opencv-python && {PIP} install '
        fix += '--force-reinstall opencv-python-headless'
    return f'{listed(found)}: {output}', FAIL, fix


def check_openmim(facts):
    """Openmim is a release that leaves the environment as it is."""
    found = listed(facts.pick('openmim', 'onedl-mim'))
    if found == 'none':
        fix = wanted(facts, 'openmim==0.3.7', 'onedl-mim==0.5.1')
        return 'none, `mim train` is not there', WARN, fix
    fix = f'{PIP} install openmim==0.3.7'
    if facts.release('openmim') >= (0, 3, 8):
        return f'{found}, which drags in pins that break torch', WARN, fix
    return found


def check_setuptools(facts):
    """The pkg_resources that openmim imports is still there."""
    found = listed(facts.pick('setuptools', 'openmim'))
    release = facts.release('setuptools')
    fix = f"{PIP} install 'setuptools<81'"
    if 'openmim' not in facts.versions or (0,) < release < (81,):
        return found
    if release[:1] == (81,):
        return f'{found}, about to lose pkg_resources', WARN, fix
    found += ', mim does not start without pkg_resources'
    return found, FAIL, fix


def check_click(facts):
    """Click is a release on which mim's SLURM launcher works."""
    found = listed(facts.pick('click', 'openmim'))
    if 'openmim' in facts.versions and facts.release('click') >= (8, 3):
        found += ", mim's SLURM launcher breaks"
        return found, WARN, f"{PIP} install 'click<8.3'"
    return found


def check_numpy(facts):
    """Numpy still has what mmpretrain calls."""
    found = listed(facts.pick('numpy', 'mmpretrain'))
    if 'mmpretrain' in facts.versions and facts.release('numpy') >= (2, 4):
        found += ', its retrieval metrics call np.in1d, which is gone'
        return found, WARN, f"{PIP} install 'numpy<2.4'"
    return found


def check_mmpretrain(facts):
    """Mmpretrain is there and can be imported."""
    found = facts.pick('mmpretrain', 'onedl-mmpretrain')
    if not found:
        text = 'none, only the parts for other projects can be used'
        fix = wanted(facts, 'mmpretrain==1.2.0', 'onedl-mmpretrain==1.3.6')
        return text, WARN, fix
    works, output = facts.probe('mmpretrain')
    if works:
        return listed(found)
    fix = 'fix the rows above first, then: '
    fix += f'{PIP} install --force-reinstall --no-deps '
    fix += ' '.join(f'{n}=={v}' for n, v in found.items())
    return f'{listed(found)}: {output}', FAIL, fix

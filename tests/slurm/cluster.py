# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A real SLURM of one node on this machine, for as long as it is needed.

As a script it runs a command inside: ``python tests/slurm/cluster.py bash``
opens a shell in which ``sbatch``, ``srun`` and ``squeue`` work. Needs root.
"""

import argparse
import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATH = os.pathsep.join([os.environ.get('PATH', ''), '/usr/sbin', '/sbin'])
PROGRAMS = ('munged', 'slurmctld', 'slurmd', 'srun', 'sbatch', 'scontrol')
# Limits of a user are kept by slurmdbd, in a data base.
ACCOUNTING = ('mariadb-install-db', 'mariadbd', 'mariadb', 'slurmdbd')
# Slots, not cores: what shares a core is only slower. No GPU: nothing asks
# for one.
CONFIG = """
ClusterName=mask_plugins_test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
PropagatePrioProcess=1
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=30
MinJobAge=600
MaxArraySize=5
InactiveLimit=0
OverTimeLimit=0
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 CPUs=12
PartitionName=test Nodes=ALL Default=YES MaxTime=60 State=UP
"""
NO_ACCOUNTING = 'AccountingStorageType=accounting_storage/none\n'
WITH_ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports[2]}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=limits
"""
DATABASE = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdPort={ports[2]}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[3]}
StorageUser=slurm
StoragePass=slurm
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
"""


def why_not(programs=PROGRAMS):
    """Why no cluster can be started here, or ''."""
    missing = [p for p in programs if shutil.which(p, path=PATH) is None]
    if os.geteuid() != 0:
        return 'SLURM daemons of our own need root'
    if missing:
        return f'{", ".join(missing)} not installed (tests/slurm/install.sh)'
    return ''


def free_ports(count):
    """Ports that are free."""
    with contextlib.ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.socket()) for _ in range(count)
        ]
        for listener in listeners:
            listener.bind(('127.0.0.1', 0))
        return [listener.getsockname()[1] for listener in listeners]


class Cluster:
    """munged, slurmctld and slurmd, with all of their files in one folder.

    Args:
        folder (str): The folder.
        max_submit (int, optional): MaxSubmitJobs of root; needs slurmdbd and
            a data base.
    """

    def __init__(self, folder, max_submit=None):
        self.folder = Path(folder)
        self.max_submit = max_submit
        self.processes = []
        host = socket.gethostname().split('.')[0]
        self.values = dict(folder=folder, host=host, ports=free_ports(4))
        config = CONFIG + (WITH_ACCOUNTING if max_submit else NO_ACCOUNTING)
        self.config = self.folder / 'slurm.conf'
        self.config.write_text(config.format(**self.values))
        # An environment of a job we may be in would lead the clients astray.
        self.env = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(('SLURM', 'SBATCH', 'SRUN'))
        }
        self.env.update(PATH=PATH, SLURM_CONF=str(self.config))

    def start(self):
        """Start the daemons, and wait until the node is idle."""
        self.folder.chmod(0o755)
        for name in ('state', 'spool'):
            (self.folder / name).mkdir()
        key = self.folder / 'munge.key'
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        munge = self.folder / 'munge.socket'
        options = [f'--key-file={key}', f'--socket={munge}']
        for kind in ('pid', 'log', 'seed'):
            options.append(f'--{kind}-file={self.folder}/munged.{kind}')
        self._spawn('munged', '--foreground', '--force', *options)
        self._wait_for(munge.exists, 'munged')
        if self.max_submit:
            self._start_accounting()
        self._spawn('slurmctld', '-D', '-i', '-f', self.config)
        self._spawn('slurmd', '-D', '-N', 'node1', '-f', self.config)
        self._wait_for(self._is_idle, 'the node')

    def stop(self):
        """End the jobs, then the daemons that were started here."""
        brief = dict(check=False, timeout=20)
        with contextlib.suppress(subprocess.SubprocessError):
            self.run('scancel', '--user=root', **brief)
            for _ in range(60):
                if not self.run('squeue', '--noheader', **brief).strip():
                    break
                time.sleep(0.3)
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def run(self, *command, check=True, timeout=300, **kwargs):
        """Run a command with this SLURM; its output, both streams in one."""
        done = subprocess.run(
            [str(part) for part in command],
            env={**self.env, **kwargs.pop('env', {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            **kwargs,
        )
        if check and done.returncode:
            raise RuntimeError(
                f'{command} ended with {done.returncode}:\n{done.stdout}'
            )
        return done.stdout

    def _start_accounting(self):
        """Start slurmdbd, and give root the limit."""
        data, port = self.folder / 'data', self.values['ports'][3]
        self.run(
            'mariadb-install-db', '--no-defaults', '--user=root',
            f'--datadir={data}', '--auth-root-authentication-method=normal',
        )  # fmt: skip
        self._spawn(
            'mariadbd', '--no-defaults', '--user=root', f'--datadir={data}',
            f'--socket={data}/socket', '--bind-address=127.0.0.1',
            f'--port={port}', '--innodb-lock-wait-timeout=900',
        )  # fmt: skip
        sql = ('mariadb', f'--socket={data}/socket', '-uroot', '-e')
        self._wait_for(lambda: self._says(*sql, 'select 1'), 'mariadbd')
        user = "slurm@'127.0.0.1'"
        grant = f"grant all on *.* to {user} identified by 'slurm'"
        self.run(*sql, grant)
        path = self.folder / 'slurmdbd.conf'
        path.touch(0o600)
        path.write_text(DATABASE.format(**self.values))
        self._spawn('slurmdbd', '-D')
        admin = ('sacctmgr', '--immediate', '--quiet')
        self._wait_for(lambda: self._says(*admin, 'list', 'user'), 'slurmdbd')
        self.run(*admin, 'add', 'cluster', 'mask_plugins_test')
        limit = f'MaxSubmitJobs={self.max_submit}'
        self.run(*admin, 'modify', 'user', 'root', 'set', limit)

    def _says(self, *command):
        """Whether a command works by now."""
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
            self.run(*command, timeout=20)
            return True

    def queued(self):
        """How many tasks and jobs wait or run."""
        return len(self.run('squeue', '--noheader', '--array').splitlines())

    def _spawn(self, program, *options):
        with open(self.folder / f'{program}.out', 'wb') as log:
            process = subprocess.Popen(
                [shutil.which(program, path=PATH), *map(str, options)],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self.processes.append(process)

    def _is_idle(self):
        with contextlib.suppress(subprocess.TimeoutExpired):
            out = self.run('sinfo', '-h', '-o', '%T', check=False, timeout=20)
            return out.strip() == 'idle'

    def _wait_for(self, ready, what):
        deadline = time.monotonic() + 60
        while not ready():
            ended = [p.args[0] for p in self.processes if p.poll() is not None]
            if ended or time.monotonic() > deadline:
                text = f'{what} did not come up (ended: {ended}):'
                for path in self.folder.glob('*.[lo][ou][gt]'):
                    log = path.read_text(errors='replace')[-2000:]
                    text += f'\n--- {path.name}\n{log}'
                raise RuntimeError(text)
            time.sleep(0.2)


def _end_with_parent():
    """Have the kernel end a daemon when this process is killed."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


@contextlib.contextmanager
def cluster(max_submit=None):
    """A running cluster in a temporary folder; see :class:`Cluster`."""
    with tempfile.TemporaryDirectory(prefix='slurm-') as folder:
        one = Cluster(folder, max_submit)
        try:
            one.start()
            yield one
        finally:
            one.stop()


def main():
    """Run a command inside."""
    parser = argparse.ArgumentParser(
        description='Run a command with a SLURM of its own, which ends with '
        'it. example: python tests/slurm/cluster.py bash'
    )
    parser.add_argument('command', nargs=argparse.REMAINDER)
    args = parser.parse_args()
    reason = why_not()
    if reason:
        sys.exit(f'cluster.py: {reason}')
    with cluster() as one:
        command = args.command or [os.environ.get('SHELL', 'bash')]
        sys.exit(subprocess.run(command, env=one.env).returncode)


if __name__ == '__main__':
    main()

#!/usr/bin/env bash
# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
#
# Install SLURM, munge and the data base in which SLURM keeps limits of users
# from Debian's or Ubuntu's packages, if they are absent. Their services are not
# started: the tests start daemons of their own.
set -euo pipefail

missing=()
for program in munged slurmctld slurmd srun sbatch slurmdbd mariadbd; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null ||
        missing+=("$program")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
say() { echo "slurm: $*"; }
if ! command -v apt-get >/dev/null; then
    say "no ${missing[*]} here, and no apt-get to install them: the tests skip"
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    say "no ${missing[*]} here, and only root can install them: the tests skip"
    exit 0
fi

# What invoke-rc.d asks before it starts a service; an existing one is kept.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
packages=(slurm-wlm munge slurmdbd mariadb-server)
say "installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
install=(apt-get install --yes --quiet --no-install-recommends "${packages[@]}")
"${install[@]}" >/dev/null || {
    apt-get update --quiet >/dev/null
    "${install[@]}" >/dev/null
}
say "installed $(dpkg-query -W -f '${Version}' slurm-wlm)"

# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Make a case wrong, to see that its check notices."""

import copy


def changed(change):
    """A function that returns a changed copy of a case."""

    def perturb(case):
        case = copy.deepcopy(case)
        change(case)
        return case

    return perturb


def bump(*path):
    """Change the first number under these keys by 1."""

    def change(case):
        holder, place = case, path[0]
        for key in path[1:]:
            holder, place = holder[place], key
        while isinstance(holder[place], (list, dict)):
            holder = holder[place]
            place = 0 if isinstance(holder, list) else next(iter(holder))
        holder[place] += 1

    return changed(change)

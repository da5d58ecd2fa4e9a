# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The Python APIs of the original projects, over the parts of this one.

A script that was written for an original runs with its import line changed;
new code is better off with :mod:`mask_plugins.core.weights`.
"""

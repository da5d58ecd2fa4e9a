# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.

# SPDX-License-Identifier: Apache-2.0
"""The admin server: commands, metrics, health, snapshots, hostile clients.

Goal: what reads ZooKeeper's admin server reads ours, and whoever misuses HTTP
harms himself.

Method: the cases are in the admin_*.py modules, in this order.
"""
import sys

import admin_commands  # noqa: F401
import admin_snapshots  # noqa: F401
import admin_metrics  # noqa: F401
import admin_health  # noqa: F401
import admin_hostile  # noqa: F401
import admin_page  # noqa: F401
import harness
from adminlib import SUITE


def main():
    options = harness.options(
        __doc__.splitlines()[0], lambda p: p.add_argument(
            '--record', action='store_true', help='write the golden file'))
    SUITE.run(options, options)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())

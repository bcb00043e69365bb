# SPDX-License-Identifier: Apache-2.0
"""Other suites again, with the server in another mode.

Goal: readers on cores of their own, the io_uring drivers and the idle
policies answer as the default does.  The suites are those that check order
and sessions; the mode reaches the server through $FALCONER_CONF.
"""
import os
import re
import subprocess
import sys

import harness
from harness import Suite, Skip

SUITE = Suite('modes')
HERE = os.path.dirname(os.path.abspath(__file__))

ORDER = ('interleaved.py', 'counts.py')
MODES = (
    ('two readers and a core for writes', 'falconer.cores=2',
     ('sessions.py',) + ORDER),
    # Timers do not depend on how a core waits.
    ('one reader that never sleeps', 'falconer.cores=1,falconer.idle=yield',
     ORDER),
    ('io_uring for sockets and log',
     'falconer.net=uring,falconer.log.io=uring', ('sessions.py',) + ORDER),
)


def again(program, mode):
    env = dict(os.environ, FALCONER_CONF=mode)
    done = subprocess.run(
        ['/usr/bin/python3', os.path.join(HERE, program), '--quick'],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if 'does not allow' in done.stdout:
        raise Skip('this kernel forbids io_uring')
    if done.returncode or not re.search(r'[1-9]\d* passed', done.stdout):
        raise AssertionError('%s\n%s' % (program, done.stdout[-2000:]))


def main():
    options = harness.options(__doc__.splitlines()[0])
    for title, mode, programs in MODES:
        for program in programs:
            name = '%s: %s' % (title, program)
            if options.only and not re.search(options.only, name):
                continue
            if options.server != 'falconer':
                SUITE.attempt(name, lambda: (_ for _ in ()).throw(
                    Skip('modes are Falconer\'s')))
            else:
                SUITE.attempt(name, again, program, mode, seconds=900)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())

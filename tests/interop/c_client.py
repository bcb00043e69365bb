# SPDX-License-Identifier: Apache-2.0
"""Apache's C client library against the server.

Goal and method: see c_client/client_test.c. This script builds that program
with the system's compiler and libzookeeper_mt, runs it, restarts the server
when the program asks for it, and counts its verdicts.
"""
import os
import subprocess
import sys

import client_program
import harness

SOURCE = os.path.join(harness.HERE, 'c_client', 'client_test.c')
FLAGS = ['-std=gnu11', '-O1', '-g', '-Wall', '-Wextra', '-Werror',
         '-DTHREADED']
TESTS = 11


def build(directory):
    if not os.path.exists('/usr/include/zookeeper/zookeeper.h'):
        raise harness.Skip('libzookeeper-mt-dev is not installed')
    program = os.path.join(directory, 'client_test')
    done = subprocess.run(
        [os.environ.get('CC', 'cc')] + FLAGS +
        [SOURCE, '-o', program, '-lzookeeper_mt', '-lpthread'],
        capture_output=True, text=True)
    if done.returncode:
        raise AssertionError('does not compile:\n' + done.stderr[:2000])
    return [program]


if __name__ == '__main__':
    sys.exit(client_program.main(__doc__.splitlines()[0], 'c_client',
                                 'C client', build, TESTS))

# SPDX-License-Identifier: Apache-2.0
"""Apache's C client beside the others, with the same history.

Goal: what the library that programs are linked with was told is judged by
the same checkers.

Method: c_workload.c is compiled with the system's compiler and writes a line
for each request; a thread makes them entries of the history.  It may live in
a namespace of its own, so that its network can be bad alone.
"""
import os
import shutil
import subprocess
import threading

from history import Op

HERE = os.path.dirname(os.path.abspath(__file__))
HEADER = '/usr/include/zookeeper/zookeeper.h'
WORKERS = 2


def build(folder):
    """Compiles the program into a folder, once; its path, or None where the
    library is not installed."""
    if not os.path.exists(HEADER):
        return None
    out = os.path.join(folder, 'c_workload')
    if not os.path.exists(out):
        subprocess.run(['cc', '-std=gnu11', '-O1', '-Wall', '-Wextra',
                        '-Werror', '-DTHREADED', '-D_GNU_SOURCE',
                        os.path.join(HERE, 'c_workload.c'), '-o', out,
                        '-lzookeeper_mt', '-lpthread'], check=True)
    return out


def parse(line):
    """An entry of the history."""
    worker, session, kind, path, data, outcome, zxid, begin, end = \
        line.split()
    return Op(worker, int(session), kind, path,
              b'' if data == '-' else data.encode(), outcome, int(zxid),
              float(begin), float(end))


class Native(threading.Thread):
    """The program and its history.

    wrap: makes a command that runs in the place of the client
    """

    names = ['c%d' % i for i in range(WORKERS)]

    def __init__(self, load, program, wrap):
        super().__init__(daemon=True)
        self.name = 'native'
        self.ops = []
        self.error = None
        self.sessions_lost = 0
        guard = ['setpriv', '--pdeathsig', 'KILL'] \
            if shutil.which('setpriv') else []
        hosts = ','.join('%s:%d' % a for a in load.addresses)
        self.load = load
        self.process = subprocess.Popen(
            guard + wrap([program, hosts, str(load.rng.randrange(1 << 30)),
                          str(WORKERS)]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self):
        closer = threading.Thread(target=self.close_when_told, daemon=True)
        closer.start()
        for line in self.process.stdout:
            if line.startswith('gone '):
                self.sessions_lost += 1
            elif line.startswith('wrong '):
                self.error = AssertionError(
                    'the C library: %s' % line.strip())
            else:
                self.ops.append(parse(line))
        if self.process.wait() != 0 and self.error is None:
            self.error = AssertionError(
                'c_workload ended with %d' % self.process.returncode)

    def close_when_told(self):
        self.load.stop.wait()
        self.process.stdin.close()

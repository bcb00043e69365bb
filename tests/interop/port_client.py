# SPDX-License-Identifier: Apache-2.0
"""The client library on virtio-user beside a server on vhost.

Goal: two processes of an ordinary user, without root and huge pages, speak to
each other through shared memory: our TCP in both, the kernel in neither.

Method: server and client (tests/net/zc_port.c) run as "nobody" where the suite
is root, else as who runs it.  The client owns the socket.  It checks what it
reads, a watch, a value of many segments, and prints how long single requests
took; nothing judges that.

Usage: port_client.py [--spin] [--count N]: with --spin neither side sleeps,
for figures.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import harness
from harness import Suite, expect, wait_until

SUITE = Suite('port_client')
PROGRAM = os.path.join(harness.ROOT, 'build', 'tests', 'net', 'zc_port')
SERVER, CLIENT = '10.99.0.2', '10.99.0.1'
NOBODY = 65534
SPIN, SHOWS = '--spin' in sys.argv, '--count' in sys.argv
COUNT = sys.argv[sys.argv.index('--count') + 1] if SHOWS else '200'


def as_user():
    """What makes a command an ordinary user's; () where we are one."""
    if os.geteuid() != 0:
        return []
    words = ['setpriv', '--reuid=%d' % NOBODY, '--regid=%d' % NOBODY,
             '--clear-groups']
    if not shutil.which('setpriv') or subprocess.run(
            words + ['test', '-x', PROGRAM]).returncode:
        raise harness.Skip('an ordinary user cannot run ' + PROGRAM)
    return words


def give(folder):
    """All of a folder to that user."""
    if os.geteuid() == 0:
        for path, _, names in os.walk(folder):
            for name in [path] + [os.path.join(path, n) for n in names]:
                os.chown(name, NOBODY, NOBODY)


class OfUser(harness.Server):
    """A server that an ordinary user starts."""

    def command(self):
        words = super().command()
        give(self.home)
        return as_user() + words


@SUITE.case('zc on virtio-user, server on vhost, both of an ordinary user')
def beside():
    folder = tempfile.mkdtemp(prefix='port-client-')
    give(folder)
    socket = os.path.join(folder, 'socket')
    # DPDK wants a folder of its own to run in.
    env = dict(os.environ, XDG_RUNTIME_DIR=folder, HOME=folder)
    os.environ['XDG_RUNTIME_DIR'] = folder
    server = OfUser('falconer', {
        'clientPortAddress': SERVER,
        'falconer.dataplane': 'dpdk',
        'falconer.hugepages': 'no',
        'falconer.idle': 'spin' if SPIN else 'sleep',
        'falconer.dpdk.port': 'net_vhost0,iface=%s,client=1' % socket,
        'falconer.dpdk.address': SERVER + '/24'})
    try:
        server.spawn()
        with subprocess.Popen(
                as_user() + [PROGRAM, 'net_virtio_user0,path=%s,server=1'
                             % socket, CLIENT + '/24',
                             '%s:%d' % (SERVER, server.port), COUNT],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env=env) as client:
            try:
                out = client.communicate(timeout=200)[0]
            finally:
                client.kill()   # it would be waited for
        expect((client.returncode, 'right\n' in out), (0, True), out[-2000:])
        expect(server.alive(), True, server.stderr()[-2000:])
        if SHOWS:
            print('\n'.join(re.findall(r'^\w+: .* us$', out, re.M)))
        # Owner of the process: the claim of this test.
        if os.geteuid() == 0:
            owner = os.stat('/proc/%d' % server.process.pid).st_uid
            expect(owner, NOBODY, 'the server is an ordinary user\'s')
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    for word in ('--spin', '--count', COUNT):
        if word in sys.argv[1:]:
            sys.argv.remove(word)
    options = harness.options(__doc__.splitlines()[0])
    SUITE.run(options)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())

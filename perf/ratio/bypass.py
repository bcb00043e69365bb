# SPDX-License-Identifier: Apache-2.0
"""Round trips over vhost-user: two processes, shared memory, no kernel.

Five things are asked, one request under way, neither side sleeps, the server's
side on processor 0 and the client's on 1:

    frame       an Ethernet frame and back (perf/wire)
    tcp-floor   64 bytes and back over the least TCP that works (perf/floor)
    tcp         64 bytes and back over our TCP (perf/wire)
    get, set    of a server, by the client library on our TCP (tests/net/zc_port)
    set-synced  the same with a log that is flushed
"""
import json
import os
import re
import shutil
import subprocess
import tempfile

import servers
from servers import harness

SERVER, CLIENT = '10.99.0.2', '10.99.0.1'
QUANTILES = ('p50', 'p99', 'p99.9')
PATIENCE = 60
# The client looks for its reply so long before it sleeps: for reads it never
# does, for writes it leaves its processor to the server's log.
SPIN_US = '50'
# So many requests take about a second.
REQUESTS = {'get': 100000, 'set': 100000, 'set-synced': 3000}


class Folder:
    """Where a socket lies, and what DPDK needs of the environment."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix='bypass-')
        self.socket = os.path.join(self.path, 'socket')
        self.env = dict(os.environ, XDG_RUNTIME_DIR=self.path, HOME=self.path)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def program(tools, *names):
    path = os.path.join(tools.folder, *names)
    if not os.access(path, os.X_OK):
        raise servers.Missing('%s is not built' % path)
    return path


def pair(command, name, what, seconds):
    """{p50: us, ...} of one program that serves and, run again, asks."""
    with Folder() as folder, subprocess.Popen(
            [command, 'serve', 'net_vhost0,iface=' + folder.socket] + what +
            ['0'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=folder.env) as server:
        try:
            harness.wait_until('a socket', lambda: os.path.exists(
                folder.socket), 20, 0.01)
            done = subprocess.run(
                [command, 'ask', 'net_virtio_user0,path=' + folder.socket] +
                what + ['1', str(seconds)],
                capture_output=True, text=True, env=folder.env)
        finally:
            server.kill()
    if done.returncode != 0:
        raise servers.Missing('%s: %s' % (name, done.stderr.strip()))
    return json.loads(done.stdout)[name]


def wire(tools, what, seconds):
    """Of frame, tcp or tcp-floor."""
    if what == 'tcp-floor':
        return pair(program(tools, 'perf', 'floor', 'tcpfloor'), what, [],
                    seconds)
    return pair(program(tools, 'perf', 'wire', 'wire'), what, [what], seconds)


def client(tools, is_synced, count):
    """{get: {p50: us, ...}, set: ...} of a server."""
    path = program(tools, 'tests', 'net', 'zc_port')
    with Folder() as folder:
        os.environ['XDG_RUNTIME_DIR'] = folder.path
        server = harness.Server('falconer', {
            'clientPortAddress': SERVER,
            'preAllocSize': None,
            'forceSync': 'yes' if is_synced else 'no',
            'falconer.dataplane': 'dpdk',
            'falconer.hugepages': 'no',
            'falconer.idle': 'spin',
            'falconer.cpus': '0',
            'falconer.dpdk.port': 'net_vhost0,iface=' + folder.socket,
            'falconer.dpdk.address': SERVER + '/24'})
        try:
            server.spawn()
            harness.wait_until('a socket', lambda: os.path.exists(
                folder.socket), 20, 0.01)
            done = subprocess.run(
                ['taskset', '-c', '1', path,
                 'net_virtio_user0,path=' + folder.socket, CLIENT + '/24',
                 '%s:%d' % (SERVER, server.port), str(count), SPIN_US],
                capture_output=True, text=True, env=folder.env,
                timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise servers.Missing('zc_port: not done within %d s' % PATIENCE)
        finally:
            server.close()
    found = dict((name, dict(zip(QUANTILES, map(float, values))))
                 for name, *values in re.findall(
                     r'^(\w+): \d+, p50 ([\d.]+) us, p99 ([\d.]+) us, '
                     r'p99.9 ([\d.]+) us$', done.stdout, re.M))
    if done.returncode != 0 or len(found) != 2:
        raise servers.Missing('zc_port: %s' % done.stderr.strip())
    return {'get': found['getData'], 'set': found['setData']}


def measure(tools, what, seconds):
    """{p50: us, p99: us, p99.9: us}"""
    if what in ('frame', 'tcp', 'tcp-floor'):
        return wire(tools, what, seconds)
    count = max(100, int(REQUESTS[what] * min(seconds, 5)))
    return client(tools, what == 'set-synced', count)[what.split('-')[0]]

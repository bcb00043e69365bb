# SPDX-License-Identifier: Apache-2.0
"""Servers that measures run against: started once, kept until the end. Only
those that never sleep end with their measure, or they would take a processor
from all that follow.

The ZooKeeper servers are those of tests/interop/harness.py with two changes
that matter for speed: Java runs with the JVM's own choice of compiler and
collector and 1000 MB of heap (4 GB for a million znodes), and log files have
the size that both servers give them when nothing is configured.
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'interop'))

import harness  # noqa: E402  (found by the path above)

JAVA_FLAGS = ['-Xmx4g', '-Dfile.encoding=UTF-8',
              '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
              '-Djava.net.preferIPv4Stack=true']
PATIENCE = 90


class Missing(Exception):
    """A program that a measure needs is not installed."""


class ZooKeeper:
    """One server, Falconer or Java."""

    protocol = 'zookeeper'

    def __init__(self, kind, conf=None, data=None):
        harness.JAVA_FLAGS = JAVA_FLAGS
        settings = {'preAllocSize': None, 'snapCount': 100000}
        settings.update(conf or {})
        self.server = harness.Server(kind, conf=settings, data=data)
        self.server.start(PATIENCE)
        self.home = self.server.home

    @property
    def hosts(self):
        return self.server.hosts

    @property
    def pid(self):
        return self.server.process.pid

    def close(self):
        self.server.close()


class WithoutLedger(ZooKeeper):
    """Falconer from the same objects, with the ledger switched off."""

    def __init__(self, conf=None):
        before = os.environ['FALCONER']
        program = os.path.join(os.path.dirname(before), 'perf', 'ledger',
                               'falconerd_no_ledger')
        if not os.access(program, os.X_OK):
            raise Missing('%s is not there: ninja' % program)
        os.environ['FALCONER'] = program
        try:
            super().__init__('falconer', conf)
        finally:
            os.environ['FALCONER'] = before


class OnVhost:
    """Falconer on vhost-user; the load program is the guest's side and owns
    the socket. Both use our own TCP, the kernel has no part in it."""

    protocol = 'zookeeper'
    ADDRESS, GUEST = '10.99.0.2', '10.99.0.1'

    def __init__(self, conf=None):
        self.folder = tempfile.mkdtemp(prefix='perf-vhost-')
        self.path = os.path.join(self.folder, 'socket')
        # DPDK wants a folder of its own to run in.
        os.environ['XDG_RUNTIME_DIR'] = self.folder
        settings = {
            'clientPortAddress': self.ADDRESS,
            'preAllocSize': None,
            'falconer.dataplane': 'dpdk',
            'falconer.hugepages': 'no',
            'falconer.dpdk.port': 'net_vhost0,iface=%s,client=1' % self.path,
            'falconer.dpdk.address': self.ADDRESS + '/24'}
        settings.update(conf or {})
        self.server = harness.Server('falconer', conf=settings)
        self.server.spawn()

    @property
    def hosts(self):
        return '%s:%d' % (self.ADDRESS, self.server.port)

    @property
    def pid(self):
        return self.server.process.pid

    def load_args(self):
        return '--port net_virtio_user0,path=%s,server=1 --port-address ' \
            '%s/24' % (self.path, self.GUEST)

    def close(self):
        self.server.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Ensemble:
    """Three servers on loopback; load goes to the leader, whose CPU time
    counts."""

    protocol = 'zookeeper'

    def __init__(self, kind, conf=None):
        harness.JAVA_FLAGS = JAVA_FLAGS
        ports = [(harness.free_port(), harness.free_port()) for _ in range(3)]
        settings = {'preAllocSize': None, 'initLimit': 10, 'syncLimit': 5}
        settings.update(conf or {})
        for index, (quorum, election) in enumerate(ports):
            settings['server.%d' % (index + 1)] = '127.0.0.1:%d:%d' % (
                quorum, election)
        self.servers = [harness.Server(kind, conf=settings) for _ in ports]
        try:
            for index, server in enumerate(self.servers):
                with open(os.path.join(server.data, 'myid'), 'w') as f:
                    f.write('%d\n' % (index + 1))
                server.spawn()
            harness.wait_until('a leader', self.find_leader, PATIENCE)
        except BaseException:
            self.close()
            raise
        self.home = self.leader.home

    def find_leader(self):
        self.leader = None
        serving = 0
        for server in self.servers:
            if not server.alive():
                raise harness.ServerError('%s ended: %s' % (
                    server.kind, server.stderr()[-200:].strip()))
            try:
                text = server.four_letter('srvr')
            except OSError:
                return False
            serving += b'Mode: ' in text
            if b'Mode: leader' in text:
                self.leader = server
        return serving == 3 and self.leader is not None

    @property
    def hosts(self):
        return self.leader.hosts

    @property
    def pid(self):
        return self.leader.process.pid

    def close(self):
        for server in self.servers:
            server.close()


class Program:
    """A server of another kind, as a child that ends with us."""

    def __init__(self, protocol, command, port, home):
        if shutil.which(command[0]) is None:
            raise Missing('%s is not installed: ./setup all' % command[0])
        self.protocol = protocol
        self.home = home
        self.hosts = '127.0.0.1:%d' % port
        self.process = subprocess.Popen(
            command, cwd=home, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        harness.wait_until('%s listens' % command[0], self.listens, 20)

    def listens(self):
        host, port = self.hosts.split(':')
        try:
            with socket.create_connection((host, int(port)), 1):
                return True
        except OSError:
            return False

    @property
    def pid(self):
        return self.process.pid

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def last_words(server):
    """The ends of its logs, a server a paragraph."""
    parts = getattr(server, 'servers', [getattr(server, 'server', None)])
    return '\n'.join(part.stderr()[-600:] for part in parts
                     if part is not None)


def redis(is_synced):
    home = tempfile.mkdtemp(prefix='perf-redis-')
    port = harness.free_port()
    command = ['redis-server', '--port', str(port), '--bind', '127.0.0.1',
               '--save', '', '--dir', home]
    if is_synced:
        command += ['--appendonly', 'yes', '--appendfsync', 'always']
    return Program('redis', command, port, home)


def etcd():
    home = tempfile.mkdtemp(prefix='perf-etcd-')
    port, peer = harness.free_port(), harness.free_port()
    client_url = 'http://127.0.0.1:%d' % port
    peer_url = 'http://127.0.0.1:%d' % peer
    server = Program('etcd', [
        'etcd', '--data-dir', home, '--listen-client-urls', client_url,
        '--advertise-client-urls', client_url, '--listen-peer-urls', peer_url,
        '--initial-advertise-peer-urls', peer_url, '--initial-cluster',
        'default=' + peer_url], port, home)
    time.sleep(1)  # it listens before it has elected itself
    return server


def start(kind, conf=None):
    if kind in ('falconer', 'java'):
        return ZooKeeper(kind, conf)
    if kind in ('falconer3', 'java3'):
        return Ensemble(kind[:-1], conf)
    if kind in ('redis', 'redis-synced'):
        return redis(kind == 'redis-synced')
    if kind == 'etcd':
        return etcd()
    if kind == 'falconer-no-ledger':
        return WithoutLedger(conf)
    raise ValueError('no such server: %s' % kind)


class Pool:
    """Servers by kind and configuration, each started when it is first asked
    for. Java is warmed up: it compiles while it runs."""

    def __init__(self, tools):
        self.tools = tools
        self.servers = {}

    def get(self, kind, conf=None):
        key = (kind, tuple(sorted((conf or {}).items())))
        if key not in self.servers:
            self.servers[key] = start(kind, conf)
            if kind.startswith('java'):
                self.warm_up(self.servers[key])
        return self.servers[key]

    def warm_up(self, server):
        for mix, connections, pipeline in (('get', 64, 16), ('set', 64, 16),
                                           ('get', 1, 1), ('set', 1, 1)):
            self.tools.load(server, '--mix %s --connections %d --pipeline %d'
                            % (mix, connections, pipeline), 2)

    def rest(self):
        """A measure is done: who would spin through the next one ends."""
        for key in [k for k in self.servers
                    if any(name == 'falconer.idle' for name, _ in k[1])]:
            self.servers.pop(key).close()

    def close(self):
        for server in self.servers.values():
            server.close()
        self.servers = {}

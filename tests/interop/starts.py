# SPDX-License-Identifier: Apache-2.0
"""Starts: the command line, names in the place of addresses, who may do what,
and systemd.

Goal: what starts a ZooKeeper starts a Falconer; a start that fails says what
was in the way and what helps, and ends with a status of its own.

Method: servers are started as shells, systemd and ordinary users do it, each
from a zoo.cfg of its own; judged by exit status, log line and answers.
"""
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request

import harness
from harness import ROOT, Skip, Suite, expect, ok, wait_until

SUITE = Suite('starts')

NOBODY = 65534
STATUS_FAILED, STATUS_WRONG = 1, 2


def falconer_only(options):
    if options.server == 'java':
        raise Skip('about how Falconer starts')


def refused(server, status, *words):
    """The start ends with this status and a line that has these words."""
    server.spawn()
    expect(server.wait_exit(), status, server.stderr()[-500:])
    for word in words:
        expect(word in server.stderr(), True,
               '%r in %s' % (word, server.stderr()[-500:]))


def get(port, path):
    with urllib.request.urlopen(
            'http://127.0.0.1:%d%s' % (port, path), timeout=10) as answer:
        return answer.read().decode()


class Flagged(harness.Server):
    """With more arguments in front of the file."""

    def __init__(self, flags, conf=None):
        super().__init__('falconer', conf=conf)
        self.flags = flags

    def command(self):
        command = super().command()
        return command[:-1] + self.flags + command[-1:]


class Limited(harness.Server):
    """With limits that prlimit sets."""

    def __init__(self, limits, conf=None):
        super().__init__('falconer', conf=conf)
        self.limits = limits

    def command(self):
        return ['prlimit'] + self.limits + super().command()


class Ordinary(harness.Server):
    """Run by an ordinary user, who has no privileges and owns nothing but what
    is in `own`."""

    def __init__(self, own, conf=None, limits=()):
        if os.geteuid() != 0 or not shutil.which('setpriv'):
            raise Skip('needs root, to become somebody else')
        super().__init__('falconer', conf=conf)
        self.limits = list(limits)
        self.binary = os.path.join(self.home, 'falconerd')
        shutil.copy(harness.falconer_binary(), self.binary)
        os.chmod(self.home, 0o755)
        for path in own:
            os.chown(os.path.join(self.home, path), NOBODY, NOBODY)

    def command(self):
        path, _ = self.write_config()
        return self.limits + [
            'setpriv', '--reuid', str(NOBODY), '--regid', str(NOBODY),
            '--clear-groups', '--pdeathsig', 'KILL', self.binary, path]


@SUITE.case('the command line: help, version, what it does not know')
def _(options):
    falconer_only(options)

    def program(name, *arguments):
        done = subprocess.run([name, *arguments], capture_output=True,
                              text=True, timeout=20)
        return done.returncode, done.stdout, done.stderr

    def run(*arguments):
        return program(harness.falconer_binary(), *arguments)

    status, out, err = run('--help')
    expect((status, err), (0, ''))
    expect('usage: falconerd' in out and '-Dkey=value' in out, True, out)
    status, out, err = run('--version')
    expect((status, err), (0, ''))
    expect(out.startswith('falconerd 3.'), True, out)
    for wrong in ((), ('-x', 'zoo.cfg'), ('zoo.cfg', 'zoo.cfg')):
        status, out, err = run(*wrong)
        expect((status, out), (STATUS_WRONG, ''))
        expect('usage: falconerd' in err, True, err)
    # What a newcomer starts, and what shows the files.
    tools = os.path.join(ROOT, 'build', 'tools')
    for name in (os.path.join(ROOT, 'run'), os.path.join(tools, 'dump-log'),
                 os.path.join(tools, 'dump-snap')):
        if not os.path.exists(name):
            continue
        status, out, err = program(name, '--help')
        expect((status, err), (0, ''), name)
        expect(os.path.basename(name) in out, True, out)
    status, _, err = run('/nonexistent/zoo.cfg')
    expect(status, STATUS_WRONG)
    expect('No such file or directory' in err, True, err)


@SUITE.case('system properties, as the JVM takes them')
def _(options):
    falconer_only(options)
    flags = ['-Dzookeeper.maxCnxns=7', '-Xmx1g', '-Dzookeeper.skipACL=yes',
             '-DtickTime=1', '-Dmy.password=tell-nobody',
             '-Djute.maxbuffer=0x200000']
    admin = harness.free_port()
    with Flagged(flags, conf={'maxCnxns': 9, 'admin.enableServer': 'true',
                              'admin.serverPort': admin}) as server:
        shown = json.loads(get(admin, '/commands/system_properties'))
        expect({key: shown.get(key) for key in (
            'zookeeper.maxCnxns', 'zookeeper.skipACL', 'my.password',
            'jute.maxbuffer')}, {
                'zookeeper.maxCnxns': '9', 'zookeeper.skipACL': 'yes',
                'my.password': '*****', 'jute.maxbuffer': '0x200000'})
        conf = harness.four_letter(server.address, 'mntr').decode()
        expect('zk_num_alive_connections' in conf, True)
        err = server.stderr()
        expect('-Xmx1g: there is no JVM' in err, True, err)
        expect('-DtickTime=1: no system property' in err, True, err)
        expect('tell-nobody' in err, False, err)
        held = []
        try:
            for _ in range(12):
                held.append(server.client())
        except (OSError, harness.zkwire.Closed):
            pass
        expect(len(held), 9, 'the file counts')
        for client in held:
            client.close()
    server = Flagged(['-Dzookeeper.maxCnxns=many'])
    refused(server, STATUS_WRONG, '-Dzookeeper.maxCnxns=many: allowed')
    server.close()


@SUITE.case('names in the place of addresses')
def _(options):
    falconer_only(options)
    admin, metrics = harness.free_port(), harness.free_port()
    with harness.Server('falconer', conf={
            'clientPortAddress': 'localhost',
            'admin.enableServer': 'true', 'admin.serverPort': admin,
            'admin.serverAddress': 'localhost',
            'metricsProvider.className': 'org.apache.zookeeper.metrics.'
            'prometheus.PrometheusMetricsProvider',
            'metricsProvider.httpHost': 'localhost',
            'metricsProvider.httpPort': metrics}) as server:
        expect('127.0.0.1:%d' % server.port in server.stderr(), True)
        expect('readyz check passed' in get(admin, '/readyz'), True)
        expect('znode_count' in get(metrics, '/metrics'), True)
    for key in ('clientPortAddress', 'admin.serverAddress'):
        server = harness.Server('falconer', conf={
            key: 'nobody.invalid', 'admin.enableServer': 'true',
            'admin.serverPort': admin})
        refused(server, STATUS_FAILED, key + '=nobody.invalid: ')
        server.close()


@SUITE.case('0.0.0.0 is all addresses, those of IPv6 too')
def _(options):
    falconer_only(options)
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(('::1', 0))
        except OSError:
            raise Skip('this machine has no ::1')
    admin, quorum = harness.free_port(), harness.free_port()
    server = harness.Server('falconer', conf={
        'clientPortAddress': '0.0.0.0', 'initLimit': 5, 'syncLimit': 5,
        'standaloneEnabled': 'false',
        'server.1': '0.0.0.0:%d:%d' % (quorum, harness.free_port()),
        'server.2': '127.0.0.1:%d:%d:observer' % (
            harness.free_port(), harness.free_port()),
        'admin.enableServer': 'true', 'admin.serverPort': admin,
        'admin.serverAddress': '0.0.0.0'})
    with open(os.path.join(server.data, 'myid'), 'w') as f:
        f.write('1\n')
    with server:
        for host in ('127.0.0.1', '::1'):
            for port in (server.port, admin, quorum):
                socket.create_connection((host, port), 10).close()
            expect(harness.four_letter((host, server.port), 'ruok'), b'imok')


@SUITE.case('quorumListenOnAllIPs: a port of several addresses is one port')
def _(options):
    falconer_only(options)
    quorum, election = harness.free_port(), harness.free_port()
    server = harness.Server('falconer', conf={
        'initLimit': 5, 'syncLimit': 5, 'standaloneEnabled': 'false',
        'multiAddress.enabled': 'true', 'quorumListenOnAllIPs': 'true',
        'server.1': '127.0.0.1:%d:%d|127.0.0.2:%d:%d' % (
            quorum, election, quorum, election),
        'server.2': '127.0.0.1:%d:%d:observer' % (
            harness.free_port(), harness.free_port())})
    with open(os.path.join(server.data, 'myid'), 'w') as f:
        f.write('1\n')
    with server:
        for port in (quorum, election):
            socket.create_connection(('127.0.0.2', port), 10).close()


@SUITE.case('as many connections of a core as its key allows')
def _(options):
    falconer_only(options)
    with harness.Server('falconer', conf={
            'falconer.connections.max': 1 << 20}) as server:
        expect(server.serving(), True)


@SUITE.case('few descriptors: clients leave some for the files')
def _(options):
    falconer_only(options)
    with Limited(['--nofile=100:100'],
                 conf={'snapCount': 20, 'maxClientCnxns': 0}) as server:
        expect('75 of them for clients' in server.stderr(), True)
        crowd = []
        with server.client() as client:
            for _ in range(120):
                crowd.append(socket.create_connection(
                    ('127.0.0.1', server.port)))
            # Logs and snapshots follow each other all the same.
            for i in range(100):
                ok(client.create('/n%d' % i))

            def snapshots():
                return [name for name in os.listdir(
                    os.path.join(server.data, 'version-2'))
                    if name.startswith('snapshot.')]
            wait_until('snapshots are written', lambda: len(snapshots()) > 1)
        expect('failed' in server.stderr(), False, server.stderr()[-500:])
        for each in crowd:
            each.close()


@SUITE.case('an ordinary user: what is in the way is named')
def _(options):
    falconer_only(options)
    with Ordinary(['data']) as server:
        with server.client():
            pass
    cases = [
        (Ordinary([]), ('let the user that runs the server write in',
                        'which belongs to user 0')),
        (Ordinary(['data'], limits=['prlimit', '--fsize=1000000:1000000']),
         ('ulimit -f',)),
    ]
    # Some containers let everybody have it.
    with open('/proc/sys/net/ipv4/ip_unprivileged_port_start') as f:
        if int(f.read()) > 81:
            cases.append((Ordinary(['data'], conf={'clientPort': 81}),
                          ('clientPort=81: ', 'CAP_NET_BIND_SERVICE')))
    for server, words in cases:
        refused(server, STATUS_FAILED, *words)
        server.close()
    server = Ordinary(['data'])
    private = os.path.join(server.home, 'private')
    os.mkdir(private, 0o700)
    path = os.path.join(private, 'zoo.cfg')
    server.write_config = lambda: (path, [])
    refused(server, STATUS_WRONG, path + ': Permission denied')
    server.close()


@SUITE.case('a terminal that goes stops the server in order, but for nohup')
def _(options):
    falconer_only(options)
    # Whoever runs this may have been started by nohup.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with harness.Server('falconer') as server:
            server.process.send_signal(signal.SIGHUP)
            expect(server.wait_exit(), 0)
            expect('stopping' in server.stderr(), True)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with harness.Server('falconer') as server:
            server.process.send_signal(signal.SIGHUP)
            with server.client():
                pass
            expect(server.stop(), 0)
    finally:
        signal.signal(signal.SIGHUP, before)


class Closed(harness.Server):
    """Started without standard input, output and error."""

    def command(self):
        return ['sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh'] + super().command()


@SUITE.case('without standard error: log lines go into no other file')
def _(options):
    falconer_only(options)
    with Closed('falconer') as server:
        places = '/proc/%d/fd/%%d' % server.process.pid
        expect([os.readlink(places % fd) for fd in range(3)],
               ['/dev/null'] * 3)
        with server.client() as c:
            ok(c.create('/x'))


@SUITE.case('who is told to stop twice stops in order')
def _(options):
    falconer_only(options)
    server = harness.Server('falconer')
    library = os.path.join(server.home, 'late_signal.so')
    subprocess.run(['cc', '-shared', '-fPIC', '-o', library, os.path.join(
        ROOT, 'tests', 'interop', 'late_signal.c')], check=True)
    os.environ['LD_PRELOAD'] = library
    try:
        server.spawn()
    finally:
        del os.environ['LD_PRELOAD']
    wait_until('it serves', server.serving)
    server.process.send_signal(signal.SIGTERM)
    expect(server.wait_exit(), 0, server.stderr()[-500:])
    server.close()


@SUITE.case('as process 1 of a container: who recovers is told to stop, too')
def _(options):
    falconer_only(options)
    if os.geteuid() != 0 or shutil.which('unshare') is None:
        raise Skip('needs root and unshare')
    server = harness.Server('falconer')
    folder = os.path.join(server.data, 'version-2')
    os.makedirs(folder)
    # Its recovery waits for somebody who writes there.
    os.mkfifo(os.path.join(folder, 'snapshot.1'))
    path, _ = server.write_config()

    def recovering(parent):
        """The process number; None: it has not locked its directory yet."""
        with open('/proc/%d/task/%d/children' % (parent.pid,
                                                 parent.pid)) as f:
            pid = f.read().strip()
        try:
            names = [os.readlink(fd) for fd in glob.glob(
                '/proc/%s/fd/*' % (pid or 'none'))]
        except FileNotFoundError:   # it closed one meanwhile
            return None
        return int(pid) if any(name.endswith('falconer.lock')
                               for name in names) else None
    with subprocess.Popen(
            ['unshare', '--pid', '--fork', '--kill-child',
             harness.falconer_binary(), path],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as parent:
        try:
            os.kill(wait_until('it recovers', lambda: recovering(parent)),
                    signal.SIGTERM)
            expect(parent.wait(timeout=10), 128 + signal.SIGTERM)
        finally:
            parent.kill()
    server.close()


@SUITE.case('systemd hears when the server serves, and when it stops')
def _(options):
    falconer_only(options)
    server = harness.Server('falconer')
    path = os.path.join(server.home, 'notify')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(path)
        told.settimeout(harness.START_SECONDS)
        os.environ['NOTIFY_SOCKET'] = path
        try:
            server.spawn()
            expect(told.recv(100), b'READY=1')
        finally:
            del os.environ['NOTIFY_SOCKET']
        expect(server.serving(), True, 'it was ready')
        expect(server.stop(), 0)
        expect(told.recv(100), b'STOPPING=1')
    server.close()


@SUITE.case('the units in configs/ are understood by systemd')
def _(options):
    falconer_only(options)
    if not shutil.which('systemd-analyze'):
        raise Skip('there is no systemd-analyze')
    server = harness.Server('falconer')    # for its folder
    for name in sorted(os.listdir(os.path.join(ROOT, 'configs'))):
        if not name.endswith('.service'):
            continue
        # ExecStart must be there.
        with open(os.path.join(ROOT, 'configs', name)) as f:
            text = f.read().replace('/usr/local/sbin/falconerd',
                                    harness.falconer_binary())
        path = os.path.join(server.home, name)
        with open(path, 'w') as f:
            f.write(text)
        done = subprocess.run(['systemd-analyze', 'verify', path],
                              capture_output=True, text=True, timeout=60)
        expect((done.returncode, name in done.stderr), (0, False),
               done.stderr)
    server.close()


def main():
    options = harness.options(__doc__.splitlines()[0])
    SUITE.run(options, options)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())

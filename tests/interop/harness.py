# SPDX-License-Identifier: Apache-2.0
"""Servers under test, and the frame every suite runs in.

Goal: a suite names a server by kind ('falconer' or 'java') and never knows
more about it.  Both kinds read the same zoo.cfg, both are driven and judged
through their client port only.

Method: a `Server` owns a fresh temporary directory, a free port and one
process.  start() returns when the server answers `srvr` as serving, or
raises ServerError with the server's own words when the process ends; there
is no waiting for luck.  Only processes started here are signalled, by their
own id.  `Suite` collects cases, runs them, prints what failed and ends with
one line 'name: N passed, M failed'.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import slow_links
import zkwire
from free_port import free_port

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
GOLDEN = os.path.join(ROOT, 'tests', 'golden', 'client')
JAR = '/usr/share/java/zookeeper.jar'
JAVA_CLASSPATH = JAR + ':/usr/share/java/slf4j-simple.jar'
JAVA_FLAGS = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1',
              '-Xshare:auto', '-Dfile.encoding=UTF-8',
              '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
              '-Djava.net.preferIPv4Stack=true']

# How servers see us.
CLIENT_HOST = os.environ.get('CLIENT_HOST', '127.0.0.1')

START_SECONDS = 120   # an election of Javas, where other work has the CPUs
STOP_SECONDS = 20
# Nothing that works comes near it, also where other work has the CPUs.
CASE_SECONDS = 600

# Settings that Java takes as system properties without the prefix.
UNPREFIXED = ('jute.maxbuffer', 'readonlymode.enabled',
              'znode.container.checkIntervalMs',
              'znode.container.maxPerMinute',
              'znode.container.maxNeverUsedIntervalMs')


class ServerError(Exception):
    """The server did not start, or ended when it should not."""


class TookTooLong(BaseException):
    """A case ran into its deadline; nothing on the way may swallow this."""


class Skip(Exception):
    """The case cannot run here; the text says why."""


def lone(server, reason):
    """Skips what by its nature is about one server without companions."""
    if server.companions:
        raise Skip('needs a lone server: ' + reason)


def members():
    """How many servers a Server() is, see there."""
    return int(os.environ.get('FALCONER_MEMBERS', '1'))


def server_lines(ports, own):
    """The server.N lines of zoo.cfg as the member `own` has them."""
    slowness = float(os.environ.get('FALCONER_LINK_MS', 0)) / 1000
    links = slow_links.Links(slowness) if slowness else None
    lines = {}
    for sid, pair in enumerate(ports, 1):
        if links and sid != own:
            pair = [links.to(port) for port in pair]
        lines['server.%d' % sid] = '127.0.0.1:%d:%d' % tuple(pair)
    return lines


def falconer_binary():
    """The server binary: $FALCONER, else build/falconerd of this tree."""
    return os.environ.get('FALCONER',
                          os.path.join(ROOT, 'build', 'falconerd'))


def available(kind):
    if kind == 'falconer':
        return os.access(falconer_binary(), os.X_OK)
    return os.path.exists(JAR) and shutil.which('java') is not None


def four_letter(address, word, timeout=10.0):
    """The whole answer to a four-letter word; b'' if closed at once."""
    with zkwire.Conn(address, timeout) as c:
        c.send(word if isinstance(word, bytes) else word.encode())
        return c.recv_all()


def wait_until(what, predicate, seconds=15.0, step=0.01):
    """Polls predicate until it is true; fails loudly at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError('not within %gs: %s' % (seconds, what))
        time.sleep(step)


class Server:
    """One server process with its own directory and port.

    conf   extra lines of zoo.cfg, None as value drops a default line
    data   an existing data directory to use instead of a fresh one

    With $FALCONER_MEMBERS=n it is one of n that make an ensemble, and starts
    and ends with its companions: suites that know one server only meet
    several. $FALCONER_CONTACT=i makes it server.i, the one they talk to; with
    "all" clients are told the addresses of all. $FALCONER_LINK_MS makes the
    links between them slow: see slow_links.py.
    """

    def __init__(self, kind, conf=None, data=None, log_dir=None):
        if kind not in ('falconer', 'java'):
            raise ValueError(kind)
        if not available(kind):
            raise ServerError('no %s server here (%s)' % (
                kind, falconer_binary() if kind == 'falconer' else JAR))
        self.kind = kind
        self.home = tempfile.mkdtemp(prefix='interop-%s-' % kind)
        self.data = data or os.path.join(self.home, 'data')
        self.log_dir = log_dir
        self.conf = dict(conf or {})
        self.process = None
        # A server on a port of its own has an address of its own (ports.py).
        self.host = os.environ.get(
            'JAVA_HOST' if kind == 'java' else 'FALCONER_HOST', '127.0.0.1')
        self.port = int(os.environ.get('FALCONER_PORT', 0)) \
            if kind == 'falconer' else 0
        self.port = self.port or free_port()
        self.err_path = os.path.join(self.home, 'stderr')
        os.makedirs(self.data, exist_ok=True)
        count = members()
        self.companions = []
        self.sid = 1    # what its sessions' ids begin with
        if count > 1 and type(self) is Server and data is None:
            self.companions = self.join_ensemble(count)

    def join_ensemble(self, count):
        """Makes this one of so many; returns the others."""
        # A machine that is busy is no dead leader to these suites.
        lines = {'initLimit': 10, 'syncLimit': 5,
                 'falconer.failover.lostMs': 5000}
        ports = [(free_port(), free_port()) for _ in range(count)]
        contact = os.environ.get('FALCONER_CONTACT', 'all')
        own = self.sid = 1 if contact == 'all' else int(contact)
        companions = []
        for sid in range(1, count + 1):
            server = self if sid == own else Companion(self.kind, self.conf)
            server.conf.update(lines)
            server.conf.update(server_lines(ports, sid))
            with open(os.path.join(server.data, 'myid'), 'w') as f:
                f.write('%d\n' % sid)
            if server is not self:
                companions.append(server)
        return companions

    @property
    def address(self):
        return (self.host, self.port)

    @property
    def hosts(self):
        """Where clients connect, as client libraries want it."""
        servers = [self]
        if os.environ.get('FALCONER_CONTACT', 'all') == 'all':
            servers += self.companions
        return ','.join('%s:%d' % (
            '[%s]' % s.host if ':' in s.host else s.host, s.port)
            for s in servers)

    @property
    def is_java(self):
        return self.kind == 'java'

    def write_config(self):
        conf = {
            'dataDir': self.data,
            'clientPort': self.port,
            # Behind a relay the server has an address of its own.
            'clientPortAddress': os.environ.get('FALCONER_BIND', self.host)
            if not self.is_java else self.host,
            'tickTime': 2000,
            'maxClientCnxns': 0,
            'extendedTypesEnabled': 'true',
            '4lw.commands.whitelist': '*',
            'admin.enableServer': 'false',
            'preAllocSize': 1024,
        }
        if self.log_dir:
            conf['dataLogDir'] = self.log_dir
        conf.update(self.conf)
        if not self.is_java:
            # "key=value,key=value": the same suite in another mode.
            # Values with commas go between semicolons.
            text = os.environ.get('FALCONER_CONF', '')
            for item in text.split(';' if ';' in text else ','):
                if item:
                    key, value = item.split('=', 1)
                    conf.setdefault(key, value)
        path = os.path.join(self.home, 'zoo.cfg')
        flags = []
        with open(path, 'w') as f:
            for key, value in conf.items():
                if value is None:
                    continue
                if self.is_java and key in UNPREFIXED:
                    flags.append('-D%s=%s' % (key, value))
                else:
                    f.write('%s=%s\n' % (key, value))
        return path, flags

    def command(self):
        path, flags = self.write_config()
        # The server must not outlive a suite that is killed.
        guard = ['setpriv', '--pdeathsig', 'KILL'] \
            if shutil.which('setpriv') else []
        if self.is_java:
            return (guard + ['java'] + JAVA_FLAGS + flags +
                    ['-cp', JAVA_CLASSPATH,
                     'org.apache.zookeeper.server.quorum.QuorumPeerMain',
                     path])
        return guard + [falconer_binary(), path]

    def spawn(self):
        """Starts the process without waiting for it to serve."""
        assert self.process is None
        with open(self.err_path, 'ab') as err:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=err,
                stderr=err, cwd=self.home)

    def serving(self):
        try:
            answer = four_letter(self.address, 'srvr', 1.0)
        except (OSError, zkwire.Closed):
            return False
        return b'Mode:' in answer

    def start(self, seconds=START_SECONDS):
        """Starts and waits until it serves; returns the seconds it took."""
        began = time.monotonic()
        servers = [self] + self.companions
        for server in servers:
            server.spawn()
        for server in servers:
            server.await_serving(began, seconds)
        return time.monotonic() - began

    def await_serving(self, began, seconds):
        while not self.serving():
            if self.process.poll() is not None:
                code = self.process.returncode
                self.process = None
                lacking = re.search(r'needs .* this server does not have',
                                    self.stderr())
                if lacking:
                    raise Skip(lacking.group(0))
                raise ServerError('%s ended with %d:\n%s' % (
                    self.kind, code, self.stderr()[-2000:]))
            if time.monotonic() - began > seconds:
                self.kill()
                raise ServerError('%s did not serve within %gs:\n%s' % (
                    self.kind, seconds, self.stderr()[-2000:]))
            time.sleep(0.005)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def wait_exit(self, seconds=STOP_SECONDS):
        """Waits for the process to end by itself; its exit code."""
        code = self.process.wait(seconds)
        self.process = None
        return code

    def stop(self):
        """SIGTERM, and the exit code."""
        for companion in self.companions:
            companion.stop()
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.wait_exit()
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError('%s did not end on SIGTERM' % self.kind)

    def kill(self):
        """SIGKILL: the crash of the fault tests."""
        for companion in self.companions:
            companion.kill()
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def stderr(self):
        try:
            with open(self.err_path, errors='replace') as f:
                return f.read()
        except OSError:
            return ''

    def client(self, **kwargs):
        return zkwire.Client(self.address, **kwargs)

    def conn(self, **kwargs):
        return zkwire.Conn(self.address, **kwargs)

    def four_letter(self, word):
        return four_letter(self.address, word)

    def zxid(self):
        """The last applied zxid, as srvr tells it."""
        text = self.four_letter('srvr').decode()
        return int(re.search(r'^Zxid: 0x([0-9a-f]+)$', text, re.M).group(1),
                   16)

    def close(self):
        self.kill()
        for server in [self] + self.companions:
            shutil.rmtree(server.home, ignore_errors=True)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        if exc[0] is not None and self.stderr().strip():
            text = self.stderr().strip().splitlines()[-8:]
            sys.stdout.write('  last words of the server:\n    %s\n'
                             % '\n    '.join(text))
        self.close()


class Companion(Server):
    """A member of the ensemble that another server starts and ends."""


# -- checks -----------------------------------------------------------------

def expect(got, want, what=''):
    """Fails with both values when they differ."""
    if got != want:
        raise AssertionError('%s: got %r, want %r' % (what, got, want)
                             if what else 'got %r, want %r' % (got, want))


def expect_err(reply, code, what=''):
    if reply.err != code:
        raise AssertionError('%s %s: err %d, want %d' % (
            zkwire.OP_NAME.get(reply.op, reply.op), what, reply.err, code))
    return reply


def ok(reply, what=''):
    return expect_err(reply, 0, what)


def expect_closed(conn, what='', timeout=5.0):
    if not conn.is_closed(timeout):
        raise AssertionError('%s: still open or sent bytes %r' % (
            what or 'connection', bytes(conn.inbox[:40])))


class Suite:
    """Named cases and their verdicts."""

    def __init__(self, name):
        self.name = name
        self.cases = []
        self.passed = self.failed = self.skipped = 0
        self.verbose = bool(os.environ.get('INTEROP_VERBOSE'))

    def case(self, title, quick=True):
        def enter(function):
            self.cases.append((title, function, quick))
            return function
        return enter

    def attempt(self, title, function, *args, seconds=CASE_SECONDS):
        """Runs one case; its failure is printed and counted."""
        began = time.monotonic()

        def ring(number, frame):
            raise TookTooLong('not done within %d s' % seconds)
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            function(*args)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Skip as e:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.skipped += 1
            print('SKIPPED %s: %s: %s' % (self.name, title, e), flush=True)
            return False
        except KeyboardInterrupt:
            raise
        except (Exception, TookTooLong) as e:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.failed += 1
            at = traceback.extract_tb(e.__traceback__)
            spot = [f for f in at if os.path.basename(f.filename)
                    not in ('harness.py', 'zkwire.py')] or at
            print('FAILED %s: %s\n    %s: %s (%s:%d)' % (
                self.name, title, type(e).__name__, e,
                os.path.basename(spot[-1].filename), spot[-1].lineno),
                flush=True)
            if self.verbose:
                traceback.print_exc(file=sys.stdout)
            return False
        self.passed += 1
        if self.verbose:
            print('ok %s: %s (%.2fs)' % (
                self.name, title, time.monotonic() - began), flush=True)
        return True

    def skip(self, title, reason):
        """Says loudly that a case is not run."""
        self.skipped += 1
        print('SKIPPED %s: %s: %s' % (self.name, title, reason), flush=True)

    def run(self, options, *args):
        """Runs the selected cases, each with args."""
        for title, function, quick in self.cases:
            if options.quick and not quick:
                continue
            if options.only and not re.search(options.only, title):
                continue
            self.attempt(title, function, *args)

    def finish(self):
        print('%s: %d passed, %d failed%s' % (
            self.name, self.passed, self.failed,
            ', %d skipped' % self.skipped if self.skipped else ''),
            flush=True)
        return 1 if self.failed or not (self.passed or self.skipped) else 0


def options(description, extra=None):
    """The command line every suite shares."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument('--server', choices=('falconer', 'java'),
                   default='falconer', help='the server under test')
    p.add_argument('--quick', action='store_true',
                   help='the short form of the suite')
    p.add_argument('--only', metavar='REGEX', default=None,
                   help='only cases whose title matches')
    if extra:
        extra(p)
    return p.parse_args()

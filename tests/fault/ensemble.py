# SPDX-License-Identifier: Apache-2.0
"""Ensembles of real processes, each Java ZooKeeper or Falconer.

Goal: a scenario names members by number and never knows more about them
than their kind.  A member keeps its data when its kind changes: that is the
rolling replacement.

Method: a `Member` owns a directory, an address of the network and at most
one process; only processes started here are signalled, by their id.  All
waiting is for a state that a four-letter word shows, with a deadline.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), 'interop'))

import harness  # noqa: E402
import zkwire   # noqa: E402

CLIENT_PORT, QUORUM_PORT, ELECTION_PORT = 2181, 2888, 3888
READY_SECONDS = 60
JAVA_FLAGS = ['-Xmx192m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1',
              '-Xshare:auto', '-XX:CICompilerCount=1',
              '-Dorg.slf4j.simpleLogger.defaultLogLevel=info',
              '-Dorg.slf4j.simpleLogger.showDateTime=true',
              '-Djava.net.preferIPv4Stack=true']
CONF = {
    'tickTime': 500,
    'initLimit': 20,
    'syncLimit': 6,
    'maxClientCnxns': 0,
    'maxSessionTimeout': 60000,
    '4lw.commands.whitelist': '*',
    'admin.enableServer': 'false',
    'preAllocSize': 1024,
    'snapCount': 1500,
    # The default back-off of a minute would be all there is to see.
    'fastleader.maxNotificationInterval': 1000,
}
# Java's words, and ours.
MISMATCH = re.compile(r'Digests are not matching|digest mismatch')
# A ZooKeeper that leaves its leader replays its log into its tree while its
# CommitProcessor still applies what was committed: two threads at once, of which
# one compares digests with what the other did. Java says so of itself; these
# are the lines before and behind.
CLOSING = re.compile(r'ZooKeeperServer - shutting down')
CLOSED = re.compile(r'CommitProcessor exited loop')


def told_mismatches(text):
    """(lines of a log that tell of digests that differ, how many others were
    told by a ZooKeeper while it left its leader)."""
    told, excused, is_closing = [], 0, False
    for line in text.splitlines():
        if CLOSING.search(line):
            is_closing = True
        elif CLOSED.search(line):
            is_closing = False
        elif MISMATCH.search(line):
            if is_closing:
                excused += 1
            else:
                told.append(line)
    return told, excused


class Member:
    """One server of the ensemble; ids count from 1."""

    def __init__(self, ensemble, index, kind):
        self.ensemble = ensemble
        self.index = index
        self.sid = index + 1
        self.kind = kind
        self.home = os.path.join(ensemble.home, 's%d' % self.sid)
        self.data = os.path.join(self.home, 'data')
        self.err_path = os.path.join(self.home, 'stderr')
        self.process = None
        self.is_paused = False
        self.may_end = False    # by itself: its disk fails
        self.environment = {}   # of the next start
        self.conf = {}          # lines of zoo.cfg of its own
        self.routes = {}        # sid: where it believes that server to be
        self.starts = 0
        os.makedirs(self.data)

    def __repr__(self):
        return '%s%d' % (self.kind[0], self.sid)

    @property
    def host(self):
        return self.ensemble.network.addresses[self.index]

    @property
    def address(self):
        return (self.host, CLIENT_PORT)

    def write_config(self):
        conf = dict(CONF, dataDir=self.data, clientPort=CLIENT_PORT,
                    clientPortAddress=self.host)
        conf.update(self.ensemble.conf)
        conf.update(self.ensemble.conf_of_kind.get(self.kind, {}))
        conf.update(self.conf)
        path = os.path.join(self.home, 'zoo.cfg')
        flags = []
        with open(path, 'w') as f:
            for key, value in conf.items():
                if self.kind == 'java' and key in harness.UNPREFIXED:
                    flags.append('-D%s=%s' % (key, value))
                else:
                    f.write('%s=%s\n' % (key, value))
            for m in self.ensemble.members:
                role = ':observer' if m.sid in self.ensemble.observers else ''
                f.write('server.%d=%s:%d:%d%s\n' % (
                    m.sid, self.routes.get(m.sid, m.host), QUORUM_PORT,
                    ELECTION_PORT, role))
            if self.sid in self.ensemble.observers:
                f.write('peerType=observer\n')
        with open(os.path.join(self.data, 'myid'), 'w') as f:
            f.write('%d\n' % self.sid)
        return path, flags

    def command(self):
        path, flags = self.write_config()
        if self.kind == 'java':
            program = ['java'] + JAVA_FLAGS + flags + [
                '-cp', harness.JAVA_CLASSPATH,
                'org.apache.zookeeper.server.quorum.QuorumPeerMain', path]
        else:
            program = [harness.falconer_binary(), path]
        guard = ['setpriv', '--pdeathsig', 'KILL'] \
            if shutil.which('setpriv') else []
        return guard + self.ensemble.network.wrap(self.index, program)

    def start(self):
        """Starts the process; it joins when it can."""
        assert self.process is None
        with open(self.err_path, 'ab') as err:
            err.write(b'--- start %d as %s\n' % (self.starts,
                                                 self.kind.encode()))
            err.flush()
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=err,
                stderr=err, cwd=self.home,
                env=dict(os.environ, **self.environment))
        self.starts += 1
        self.is_paused = False

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self, seconds=20):
        """SIGTERM."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
            self.process = None
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError('%r did not end on SIGTERM' % self)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self):
        if self.is_running():
            self.process.send_signal(signal.SIGCONT)
        self.is_paused = False

    def wipe(self):
        """The disk is empty; only while the process is down."""
        assert self.process is None
        shutil.rmtree(self.data)
        os.makedirs(self.data)

    def initialize(self):
        """The operator's word that an empty server may vote."""
        open(os.path.join(self.data, 'initialize'), 'w').close()

    def srvr(self, timeout=1.0):
        """The answer to srvr as text, '' if there is none."""
        if self.is_paused or not self.is_running():
            return ''
        try:
            return harness.four_letter(self.address, 'srvr',
                                       timeout).decode(errors='replace')
        except (OSError, zkwire.Closed):
            return ''

    def mode(self):
        """leader, follower, observer, read-only, standalone or None."""
        found = re.search(r'^Mode: (\S+)', self.srvr(), re.M)
        return found.group(1) if found else None

    def zxid(self):
        found = re.search(r'^Zxid: 0x([0-9a-f]+)', self.srvr(), re.M)
        return int(found.group(1), 16) if found else None

    def stderr(self):
        if not os.path.exists(self.err_path):
            return ''
        with open(self.err_path, errors='replace') as f:
            return f.read()

    def mntr(self, timeout=2.0):
        try:
            text = harness.four_letter(self.address, 'mntr', timeout)
        except (OSError, zkwire.Closed):
            return {}
        return dict(line.split('\t', 1) for line in
                    text.decode(errors='replace').splitlines()
                    if '\t' in line)


class Ensemble:
    """kinds: 'java' or 'falconer' for each member.

    observers   ids of members that are observers
    conf        lines of zoo.cfg for all; conf_of_kind: for one kind
    """

    def __init__(self, network, kinds, observers=(), conf=None,
                 conf_of_kind=None, keep=False):
        self.network = network
        self.home = tempfile.mkdtemp(prefix='fault-')
        self.conf = dict(conf or {})
        self.conf_of_kind = dict(conf_of_kind or {})
        self.observers = set(observers)
        self.keep = keep
        self.members = []
        for i, kind in enumerate(kinds):
            if not harness.available(kind):
                raise harness.Skip('there is no %s server here' % kind)
            self.members.append(Member(self, i, kind))

    def __getitem__(self, sid):
        return self.members[sid - 1]

    @property
    def addresses(self):
        return [m.address for m in self.members]

    def start(self):
        for m in self.members:
            m.start()
        self.wait_serving()

    def check_alive(self):
        """Fails when a process ended that nobody ended."""
        for m in self.members:
            if m.process is not None and not m.may_end and \
                    m.process.poll() is not None:
                raise AssertionError('%r ended with %d:\n%s' % (
                    m, m.process.returncode, m.stderr()[-1500:]))

    def leader(self):
        for m in self.members:
            if m.mode() == 'leader':
                return m
        return None

    def wait_leader(self, seconds=READY_SECONDS):
        return harness.wait_until('a leader', self.leader, seconds, 0.05)

    def wait_serving(self, members=None, seconds=READY_SECONDS):
        """All of these (default: all that run) are leader, follower or
        observer."""
        def ready():
            self.check_alive()
            waiting = [m for m in members or self.members if m.is_running()
                       and m.mode() not in ('leader', 'follower', 'observer')]
            ready.waiting = waiting
            return not waiting
        try:
            harness.wait_until('', ready, seconds, 0.05)
        except AssertionError as e:
            if not str(e).startswith('not within'):
                raise
            raise AssertionError('%r do not serve after %gs:\n%s' % (
                ready.waiting, seconds, '\n'.join(
                    m.stderr()[-1200:] for m in ready.waiting)))

    def heal(self):
        """Network whole, everybody runs."""
        self.network.heal()
        for m in self.members:
            if m.is_paused:
                m.resume()
            if not m.is_running():
                m.process = None
                m.start()

    def mismatches(self):
        """What members say about digests that differ: lines and counters."""
        bad = []
        for m in self.members:
            told, excused = told_mismatches(m.stderr())
            bad += ['%r: %s' % (m, line) for line in told]
            count = m.mntr().get('zk_digest_mismatches_count', '0')
            # Java's log does not repeat itself, so it tells of fewer.
            if m.is_running() and int(count) and (told or not excused):
                bad.append('%r counts %s digest mismatches' % (m, count))
        return bad

    def close(self):
        for m in self.members:
            if m.is_running():
                m.resume()
            m.kill()
        if not self.keep:
            shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if exc[0] is not None:
            self.keep = self.keep or bool(os.environ.get('FAULT_KEEP'))
            for m in self.members:
                words = m.stderr().strip().splitlines()[-6:]
                print('  last words of %r:\n    %s' % (
                    m, '\n    '.join(w[:300] for w in words)))
            if self.keep:
                print('  kept: %s' % self.home)
        self.close()

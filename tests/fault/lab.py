# SPDX-License-Identifier: Apache-2.0
"""Networks for ensembles of real processes.

Goal: give every server an address of its own, and let a test cut, reset or
slow the way from one server to another without touching anything else.

Method: as root each server gets a network namespace with a veth into a
bridge that lies in a namespace of its own; the bench itself has one more
veth there.  Faults are nft rules in the namespace of the receiving server,
by source address, so each direction is a fault of its own.  What nft cannot
do - delay, reordering, duplication, corruption - is done by a switch of our
own in the place of the bridge (link_emulator.c), because kernels without
netem are common.  Without root servers are addresses of 127/8 and there are
no network faults.

Names of namespaces begin with 'falfault' and the process id of the bench;
close() removes them, also those of a bench that was killed.
"""
import os
import random
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), 'interop'))

import harness  # noqa: E402

PREFIX = 'falfault'
TABLE = 'inet falfault'


class NoNamespaces(Exception):
    """Network namespaces cannot be made here; the text says why."""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError('%s: %s' % (' '.join(command), done.stderr.strip()))
    return done.stdout


def remove_leftovers():
    """Namespaces of benches that are gone."""
    if os.geteuid() != 0 or not shutil.which('ip'):
        return
    for line in run('ip', 'netns', 'list').splitlines():
        name = line.split()[0]
        if not name.startswith(PREFIX):
            continue
        pid = name[len(PREFIX):].split('-')[0]
        if not os.path.exists('/proc/' + pid):
            subprocess.run(['ip', 'netns', 'del', name],
                           capture_output=True)


class Loopback:
    """Addresses of 127/8; no network faults."""
    has_faults = has_links = False

    def __init__(self, count):
        rng = random.SystemRandom()
        base = '127.%d.%d.' % (rng.randrange(1, 255), rng.randrange(256))
        self.addresses = [base + str(10 + i) for i in range(count)]

    def wrap(self, index, command):
        return command

    def heal(self):
        pass

    def close(self):
        pass


class Lab:
    """A namespace for each server, and faults between them."""
    has_faults = True
    has_links = False

    def __init__(self, count):
        if os.geteuid() != 0:
            raise NoNamespaces('not root')
        for tool in ('ip', 'nft'):
            if not shutil.which(tool):
                raise NoNamespaces('%s is not installed' % tool)
        remove_leftovers()
        self.name = '%s%d' % (PREFIX, os.getpid())
        self.switch = self.name + '-sw'
        self.spaces = ['%s-%d' % (self.name, i) for i in range(count)]
        self.outside = 'ff%d' % (os.getpid() % 1000000)
        # 198.18/15 is set apart for benches (RFC 2544).
        self.net = '198.18.%d.' % random.SystemRandom().randrange(1, 255)
        self.addresses = [self.net + str(10 + i) for i in range(count)]
        try:
            self.build()
        except (OSError, NoNamespaces) as e:
            self.close()
            raise NoNamespaces(str(e))

    def build(self):
        run('ip', 'netns', 'add', self.switch)
        in_switch = ('ip', '-n', self.switch)
        run(*in_switch, 'link', 'add', 'br0', 'type', 'bridge')
        run(*in_switch, 'link', 'set', 'br0', 'up')
        self.plug(None, 'out', self.outside, self.net + '1')
        for i, space in enumerate(self.spaces):
            self.add_space(space)
            self.plug(space, 'p%d' % i, 'eth0', self.addresses[i])

    def add_space(self, space):
        run('ip', 'netns', 'add', space)
        run('ip', '-n', space, 'link', 'set', 'lo', 'up')
        run('ip', 'netns', 'exec', space, 'nft',
            'add table %s; add chain %s in { type filter hook input '
            'priority 0; }' % (TABLE, TABLE))

    def plug(self, space, port, inside, address):
        """A cable from the bridge's `port` to `inside` of a namespace."""
        inner = ['ip'] + (['-n', space] if space else [])
        peer = ['netns', space] if space else []
        if space:
            run('ip', '-n', self.switch, 'link', 'add', port, 'type', 'veth',
                'peer', 'name', inside, *peer)
        else:
            run('ip', 'link', 'add', inside, 'type', 'veth', 'peer', 'name',
                port, 'netns', self.switch)
        run('ip', '-n', self.switch, 'link', 'set', port, 'master', 'br0',
            'up')
        run(*inner, 'address', 'add', address + '/24', 'dev', inside)
        run(*inner, 'link', 'set', inside, 'up')

    def wrap(self, index, command):
        return ['ip', 'netns', 'exec', self.spaces[index]] + command

    def rule(self, to, text):
        run('ip', 'netns', 'exec', self.spaces[to], 'nft',
            'add rule %s in %s' % (TABLE, text))

    def drop(self, source, to, port=None):
        """Nothing of source arrives at `to`; port: only what concerns it."""
        for what in [''] if port is None else ['tcp dport %d ' % port,
                                               'tcp sport %d ' % port]:
            self.rule(to, 'ip saddr %s %sdrop' % (
                self.addresses[source], what))

    def cut(self, a, b, port=None):
        self.drop(a, b, port)
        self.drop(b, a, port)

    def reset(self, source, to):
        """Every segment of source is answered with a reset."""
        self.rule(to, 'ip saddr %s ip protocol tcp reject with tcp reset' %
                  self.addresses[source])

    def slow(self, source, to, kilobytes):
        """At most so many kbytes a second arrive; the rest is lost."""
        self.rule(to, 'ip saddr %s limit rate over %d kbytes/second drop' % (
            self.addresses[source], kilobytes))

    def lose(self, source, to, percent):
        """Each packet is lost with this probability."""
        self.rule(to, 'ip saddr %s numgen random mod 100 < %d drop' % (
            self.addresses[source], percent))

    def heal(self):
        for space in self.spaces:
            run('ip', 'netns', 'exec', space, 'nft',
                'flush chain %s in' % TABLE)

    def close(self):
        for command in (
                [['ip', 'link', 'del', self.outside]] +
                [['ip', 'netns', 'del', n]
                 for n in self.spaces + [self.switch]]):
            subprocess.run(command, capture_output=True)


class LinkedLab(Lab):
    """A Lab whose switch is link_emulator.c: links() are bad as wanted."""
    has_links = True

    def build(self):
        self.lock = threading.Lock()
        self.emulator = None
        self.bad = set()
        for space in self.spaces:
            self.add_space(space)
        self.start_emulator()
        for space, address in zip(
                self.spaces + [None],
                self.addresses + [self.net + '1']):
            inner = ['ip'] + (['-n', space] if space else [])
            device = 'eth0' if space else self.outside
            # No frames but those of the test.
            run(*inner, 'link', 'set', device, 'addrgenmode', 'none')
            run(*inner, 'address', 'add', address + '/24', 'dev', device)
            run(*inner, 'link', 'set', device, 'up')

    def start_emulator(self):
        program = os.path.join(os.path.dirname(harness.falconer_binary()),
                               'tests', 'fault', 'link_emulator')
        if not os.access(program, os.X_OK):
            raise NoNamespaces('tests/fault/link_emulator is not built')
        ports = ['eth0@' + space for space in self.spaces] + [self.outside]
        guard = ['setpriv', '--pdeathsig', 'KILL'] \
            if shutil.which('setpriv') else []
        self.emulator = subprocess.Popen(
            guard + [program] + ports, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        if self.emulator.stdout.readline() != 'ok\n':
            raise NoNamespaces('link_emulator does not start')

    def ask(self, line):
        with self.lock:
            self.emulator.stdin.write(line + '\n')
            self.emulator.stdin.flush()
            return self.emulator.stdout.readline().strip()

    def link(self, a, b, **spec):
        """Makes the link of two addresses, by index, what spec says, both
        ways: delay_us, loss, corruption, duplication, reorder (thousandths),
        reorder_us, rate_mbit, queue_bytes, seed."""
        told = self.ask('%d %d %s' % (a, b, ' '.join(
            '%s=%d' % item for item in spec.items())))
        if told != 'ok':
            raise AssertionError('link %d-%d: %s' % (a, b, told))
        (self.bad.add if spec else self.bad.discard)((a, b))

    def counts(self):
        """{what happened to frames: how often} since the start."""
        return {key: int(number) for key, number in (
            word.split('=') for word in self.ask('count').split())}

    def heal(self):
        super().heal()
        for a, b in list(self.bad):
            self.link(a, b)

    def close(self):
        if self.emulator is not None:
            self.emulator.kill()
            self.emulator.wait()
        super().close()


def network(count, want_faults=True, want_links=False):
    """The best there is: (network, why it has not what is wanted or
    None)."""
    why = None
    for kind in [LinkedLab] * want_links + [Lab] * want_faults:
        try:
            return kind(count), why
        except NoNamespaces as e:
            why = str(e)
    return Loopback(count), why

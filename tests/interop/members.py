# SPDX-License-Identifier: Apache-2.0
"""Ensembles of server processes, each member Falconer or Java ZooKeeper.

Goal: a suite says which kinds stand where, and asks who leads, whether all
hold the same data, and for clients of single members.

Method: members are harness.Server objects with server lines and a myid of
their own; ports are free ones found first.  Nothing waits for luck: every
wait has a condition and a deadline.
"""
import os
import re

import harness
import zkwire
from harness import wait_until

SERVER_SECONDS = 30


class Member(harness.Server):
    """One server of an ensemble."""

    def __init__(self, kind, sid, lines, conf=None):
        settings = {'tickTime': 500, 'initLimit': 20, 'syncLimit': 6,
                    'maxSessionTimeout': 40000,
                    # A busy machine must not look like a dead server.
                    'falconer.failover.beaconMs': 100,
                    'falconer.failover.lostMs': 2000}
        settings.update(lines)
        settings.update(conf or {})
        super().__init__(kind, settings)
        self.sid = sid
        self.written = None
        with open(os.path.join(self.data, 'myid'), 'w') as f:
            f.write('%d\n' % sid)

    def write_config(self):
        """A server that may rewrite its file finds it again."""
        if self.conf.get('reconfigEnabled') != 'true':
            return super().write_config()
        if self.written is None:
            self.written = super().write_config()
        return self.written

    def mode(self):
        """leader, follower, ..., or None when it does not serve."""
        if not self.alive():
            return None
        try:
            text = harness.four_letter(self.address, 'srvr', 2.0).decode()
        except (OSError, zkwire.Closed):
            return None
        found = re.search(r'^Mode: (\S+)$', text, re.M)
        return found.group(1) if found else None

    def wait_serving(self, seconds=SERVER_SECONDS):
        def check():
            if not self.alive():
                raise harness.ServerError('server %d ended:\n%s' % (
                    self.sid, self.stderr()[-3000:]))
            return self.mode()
        return wait_until('server %d (%s) serves' % (self.sid, self.kind),
                          check, seconds)


class Ensemble:
    """Members 1..n of the given kinds; none is started yet."""

    def __init__(self, kinds, conf=None, observers=(), first=0,
                 with_clients=False):
        """first: so many are in the server lines, the others join later
        with_clients: the lines name the client ports, as reconfig wants"""
        ports = [(harness.free_port(), harness.free_port()) for _ in kinds]
        lines = {}
        for i, (quorum, election) in enumerate(ports):
            lines['server.%d' % (i + 1)] = '127.0.0.1:%d:%d:%s' % (
                quorum, election,
                'observer' if i + 1 in observers else 'participant')
        self.ports = ports
        self.members = []
        for i, kind in enumerate(kinds):
            own = {key: value for key, value in lines.items()
                   if not first or int(key[7:]) <= first or
                   int(key[7:]) == i + 1}
            member = Member(kind, i + 1, own, conf)
            self.members.append(member)
        if with_clients:
            self.name_client_ports(first)
        for member in self.members:
            if member.sid in observers:
                member.conf['peerType'] = 'observer'

    def name_client_ports(self, first):
        for member in self.members:
            for key in [k for k in member.conf if k.startswith('server.')]:
                member.conf[key] += ';127.0.0.1:%d' % self[int(key[7:])].port
            # The server line says it.
            member.conf['clientPort'] = None
            member.conf['clientPortAddress'] = None
            if first and member.sid > first:
                own = 'server.%d' % member.sid
                member.conf[own] = member.conf[own].replace(
                    ':participant', ':observer')

    def line(self, sid, role='participant'):
        """The server line that a reconfig names."""
        return 'server.%d=127.0.0.1:%d:%d:%s;127.0.0.1:%d' % (
            (sid,) + self.ports[sid - 1] + (role, self[sid].port))

    def __getitem__(self, sid):
        return self.members[sid - 1]

    def start(self, *sids):
        """Starts these (default: all) and waits until they serve."""
        chosen = [self[s] for s in sids] or self.members
        for member in chosen:
            member.spawn()
        for member in chosen:
            member.wait_serving()

    def running(self):
        return [m for m in self.members if m.alive()]

    def leader(self, seconds=SERVER_SECONDS):
        """Waits until exactly one running member leads; that one."""
        def check():
            found = [m for m in self.running() if m.mode() == 'leader']
            return found[0] if len(found) == 1 else None
        return wait_until('one leader', check, seconds)

    def settle(self, seconds=SERVER_SECONDS):
        """Waits until all running members serve under one leader."""
        leader = self.leader(seconds)
        for member in self.running():
            member.wait_serving(seconds)
        return leader

    def same_data(self, seconds=20):
        """All running members hold equal trees; returns how many nodes."""
        dumps = []
        for member in self.running():
            with member.client() as c:
                harness.ok(c.sync('/'))
                dumps.append((member, dump(c)))
        first, want = dumps[0]
        for member, got in dumps[1:]:
            for path in sorted(set(want) | set(got)):
                if want.get(path) != got.get(path):
                    raise AssertionError(
                        '%s: server %d (%s) has %r, server %d (%s) %r' % (
                            path, first.sid, first.kind, want.get(path),
                            member.sid, member.kind, got.get(path)))
        return len(want)

    def mismatches(self):
        """Digest mismatches that any running member counted."""
        total = 0
        for member in self.running():
            text = member.four_letter('mntr').decode()
            for value in re.findall(
                    r'^zk_digest_mismatches_count\t(\d+)', text, re.M):
                total += int(value)
        return total

    def close(self):
        for member in self.members:
            member.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if exc[0] is not None:
            for member in self.members:
                words = member.stderr().strip().splitlines()[-12:]
                print('  last words of server %d (%s):\n    %s' % (
                    member.sid, member.kind, '\n    '.join(words)))
        self.close()


def dump(client, path='/'):
    """path -> (data, Stat) of everything but /zookeeper/config."""
    found = {}
    stack = [path]
    while stack:
        at = stack.pop()
        if at == '/zookeeper/config':
            continue
        reply = client.get(at)
        if reply.err:
            continue
        children = harness.ok(client.children(at))
        found[at] = (reply.value, tuple(sorted(children.value)))
        for name in children.value:
            stack.append(at.rstrip('/') + '/' + name)
    return found

# SPDX-License-Identifier: Apache-2.0
"""Rows of the ensemble test matrix that need processes, story by story.

Goal: what the scripts of the core (tests/script) cannot show, because it
needs clients, clocks, disks, sockets or a Java server beside.

Method: as scenarios.py, whose frame this is.  A name begins with the number
of its row; docs/matrix.md lists them all.
"""
import glob
import os
import random
import socket
import struct
import sys
import threading
import time

import clock_shim
import disk_shim
import ensemble
import harness
import scenarios
import zkwire
from scenarios import (all_falconers, expect_equal, has, names, patiently,
                       start, write)
from voyager import SessionGone, Stopped, Unanswered, Voyager

MIXES = (('falconer', 'falconer', 'falconer'),
         ('falconer', 'java', 'falconer'))
CASES = []
HOUR = 3600


def case(**needs):
    return scenarios.case(cases=CASES, **needs)


def has_java(kinds):
    return 'java' in kinds


class Writer(threading.Thread):
    """One client that creates /PREFIX0, /PREFIX1, ... whatever happens."""

    def __init__(self, group, prefix='w', members=None, timeout_ms=20000):
        super().__init__(daemon=True)
        self.prefix = prefix
        self.stop = threading.Event()
        self.acked = []
        self.failed = None
        self.sessions_lost = 0
        self.voyager = Voyager(
            [m.address for m in members or group.members],
            random.Random(len(prefix)), self.stop, timeout_ms)
        self.start()

    def run(self):
        number = 0
        while not self.stop.is_set():
            path = '/%s%d' % (self.prefix, number)
            number += 1
            try:
                reply = self.voyager.call(zkwire.CREATE, path, b'x')
                if reply.err == 0:
                    self.acked.append(path)
                elif reply.err != zkwire.NODEEXISTS:
                    self.failed = 'error %d' % reply.err
                    return
            except Unanswered:
                continue
            except SessionGone:
                self.sessions_lost += 1
                self.voyager.session = 0
                self.voyager.password = b'\0' * 16
            except Stopped:
                return

    def progress(self, count=10, seconds=60):
        want = len(self.acked) + count
        harness.wait_until('%d writes' % count, lambda: self.failed or
                           len(self.acked) >= want, seconds, 0.01)
        harness.expect(self.failed, None)

    def end(self, group):
        """Everything acknowledged is there; the tree."""
        self.stop.set()
        self.join(30)
        tree = expect_equal(group)
        harness.expect([p for p in self.acked if p not in tree], [], 'lost')
        return tree


def children(member, prefix):
    """Of the root, after a sync."""
    def ask(_):
        with zkwire.Client(member.address, 20000, timeout=20) as c:
            c.sync('/')
            found = c.children('/').value
            c.close()
            return [n for n in found if n.startswith(prefix)]
    return patiently(ask)


def follower_of(group):
    leader = group.wait_leader()
    return next(m for m in group.members if m != leader)


def newest(member, prefix):
    return max(glob.glob(os.path.join(member.data, 'version-2',
                                      prefix + '.*')),
               key=lambda path: int(path.rsplit('.', 1)[1], 16))


def flip(path, share):
    """One bit of a file, at a share of what is not zero."""
    with open(path, 'rb') as f:
        used = len(f.read().rstrip(b'\0'))
    with open(path, 'r+b') as f:
        f.seek(int(used * share))
        byte = f.read(1)[0]
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte ^ 4]))


def slow_to(group, member, **spec):
    """The member's links to all other servers."""
    for m in group.members:
        if m != member:
            group.network.link(m.index, member.index, **spec)


@case(links=True, only=all_falconers, start_conf={'jute.maxbuffer': 4 << 20})
def row_13_14_the_leader_dies_in_a_snapshot(group):
    """The follower has a tree of its own, of which nothing is left when half
    of another one has come; it goes on with what its disk holds."""
    group.start()
    write(group[1], names('a', 20))
    follower = follower_of(group)
    follower.kill()
    follower.wipe()
    for piece in range(8):
        write(group.wait_leader(), names('big%d-' % piece, 8),
              b'x' * 100000)
    slow_to(group, follower, rate_mbit=8, queue_bytes=1 << 20)
    follower.start()
    time.sleep(3)               # of the six or seven that the tree takes
    harness.expect(follower.mode() in ('leader', 'follower'), False,
                   'has half of a snapshot')
    leader = group.wait_leader()
    leader.kill()
    group.network.heal()
    # One that has everything and one that has a half: no quorum without a
    # third, unless the half is thrown away and the whole comes from the one.
    leader.start()
    group.wait_serving()
    harness.expect(len(expect_equal(group)), 1 + 20 + 64, 'nodes')


@case(only=all_falconers)
def row_35_36_a_damaged_log_and_a_damaged_snapshot(group):
    """Each of one server; neither harms the others, nor is served."""
    group.start()
    for piece in range(5):
        write(group[1], names('a%d-' % piece, 500))
    for prefix in ('log', 'snapshot'):
        victim = follower_of(group)
        victim.kill()
        flip(newest(victim, prefix), 0.5)
        write(group.wait_leader(), names('while-%s' % prefix, 10))
        victim.may_end = True
        victim.start()
        harness.wait_until('serves again', lambda: victim.mode() in (
            'leader', 'follower') or not victim.is_running(), 60, 0.05)
        if not victim.is_running():
            # It named the file; the operator empties the server.
            harness.expect('snapshot' in victim.stderr() or
                           'log' in victim.stderr(), True)
            victim.process = None
            victim.wipe()
            start(group, victim.sid)
        victim.may_end = False
        harness.expect(len(expect_equal(group)) > 2500, True)


@case()
def row_41_a_follower_whose_disk_takes_two_seconds(group):
    """The others commit; then it is as good as before."""
    disks = [disk_shim.Disk(m) for m in group.members]
    group.conf['falconer.log.io'] = 'thread'
    group.start()
    leader, slow = group.wait_leader(), follower_of(group)
    writer = Writer(group, members=[leader])
    writer.progress()
    disks[slow.index].slow(2000)
    end = time.monotonic() + 8
    while time.monotonic() < end:
        writer.progress(1)
    disks[slow.index].heal()
    writer.progress()
    group.wait_serving()
    writer.end(group)


class CuttingRelay(threading.Thread):
    """Between a follower and its leader's quorum port; resets a connection
    when so many bytes have come from the leader."""

    def __init__(self, host, target):
        super().__init__(daemon=True)
        self.target = target
        self.limit = None       # None: no more cuts
        self.cuts = 0
        self.listeners = []
        for port in (ensemble.QUORUM_PORT, ensemble.ELECTION_PORT):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((host, port))
            s.listen(64)
            self.listeners.append(s)
            threading.Thread(target=self.accept, args=(s, port),
                             daemon=True).start()

    def accept(self, listener, port):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection((self.target, port), 5)
            except OSError:
                near.close()
                continue
            limit = self.limit if port == ensemble.QUORUM_PORT else None
            for a, b, n in ((near, far, None), (far, near, limit)):
                threading.Thread(target=self.pump, args=(a, b, n),
                                 daemon=True).start()

    def pump(self, a, b, limit):
        left = limit
        try:
            while left is None or left > 0:
                data = a.recv(min(left or 65536, 65536))
                if not data:
                    break
                b.sendall(data)
                if left is not None:
                    left -= len(data)
            else:
                self.cuts += 1
                for s in (a, b):
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack('ii', 1, 0))
        except OSError:
            pass
        # Wakes the other direction, too.
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def close(self):
        for s in self.listeners:
            s.close()


def cut_and_join(group, follower, relay, limit):
    """The stream to the follower ends after so many bytes, twice; then it is
    let through."""
    relay.limit, relay.cuts = limit, 0
    follower.start()
    harness.wait_until('two cuts', lambda: relay.cuts >= 2 or
                       follower.mode() == 'follower', 60, 0.005)
    relay.limit = None
    group.wait_serving([follower])


@case(seconds=7200)
def row_48_the_stream_ends_after_any_number_of_bytes(group):
    """First an empty follower, whom a SNAP brings up to date, then one that
    lacks little.  ROW_48_STEP=1 takes every byte."""
    step = int(os.environ.get('ROW_48_STEP', 0))
    stranger = group.network.addresses[3]
    follower, leader = group[1], group[3]
    follower.routes = {3: stranger}
    start(group, 2, 3)
    harness.expect(group.wait_leader(), leader)
    write(leader, names('a', 30))
    relay = CuttingRelay(stranger, leader.host)
    try:
        for number, limit in enumerate(
                range(1, 3000, step) if step else
                (1, 23, 24, 60, 61, 97, 150, 400, 1000, 2000)):
            follower.kill()
            if number % 2 == 0:
                follower.wipe()
            write(leader, ['/b%d' % number])
            cut_and_join(group, follower, relay, limit)
            harness.expect(has(follower, '/b%d' % number), True)
        expect_equal(group)
    finally:
        relay.close()


@case(members=5, only=all_falconers)
def row_54_any_two_of_five_die_under_load(group):
    group.start()
    writer = Writer(group)
    for a in range(5):
        for b in range(a):
            writer.progress()
            group.members[a].kill()
            group.members[b].kill()
            writer.progress()
            group.members[a].start()
            group.members[b].start()
            group.wait_serving()
    writer.end(group)
    harness.expect(writer.sessions_lost, 0, 'sessions lost')


@case()
def row_56_clocks_jump_by_an_hour(group):
    """Sessions live by the other clock; only times in transactions jump."""
    clocks = [clock_shim.Clock(m) for m in group.members]
    group.start()
    writer = Writer(group, timeout_ms=6000)
    writer.progress()
    for clock in clocks:
        for seconds in (HOUR, -HOUR, -HOUR, HOUR):
            clock.jump(seconds)
            writer.progress(5)
    leader = group.wait_leader()
    harness.expect(clocks[leader.index].reads() > 0, True, 'reads of a clock')
    clocks[leader.index].jump(HOUR)
    write(leader, ['/later'])
    group.check_alive()
    tree = writer.end(group)
    ahead = tree['/later'].ctime / 1000 - time.time()
    harness.expect(HOUR / 2 < ahead < 2 * HOUR, True, ahead)
    harness.expect(writer.sessions_lost, 0, 'sessions lost')


@case()
def row_57_a_session_moves_while_the_leader_changes(group):
    group.start()
    stop = threading.Event()
    v = Voyager(group.addresses, random.Random(7), stop, 30000)
    harness.ok(v.call(zkwire.CREATE, '/mine', b'', zkwire.OPEN, 1))
    for turn in range(4):
        leader = group.wait_leader()
        old = v.client          # stays open at the server before
        v.client = None
        leader.kill()
        done = 0
        while done < 3:
            try:
                reply = v.call(zkwire.CREATE, '/s%d-%d' % (turn, done), b'')
                harness.expect(reply.err in (0, zkwire.NODEEXISTS), True)
                done += 1
            except Unanswered:
                pass
        # A write through the connection of before may not take place.
        try:
            old.timeout = 3
            reply = old.create('/stale%d' % turn)
            harness.expect(reply.err in (-118, zkwire.SESSIONEXPIRED), True,
                           'err %d' % reply.err)
        except (OSError, zkwire.Closed):
            pass
        old.abort()
        start(group, leader.sid)
    tree = expect_equal(group)
    harness.expect(tree['/mine'].owner, v.session, 'owner')
    harness.expect([p for p in tree if p.startswith('/stale')], [])


@case()
def row_58_sessions_expire_while_the_leader_changes(group):
    """Their ephemerals go once, those of others stay."""
    group.start()
    with zkwire.Client(group[1].address, 30000, timeout=30) as alive:
        harness.ok(alive.create('/alive', b'', flags=1))
    dead = []
    for number in range(12):
        member = group.members[number % 3]
        c = zkwire.Client(member.address, 2000 + number * 100, timeout=20)
        harness.ok(c.create('/dying%d' % number, b'', flags=1))
        dead.append(c)
    for c in dead:
        c.abort()
    time.sleep(2)
    leader = group.wait_leader()
    leader.kill()
    others = [m for m in group.members if m != leader]
    group.wait_serving(others)
    counts = []

    def gone():
        left = children(others[0], 'dying')
        counts.append(len(left))
        return not left
    harness.wait_until('they expire', gone, 40, 0.1)
    harness.expect(counts, sorted(counts, reverse=True), 'came back')
    start(group, leader.sid)
    v = Voyager(group.addresses, random.Random(3), threading.Event(), 30000,
                alive.session, alive.password)
    reply = v.call(zkwire.EXISTS, '/alive')
    harness.expect(reply.value.ephemeralOwner, alive.session)
    expect_equal(group)


@case()
def row_59_a_session_closes_with_creates_in_flight(group):
    """By its own connection, and by another one it has moved to."""
    group.start()
    for turn in range(6):
        member = group.members[turn % 3]
        c = zkwire.Client(member.address, 10000, timeout=20)
        for i in range(40):
            c.post(zkwire.CREATE, '/e%d-%d' % (turn, i), b'', zkwire.OPEN, 1)
        if turn < 3:
            c.post(zkwire.CLOSESESSION)
        else:
            other = zkwire.Client(group.members[(turn + 1) % 3].address,
                                  10000, c.session, c.password, timeout=20)
            other.close()
        try:
            c.drain()
        except (OSError, zkwire.Closed):
            pass
        c.abort()
    # A connection that an election broke has not closed its session.
    harness.wait_until('nothing left behind', lambda: not children(
        group[1], 'e'), 30, 0.1)
    expect_equal(group)


@case(only=all_falconers, start_conf={
    'localSessionsEnabled': 'true', 'localSessionsUpgradingEnabled': 'true'})
def row_60_local_sessions_upgrade_while_the_leader_changes(group):
    """Afterwards a session is known everywhere or nowhere."""
    group.start()
    for turn in range(4):
        leader = group.wait_leader()
        clients = [zkwire.Client(m.address, 4000, timeout=8)
                   for m in group.members for _ in range(4)]
        for i, c in enumerate(clients):
            c.post(zkwire.CREATE, '/up%d-%d' % (turn, i), b'', zkwire.OPEN, 1)
        time.sleep(0.002 * turn)
        leader.kill()
        acked = []
        for i, c in enumerate(clients):
            try:
                if c.drain()[-1].err == 0:
                    acked.append('/up%d-%d' % (turn, i))
            except (OSError, zkwire.Closed):
                pass
            c.abort()
        start(group, leader.sid)
        harness.wait_until('sessions end everywhere', lambda: not children(
            group[1], 'up'), 40, 0.1)
        expect_equal(group)


@case(only=has_java)
def row_76_checks_and_create2_beside_java(group):
    """What 3.8.0 cannot apply does not reach it."""
    group.start()
    for m in group.members:
        with zkwire.Client(m.address, 20000, timeout=20) as c:
            harness.ok(c.multi((zkwire.CREATE2, zkwire.w_create(
                '/c2-%d' % m.sid))))
            harness.ok(c.create2('/plain-%d' % m.sid))
            try:
                reply = c.call_raw(zkwire.CHECK, zkwire.w_path_version(
                    '/plain-%d' % m.sid, 7))
                harness.expect(reply.err != 0, True, 'a bare check')
            except (OSError, zkwire.Closed):
                pass            # its connection is all that ends
        write(m, ['/after-%d' % m.sid])
    tree = expect_equal(group)
    for m in group.members:
        for name in ('/c2-%d', '/plain-%d', '/after-%d'):
            harness.expect(name % m.sid in tree, True, name)


@case()
def row_77_78_members_that_differ_in_digests_and_closings(group):
    """digest.enabled, and closeSessionTxn.enabled."""
    group[1].conf = {'digest.enabled': 'false',
                     'closeSessionTxn.enabled': 'true'}
    group[2].conf = {'digest.enabled': 'true',
                     'closeSessionTxn.enabled': 'false'}
    group.start()
    for turn in range(3):
        leader = group.wait_leader()
        for m in group.members:
            def work(attempt):
                with zkwire.Client(m.address, 4000, timeout=20) as c:
                    harness.ok(c.create('/e%d-%d-%d' % (
                        turn, m.sid, attempt), b'', flags=1))
                    c.close()
            patiently(work)
            write(m, ['/n%d-%d' % (turn, m.sid)])
        leader.kill()
        group.wait_leader()
        start(group, leader.sid)
    harness.wait_until('sessions end', lambda: not children(
        group[1], 'e'), 20, 0.1)
    tree = expect_equal(group)
    harness.expect(len([p for p in tree if p.startswith('/n')]), 9)


@case(start_conf={'snapCount': 100})
def row_81_snapshots_beside_writes_and_then_a_crash(group):
    """Each snapshot is a mixture that its log makes whole."""
    group.start()
    writers = [Writer(group, 'w%s' % ('x' * i)) for i in range(4)]
    for _ in range(3):
        writers[0].progress(150)
        for m in group.members:
            m.kill()
        for m in group.members:
            m.start()
        group.wait_serving()
    writers[0].progress()
    for w in writers:
        w.stop.set()
    for w in writers:
        w.end(group)


@case(links=True, only=all_falconers, start_conf={'jute.maxbuffer': 4 << 20})
def row_82_a_snapshot_that_takes_longer_than_the_limit(group):
    """initLimit is 20 ticks of half a second; the leader goes on meanwhile,
    and the follower comes when its link is good again."""
    group.conf['initLimit'] = 4
    group.start()
    follower = follower_of(group)
    follower.kill()
    follower.wipe()
    leader = group.wait_leader()
    for piece in range(8):
        write(leader, names('big%d-' % piece, 8), b'x' * 100000)
    slow_to(group, follower, rate_mbit=4, queue_bytes=1 << 20)
    follower.start()
    writer = Writer(group, members=[m for m in group.members
                                    if m != follower])
    end = time.monotonic() + 8
    while time.monotonic() < end:
        writer.progress(5)
    group.network.heal()
    group.wait_serving()
    writer.end(group)


@case(start_conf={'jute.maxbuffer': 4 << 20})
def row_83_large_proposals(group):
    """1 MB - 1 B each; one who missed them gets them by DIFF."""
    group.start()
    group[1].kill()
    group.wait_serving([group[2], group[3]])
    data = b'x' * ((1 << 20) - 1)
    for piece in range(4):
        write(group[2], names('big%d-' % piece, 5), data)
    start(group, 1)
    tree = expect_equal(group)
    harness.expect(sum(len(n.data) for n in tree.values()), 20 * len(data))


def large_writes(group, rounds):
    """A client of each server, all at once, a megabyte a write."""
    data = b'x' * ((1 << 20) - 1)
    clients = [threading.Thread(target=write, args=(
        m, names('large%d-' % m.sid, rounds), data)) for m in group.members]
    for c in clients:
        c.start()
    return clients


@case(links=True, only=all_falconers, start_conf={
    'jute.maxbuffer': 4 << 20, 'falconer.failover.lostMs': 500,
    'syncLimit': 60})
def row_83_a_leader_behind_megabytes_stays(group):
    """A second of a link for each write: no word of the leader's and no echo
    of its followers' comes in between, only bytes.  Limits are longer than by
    default, so that it is not the bench's own lack of CPU that is seen, nor
    that proposals queue for longer than syncLimit."""
    group.start()
    leader, epoch = group.leader(), group[1].zxid() >> 32
    for a, b in ((0, 1), (0, 2), (1, 2)):
        group.network.link(a, b, rate_mbit=8, queue_bytes=4 << 20)
    for c in large_writes(group, 3):
        c.join()
    group.network.heal()
    tree = expect_equal(group)
    harness.expect(sum(len(n.data) for n in tree.values()),
                   9 * ((1 << 20) - 1))
    harness.expect(group.leader(), leader)
    harness.expect(group[1].zxid() >> 32, epoch, 'epoch')


@case(members=9, only=all_falconers)
def row_84_nine_are_restarted_at_once(group):
    group.start()
    write(group[1], names('a', 20))
    for turn in range(3):
        for m in group.members:
            m.kill()
        for m in group.members:
            m.start()
        group.wait_serving()
        harness.expect(sum(m.mode() == 'leader' for m in group.members), 1)
        write(group[turn + 1], names('b%d-' % turn, 5))
    harness.expect(len(expect_equal(group)), 36, 'nodes')


def main():
    return scenarios.run_suite('rows', CASES, MIXES, __doc__.splitlines()[0])


if __name__ == '__main__':
    sys.exit(main())

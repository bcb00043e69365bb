# SPDX-License-Identifier: Apache-2.0
"""Single stories of an ensemble, for each mix of Java and Falconer.

Goal: every way to join (SNAP, DIFF, TRUNC, SNAP over a tail), every role at
either kind, emptied disks, strangers at the ports of servers: known ends.

Method: the members' kinds are the parameter; roles are forced by the order
of starts (the largest sid of those that start with equal data leads).  A
case builds its ensemble in a network of its own and ends with the trees of
all servers being equal and nobody having counted a digest mismatch.
"""
import random
import re
import socket
import sys
import threading
import time

import ensemble
import harness
import history
import lab
import workload
import zkwire
from voyager import Voyager

MIXES = (
    ('falconer', 'falconer', 'falconer'),
    ('java', 'java', 'falconer'),       # the Falconer leads
    ('falconer', 'java', 'java'),       # it follows
    ('falconer', 'java', 'falconer'),
    ('java', 'falconer', 'java'),
)
CASES = []


def all_falconers(kinds):
    return 'java' not in kinds


def case(network=False, observer=False, only=None, links=False, cases=CASES,
         members=0, start_conf=None, seconds=240):
    """only: a predicate over the kinds; links: bad ones are wanted; cases: of
    which suite; members: so many of the first kind; start_conf: lines of
    zoo.cfg; seconds: it hangs if it takes longer."""
    def enter(function):
        cases.append((function, only, seconds, {
            'needs_network': network, 'needs_links': links,
            'observer': observer, 'count': members, 'conf': start_conf}))
        return function
    return enter


BROKEN = (OSError, zkwire.Closed, zkwire.Refused)


def patiently(ask, seconds=60):
    """ask(attempt) until no connection breaks: a machine that is busy with
    other things may elect at any time, which is not what is told here."""
    deadline = time.monotonic() + seconds
    attempt = 0
    while True:
        try:
            return ask(attempt)
        except BROKEN:
            if time.monotonic() > deadline:
                raise
            attempt += 1
            time.sleep(0.1)


def write(member, names, data=b'x'):
    """Creates nodes by one client of that member."""
    left = list(names)

    def ask(attempt):
        with zkwire.Client(member.address, 20000, timeout=20) as c:
            for name in left:
                c.post(zkwire.CREATE, name, data)
            while left:
                reply = c.take()
                if not attempt or reply.err != zkwire.NODEEXISTS:
                    harness.ok(reply)
                left.pop(0)
            c.close()
    patiently(ask)


def names(prefix, count):
    return ['/%s%d' % (prefix, i) for i in range(count)]


def has(member, path):
    def ask(_):
        with zkwire.Client(member.address, 20000, timeout=20) as c:
            c.sync('/')
            found = c.exists(path).err == 0
            c.close()
            return found
    return patiently(ask)


def expect_equal(group):
    """All servers hold the same within a moment, and say so themselves."""
    group.wait_serving()
    deadline = time.monotonic() + 30
    while True:
        trees = patiently(lambda _: {
            repr(m): workload.read_tree(m.address)
            for m in group.members if m.is_running()})
        bad = history.check_equal(trees)
        if not bad:
            break
        if time.monotonic() > deadline:
            raise AssertionError('trees differ: %s' % bad[:5])
        time.sleep(0.2)
    harness.expect(group.mismatches(), [], 'digest mismatches')
    return next(iter(trees.values()))


def start(group, *sids):
    for sid in sids:
        group[sid].start()
    group.wait_serving([group[sid] for sid in sids])


@case()
def two_of_three_start_and_the_third_joins_by_snap(group):
    start(group, 1, 2)
    harness.expect(group[2].mode(), 'leader')
    write(group[1], names('a', 50))
    start(group, 3)
    harness.expect(group[3].mode(), 'follower')
    write(group[3], names('b', 50))
    harness.expect(len(expect_equal(group)), 101, 'nodes')


@case()
def everyone_forwards_every_kind_of_write(group):
    group.start()
    for m in group.members:
        write(m, names('w%d-' % m.sid, 30))
        with zkwire.Client(m.address, 20000, timeout=20) as c:
            harness.ok(c.set('/w%d-0' % m.sid, b'new'))
            harness.ok(c.multi(
                (zkwire.CREATE, zkwire.w_create('/m%dx' % m.sid)),
                (zkwire.CREATE, zkwire.w_create('/m%dy' % m.sid))))
            harness.ok(c.create('/q%d-' % m.sid, b'', flags=2))
            harness.ok(c.delete('/w%d-1' % m.sid))
            c.create('/e%d' % m.sid, b'', flags=1)
            c.close()
    tree = expect_equal(group)
    harness.expect([p for p in tree if p.startswith('/e')], [],
                   'ephemerals of closed sessions')


@case()
def a_follower_that_missed_little_joins_by_diff(group):
    group.start()
    write(group[1], names('a', 10))
    group[1].kill()
    write(group[2], names('b', 40))
    start(group, 1)
    write(group[1], names('c', 10))
    harness.expect(len(expect_equal(group)), 61, 'nodes')


@case()
def a_follower_that_missed_much_joins(group):
    group.start()
    write(group[1], names('a', 10))
    group[1].kill()
    # More than the committed log and several snapshots.
    for piece in range(8):
        write(group[2], names('b%d-' % piece, 500))
    start(group, 1)
    harness.expect(len(expect_equal(group)), 4011, 'nodes')


@case()
def the_leader_dies_and_comes_back(group):
    group.start()
    write(group[1], names('a', 20))
    for turn in range(2):
        leader = group.wait_leader()
        leader.kill()
        group.wait_leader()
        others = [m for m in group.members if m != leader]
        group.wait_serving(others)
        write(others[0], names('b%d-' % turn, 20))
        start(group, leader.sid)
    expect_equal(group)


def leave_a_tail(group):
    """The leader logs what nobody else hears of, and is killed; the others
    lead on.  Returns (the old leader, another)."""
    leader = group.wait_leader()
    others = [m for m in group.members if m != leader]
    with zkwire.Client(leader.address, 20000, timeout=20) as c:
        for m in others:
            group.network.cut(leader.index, m.index)
        for name in names('lost', 3):
            c.post(zkwire.CREATE, name, b'x')
        time.sleep(0.3)
        leader.kill()
    # Its kernel still offers what it had queued; that must arrive nowhere.
    group.wait_leader()
    group.wait_serving(others)
    group.network.heal()
    return leader, others[0]


def no_tail(group):
    tree = expect_equal(group)
    lost = [p for p in tree if p.startswith('/lost')]
    harness.expect(lost, [], 'never acknowledged, overruled, still there')


@case(network=True)
def the_tail_of_an_old_leader_is_cut_by_trunc(group):
    group.start()
    write(group[1], names('a', 20))
    old, _ = leave_a_tail(group)
    start(group, old.sid)
    no_tail(group)


@case(network=True)
def the_tail_of_an_old_leader_is_replaced_after_new_writes(group):
    group.start()
    write(group[1], names('a', 20))
    old, other = leave_a_tail(group)
    write(other, names('b', 20))
    start(group, old.sid)
    no_tail(group)
    write(old, names('c', 20))
    expect_equal(group)


@case()
def all_are_killed_at_once_and_come_back(group):
    group.start()
    write(group[2], names('a', 100))
    for m in group.members:
        m.kill()
    group.start()
    harness.expect(len(expect_equal(group)), 101, 'nodes')


@case(observer=True)
def an_observer_follows_forwards_and_outlives_the_leader(group):
    group.start()
    harness.expect(group[4].mode(), 'observer')
    write(group[4], names('a', 50))
    leader = group.wait_leader()
    leader.kill()
    group.wait_leader()
    group.wait_serving([m for m in group.members if m != leader])
    write(group[4], names('b', 50))
    start(group, leader.sid)
    group[4].kill()
    write(group[1], names('c', 50))
    start(group, 4)
    harness.expect(group[4].mode(), 'observer')
    harness.expect(len(expect_equal(group)), 151, 'nodes')


def stale_and_emptied(group):
    """1 and 2 have a write that 3 has not; 1 is down, the disk of 2 is gone,
    and 2 and 3 are started: they would be a quorum, and must not be one.
    With 1 the write is back everywhere."""
    write(group[1], ['/before'])
    expect_equal(group)
    group[3].kill()
    group.wait_serving([group[1], group[2]])
    write(group[1], ['/acknowledged'])
    group[1].kill()
    group[2].kill()
    group[2].wipe()
    group[2].start()
    group[3].start()
    end = time.monotonic() + 6
    while time.monotonic() < end:
        group.check_alive()
        for m in (group[2], group[3]):
            if m.mode() in ('leader', 'follower') and \
                    not has(m, '/acknowledged'):
                raise AssertionError('%r serves without the write' % m)
        time.sleep(0.2)
    start(group, 1)
    group.wait_serving()
    for m in group.members:
        harness.expect(has(m, '/acknowledged'), True, repr(m))
    expect_equal(group)
    # And it has its vote back: with it alone a quorum goes on.
    group[3].kill()
    group.wait_serving([group[1], group[2]])
    write(group[2], ['/later'])


@case()
def an_emptied_disk_does_not_vote_before_it_is_initialized(group):
    """With db.autocreate=false an empty server votes only where the operator
    put the file `initialize`."""
    group.conf['db.autocreate'] = 'false'
    for m in group.members:
        m.initialize()
    group.start()
    stale_and_emptied(group)


@case(only=lambda kinds: kinds[1] == 'falconer')
def an_emptied_disk_does_not_help_to_elect_a_stale_leader(group):
    """The settings are the default's: the emptied server asks the others
    whether the ensemble exists, or sees it at what a Java server votes."""
    group.start()
    stale_and_emptied(group)
    said = group[2].stderr()
    harness.expect('the ensemble exists already' in said, True,
                   'says why it does not vote')


@case(only=all_falconers)
def a_voter_whose_name_has_no_address_is_one_that_is_down(group):
    group.conf['server.9'] = 'nowhere.invalid:%d:%d' % (
        ensemble.QUORUM_PORT, ensemble.ELECTION_PORT)
    group.start()
    write(group[1], names('a', 5))
    expect_equal(group)


GARBAGE = (
    b'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    bytes.fromhex('16030100c8010000c40303'),
    b'\xff' * 64,
    b'\0' * 64,
    bytes.fromhex('ffffffffffff0000' '0000000000000009' '7fffffff'),
    bytes.fromhex('ffffffffffff0000' 'fffffffffffffff9' '00000009') +
    b'127.0.0.1:1',
    # FOLLOWERINFO of two gigabytes; a packet of no learner; SASL.
    bytes.fromhex('0000000b' '0000000000000000' '7fffffff'),
    bytes.fromhex('00000003' '0000000100000000' 'ffffffff' 'ffffffff'),
    bytes.fromhex('5f2435013501edcc' '00000000' '00000000'),
)


@case()
def strangers_at_the_ports_of_servers_change_nothing(group):
    group.start()
    leader = group.wait_leader()
    quiet = []
    for m in group.members:
        for port in (ensemble.QUORUM_PORT, ensemble.ELECTION_PORT):
            for text in GARBAGE + (b'',):
                try:
                    s = socket.create_connection((m.host, port), 2)
                except OSError:
                    continue        # a Java follower has no quorum port
                s.sendall(text)
                if text and random.random() < 0.5:
                    s.close()
                else:
                    quiet.append(s)
    write(group[1], names('a', 50))
    time.sleep(1)
    group.check_alive()
    harness.expect(group.wait_leader(), leader, 'the leader')
    write(group[2], names('b', 50))
    for s in quiet:
        s.close()
    # And it is still possible to join.
    follower = [m for m in group.members if m != leader][0]
    follower.kill()
    start(group, follower.sid)
    harness.expect(len(expect_equal(group)), 101, 'nodes')


@case()
def two_servers_with_one_id_do_not_break_the_quorum(group):
    """A fourth process claims to be server 1."""
    group.start()
    leader = group.wait_leader()
    write(group[1], names('a', 20))
    twin = ensemble.Member(group, 3, group[3].kind)
    twin.sid = 1
    twin.start()
    try:
        end = time.monotonic() + 4
        number = 0
        while time.monotonic() < end:
            write(group[2], ['/b%d' % number])
            number += 1
            time.sleep(0.1)
        group.wait_serving([group[2], group[3]])
    finally:
        twin.kill()
    group[1].kill()
    start(group, 1)
    harness.expect(group.wait_leader() in group.members, True)
    del leader
    harness.expect(len(expect_equal(group)), 21 + number, 'nodes')


@case()
def sessions_move_between_servers(group):
    """One session, each request through another server."""
    group.start()
    stop = threading.Event()
    v = Voyager(group.addresses, random.Random(5), stop, 20000)
    harness.ok(v.call(zkwire.CREATE, '/mine', b'', zkwire.OPEN, 1))
    session = v.session
    for i in range(30):
        v.forget()
        v.addresses = [group.members[i % 3].address]
        harness.ok(v.call(zkwire.CREATE, '/s%d' % i, b''))
        harness.expect(v.session, session, 'the session')
    tree = expect_equal(group)
    harness.expect(tree['/mine'].owner, session, 'owner')
    harness.expect(v.close(), True)
    harness.wait_until('the ephemeral goes', lambda: not has(
        group[1], '/mine'), 10, 0.1)
    expect_equal(group)


def run_case(function, kinds, needs_network=False, needs_links=False,
             observer=False, count=0, conf=None):
    members = [kinds[0]] * count if count else list(kinds)
    if observer:
        members.append(kinds[0])
    network, why = lab.network(len(members) + 1,    # one for a stranger
                               want_faults=needs_network,
                               want_links=needs_links)
    try:
        if (needs_network and not network.has_faults) or \
                (needs_links and not network.has_links):
            raise harness.Skip('no namespaces: %s' % why)
        with ensemble.Ensemble(network, members, conf=conf,
                               observers={4} if observer else ()) as group:
            function(group)
    finally:
        network.close()


def run_suite(name, cases, mixes, description):
    def extra(p):
        p.add_argument('--kinds', action='append', default=None,
                       help='a,b,c; may be repeated; default: some mixes')
    options = harness.options(description, extra)
    if options.kinds:
        mixes = [tuple(k.split(',')) for k in options.kinds]
    suite = harness.Suite(name)
    for kinds in mixes:
        letters = ''.join(k[0] for k in kinds).upper()
        for function, only, seconds, needs in cases:
            title = '%s %s' % (letters, function.__name__.replace('_', ' '))
            if only and not only(kinds):
                continue
            if options.only and not re.search(options.only, title):
                continue
            suite.attempt(title, lambda: run_case(function, kinds, **needs),
                          seconds=seconds)
    return suite.finish()


def main():
    return run_suite('scenarios', CASES, MIXES, __doc__.splitlines()[0])


if __name__ == '__main__':
    sys.exit(main())

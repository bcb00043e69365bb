# SPDX-License-Identifier: Apache-2.0
"""Observers behind observer masters, of Falconer and of ZooKeeper.

Goal: an observer that follows a follower (observerMasterPort) sees, writes
and keeps sessions as one that follows the leader, whichever kind of server
stands on either side; it survives the end of its master.

Method: three voters on loopback addresses of their own, because the port is
one for all of them, and an observer; clients of the observer do what has to
pass the master: writes, sync, sessions that move, sessions kept by PINGs.
"""
import json
import re
import sys
import time
import urllib.request

import harness
import members
import zkwire
from harness import Suite, expect, ok, wait_until

SUITE = Suite('masters')
OBSERVER = 4


class Masters(members.Ensemble):
    """Voters 1..3 and observer 4; a server per loopback address."""

    def __init__(self, kinds, conf=None):
        conf = dict({'observerMasterPort': harness.free_port()}, **conf or {})
        super().__init__(kinds, conf, observers=(OBSERVER,))
        for member in self.members:
            for key in [k for k in member.conf if k.startswith('server.')]:
                member.conf[key] = member.conf[key].replace(
                    '127.0.0.1', '127.0.0.%d' % int(key[7:]))

    @property
    def observer(self):
        return self[OBSERVER]

    def master(self):
        """Whose observer it says it is."""
        text = self.observer.four_letter('mntr').decode()
        found = re.search(r'^zk_observer_master_id\t(-?\d+)', text, re.M)
        return self[int(found.group(1))] if found else None


def synced_observers(member):
    text = member.four_letter('mntr').decode()
    return int(float(re.search(r'^zk_synced_observers\t(\S+)', text,
                               re.M).group(1)))


def check_clients(group):
    """Everything a client of the observer can ask, through its master."""
    leader = group.leader()
    with group.observer.client() as c, leader.client() as other:
        ok(c.create('/master', b'one'))
        expect(ok(other.get('/master')).value[0], b'one')
        ok(other.set('/master', b'two'))
        ok(c.sync('/'))
        expect(ok(c.get('/master')).value[0], b'two')
        ok(c.create('/master/e', b'', flags=zkwire.EPHEMERAL))
        # Of many syncs and writes in one go each gets its own answer.
        for n in range(40):
            c.post(zkwire.SETDATA, '/master', b'%d' % n)
            c.post(zkwire.SYNC, '/')
        for reply in c.drain():
            ok(reply)
        ok(other.sync('/'))
        expect(ok(other.get('/master')).value[0], b'39')
    wait_until('the ephemeral is gone', lambda: other_exists(
        leader, '/master/e') is False)


def other_exists(member, path):
    with member.client() as c:
        ok(c.sync('/'))
        return c.exists(path).err == 0


def check_sessions(group):
    """A session moves from the observer to its master and back, and lives
    on nothing but PINGs."""
    master = group.master()
    first = zkwire.Client(group.observer.address, timeout_ms=4000)
    ok(first.create('/lives', b'', flags=zkwire.EPHEMERAL))
    first.abort()
    for member in (master, group.observer):
        again = zkwire.Client(member.address, timeout_ms=4000,
                              session=first.session,
                              password=first.password)
        expect(again.session, first.session, 'the session at %d' % member.sid)
        if member is master:
            again.abort()
        else:
            again.close()
    try:
        zkwire.Client(group.observer.address, timeout_ms=4000,
                      session=0x7700000000001234, password=b'x' * 16)
    except zkwire.Refused:
        return
    raise AssertionError('an unknown session was taken')


def mixture(kinds, title):
    @SUITE.case(title)
    def case():
        with Masters(kinds) as group:
            group.start(1, 2, 3)
            group.start(OBSERVER)
            leader = group.leader()
            first = group.master()
            assert first is not None and first != leader, (first, leader)
            # Where the counts stand: at the master and nowhere else.
            for member in group.members[:3]:
                expect(synced_observers(member), int(member is first),
                       'observers of server %d' % member.sid)
            check_clients(group)
            check_sessions(group)
            group.same_data()
            # The master dies; what was written meanwhile is there.
            first.kill()
            with group.leader().client() as c:
                ok(c.create('/meanwhile', b'', flags=0))
            group.observer.wait_serving()
            wait_until('another master', lambda: group.observer.mode() and
                       group.master() not in (None, first))
            with group.observer.client() as c:
                ok(c.sync('/'))
                ok(c.get('/meanwhile'))
                ok(c.create('/again', b''))
            first.spawn()
            group.settle()
            group.same_data()
            expect(group.mismatches(), 0, 'digest mismatches')
    return case


mixture(['falconer'] * 4, 'four Falconers')
mixture(['falconer'] * 3 + ['java'], 'a ZooKeeper observes through Falconers')
mixture(['java'] * 3 + ['falconer'], 'a Falconer observes through ZooKeepers')
mixture(['falconer', 'java', 'falconer', 'falconer'],
        'masters of both kinds')


@SUITE.case('a session of the observer lives longer than its timeout')
def kept_by_pings():
    with Masters(['falconer'] * 4, {'tickTime': 250}) as group:
        group.start()
        with zkwire.Client(group.observer.address,
                           timeout_ms=1000) as c:
            ok(c.create('/kept', b'', flags=zkwire.EPHEMERAL))
            until = time.monotonic() + 3
            while time.monotonic() < until:
                ok(c.ping())
                time.sleep(0.2)
            assert other_exists(group.leader(), '/kept')


@SUITE.case('without masters the leader takes the observer')
def fallback():
    with Masters(['falconer'] * 4) as group:
        for member in group.members[:3]:
            member.conf['observerMasterPort'] = None
        group.start()
        assert group.master() == group.leader()
        expect(synced_observers(group.leader()), 1)
        check_clients(group)


@SUITE.case('the admin server names observers and master')
def admin():
    with Masters(['falconer'] * 4) as group:
        ports = {}
        for member in group.members:
            ports[member.sid] = harness.free_port()
            member.conf.update({'admin.enableServer': 'true',
                                'admin.serverPort': ports[member.sid]})
        group.start(1, 2, 3)    # who finds no master takes the leader
        group.start(OBSERVER)
        master = group.master()

        def ask(sid, command):
            with urllib.request.urlopen(
                    'http://127.0.0.1:%d/commands/%s' % (
                        ports[sid], command), timeout=5) as answer:
                return json.load(answer)
        told = ask(master.sid, 'observers')
        expect(told['synced_observers'], 1)
        expect(told['observers'][0]['sid'], OBSERVER)
        expect(ask(OBSERVER, 'leader')['leader_id'], master.sid)
        expect(ask(group.leader().sid, 'observers')['synced_observers'], 0)


@SUITE.case('who is no observer is sent away')
def strangers():
    """A follower's first packet on the port for observers."""
    with Masters(['falconer'] * 3 + ['falconer']) as group:
        group.start(1, 2, 3)
        group.start(OBSERVER)
        master = group.master()
        info = bytes.fromhex('0000000b' '0000000000000000' '00000014'
                             '0000000000000009' '00010000'
                             '0000000000000000' 'ffffffff')
        conn = zkwire.Conn(('127.0.0.%d' % master.sid,
                            int(master.conf['observerMasterPort'])))
        conn.send(info)
        harness.expect_closed(conn, 'a follower at the port for observers')
        wait_until('the log says why', lambda: 'observers are served only' in
                   master.stderr())
        check_clients(group)


def main():
    options = harness.options(__doc__.splitlines()[0])
    SUITE.run(options)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())

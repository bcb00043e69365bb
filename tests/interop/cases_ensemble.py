# SPDX-License-Identifier: Apache-2.0
"""Cases 62-64, 69-71, 83, 84: what needs several servers.

Run by cases.py; numbers are those of the protocol's section 15.  Each takes
an ensemble.Ensemble, see there for who starts it.
"""
import re

import cases_access
import caselib
import harness
import zkwire
from ensemble import Ensemble, mode
from harness import expect, expect_closed, expect_err, ok, wait_until
from zkwire import CREATE, EPHEMERAL, OPEN, SETDATA

CASES = []
LOCAL = {'localSessionsEnabled': 'true',
         'localSessionsUpgradingEnabled': 'true'}


def numbered(*numbers, conf=None):
    def enter(function):
        for n in numbers:
            caselib.NUMBERS.setdefault(n, []).append(function)
        CASES.append(('%s: %s' % (', '.join(map(str, numbers)),
                                  function.__doc__.strip()), function, conf))
        return function
    return enter


@numbered(62)
def a_follower_keeps_the_order(e):
    """on a follower, pipelined requests run and are answered in order"""
    cases_access.pipelined_requests_keep_order(e.followers[0])


@numbered(63)
def sync_and_read_are_fresh(e):
    """sync and read on B see what was written through A before"""
    servers = e.servers
    with servers[0].client() as a, servers[1].client() as b, \
            servers[2].client() as c:
        ok(a.create('/e63'))
        for i in range(60):
            text = b'%d' % i
            writer = (a, b, c)[i % 3]
            ok(writer.set('/e63', text))
            for reader in (a, b, c):
                reader.post(zkwire.SYNC, '/e63')
                reader.post(zkwire.GETDATA, '/e63', False)
                r = reader.drain()
                expect(r[1].value[0], text, 'read %d' % i)
        ok(a.delete('/e63'))


@numbered(64)
def zxids_never_fall_on_a_follower(e):
    """reply zxids never decrease on a follower under load"""
    cases_access.zxids_never_fall(e.followers[-1])


@numbered(69)
def a_moved_session_ends_its_old_connection(e):
    """after a move, a write on the old connection closes it unanswered"""
    old, new = e.followers[0], e.leader
    a = old.client()
    ok(a.create('/e69', b'1'))
    with new.client(session=a.session, password=a.password) as b:
        ok(b.set('/e69', b'2'))
        a.post(SETDATA, '/e69', b'3', -1)
        expect_closed(a, 'the old connection')
        expect(ok(b.get('/e69')).value[0], b'2', 'data')
        ok(b.delete('/e69'))


@numbered(70)
def a_dead_leader_costs_no_session(e):
    """a leader dies: sessions and ephemerals live on elsewhere"""
    e.must_be_ours()
    leader, (f, g) = e.leader, e.followers
    a = f.client(timeout_ms=20000)
    ok(a.create('/e70', b'', OPEN, EPHEMERAL))
    w = g.client(timeout_ms=20000)
    ok(w.exists('/e70', True))
    leader.kill()
    # A server without a leader closes its connections.
    expect_closed(a, 'a client of a follower', 30)
    e.wait_serving([f, g])
    w.abort()
    with g.client(session=a.session, password=a.password,
                  timeout_ms=20000) as b:
        s = ok(b.exists('/e70')).value
        expect(s.ephemeralOwner, a.session, 'owner')
        ok(b.create('/e70-after'))
        ok(b.delete('/e70-after'))
        ok(b.call(zkwire.CLOSESESSION))
    leader.start(60)
    wait_until('the old leader follows', lambda: mode(leader) == 'follower',
               30)
    with leader.client() as c:
        ok(c.sync('/'))
        expect_err(c.get('/e70'), zkwire.NONODE)


@numbered(71, conf=LOCAL)
def local_sessions_upgrade(e):
    """local sessions cost no zxid, and become global for an ephemeral"""
    server = e.followers[0]
    with server.client() as probe:
        ok(probe.create('/e71'))
        before = ok(probe.exists('/e71')).zxid
        with server.client() as a:
            expect(ok(a.exists('/e71')).zxid, before, 'zxid of a connect')
            # It cannot be resumed elsewhere while it is local.
            with e.leader.conn() as c:
                c.send_frame(zkwire.connect_request(
                    session=a.session, password=a.password))
                r = zkwire.Reader(c.recv_frame())
                r.int(), r.int()
                expect(r.long(), 0, 'session id of a refusal')
            # createSession and create are two transactions.
            reply = ok(a.create('/e71/eph', b'', OPEN, EPHEMERAL))
            expect(reply.zxid, before + 2, 'zxid of the ephemeral')
            a.abort()
            with e.leader.client(session=a.session,
                                 password=a.password) as b:
                expect(ok(b.exists('/e71/eph')).value.ephemeralOwner,
                       a.session, 'owner')
                b.call(zkwire.CLOSESESSION)
        wait_until('the ephemeral is gone', lambda: not ok(
            probe.children('/e71')).value)


@numbered(71, conf={'localSessionsEnabled': 'true'})
def local_sessions_stay_local(e):
    """without upgrading an ephemeral of a local session is refused"""
    for server in (e.leader, e.followers[0]):
        with server.client() as a:
            expect_err(a.create('/e71n', b'', OPEN, EPHEMERAL), -120)
            code = (-120 if server is e.leader else -112)
            r = ok(a.multi(caselib.op(CREATE, '/e71n', b'', OPEN,
                                      EPHEMERAL)))
            expect(r.value, [(-1, code)], 'in a multi')
            ok(a.create('/e71p'))
            ok(a.delete('/e71p'))


@numbered(83, 84, conf=dict(LOCAL, **{'readonlymode.enabled': 'true',
                                      'tickTime': 1000}))
def read_only_until_there_is_a_quorum(e):
    """without quorum read-only clients are served, and sent away after"""
    survivor, lost = e.servers[0], e.servers[1:]
    with survivor.client() as c:
        ok(c.create('/e84', b'x'))
    for server in lost:
        server.kill()
    wait_until('isro answers ro',
               lambda: survivor.four_letter('isro') == b'ro', 30)
    expect(b'READ-ONLY mode; serving only read-only clients' in
           survivor.four_letter('srvr'), True, 'srvr')
    with survivor.conn() as c:
        c.send_frame(zkwire.connect_request())
        expect(c.recv_all(), b'', 'a client that wants to write')
    reader = survivor.client(read_only=True)
    expect(ok(reader.get('/e84')).value[0], b'x', 'data')
    ok(reader.ping())
    for reply in (reader.create('/e84/no'), reader.set('/e84', b''),
                  reader.delete('/e84'), reader.sync('/e84'),
                  reader.set_acl('/e84')):
        expect_err(reply, zkwire.NOTREADONLY)
    for server in lost:
        server.spawn()
    expect_closed(reader, 'the read-only client', 60)
    e.wait_serving(e.servers)
    expect(survivor.four_letter('isro'), b'rw', 'isro')
    with survivor.client() as c:
        ok(c.delete('/e84'))


def run(suite, options):
    """Runs the cases; those without settings share an ensemble."""
    chosen = [c for c in CASES if not options.only or
              re.search(options.only, c[0])]
    shared = None
    refusal = None
    try:
        for title, function, conf in chosen:
            def attempt(function=function, conf=conf):
                nonlocal shared, refusal
                if refusal:
                    raise harness.Skip(refusal)
                try:
                    if conf is not None:
                        with Ensemble(options.server, conf) as e:
                            function(e)
                        return
                    if shared is None:
                        shared = Ensemble(options.server).__enter__()
                except harness.Skip as skip:
                    if conf is None and 'no ensembles' in str(skip):
                        refusal = str(skip)
                    raise
                shared.wait_serving(shared.servers)
                function(shared)
            suite.attempt(title, attempt, seconds=600)
    finally:
        if shared:
            shared.close()

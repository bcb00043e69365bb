# SPDX-License-Identifier: Apache-2.0
"""Cases 38-47: multi and multiRead.

Run by cases.py; numbers are those of the protocol's section 15.
"""
import threading

import caselib
import zkwire
from caselib import op, paths_of
from harness import expect, expect_err, ok
from zkwire import (CHILD, CONTAINER, CREATE, CREATE2, DELETE, EPHEMERAL,
                    GETDATA, MULTI, OPEN, SEQUENTIAL, SETDATA, TTL)

CASES = caselib.Cases()
numbered = CASES.numbered


# -- multi ------------------------------------------------------------------

@numbered(38)
def multi_sees_itself(server):
    """operations of a multi see the earlier ones and share a zxid"""
    with server.client() as c:
        before = ok(c.sync()).zxid
        reply = ok(c.multi(op(CREATE, '/m38'), op(CREATE, '/m38/b'),
                           op(DELETE, '/m38/b', -1),
                           op(DELETE, '/m38', -1)))
        expect(reply.value, [(1, '/m38'), (1, '/m38/b'), (2, None),
                             (2, None)], 'results')
        expect(reply.zxid, before + 1, 'zxid')
        expect_err(c.exists('/m38'), -101)
        reply = ok(c.multi(op(CREATE, '/m38'), op(CREATE, '/m38/b'),
                           op(CREATE, '/m38/c', b'', OPEN, EPHEMERAL)))
        stats = [ok(c.exists(p)).value for p in ('/m38', '/m38/b',
                                                 '/m38/c')]
        expect({s.czxid for s in stats}, {reply.zxid}, 'one czxid')
        expect(len({s.ctime for s in stats}), 1, 'one ctime')
        expect(stats[0].cversion, 2, 'cversion')


@numbered(39)
def failed_multi_leaves_nothing(server):
    """a failing multi changes nothing, fires nothing, rolls back"""
    with server.client() as c, server.client() as watcher:
        ok(c.create('/m39'))
        ok(c.create('/m39/x'))
        for path in ('/m39', '/m39/x'):
            ok(watcher.get(path, watch=True))
            ok(watcher.children(path, watch=True))
        stat = ok(c.exists('/m39')).value
        reply = ok(c.multi(
            op(CREATE, '/m39/n-', b'', OPEN, SEQUENTIAL),
            op(SETDATA, '/m39/x', b'new', 0),
            op(CREATE, '/m39/y'), op(DELETE, '/m39/none', -1),
            op(CREATE, '/m39/z'), op(SETDATA, '/none', b'', -1)))
        expect(reply.value, [(-1, 0), (-1, 0), (-1, 0), (-1, -101),
                             (-1, -2), (-1, -2)], 'results')
        expect(ok(c.exists('/m39')).value, stat, 'parent')
        expect(ok(c.get('/m39/x')).value[0], b'', 'data')
        expect(watcher.barrier(), [], 'events')
        expect(ok(c.create('/m39/n-', flags=2)).value, '/m39/n-0000000001',
               'next number')
        expect(paths_of(watcher.barrier()), [(CHILD, '/m39')],
               'the watches are still there')


@numbered(40, 41)
def multi_versions(server):
    """versions made inside a multi count for the later operations"""
    with server.client() as c:
        ok(c.create('/m40'))
        reply = ok(c.multi(op(SETDATA, '/m40', b'1', 0),
                           op(SETDATA, '/m40', b'2', 1),
                           op(zkwire.CHECK, '/m40', 2)))
        expect([k for k, _ in reply.value], [5, 5, 13], 'types')
        expect([v.version for k, v in reply.value[:2]], [1, 2], 'versions')
        reply = ok(c.multi(op(SETDATA, '/m40', b'3', 2),
                           op(zkwire.CHECK, '/m40', 2)))
        expect(reply.value, [(-1, 0), (-1, -103)], 'stale check')
        expect(ok(c.get('/m40')).value[0], b'2', 'data')
        reply = ok(c.multi(op(DELETE, '/m40', 2), op(CREATE, '/m40', b'n'),
                           op(zkwire.CHECK, '/m40', 0)))
        expect([k for k, _ in reply.value], [2, 1, 13], 'created anew')


@numbered(42)
def empty_multi(server):
    """an empty multi is an end marker and a zxid"""
    with server.client() as c:
        before = ok(c.sync()).zxid
        reply = ok(c.multi())
        expect((reply.value, reply.zxid), ([], before + 1), 'empty multi')
        reply = ok(c.call(zkwire.MULTIREAD, ()))
        expect((reply.value, reply.zxid), ([], before + 1), 'multiRead')


@numbered(43)
def multi_that_does_not_decode(server):
    """operations not allowed in a multi make the request undecodable"""
    good = op(CREATE, '/m43')
    whole = zkwire.w_multi([good])
    with server.client() as c:
        for what, body in (
                ('setACL', zkwire.w_multi([good, op(zkwire.SETACL, '/')])),
                ('sync', zkwire.w_multi([good, op(zkwire.SYNC, '/')])),
                ('getData', zkwire.w_multi([op(GETDATA, '/')])),
                ('getData between', zkwire.w_multi(
                    [good, op(GETDATA, '/')])),
                ('unknown', zkwire.w_multi([(77, b'')])),
                ('no end', whole[:-9]), ('cut', whole[:-3]),
                ('cut inside', whole[:20]),
                ('TTL by create', zkwire.w_multi(
                    [op(CREATE, '/m43', b'', OPEN, TTL)]))):
            reply = c.call_raw(MULTI, body)
            expect((reply.err, len(reply.body)), (-5, 16), what)
        for body in (zkwire.w_multi([op(CREATE, '/m43', b'', OPEN, 7)]),
                     zkwire.w_multi([op(CREATE, '/m43', b'', None, 0)])):
            reply = c.call_raw(MULTI, body)
            expect(reply.err, 0 if server.is_java else -5, 'bad operand')
        for body in (zkwire.w_multi([good]),
                     zkwire.w_multi([op(GETDATA, '/'), good])):
            expect(c.call_raw_err(zkwire.MULTIREAD, body), -5, 'multiRead')
        expect_err(c.exists('/m43'), -101)


@numbered(44)
def multi_is_never_seen_half(server):
    """a concurrent reader never sees half of a multi"""
    with server.client() as setup:
        ok(setup.create('/m44'))
        ok(setup.multi(op(CREATE, '/m44/a', b'0'),
                       op(CREATE, '/m44/b', b'0')))
    stop = threading.Event()
    odd = []

    def read():
        with server.client() as c:
            while not stop.is_set():
                reply = ok(c.call(zkwire.MULTIREAD,
                                  [op(GETDATA, '/m44/a', False),
                                   op(GETDATA, '/m44/b', False)]))
                (_, (a, sa)), (_, (b, sb)) = reply.value
                if a != b or sa.mzxid != sb.mzxid:
                    odd.append((a, b))
    threads = [threading.Thread(target=read) for _ in range(2)]
    for t in threads:
        t.start()
    with server.client() as c:
        for i in range(200):
            data = b'%d' % i
            ok(c.multi(op(SETDATA, '/m44/a', data, -1),
                       op(SETDATA, '/m44/b', data, -1)))
    stop.set()
    for t in threads:
        t.join()
    expect(odd, [], 'halves')


@numbered(45)
def containers_inside_multi(server):
    """containers and TTL nodes inside a multi answer with type 15"""
    with server.client() as c:
        reply = ok(c.multi(
            op(CREATE, '/m45'), op(CREATE, '/m45/c', b'', OPEN, CONTAINER),
            op(zkwire.CREATECONTAINER, '/m45/d', b'', OPEN, CONTAINER),
            op(zkwire.CREATETTL, '/m45/t', b'', OPEN, TTL, 10 ** 9),
            op(zkwire.CREATETTL, '/m45/p', b'', OPEN, 0, 7)))
        expect([k for k, _ in reply.value], [1, 15, 15, 15, 1], 'types')
        for k, v in reply.value:
            if k == 15:
                expect(v[1].ephemeralOwner, 0, 'owner shown')
        expect_err(c.create('/m45/c/x', flags=EPHEMERAL), 0)


@numbered(46)
def multiread_mixes(server):
    """multiRead answers each operation on its own"""
    with server.client() as c:
        ok(c.create('/m46', b'x'))
        ok(c.create('/m46/k'))
        ok(c.create('/m46/closed', b'', [(30, 'world', 'anyone')]))
        reply = ok(c.call(zkwire.MULTIREAD, [
            op(GETDATA, '/m46', True), op(zkwire.GETCHILDREN, '/none', False),
            op(zkwire.GETCHILDREN, '/m46', True),
            op(GETDATA, '/m46/closed', False)]))
        kinds = [k for k, _ in reply.value]
        expect(kinds, [4, -1, 8, -1], 'types')
        expect(reply.value[0][1][0], b'x', 'data')
        expect(reply.value[1][1], -101, 'missing')
        expect(sorted(reply.value[2][1]), ['closed', 'k'], 'children')
        expect(reply.value[3][1], -102, 'no READ')
        ok(c.set('/m46', b'y'))
        expect(c.barrier(), [], 'it registers no watch')


@numbered(47)
def create2_inside_multi(server):
    """create2 inside a multi answers with the Stat"""
    with server.client() as c:
        reply = ok(c.multi(op(CREATE2, '/m47', b'xyz')))
        if server.is_java or server.companions:
            # A ZooKeeper 3.8 that may be a member has no create2 there.
            expect(reply.value, [(1, '/m47')], 'result')
            return
        kind, (path, stat) = reply.value[0]
        expect((kind, path), (15, '/m47'), 'result')
        expect(stat, ok(c.exists('/m47')).value, 'stat')
        expect(stat.dataLength, 3, 'dataLength')

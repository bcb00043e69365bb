# SPDX-License-Identifier: Apache-2.0
"""Cases 48-61: watches, what fires, in what order, for whom.

Run by cases.py; numbers are those of the protocol's section 15.
"""
import struct

import caselib
import sessions
import zkwire
from caselib import op, paths_of
from harness import expect, expect_closed, expect_err, ok
from zkwire import (CHANGED, CHILD, CREATE, CREATED, DELETE, DELETED,
                    EPHEMERAL, OPEN, SETDATA)

CASES = caselib.Cases()
numbered = CASES.numbered


# -- watches ----------------------------------------------------------------

def act(c, base):
    """One of everything below base, where base/p exists."""
    p = base + '/p'
    ok(c.set(p, b'1'))
    ok(c.create(p + '/c'))
    ok(c.set(p + '/c', b'1'))
    ok(c.set_acl(p + '/c'))
    ok(c.delete(p + '/c'))
    ok(c.delete(p))
    ok(c.create(p))


def watch_expectations(base):
    p, k = base + '/p', base + '/p/c'
    whole = [(CHANGED, p), (CREATED, k), (CHANGED, k), (DELETED, k),
             (DELETED, p), (CREATED, p)]

    def data(c):
        return c.get(p, watch=True)

    def exist(c):
        return c.exists(p, watch=True)
    return [
        ('getData', [data], [(CHANGED, p)]),
        ('exists', [exist], [(CHANGED, p)]),
        ('getData and exists', [data, exist], [(CHANGED, p)]),
        ('getChildren', [lambda c: c.children(p, watch=True)],
         [(CHILD, p)]),
        ('getChildren2', [lambda c: c.children2(p, watch=True)],
         [(CHILD, p)]),
        ('persistent', [lambda c: c.add_watch(p, 0)],
         [(CHANGED, p), (CHILD, p), (CHILD, p), (DELETED, p),
          (CREATED, p)]),
        ('persistent on the parent', [lambda c: c.add_watch(base, 0)],
         [(CHILD, base), (CHILD, base)]),
        ('recursive', [lambda c: c.add_watch(p, 1)], whole),
        ('recursive on the parent', [lambda c: c.add_watch(base, 1)],
         whole),
        ('recursive on the root', [lambda c: c.add_watch('/', 1)], whole),
        ('two recursive', [lambda c: c.add_watch('/', 1),
                           lambda c: c.add_watch(p, 1)], whole),
        ('children of the parent',
         [lambda c: c.children(base, watch=True)], [(CHILD, base)]),
        ('data, and children of the parent',
         [data, lambda c: c.children(base, watch=True)],
         [(CHANGED, p), (CHILD, base)]),
        ('data below recursive', [data, lambda c: c.add_watch(base, 1)],
         whole),
    ]


def newer_watch_expectations(base):
    """Several modes on one path, which 3.8 cannot hold."""
    p, k = base + '/p', base + '/p/c'
    return [
        ('data beside recursive', [lambda c: c.get(p, watch=True),
                                   lambda c: c.add_watch(p, 1)],
         [(CHANGED, p), (CREATED, k), (CHANGED, k), (DELETED, k),
          (DELETED, p), (CREATED, p)]),
        ('persistent beside recursive', [lambda c: c.add_watch(p, 0),
                                         lambda c: c.add_watch(p, 1)],
         [(CHANGED, p), (CREATED, k), (CHILD, p), (CHANGED, k),
          (DELETED, k), (CHILD, p), (DELETED, p), (CREATED, p)]),
        ('children beside persistent',
         [lambda c: c.children(p, watch=True),
          lambda c: c.add_watch(p, 0)],
         [(CHANGED, p), (CHILD, p), (CHILD, p), (DELETED, p),
          (CREATED, p)]),
    ]


@numbered(48, 50)
def what_fires(server):
    """each kind of watch sees what section 5.2 says, and once"""
    with server.client() as setup:
        ok(setup.create('/w48'))
        count = len(watch_expectations('')) + len(
            newer_watch_expectations(''))
        for i in range(count):
            base = '/w48/%d' % i
            rows = watch_expectations(base)
            if not server.is_java:
                rows += newer_watch_expectations(base)
            if i >= len(rows):
                break
            what, registrations, want = rows[i]
            ok(setup.create(base))
            ok(setup.create(base + '/p'))
            with server.client() as c:
                for register in registrations:
                    ok(register(c))
                act(setup, base)
                expect(paths_of(c.barrier()), want, what)
            expect(rows[i][0], what, '')


@numbered(48)
def multi_fires_op_by_op(server):
    """a multi fires its events operation by operation"""
    with server.client() as c, server.client() as w:
        ok(c.create('/w48m'))
        ok(w.add_watch('/w48m', 1))
        ok(w.children('/', watch=True))
        ok(c.multi(op(CREATE, '/w48m/a'), op(SETDATA, '/w48m/a', b'', -1),
                   op(CREATE, '/w48n'), op(DELETE, '/w48m/a', -1),
                   op(DELETE, '/w48n', -1)))
        expect(paths_of(w.barrier()),
               [(CREATED, '/w48m/a'), (CHANGED, '/w48m/a'), (CHILD, '/'),
                (DELETED, '/w48m/a')], 'events')


@numbered(49)
def events_come_first(server):
    """an event precedes the reply that shows its cause"""
    with server.client() as c, server.client() as w:
        ok(c.create('/w49'))
        for i in range(50):
            ok(c.get('/w49', watch=True))
            c.trace.clear()
            ok(c.set('/w49', b'%d' % i))
            expect([k for k, _ in c.trace], ['event', 'reply'],
                   'own event before own reply')
        # Another client's read that shows the change comes behind.
        for i in range(50):
            data = ok(w.get('/w49', watch=True)).value[0]
            w.trace.clear()
            c.post(SETDATA, '/w49', b'x%d' % i, -1)
            while True:
                reply = ok(w.get('/w49'))
                seen = [x for k, x in w.trace if k == 'event']
                if reply.value[0] != data:
                    expect(len(seen), 1, 'event before the showing reply')
                    break
                if seen:
                    continue
            c.drain()


@numbered(51)
def one_delete_event(server):
    """data and child watch on a deleted node give one NodeDeleted"""
    with server.client() as c, server.client() as w:
        ok(c.create('/w51'))
        ok(c.create('/w51/p'))
        ok(w.get('/w51/p', watch=True))
        ok(w.children('/w51/p', watch=True))
        ok(w.children('/w51', watch=True))
        ok(c.delete('/w51/p'))
        expect(paths_of(w.barrier()), [(DELETED, '/w51/p'),
                                       (CHILD, '/w51')], 'events')


@numbered(52, 53)
def failures_fire_nothing(server):
    """failed writes and setACL neither fire nor use up watches"""
    with server.client() as c, server.client() as w:
        ok(c.create('/w52'))
        ok(w.get('/w52', watch=True))
        ok(w.children('/w52', watch=True))
        for reply in (c.set('/w52', b'', 9), c.delete('/w52', 9),
                      c.create('/w52'), c.create('/w52/x', acl=[]),
                      c.create('/w52/..'), c.delete('/w52/none')):
            if reply.err == 0:
                raise AssertionError('it worked')
        ok(c.multi(op(SETDATA, '/w52', b'', -1), op(DELETE, '/none', -1)))
        ok(c.multi(op(zkwire.CHECK, '/w52', 0)))
        ok(c.set_acl('/w52', OPEN))
        expect(w.barrier(), [], 'events')
        ok(c.set('/w52', b''))
        ok(c.create('/w52/x'))
        expect(paths_of(w.barrier()), [(CHANGED, '/w52'), (CHILD, '/w52')],
               'events afterwards')


@numbered(54)
def recursive_root(server):
    """a recursive watch on the root sees /zookeeper too"""
    with server.client() as c, server.client() as w:
        ok(w.add_watch('/', 1))
        ok(c.create('/zookeeper/w54'))
        ok(c.set('/zookeeper/w54', b'1'))
        ok(c.delete('/zookeeper/w54'))
        ok(c.set('/', b''))
        expect(paths_of(w.barrier()),
               [(CREATED, '/zookeeper/w54'), (CHANGED, '/zookeeper/w54'),
                (DELETED, '/zookeeper/w54'), (CHANGED, '/')], 'events')


@numbered(55)
def setwatches_matrix(server):
    """setWatches replays what was missed, in list order, then answers"""
    with server.client() as c, server.client() as w:
        ok(c.create('/w55'))
        for name in ('same', 'changed', 'kid'):
            ok(c.create('/w55/' + name))
        ok(c.create('/w55/gone'))
        since = ok(c.sync()).zxid
        ok(c.set('/w55/changed', b'1'))
        ok(c.create('/w55/kid/x'))
        ok(c.delete('/w55/gone'))
        p = '/w55/'
        w.trace.clear()
        reply = ok(w.call(
            zkwire.SETWATCHES, since,
            [p + 'same', p + 'changed', p + 'gone'],
            [p + 'never', p + 'same', p + 'kid'],
            [p + 'same', p + 'kid', p + 'gone', p + 'never']))
        expect(reply.xid, -8, 'xid')
        got = [(x.type, x.path, x.zxid) if k == 'event' else x.xid
               for k, x in w.trace]
        expect(got, [(CHANGED, p + 'changed', -1), (DELETED, p + 'gone', -1),
                     (CREATED, p + 'same', -1), (CREATED, p + 'kid', -1),
                     (CHILD, p + 'kid', -1), (DELETED, p + 'gone', -1),
                     (DELETED, p + 'never', -1), -8], 'frames')
        w.take_events()
        ok(c.set(p + 'same', b'2'))
        ok(c.set(p + 'changed', b'2'))
        ok(c.create(p + 'never'))
        ok(c.create(p + 'same/x'))
        ok(c.create(p + 'kid/y'))
        expect(paths_of(w.barrier()),
               [(CHANGED, p + 'same'), (CREATED, p + 'never'),
                (CHILD, p + 'same')], 'what was registered')
        reply = w.call_raw(zkwire.SETWATCHES, struct.pack('>qiii', 0, 0, -1,
                                                          0), xid=-8)
        expect((reply.err, reply.xid), (-5, -8), 'null vector')
        ok(w.call(zkwire.SETWATCHES, 2 ** 60, [p + 'changed'], [],
                  [p + 'kid'], xid=5))
        expect(w.take_events(), [], 'a zxid of the future')


@numbered(56)
def setwatches2_replays_nothing(server):
    """setWatches2 registers persistent watches without replay"""
    with server.client() as c, server.client() as w:
        ok(c.create('/w56'))
        ok(c.set('/w56', b'1'))
        ok(w.call(zkwire.SETWATCHES2, 0, [], [], [], ['/w56', '/w56n'],
                  ['/w56r']))
        expect(w.take_events(), [], 'replay')
        ok(c.set('/w56', b'2'))
        ok(c.create('/w56/x'))
        ok(c.create('/w56n'))
        ok(c.create('/w56r'))
        ok(c.create('/w56r/x'))
        expect(paths_of(w.barrier()),
               [(CHANGED, '/w56'), (CHILD, '/w56'), (CREATED, '/w56n'),
                (CREATED, '/w56r'), (CREATED, '/w56r/x')], 'events')


@numbered(57)
def removing_watches(server):
    """removeWatches by type; a second removal finds nothing"""
    remove, check = zkwire.REMOVEWATCHES, zkwire.CHECKWATCHES
    with server.client() as c, server.client() as w, \
            server.client() as keeper:
        ok(c.create('/w57'))
        for register, kinds in ((lambda x: x.get('/w57', watch=True),
                                 (2, 3)),
                                (lambda x: x.children('/w57', watch=True),
                                 (1, 3))):
            for kind in kinds:
                ok(register(w))
                ok(register(keeper))
                ok(w.call(check, '/w57', kind))
                ok(w.call(remove, '/w57', kind))
                expect_err(w.call(remove, '/w57', kind), -121)
        expect_err(w.call(remove, '/w57/other', 3), -121)
        for kind in (0, 6, -1, 99):
            expect_err(w.call(remove, '/w57', kind), -5)
            expect_err(w.call(check, '/w57', kind), -5)
        if server.is_java:
            for kind in (4, 5):
                expect_err(w.call(remove, '/w57', kind), -5)
        else:
            for mode, kind in ((0, 4), (1, 5)):
                ok(w.add_watch('/w57', mode))
                ok(w.get('/w57', watch=True))
                expect_err(w.call(remove, '/w57', 9 - kind), -121)
                ok(w.call(check, '/w57', kind))
                ok(w.call(remove, '/w57', kind))
                expect_err(w.call(remove, '/w57', kind), -121)
                ok(w.call(remove, '/w57', 2))
                ok(w.add_watch('/w57', mode))
                expect_err(w.call(remove, '/w57', 2), -121)
                expect_err(w.call(remove, '/w57', 1), -121)
                ok(w.call(remove, '/w57', 3))
                expect_err(w.call(check, '/w57', 3), -121)
        ok(c.set('/w57', b'1'))
        ok(c.create('/w57/x'))
        expect(w.barrier(), [], 'removed watches')
        expect(paths_of(keeper.barrier()), [(CHANGED, '/w57'),
                                            (CHILD, '/w57')], 'kept ones')


@numbered(58)
def events_need_read(server):
    """an event is kept from who may not the watch is used up"""
    secret = [(31, 'digest', 'bob:ikIaKsbtGweaHnb/jKn7OHqbunM=')]
    with server.client() as c, server.client() as w:
        ok(c.auth('digest', b'bob:pw'))
        ok(c.create('/w58'))
        ok(w.get('/w58', watch=True))
        ok(w.children('/w58', watch=True))
        ok(w.exists('/w58new', watch=True).err in (0, -101) and
           c.set_acl('/w58', secret))
        ok(c.set('/w58', b'1'))
        ok(c.create('/w58/x'))
        ok(c.create('/w58new', acl=secret))
        expect(w.barrier(), [], 'events without READ')
        ok(c.set_acl('/w58', OPEN))
        ok(c.set('/w58', b'2'))
        ok(c.create('/w58/y'))
        expect(w.barrier(), [], 'the watches are used up')
        ok(w.add_watch('/w58', 0))
        ok(c.set_acl('/w58', secret))
        ok(c.set('/w58', b'3'))
        ok(w.auth('digest', b'bob:pw'))
        expect(w.barrier(), [], 'not yet')
        ok(c.set('/w58', b'4'))
        expect(paths_of(w.barrier()), [(CHANGED, '/w58')],
               'a persistent one works again')


@numbered(59, conf=sessions.SHORT)
def expiry_fires(server):
    """expiry of k ephemerals: k NodeDeleted, child watches once or k"""
    with server.client() as one, server.client() as many:
        ok(one.create('/w59'))
        dying = server.client(timeout_ms=1000)
        for i in range(4):
            ok(dying.create('/w59/%d' % i, flags=EPHEMERAL))
        ok(one.children('/w59', watch=True))
        for i in range(4):
            ok(one.exists('/w59/%d' % i, watch=True))
        ok(many.add_watch('/w59', 0))
        expect_closed(dying, 'expired', 5)
        events = paths_of(one.barrier())
        expect(sorted(e for e in events if e[0] == DELETED),
               [(DELETED, '/w59/%d' % i) for i in range(4)], 'deletions')
        expect(events.count((CHILD, '/w59')), 1, 'one-shot child events')
        expect(events[:2], [events[0], (CHILD, '/w59')],
               'node first, then its parent')
        expect(paths_of(many.barrier()), [(CHILD, '/w59')] * 4,
               'persistent child events')


@numbered(61)
def notification_zxids(server):
    """a notification carries the zxid of its transaction (3.8: -1)"""
    with server.client() as c, server.client() as w:
        ok(w.add_watch('/w61', 1))
        zxids = [ok(r).zxid for r in (
            c.create('/w61'), c.create('/w61/a'), c.set('/w61/a'),
            c.delete('/w61/a'), c.multi(op(CREATE, '/w61/b'),
                                        op(SETDATA, '/w61', b'', -1)))]
        want = zxids + zxids[-1:]
        if server.is_java:
            want = [-1] * 6
        expect([e.zxid for e in w.barrier()], want, 'zxids')

# SPDX-License-Identifier: Apache-2.0
"""Kazoo, the Python client, and all its recipes.

Goal: a client library people use, with everything it builds on top of the
protocol, works unchanged.

Method: Debian's kazoo 2.8 runs each recipe with several clients in threads
against one server, or spread over an ensemble, and checks what the recipe
promises: one holder of a lock, no item of a queue twice, every partition owned
once.  Reconnects are made by cutting the clients' sockets or restarting the
server.
"""
import logging
import socket
import sys
import threading
import time

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (BadVersionError, NoAuthError, NodeExistsError,
                              NoNodeError, NotEmptyError,
                              RolledBackError, RuntimeInconsistency)
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.watchers import PatientChildrenWatch
from kazoo.retry import KazooRetry
from kazoo.security import make_acl, make_digest_acl

import harness
from harness import Suite, expect, wait_until

SUITE = Suite('recipes')
logging.disable(logging.CRITICAL)


class Clients:
    """Kazoo clients that are stopped together."""

    def __init__(self, server):
        self.server = server
        self.clients = []

    def __call__(self, path='', **kwargs):
        kwargs.setdefault('timeout', 10.0)
        c = KazooClient(hosts=self.server.hosts + path, **kwargs)
        c.start(timeout=10)
        self.clients.append(c)
        return c

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for c in self.clients:
            c.stop()
            c.close()


def together(count, function):
    """Runs function(i) in count threads; raises what any of them raised."""
    failures = []

    def run(i):
        try:
            function(i)
        except Exception as e:
            failures.append('%d: %s: %s' % (i, type(e).__name__, e))
    threads = [threading.Thread(target=run, args=(i,), daemon=True)
               for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
        if t.is_alive():
            failures.append('a thread hangs')
    expect(failures, [], 'failures')


def current(client):
    """The client, when its server has what the others were told is done:
    of an ensemble, each has its own. A new client's server has at least
    what was done before its session was made."""
    client.sync('/')
    return client


def cut(client):
    """Breaks the client's connection under it."""
    client._connection._socket.shutdown(socket.SHUT_RDWR)


@SUITE.case('basic calls and their exceptions')
def basics(server):
    with Clients(server) as new:
        c = new()
        expect(c.create('/basic', b'one'), '/basic', 'create')
        path, stat = c.create('/basic/a/b', b'', makepath=True,
                              include_data=True)
        expect((path, stat.version), ('/basic/a/b', 0), 'create2')
        data, stat = c.get('/basic')
        expect((data, stat.version, stat.numChildren), (b'one', 0, 1), '')
        expect(c.set('/basic', b'two', version=0).version, 1, 'set')
        for error, call in (
                (BadVersionError, lambda: c.set('/basic', b'', version=0)),
                (NodeExistsError, lambda: c.create('/basic')),
                (NoNodeError, lambda: c.get('/nothing')),
                (NotEmptyError, lambda: c.delete('/basic'))):
            try:
                call()
            except error:
                continue
            raise AssertionError('no ' + error.__name__)
        expect(c.exists('/nothing'), None, 'exists')
        expect(c.get_children('/basic'), ['a'], 'children')
        kids, stat = c.get_children('/basic', include_data=True)
        expect((kids, stat.version), (['a'], 1), 'children2')
        expect(c.sync('/basic'), '/basic', 'sync')
        expect(c.create('/basic/s-', sequence=True), '/basic/s-0000000001',
               'sequence')
        c.delete('/basic', recursive=True)
        expect(c.exists('/basic'), None, 'gone')
        expect(c.server_version() >= (3, 8), True, 'version')
        expect(c.command(b'ruok'), 'imok', 'command')
        stat = c.create('/basic-e', ephemeral=True, include_data=True)[1]
        expect(stat.ephemeralOwner, c.client_id[0], 'owner')


@SUITE.case('lock: one holder at a time, waiting in order')
def lock(server):
    with Clients(server) as new:
        inside = []
        most = []

        def work(i):
            c = new()
            for _ in range(8):
                with c.Lock('/lock', 'worker %d' % i):
                    inside.append(i)
                    most.append(len(inside))
                    time.sleep(0.001)
                    inside.remove(i)
        together(5, work)
        expect(max(most), 1, 'holders')
        expect(len(most), 40, 'turns')
        c = new()
        held = c.Lock('/lock', 'holder')
        held.acquire()
        expect(c.Lock('/lock').contenders(), ['holder'], 'contenders')
        other = new().Lock('/lock', 'other')
        expect(other.acquire(blocking=False), False, 'without waiting')
        held.release()
        expect(other.acquire(timeout=5), True, 'afterwards')
        other.release()


@SUITE.case('lock: a holder that dies lets go')
def lock_of_the_dead(server):
    with Clients(server) as new:
        dead = new()
        dead.Lock('/lockdead').acquire()
        waiting = new().Lock('/lockdead')
        got = threading.Event()

        def wait():
            if waiting.acquire(timeout=15):
                got.set()
        t = threading.Thread(target=wait, daemon=True)
        t.start()
        time.sleep(0.1)
        expect(got.is_set(), False, 'held')
        dead.stop()
        expect(got.wait(10), True, 'taken over')
        waiting.release()


@SUITE.case('read and write locks')
def read_write_lock(server):
    with Clients(server) as new:
        a, b, w = new(), new(), new()
        one, two = a.ReadLock('/rw'), b.ReadLock('/rw')
        one.acquire()
        two.acquire()
        write = w.WriteLock('/rw')
        expect(write.acquire(blocking=False), False, 'writer beside readers')
        one.release()
        two.release()
        expect(write.acquire(timeout=5), True, 'writer alone')
        expect(one.acquire(blocking=False), False, 'reader beside writer')
        write.release()
        expect(one.acquire(timeout=5), True, 'reader again')
        one.release()


@SUITE.case('semaphore: never more leases than allowed')
def semaphore(server):
    with Clients(server) as new:
        inside, most = [], []

        def work(i):
            c = new()
            for _ in range(4):
                with c.Semaphore('/sem', max_leases=2):
                    inside.append(i)
                    most.append(len(inside))
                    time.sleep(0.005)
                    inside.remove(i)
        together(5, work)
        expect(max(most) <= 2, True, 'leases')
        expect(len(most), 20, 'turns')


@SUITE.case('election: one leader after the other')
def election(server):
    with Clients(server) as new:
        leading, terms = [], []

        def lead(i):
            c = new()

            def term():
                leading.append(i)
                terms.append(list(leading))
                time.sleep(0.01)
                leading.remove(i)
            c.Election('/election', str(i)).run(term)
        together(4, lead)
        expect(all(len(t) == 1 for t in terms), True, 'one leader')
        expect(sorted(t[0] for t in terms), [0, 1, 2, 3], 'all led')


@SUITE.case('party: members come and go')
def party(server):
    with Clients(server) as new:
        members = [new() for _ in range(3)]
        parties = [c.Party('/party', 'm%d' % i)
                   for i, c in enumerate(members)]
        for p in parties:
            p.join()
        current(members[0])
        expect(sorted(parties[0]), ['m0', 'm1', 'm2'], 'members')
        current(members[1])
        expect(len(parties[1]), 3, 'count')
        parties[1].leave()
        current(members[0])
        expect(sorted(parties[0]), ['m0', 'm2'], 'after leaving')
        members[2].stop()
        wait_until('the stopped member is gone',
                   lambda: sorted(parties[0]) == ['m0'])
        shallow = members[0].ShallowParty('/shallow', 'only')
        shallow.join()
        expect(list(shallow), ['only'], 'shallow')


@SUITE.case('queue: each item once, by priority')
def queue(server):
    with Clients(server) as new:
        producer = new().Queue('/queue')
        for i in range(60):
            producer.put(b'%03d' % i, priority=100 + i % 3)
        expect(len(producer), 60, 'length')
        got = [[] for _ in range(3)]

        def consume(i):
            q = new().Queue('/queue')
            while True:
                item = q.get()
                if item is None:
                    return
                got[i].append(item)
        together(3, consume)
        expect(sorted(x for part in got for x in part),
               sorted(b'%03d' % i for i in range(60)), 'items')
        for i in range(6):
            producer.put(b'%d' % i, priority=200 - i)
        expect([producer.get() for _ in range(6)],
               [b'5', b'4', b'3', b'2', b'1', b'0'], 'priorities')


@SUITE.case('locking queue: an item stays until it is consumed')
def locking_queue(server):
    with Clients(server) as new:
        clients = new(), new()
        a, b = [c.LockingQueue('/lq') for c in clients]
        a.put_all([b'one', b'two'])
        expect(a.get(5), b'one', 'first')
        expect(b.get(5), b'two', 'second')
        expect(b.consume(), True, 'consumed')
        expect(a.holds_lock(), True, 'held')
        a.release()
        expect(b.get(5), b'one', 'released')
        expect(b.consume(), True, 'consumed')
        current(clients[0])
        expect(len(a), 0, 'length')


@SUITE.case('counter: no increment is lost')
def counter(server):
    with Clients(server) as new:
        def count(i):
            c = new().Counter('/counter')
            for _ in range(15):
                c += 2
                c -= 1
        together(3, count)
        expect(new().Counter('/counter').value, 45, 'sum')
        f = new().Counter('/fcounter', default=1.0)
        f += 0.5
        expect(f.value, 1.5, 'float')


@SUITE.case('barrier and double barrier')
def barriers(server):
    with Clients(server) as new:
        gate = new().Barrier('/barrier')
        gate.create()
        passed = []

        def wait(i):
            expect(new().Barrier('/barrier').wait(10), True, 'opened')
            passed.append(i)
        t = threading.Thread(target=together, args=(3, wait))
        t.start()
        time.sleep(0.1)
        expect(passed, [], 'before')
        gate.remove()
        t.join(15)
        expect(len(passed), 3, 'after')
        entered, left = [], []

        def both(i):
            b = new().DoubleBarrier('/double', 3)
            b.enter()
            entered.append(i)
            wait_until('all are in', lambda: len(entered) == 3)
            b.leave()
            left.append(i)
        together(3, both)
        expect((sorted(entered), sorted(left)), ([0, 1, 2], [0, 1, 2]), '')


@SUITE.case('partitioner: every partition has one owner', quick=False)
def partitioner(server):
    with Clients(server) as new:
        owned = {}
        stop = threading.Event()

        def work(i):
            c = new()
            p = c.SetPartitioner('/partition', set=tuple(range(6)),
                                 time_boundary=0.3,
                                 identifier='worker-%d' % i)
            while not stop.is_set():
                if p.failed:
                    raise AssertionError('lost the partition')
                if p.release:
                    owned.pop(i, None)
                    p.release_set()
                elif p.acquired:
                    owned[i] = list(p)
                    time.sleep(0.02)
                elif p.allocating:
                    p.wait_for_acquire(0.2)
            p.finish()

        def settled():
            return (len(owned) == 3 and
                    sorted(x for part in list(owned.values())
                           for x in part) == list(range(6)))
        t = threading.Thread(target=together, args=(3, work), daemon=True)
        t.start()
        try:
            wait_until('three owners of six parts', settled, 20, 0.05)
        finally:
            stop.set()
            t.join(20)


@SUITE.case('data watch: every state it reports existed, the last one wins')
def data_watch(server):
    with Clients(server) as new:
        c, writer = new(), new()
        seen = []

        @c.DataWatch('/dw')
        def _(data, stat):
            seen.append(data)
        writer.create('/dw', b'0')
        for i in range(1, 30):
            writer.set('/dw', b'%d' % i)
        wait_until('the last value', lambda: seen[-1] == b'29')
        numbers = [int(x) for x in seen if x is not None]
        expect(numbers, sorted(numbers), 'order')
        expect(seen[0], None, 'before its creation')
        writer.delete('/dw')
        wait_until('the deletion', lambda: seen[-1] is None)
        writer.create('/dw', b'again')
        wait_until('the second life', lambda: seen[-1] == b'again')


@SUITE.case('children watch, also the patient one')
def children_watch(server):
    with Clients(server) as new:
        c, writer = new(), new()
        writer.create('/cw')
        seen = []

        @current(c).ChildrenWatch('/cw')
        def _(children):
            seen.append(sorted(children))
            return len(children) < 10
        for i in range(10):
            writer.create('/cw/%d' % i)
        wait_until('ten children', lambda: len(seen[-1]) == 10)
        writer.create('/cw/more')
        time.sleep(0.1)
        expect(len(seen[-1]), 10, 'the watch ended itself')
        patient = PatientChildrenWatch(current(c), '/cw', time_boundary=0.2)
        children, _ = patient.start().get(timeout=5)
        expect(len(children), 11, 'patient')


@SUITE.case('tree cache follows a subtree')
def tree_cache(server):
    with Clients(server) as new:
        c, writer = new(), new()
        writer.create('/tc/a/b', b'1', makepath=True)
        events = []
        cache = TreeCache(c, '/tc')

        def data_of(path):
            found = cache.get_data(path)
            return None if found is None else found.data
        cache.listen(lambda e: events.append(e.event_type))
        cache.start()
        try:
            wait_until('the initial state',
                       lambda: TreeEvent.INITIALIZED in events)
            # The cache's server may hear of the write after another one.
            wait_until('the data', lambda: data_of('/tc/a/b') == b'1')
            writer.set('/tc/a/b', b'2')
            writer.create('/tc/c', b'3')
            writer.delete('/tc/a', recursive=True)
            wait_until('the last change',
                       lambda: cache.get_children('/tc') == {'c'})
            wait_until('its data', lambda: data_of('/tc/c') == b'3')
            expect(cache.get_data('/tc/a/b', None), None, 'gone')
            cut(c)
            writer.set('/tc/c', b'4')
            wait_until('the change behind a reconnect',
                       lambda: data_of('/tc/c') == b'4')
        finally:
            cache.close()


@SUITE.case('transactions commit whole or not at all')
def transactions(server):
    with Clients(server) as new:
        c = new()
        t = c.transaction()
        t.create('/tr', b'1')
        t.create('/tr/kid')
        t.set_data('/tr', b'2', version=0)
        t.check('/tr', version=1)
        t.delete('/tr/kid')
        results = t.commit()
        expect(results[:2], ['/tr', '/tr/kid'], 'paths')
        expect(results[2].version, 1, 'stat')
        expect(results[3:], [True, True], 'check and delete')
        t = c.transaction()
        t.create('/tr/a')
        t.check('/tr', version=9)
        t.create('/tr/b')
        results = t.commit()
        expect([type(x) for x in results],
               [RolledBackError, BadVersionError, RuntimeInconsistency],
               'failure')
        expect(c.get_children('/tr'), [], 'nothing left')
        with c.transaction() as t:
            t.create('/tr/s-', sequence=True)
            t.create('/tr/e', ephemeral=True)
        expect(sorted(c.get_children('/tr')), ['e', 's-0000000001'], '')


@SUITE.case('authentication and ACLs')
def auth(server):
    with Clients(server) as new:
        bob = new(auth_data=[('digest', 'bob:pw')],
                  default_acl=[make_digest_acl('bob', 'pw', all=True),
                               make_acl('world', 'anyone', read=True)])
        stranger = new()
        bob.create('/auth', b'x')
        expect(current(stranger).get('/auth')[0], b'x', 'read')
        for call in (lambda: stranger.set('/auth', b''),
                     lambda: stranger.create('/auth/x'),
                     lambda: stranger.set_acls('/auth', [])):
            try:
                call()
            except NoAuthError:
                continue
            except Exception as e:
                expect(type(e).__name__, 'InvalidACLError', 'error')
                continue
            raise AssertionError('no error')
        acls, stat = bob.get_acls('/auth')
        expect((len(acls), stat.aversion), (2, 0), 'ACLs')
        bob.set_acls('/auth', [make_digest_acl('bob', 'pw', all=True)])
        try:
            current(stranger).get('/auth')
            raise AssertionError('no error')
        except NoAuthError:
            pass
        late = new()
        late.add_auth('digest', 'bob:pw')
        expect(late.get('/auth')[0], b'x', 'authenticated later')
        cut(late)
        expect(late.retry(late.get, '/auth')[0], b'x',
               'authenticated again after a reconnect')


@SUITE.case('many requests in flight keep their order')
def in_flight(server):
    with Clients(server) as new:
        c = new()
        c.create('/flight')
        results = [c.create_async('/flight/n-', b'%d' % i, sequence=True)
                   for i in range(1000)]
        expect([r.get(20) for r in results],
               ['/flight/n-%010d' % i for i in range(1000)], 'names')
        if not server.is_java:
            # Kazoo takes replies in order; Java lets auth overtake.
            c.add_auth_async('digest', 'x:y')
        reads = [c.get_async('/flight/n-%010d' % i) for i in range(1000)]
        expect([r.get(20)[0] for r in reads],
               [b'%d' % i for i in range(1000)], 'data')
        big = b'b' * 900000
        c.create('/flight/big', big)
        expect(c.get('/flight/big')[0] == big, True, 'a large node')


@SUITE.case('a cut connection comes back with its session')
def reconnect(server):
    with Clients(server) as new:
        c, other = new(), new()
        states = []
        c.add_listener(states.append)
        c.create('/re')
        c.create('/re/e', ephemeral=True)
        session = c.client_id
        for _ in range(3):
            states.clear()
            cut(c)
            wait_until('connected again',
                       lambda: states[-1:] == [KazooState.CONNECTED])
        expect(KazooState.LOST in states, False, 'lost')
        expect(c.client_id, session, 'session')
        expect(current(other).exists('/re/e').ephemeralOwner, session[0], 'owner')


@SUITE.case('retry rides out a restart of the server')
def restart(server):
    with Clients(server) as new:
        c = new(connection_retry=KazooRetry(max_tries=-1, delay=0.05,
                                            max_delay=0.3))
        c.create('/restart', b'0')
        c.create('/restart/e', ephemeral=True)
        session = c.client_id
        server.restart()
        retry = KazooRetry(max_tries=-1, delay=0.05, max_delay=0.3,
                           deadline=20)
        expect(retry(c.get, '/restart')[0], b'0', 'data')
        retry(c.set, '/restart', b'1')
        expect(c.client_id, session, 'session')
        expect(c.exists('/restart/e').ephemeralOwner, session[0], 'owner')


@SUITE.case('chroot: paths, watches and recipes under it')
def chroot(server):
    with Clients(server) as new:
        new().ensure_path('/jail/cell')
        c = new('/jail/cell')
        outside = new()
        expect(c.create('/x', b'1'), '/x', 'create')
        expect(current(outside).get('/jail/cell/x')[0], b'1', 'real path')
        events = []
        c.get('/x', watch=events.append)
        outside.set('/jail/cell/x', b'2')
        wait_until('the event', lambda: events)
        expect(events[0].path, '/x', 'path of the event')
        with c.Lock('/lock'):
            expect(current(outside).exists('/jail/cell/lock') is not None,
                   True, '')
        expect(sorted(c.get_children('/')), ['lock', 'x'], 'children')
        expect(c.create('/s-', sequence=True)[:3], '/s-', 'sequence')


def main():
    options = harness.options(__doc__.splitlines()[0])
    with harness.Server(options.server) as server:
        SUITE.run(options, server)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Clients that work while servers fail, and write down what happened.

Goal: every promise a client relies on is used by somebody: acknowledged
writes, the order of a session, sequence numbers, transactions, ephemerals,
watches, locks.

Method: worker threads, each with a session of its own and one request in
flight (voyager.py), that append to a history (history.py).  When a session
is gone a worker begins a new one and goes on.  Two workers on Apache's C
library write the same history (native.py).  Two kazoo clients run the lock
recipe beside them: at most one may be inside, and nobody's entry is lost.
finish() reads what every server holds and judges.
"""
import logging
import random
import threading
import time

import history
import native
import zkwire
from history import Mark, Op
from voyager import SessionGone, Stopped, Unanswered, Voyager

LAYOUT = {'nodes': ('/log', '/multi'), 'seq': '/seq', 'eph': '/eph'}
BASES = ('/log', '/multi', '/seq', '/eph', '/reg', '/lock')
SESSION_MS = 6000
READ_BURST = 200


class Worker(threading.Thread):
    """One kind of work; the kinds are below."""

    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load = load
        self.name = '%s%d' % (type(self).__name__.lower(), number)
        self.number = number
        self.rng = random.Random('%s/%s' % (load.seed, self.name))
        self.voyager = None
        self.ops = []
        self.trace = []
        self.error = None
        self.count = 0
        self.sessions_lost = 0

    def new_session(self):
        self.voyager = Voyager(self.load.addresses, self.rng, self.load.stop,
                               SESSION_MS)
        self.voyager.connect()

    def run(self):
        try:
            while not self.load.stop.is_set():
                try:
                    if self.voyager is None:
                        self.new_session()
                    self.step()
                    self.load.stop.wait(self.load.pause)
                except Unanswered:
                    pass
                except SessionGone:
                    self.sessions_lost += 1
                    self.voyager = None
        except Stopped:
            pass
        except Exception as e:      # told by finish()
            self.error = e

    def do(self, kind, path, data, op, *args):
        """One request into the history; returns its reply, or None when it
        was refused."""
        begin = time.monotonic()

        def note(outcome, zxid=0, where=path):
            self.ops.append(Op(self.name, self.voyager.session, kind, where,
                               data, outcome, zxid, begin,
                               time.monotonic()))
        self.voyager.connect()      # a session to name, before all else
        try:
            reply = self.voyager.call(op, *args)
        except Unanswered:
            note('unknown')
            raise
        except (SessionGone, Stopped):
            # What was asked before in vain may still have taken place; this
            # request found no session.
            note('unknown')
            raise
        if reply.err:
            note('failed')
            return None
        where = path
        if kind == 'seq':
            where = reply.value
        if kind == 'multi' and any(k == -1 for k, _ in reply.value):
            note('failed')
            return None
        if kind == 'get':
            note('ok', reply.value[1].mzxid)
        else:
            note('ok', reply.zxid, where)
        return reply

    def tag(self):
        self.count += 1
        return ('%s.%d' % (self.name, self.count)).encode()


class Logger(Worker):
    """Creates nodes, deletes some of them."""

    def step(self):
        data = self.tag()
        path = '/log/%s' % data.decode()
        if self.do('create', path, data, zkwire.CREATE, path, data) and \
                self.rng.random() < 0.3:
            self.do('delete', path, b'', zkwire.DELETE, path)


class Register(Worker):
    """Counts in one node, and reads it back."""

    def step(self):
        path = '/reg/%s' % self.name
        data = self.tag()
        self.do('set', path, data, zkwire.SETDATA, path, data)
        if self.rng.random() < 0.5:
            self.do('get', path, b'', zkwire.GETDATA, path)


class Sequence(Worker):
    """Takes numbers."""

    def step(self):
        data = self.tag()
        self.do('seq', '/seq/n-', data, zkwire.CREATE, '/seq/n-', data,
                zkwire.OPEN, zkwire.SEQUENTIAL)


class Multi(Worker):
    """Two nodes at once, or a third that fails and none."""

    def step(self):
        data = self.tag()
        path = '/multi/%s' % data.decode()
        parts = [(zkwire.CREATE, zkwire.w_create(path + 'x', data)),
                 (zkwire.CREATE, zkwire.w_create(path + 'y', data))]
        if self.rng.random() < 0.2:
            parts.append((zkwire.CREATE, zkwire.w_create('/multi', b'')))
        self.do('multi', path, data, zkwire.MULTI, parts)


class Ephemeral(Worker):
    """Ephemerals, and sessions that end in each way there is."""

    def step(self):
        data = self.tag()
        path = '/eph/%s' % data.decode()
        made = self.do('eph', path, data, zkwire.CREATE, path, data,
                       zkwire.OPEN, zkwire.EPHEMERAL)
        dice = self.rng.random()
        if made and dice < 0.2:
            self.do('delete', path, b'', zkwire.DELETE, path)
        elif dice < 0.24:
            self.voyager.close()
            self.voyager = None
        elif dice < 0.26:
            self.voyager.forget()   # it expires
            self.voyager = None


class Watcher(Worker):
    """Reads a register that others set, with a watch."""

    def step(self):
        registers = self.load.of(Register)
        path = '/reg/%s' % registers[self.number % len(registers)].name
        try:
            reply = self.look(path, True)
            for _ in range(8):
                if reply is None or self.load.stop.is_set():
                    return
                reply = self.look(path, False)
        except (Unanswered, SessionGone):
            self.trace.append(Mark('lost', 0))
            raise

    def look(self, path, watch):
        connects = self.voyager.connects
        client = self.voyager.connect()
        if self.voyager.connects != connects:
            self.trace.append(Mark('lost', 0))
        armed = watch and not self.is_armed()
        reply = self.voyager.call(zkwire.GETDATA, path, armed)
        for event in client.take_events():
            if event.path == path:
                self.trace.append(Mark('event', 0))
        if reply.err:
            return None
        self.trace.append(Mark('armed' if armed else 'read',
                               reply.value[1].mzxid))
        return reply

    def is_armed(self):
        for mark in reversed(self.trace):
            if mark.kind in ('event', 'lost'):
                return False
            if mark.kind == 'armed':
                return True
        return False


class Locker(threading.Thread):
    """kazoo's lock: at most one is inside, by the node that says who."""

    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load = load
        self.name = 'locker%d' % number
        self.entries = 0
        self.error = None
        self.sessions_lost = 0

    def run(self):
        try:
            import kazoo.client
            import kazoo.retry
        except ImportError:
            return
        logging.getLogger('kazoo').setLevel(logging.CRITICAL)
        hosts = ','.join('%s:%d' % a for a in self.load.addresses)
        while not self.load.stop.is_set():
            client = kazoo.client.KazooClient(
                hosts, timeout=6, connection_retry={'max_delay': 0.5})
            try:
                client.start(10)
                while not self.load.stop.is_set():
                    self.enter(client)
            except Exception as e:
                if isinstance(e, AssertionError):
                    self.error = e
                    return
            finally:
                client.stop()
                client.close()

    def enter(self, client):
        lock = client.Lock('/lock', self.name)
        if not lock.acquire(timeout=3):
            return
        try:
            value, stat = client.get('/inside')
            client.set('/inside', value[-4000:] + b' ' + self.name.encode(),
                       stat.version)
            self.entries += 1
        finally:
            lock.release()


HISTORIANS = (Worker, native.Native)
KINDS = ((Logger, 2), (Register, 3), (Sequence, 2), (Multi, 2),
         (Ephemeral, 2), (Watcher, 2), (Locker, 2))


class Load:
    """All workers against an ensemble.

    pause: seconds that a worker rests between requests
    wrap: of a command, so that it runs where the C client is to be
    """

    def __init__(self, ensemble, seed, pause=0.0, kinds=KINDS,
                 wrap=lambda command: command):
        self.ensemble = ensemble
        self.rng = random.Random(seed)
        self.addresses = ensemble.addresses
        self.seed = seed
        self.pause = pause
        self.stop = threading.Event()
        self.setup()
        self.workers = [kind(self, i) for kind, count in kinds
                        for i in range(count)]
        program = native.build(ensemble.home)
        if program is not None:
            self.workers.append(native.Native(self, program, wrap))
        for name in [w.name for w in self.of(Register)] + \
                native.Native.names:
            self.make('/reg/' + name)
        for w in self.workers:
            w.start()

    def setup(self):
        for base in BASES + ('/inside',):
            self.make(base)

    def make(self, path):
        rng = random.Random(self.seed)
        voyager = Voyager(self.addresses, rng, self.stop)
        while True:
            try:
                reply = voyager.call(zkwire.CREATE, path, b'')
                if reply.err in (0, zkwire.NODEEXISTS):
                    voyager.close()
                    return
            except (Unanswered, SessionGone):
                pass

    def of(self, kind):
        return [w for w in self.workers if isinstance(w, kind)]

    def acked(self):
        """Writes that were acknowledged so far."""
        return sum(1 for w in self.of(HISTORIANS) for op in list(w.ops)
                   if op.outcome == 'ok' and op.kind != 'get')

    def progress(self, count=20, seconds=40):
        """Waits until so many more writes are acknowledged."""
        want = self.acked() + count
        deadline = time.monotonic() + seconds
        while self.acked() < want:
            self.ensemble.check_alive()
            if time.monotonic() > deadline:
                raise AssertionError('no %d writes within %gs' % (
                    count, seconds))
            time.sleep(0.02)

    def halt(self):
        self.stop.set()
        for w in self.workers:
            w.join(30)
            if w.is_alive():
                raise AssertionError('%s does not end' % w.name)
        for w in self.workers:
            if w.error is not None:
                raise AssertionError('%s: %s: %s' % (
                    w.name, type(w.error).__name__, w.error))

    def finish(self):
        """Ends the work, judges; returns what was checked.

        All members serve and the network is whole.
        """
        self.halt()
        ops = [op for w in self.of(HISTORIANS) for op in w.ops]
        traces = {w.name: w.trace for w in self.of(Watcher)}
        trees, live = agree(self.ensemble)
        bad = history.check_all(ops, trees, live, traces, LAYOUT)
        bad += self.ensemble.mismatches()
        if bad:
            raise AssertionError('%d violations:\n      %s' % (
                len(bad), '\n      '.join(bad[:12])))
        return {
            'operations': len(ops),
            'acknowledged': sum(op.outcome == 'ok' for op in ops),
            'unanswered': sum(op.outcome == 'unknown' for op in ops),
            'sessions lost': sum(w.sessions_lost for w in self.workers),
            'lock entries': sum(w.entries for w in self.of(Locker)),
            'operations of the C client': sum(
                len(w.ops) for w in self.of(native.Native)),
            'nodes': len(next(iter(trees.values()))),
        }


# ---- what servers hold ------------------------------------------------------

def sessions_of(member):
    """Ids of the sessions that the leader knows, by the word dump."""
    import re
    import harness
    text = harness.four_letter(member.address, 'dump', 5).decode()
    head = text.split('ephemeral nodes dump', 1)[0]
    head = head.split('Sessions with Ephemerals', 1)[0]
    return {int(n, 16) for n in re.findall(r'0x([0-9a-f]+)', head)}


def read_tree(address):
    """{path: history.Node} of everything but /zookeeper, by one client."""
    tree = {}
    with zkwire.Client(address, 30000, timeout=20) as c:
        c.sync('/')
        level = ['/']
        while level:
            names = []
            for at in range(0, len(level), READ_BURST):
                piece = level[at:at + READ_BURST]
                for path in piece:
                    c.post(zkwire.GETDATA, path, False)
                    c.post(zkwire.GETCHILDREN, path, False)
                replies = c.drain()
                for path, data, below in zip(piece, replies[::2],
                                             replies[1::2]):
                    if data.err or below.err:
                        continue    # gone meanwhile; read again then
                    value, s = data.value
                    tree[path] = history.Node(
                        value, s.czxid, s.mzxid, s.version, s.cversion,
                        s.ephemeralOwner, s.pzxid, s.ctime, s.mtime)
                    names += [path.rstrip('/') + '/' + n
                              for n in below.value
                              if path != '/' or n != 'zookeeper']
            level = names
        c.close()
    return tree


def agree(ensemble, seconds=60):
    """({member: tree}, live sessions): read until all say the same, which
    they must in the end.  Sessions that expire keep it moving for a while."""
    deadline = time.monotonic() + seconds
    while True:
        ensemble.wait_serving()
        try:
            trees = {repr(m): read_tree(m.address) for m in ensemble.members}
            leader = ensemble.leader()
            live = sessions_of(leader) if leader else None
            if live is not None and not history.check_equal(trees) and all(
                    n.owner == 0 or n.owner in {signed(s) for s in live}
                    for n in next(iter(trees.values())).values()):
                return trees, {signed(s) for s in live}
        except (OSError, zkwire.Closed, zkwire.Refused):
            live = None
        if time.monotonic() > deadline:
            if live is None:
                raise AssertionError('the trees cannot be read')
            return trees, {signed(s) for s in live}
        time.sleep(0.5)


def signed(session):
    return session - (1 << 64) if session >> 63 else session

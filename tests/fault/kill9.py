# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load: nothing acknowledged is lost, nothing is half there.

Goal: whatever instant the process is killed at, the next start serves every
write a client was told about, each whole, in session order, within 2 s.

Method: each round several writers pipeline creates, updates of one
register, multis of two nodes, sequential creates and ephemerals, each with
a unique tag, until the server is killed at a random instant; some rounds
kill it again while it recovers.  Snapshots and new logs are frequent.  A
writer's history is the list of its requests in sending order with the
answers that arrived.  After the restart the tree is read back and judged by
check_history(), which knows nothing of servers:

  - an acknowledged request is in the tree, with the zxid of its answer;
  - what is in the tree is a prefix of the writer's requests;
  - both nodes of a multi are there or neither is;
  - a sequence number was given once, a tag appears once.

The checker must find each of a list of doctored histories, before anything
else is believed.  A kill leaves the page cache alive, and with it what a
server that does not flush has stored there; what only a power loss can break
is the subject of the store's own tests.
"""
import collections
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), 'interop'))

import disk
import harness
import zkwire
from zkwire import CREATE, EPHEMERAL, GETDATA, MULTI, OPEN, SEQUENTIAL, \
    SETDATA

CONF = {'snapCount': 1000, 'maxSessionTimeout': 60000}
# A record is safe from the death of the process all the same. Small files, so
# that they end within a round.
WITHOUT_FLUSHES = {'forceSync': 'no', 'preAllocSize': 8192}
WRITERS = 5
DEPTH = 24
START_LIMIT = 2.0      # s, held with --full, on a machine that does nothing else
SEQUENCE = '/seq'

# kind      one of KINDS
# tag       unique text of this request
# path      the path asked for; the final path once acknowledged
# zxid      of the answer, None if it never came
Request = collections.namedtuple('Request', 'kind tag path zxid')
KINDS = ('create', 'register', 'multi', 'sequence', 'ephemeral')


# -- the checker ------------------------------------------------------------

def applied(request, tree, register):
    """Whether a request left its mark; None if half of it did."""
    if request.kind == 'register':
        return register >= int(request.tag)
    if request.kind == 'multi':
        there = [request.path + end in tree for end in 'xy']
        return there[0] if there[0] == there[1] else None
    if request.kind == 'sequence':
        return request.tag in tree['tags']
    return request.path in tree


def check_history(requests, tree, register):
    """The violations in one writer's history.

    requests  in sending order
    tree      path -> (data, czxid); tree['tags'] maps the tag of each
              sequential node to the list of its paths
    register  the number found in the writer's register
    """
    bad = []
    missing = None
    for r in requests:
        there = applied(r, tree, register)
        if there is None:
            bad.append('half of multi %s' % (r,))
            continue
        if r.zxid is not None and not there:
            bad.append('acknowledged and lost: %s' % (r,))
        if there and missing is not None:
            bad.append('%s is there, the earlier %s is not' % (r, missing))
        if not there and missing is None:
            missing = r
        if not there or r.kind == 'register':
            continue
        paths = [r.path]
        if r.kind == 'multi':
            paths = [r.path + 'x', r.path + 'y']
        elif r.kind == 'sequence':
            paths = tree['tags'][r.tag]
            if len(paths) != 1:
                bad.append('%s was created %d times' % (r, len(paths)))
            if r.zxid is not None and r.path not in paths:
                bad.append('%s is at %s' % (r, paths))
                continue
        for path in paths:
            data, czxid = tree[path]
            if data != r.tag.encode():
                bad.append('%s holds %r' % (r, data))
            if r.zxid is not None and czxid != r.zxid:
                bad.append('%s was created by zxid %x' % (r, czxid))
    if requests and register > max([int(r.tag) for r in requests if
                                    r.kind == 'register'], default=-1):
        bad.append('register holds %d, never written' % register)
    return bad


def check_sequence(requests):
    """Violations among all acknowledged sequential creates of a run."""
    seen = {}
    bad = []
    for r in requests:
        if r.kind == 'sequence' and r.zxid is not None:
            if r.path in seen:
                bad.append('%s given to %s and %s' % (
                    r.path, seen[r.path].tag, r.tag))
            seen[r.path] = r
    return bad


# -- the checker's own test -------------------------------------------------

def sample():
    """A small history without fault, its tree and register."""
    requests = [
        Request('create', 't0', '/a/0', 10),
        Request('register', '1', '/a/r', 11),
        Request('multi', 't2', '/a/2', 12),
        Request('sequence', 't3', '/seq/n-0000000004', 13),
        Request('ephemeral', 't4', '/a/4', 14),
        Request('register', '5', '/a/r', 15),
        Request('sequence', 't6', '/seq/n-', None),
        Request('multi', 't7', '/a/7', None),
        Request('create', 't8', '/a/8', None),
    ]
    tree = {'/a/0': (b't0', 10), '/a/2x': (b't2', 12), '/a/2y': (b't2', 12),
            '/seq/n-0000000004': (b't3', 13), '/a/4': (b't4', 14),
            '/seq/n-0000000005': (b't6', 16), '/a/7x': (b't7', 17),
            '/a/7y': (b't7', 17),
            'tags': {'t3': ['/seq/n-0000000004'],
                     't6': ['/seq/n-0000000005']}}
    return requests, tree, 5


def doctored():
    """(what, doctor) pairs; each doctor spoils the sample in place."""
    def drop(path):
        return lambda requests, tree: tree.pop(path)

    def twice(requests, tree):
        tree['/seq/n-0000000009'] = (b't6', 19)
        tree['tags']['t6'].append('/seq/n-0000000009')

    def elsewhere(requests, tree):
        tree['/seq/n-0000000007'] = tree.pop('/seq/n-0000000004')
        tree['tags']['t3'] = ['/seq/n-0000000007']

    def change(path, data, zxid):
        return lambda requests, tree: tree.update({path: (data, zxid)})

    def vanish(requests, tree):
        for path in ('/seq/n-0000000005', '/a/7x', '/a/7y'):
            tree.pop(path)
        tree['tags'].pop('t6')
        tree['/a/8'] = (b't8', 18)

    def forget(requests, tree):
        tree['tags'].pop('t3')
    return [
        ('an acknowledged create is lost', drop('/a/0')),
        ('an acknowledged multi is half there', drop('/a/2y')),
        ('an unanswered multi is half there', drop('/a/7x')),
        ('an acknowledged ephemeral is lost', drop('/a/4')),
        ('an acknowledged sequential create is lost', forget),
        ('a sequential create happened twice', twice),
        ('a sequential node is not where it was said to be', elsewhere),
        ('a later request survived an earlier one', vanish),
        ('a node holds the data of another', change('/a/0', b'zz', 10)),
        ('a node was created by another transaction',
         change('/a/0', b't0', 9)),
    ]


def checker_can_fail():
    requests, tree, register = sample()
    harness.expect(check_history(requests, tree, register), [], 'sound')
    harness.expect(check_sequence(requests), [], 'sound')
    for what, doctor in doctored():
        requests, tree, register = sample()
        doctor(requests, tree)
        if not check_history(requests, tree, register):
            raise AssertionError('not noticed: ' + what)
    for wrong in (1, 4, 6, 99):
        requests, tree, register = sample()
        if not check_history(requests, tree, wrong):
            raise AssertionError('not noticed: register %d' % wrong)
    requests, _, _ = sample()
    requests.append(Request('sequence', 't9', '/seq/n-0000000004', 20))
    if not check_sequence(requests):
        raise AssertionError('not noticed: a number given twice')


# -- the load ---------------------------------------------------------------

class Writer(threading.Thread):
    """One session that pipelines requests until its server dies."""

    def __init__(self, server, base, seed):
        super().__init__()
        self.random = random.Random(seed)
        self.base = base
        self.requests = []
        self.answered = 0
        self.error = None
        self.client = server.client(timeout_ms=60000, timeout=10)

    def build(self):
        """The next request and its wire form."""
        number = len(self.requests)
        kind = self.random.choices(KINDS, (4, 3, 3, 3, 1))[0]
        tag = '%d' % number if kind == 'register' else '%s.%d' % (
            self.base[1:], number)
        path = '%s/%d' % (self.base, number)
        data = tag.encode()
        if kind == 'register':
            path = self.base + '/r'
            wire = SETDATA, zkwire.w_setdata(path, data)
        elif kind == 'multi':
            wire = MULTI, zkwire.w_multi([
                (CREATE, zkwire.w_create(path + 'x', data)),
                (CREATE, zkwire.w_create(path + 'y', data))])
        elif kind == 'sequence':
            path = SEQUENCE + '/n-'
            wire = CREATE, zkwire.w_create(path, data, OPEN, SEQUENTIAL)
        else:
            flags = EPHEMERAL if kind == 'ephemeral' else 0
            wire = CREATE, zkwire.w_create(path, data, OPEN, flags)
        return Request(kind, tag, path, None), wire

    def note(self, reply):
        request = self.requests[self.answered]
        if reply.err:
            raise AssertionError('%s: err %d' % (request, reply.err))
        path = request.path
        if request.kind == 'sequence':
            path = reply.value
        if request.kind == 'multi' and [k for k, _ in reply.value] != [1, 1]:
            raise AssertionError('%s: %r' % (request, reply.value))
        self.requests[self.answered] = request._replace(
            path=path, zxid=reply.zxid)
        self.answered += 1

    def run(self):
        try:
            while True:
                while len(self.client.pending) < DEPTH:
                    request, wire = self.build()
                    self.requests.append(request)
                    self.client.post_raw(*wire)
                for _ in range(DEPTH // 2):
                    self.note(self.client.take())
        except (zkwire.Closed, OSError):
            # What had arrived before the end still counts.
            try:
                while True:
                    self.note(self.client.take(0.05))
            except (zkwire.Closed, zkwire.ProtocolError, OSError):
                pass
        except (AssertionError, zkwire.ProtocolError) as e:
            self.error = e


# -- a round ----------------------------------------------------------------

def read_back(client, writers, floor):
    """path -> (data, czxid) of everything the writers may have made.

    floor is the last sequential path of earlier rounds.
    """
    tree = {'tags': {}}
    registers = {}
    wanted = []
    for w in writers:
        for name in harness.ok(client.children(w.base)).value:
            wanted.append(w.base + '/' + name)
    for name in harness.ok(client.children(SEQUENCE)).value:
        path = SEQUENCE + '/' + name
        if path > floor:
            wanted.append(path)
    for at in range(0, len(wanted), 200):
        piece = wanted[at:at + 200]
        for path in piece:
            client.post(GETDATA, path, False)
        for path, reply in zip(piece, client.drain()):
            data, stat = harness.ok(reply).value
            tree[path] = data, stat.czxid
            if path.startswith(SEQUENCE):
                tree['tags'].setdefault(data.decode(), []).append(path)
            elif path.endswith('/r'):
                registers[path[:-2]] = int(data)
    return tree, registers


class Campaign:
    """All rounds against one data directory."""

    def __init__(self, server, seed, limit=None):
        self.server = server
        self.random = random.Random(seed)
        self.all_requests = []
        self.rounds = []
        self.starts = []
        self.robbed = 0
        self.limit = limit

    def start(self):
        took = self.server.start()
        self.starts.append(took)
        if self.limit is not None and took > self.limit:
            raise AssertionError('start took %.2f s' % took)

    def start_and_crash(self):
        """Kills the server while it recovers."""
        self.server.spawn()
        time.sleep(self.random.random() * (0.6 if self.server.is_java
                                           else 0.05))
        self.server.kill()

    def round(self, number):
        with self.server.client() as c:
            if number == 0:
                harness.ok(c.create(SEQUENCE))
            floor = max([SEQUENCE + '/' + n for n in harness.ok(
                c.children(SEQUENCE)).value], default='')
            bases = ['/r%d-%d' % (number, i) for i in range(WRITERS)]
            for base in bases:
                harness.ok(c.create(base))
                harness.ok(c.create(base + '/r', b'-1'))
        writers = [Writer(self.server, base, self.random.random())
                   for base in bases]
        for w in writers:
            w.start()
        time.sleep(0.05 + self.random.random() * 0.5)
        # On a busy machine that may be before anybody got an answer.
        harness.wait_until('every writer has an answer', lambda: all(
            w.answered or not w.is_alive() for w in writers), 60)
        self.server.kill()
        for w in writers:
            w.join()
        for w in writers:
            if w.error:
                raise w.error
        if self.robbed:
            lose_records(self.server, self.robbed)
        if number % 4 == 3:
            self.start_and_crash()
        self.start()
        self.judge(writers, floor)
        self.all_requests += [r for w in writers for r in w.requests]
        self.rounds.append(writers)

    def judge(self, writers, floor):
        bad = check_sequence(self.all_requests)
        with self.server.client() as c:
            tree, registers = read_back(c, writers, floor)
        for w in writers:
            bad += check_history(w.requests, tree, registers[w.base])
        # A session that was acknowledged can be resumed.
        w = self.random.choice(writers)
        with self.server.client(
                session=w.client.session, password=w.client.password,
                last_zxid=w.client.zxid, timeout_ms=60000) as c:
            harness.ok(c.ping())
        if bad:
            raise AssertionError('%d violations:\n      %s' % (
                len(bad), '\n      '.join(bad[:10])))

    def finish(self):
        """Every round once more, and the files by a second opinion."""
        acked = sum(r.zxid is not None for r in self.all_requests)
        for w in self.rounds[-1]:
            if not any(r.zxid for r in w.requests):
                raise AssertionError('a writer got nothing done')
        bad = check_sequence(self.all_requests)
        with self.server.client() as c:
            for writers in self.rounds[:-1]:
                tree, registers = read_back_plain(c, writers)
                for w in writers:
                    kept = [r for r in w.requests
                            if r.kind not in ('ephemeral', 'sequence')]
                    bad += check_history(kept, tree, registers[w.base])
        if bad:
            raise AssertionError('later rounds: %d violations: %s' % (
                len(bad), bad[:5]))
        print('  %d rounds, %d requests, %d acknowledged, start-up '
              'median %.3f s, worst %.3f s' % (
                  len(self.rounds), len(self.all_requests), acked,
                  sorted(self.starts)[len(self.starts) // 2],
                  max(self.starts)), flush=True)


def read_back_plain(client, writers):
    """As read_back(), without the sequential nodes."""
    tree, registers = {'tags': {}}, {}
    for w in writers:
        names = harness.ok(client.children(w.base)).value
        for at in range(0, len(names), 200):
            piece = [w.base + '/' + n for n in names[at:at + 200]]
            for path in piece:
                client.post(GETDATA, path, False)
            for path, reply in zip(piece, client.drain()):
                if reply.err == zkwire.NONODE:
                    continue        # an ephemeral that expired just now
                data, stat = harness.ok(reply).value
                tree[path] = data, stat.czxid
                if path.endswith('/r'):
                    registers[w.base] = int(data)
    return tree, registers


def lose_records(server, count):
    """Cuts the last records off the newest log, as a lying disk would."""
    for _, path in reversed(disk.data_files(server.data, 'log')):
        ends = disk.record_ends(path)
        if len(ends) <= count:
            os.unlink(path)
            count -= len(ends)
            continue
        os.truncate(path, ends[-count - 1])
        return


def loss_is_noticed(kind, seed):
    """A server robbed of its last records must not pass a round."""
    server = harness.Server(kind, CONF)
    try:
        run = Campaign(server, seed)
        run.robbed = 2 * WRITERS * DEPTH
        run.start()
        try:
            run.round(0)
        except (AssertionError, zkwire.Closed, zkwire.Refused):
            return
        raise AssertionError('the loss of %d records passed' % run.robbed)
    finally:
        server.close()


def last_log_is_sound(server):
    """The logs parse and their zxids count up by one."""
    server.stop()
    records = disk.read_logs(server.data)
    if not records:
        raise AssertionError('no records in the logs')
    times = [r.zxid for r in records]
    harness.expect(times == sorted(set(times)), True, 'rising zxids')


def campaign(kind, rounds, seed, limit, conf):
    server = harness.Server(kind, dict(CONF, **conf))
    try:
        run = Campaign(server, seed, limit)
        run.start()
        for number in range(rounds):
            try:
                run.round(number)
            except Exception as e:
                raise AssertionError('round %d (seed %d): %s: %s' % (
                    number, seed, type(e).__name__, e))
        run.finish()
        if not server.is_java:
            # A crashed Java leaves its torn tail where it is.
            last_log_is_sound(server)
    finally:
        server.close()


def main():
    def extra(p):
        p.add_argument('--rounds', type=int, default=None,
                       help='default 3 quick, 20; 200 with --full')
        p.add_argument('--full', action='store_true')
        p.add_argument('--seed', type=int,
                       default=int(os.environ.get('FAL_SEED', 0)) or
                       random.SystemRandom().randrange(1, 1 << 31))
    options = harness.options(__doc__.splitlines()[0], extra)
    rounds = options.rounds or (3 if options.quick else
                                200 if options.full else 20)
    suite = harness.Suite('kill9')
    if suite.attempt('the checker finds doctored histories',
                     checker_can_fail):
        suite.attempt('a server that lost records is found out',
                      loss_is_noticed, options.server, options.seed)
        suite.attempt('%d kills under load' % rounds, campaign,
                      options.server, rounds, options.seed, START_LIMIT
                      if options.full and options.server != 'java' else None,
                      {}, seconds=300 + 10 * rounds)
        suite.attempt('%d kills without flushes' % (rounds // 2), campaign,
                      options.server, rounds // 2, options.seed + 1, None,
                      WITHOUT_FLUSHES, seconds=300 + 10 * rounds)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())

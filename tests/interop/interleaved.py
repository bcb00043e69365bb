# SPDX-License-Identifier: Apache-2.0
"""Many clients at once, judged afterwards by the transaction log.

Goal: with all cores busy, every reply is the truth at some point between
what its session had seen before and the zxid in its header, every watch
fires once, for the first change behind its registration, and before any
reply that shows that change.

Method: writers, readers with one-shot watches, and watchers with persistent
and recursive watches work on a few shared nodes in parallel, each noting
what it sent and every frame in arrival order.  Then the server stops and
the log is read by disk.py: it gives the one order of transactions, and with
it the state of every node at every zxid and the list of events each
transaction causes.  The notes of each client are checked against that; no
assumption about timing is made.  The judge must find doctored notes.
"""
import bisect
import collections
import os
import random
import sys
import threading
import time

import disk
import harness
import zkwire
from harness import ok
from zkwire import (CHANGED, CHILD, CREATE, CREATED, DELETE, DELETED,
                    EXISTS, GETCHILDREN, GETDATA, MULTI, SETDATA)

BASE = '/i'
NAMES = ['%s/n%d' % (BASE, i) for i in range(6)]
CONF = {'snapCount': 10000000}
WRITES = (CREATE, DELETE, SETDATA, MULTI)

Note = collections.namedtuple('Note', 'op path watch')


# -- the clients ------------------------------------------------------------

class Worker(threading.Thread):
    """Random requests, a few in flight, until told to stop."""

    def __init__(self, server, seed, stop):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.stop = stop
        self.client = server.client(timeout_ms=30000)
        self.session = self.client.session
        self.notes = []         # one per request, in order
        self.error = None

    def request(self):
        r = self.random
        path = r.choice(NAMES)
        k = r.random()
        if k < 0.2:
            return Note(SETDATA, path, False), zkwire.w_setdata(
                path, b'%d' % len(self.notes), -1)
        if k < 0.3:
            return Note(CREATE, path, False), zkwire.w_create(
                path, b'new %d' % len(self.notes))
        if k < 0.36:
            return Note(DELETE, path, False), zkwire.w_path_version(path)
        if k < 0.42:
            other = r.choice(NAMES)
            return Note(MULTI, path, False), zkwire.w_multi([
                (SETDATA, zkwire.w_setdata(path, b'm', -1)),
                (SETDATA, zkwire.w_setdata(other, b'm', -1))])
        watch = r.random() < 0.5
        if k < 0.66:
            return Note(GETDATA, path, watch), zkwire.w_path_watch(
                path, watch)
        if k < 0.86:
            return Note(EXISTS, path, watch), zkwire.w_path_watch(
                path, watch)
        return Note(GETCHILDREN, BASE, watch), zkwire.w_path_watch(
            BASE, watch)

    def run(self):
        try:
            while not self.stop.is_set():
                raw = b''
                for _ in range(self.random.randrange(1, 9)):
                    note, body = self.request()
                    self.notes.append(note)
                    raw += self.client.encode(note.op, body)[1]
                self.client.send(raw)
                while self.client.pending:
                    self.client.take()
        except Exception as e:
            self.error = e

    def finish(self):
        """Lets the last events arrive."""
        self.notes.append(Note(DELETE, '/none', False))
        self.client.post(DELETE, '/none', -1)
        self.client.drain()


class Watcher(Worker):
    """Registers one persistent watch and listens."""

    def __init__(self, server, mode, stop):
        super().__init__(server, 0, stop)
        self.mode = mode
        reply = ok(self.client.add_watch(BASE, mode))
        self.since = reply.zxid
        self.client.trace.clear()

    def run(self):
        try:
            while not self.stop.is_set():
                try:
                    self.client.take_frame(0.2)
                except TimeoutError:
                    continue
        except Exception as e:
            self.error = e


# -- the log's story --------------------------------------------------------

class Story:
    """Node states and events by zxid, from the transaction log."""

    def __init__(self, records):
        self.records = {r.zxid: r for r in records}
        self.states = collections.defaultdict(list)     # path: (zxid, x)
        self.fires = collections.defaultdict(list)      # table,path: (z, t)
        self.sequence = []                              # (zxid, type, path)
        tree = disk.Tree()
        self.children = set()
        for r in records:
            tree.apply(r)
            body = r.body
            ops = [body]
            if body[0] == 'multi':
                failed = any(op[0] == 'error' for op in body[1])
                ops = [] if failed else body[1]
            for op in ops:
                self.note(r.zxid, op, tree)

    def note(self, zxid, op, tree):
        what, path = op[0], op[1] if len(op) > 1 else None
        if what == 'create':
            self.event(zxid, 'data', path, CREATED)
            self.child(zxid, path, True)
        elif what == 'delete':
            self.event(zxid, 'data', path, DELETED)
            self.fire(zxid, 'child', path, DELETED)
            self.child(zxid, path, False)
        elif what == 'setData':
            self.event(zxid, 'data', path, CHANGED)
        else:
            return
        node = tree.nodes.get(path)
        self.states[path].append((zxid, node and (
            node.data, node.czxid, node.mzxid, node.version)))

    def fire(self, zxid, table, path, kind):
        self.fires[table, path].append((zxid, kind))

    def event(self, zxid, table, path, kind):
        self.fire(zxid, table, path, kind)
        self.sequence.append((zxid, kind, path))

    def child(self, zxid, path, created):
        parent = disk.Tree.parent(path)
        self.fire(zxid, 'child', parent, CHILD)
        self.sequence.append((zxid, CHILD, parent))
        if parent == BASE:
            name = path.rpartition('/')[2]
            if created:
                self.children.add(name)
            else:
                self.children.discard(name)
            self.states['children'].append((zxid, frozenset(
                self.children)))

    def first_fire(self, table, path, zxid):
        """The first event on a table's path behind zxid; (zxid, type)."""
        fires = self.fires[table, path]
        at = bisect.bisect_right(fires, (zxid, 1 << 30))
        return fires[at] if at < len(fires) else None

    def when(self, path, low, high, seen):
        """The zxids of low..high from which on path looked as seen.

        More than one, if it looked so, changed, and changed back.
        """
        states = self.states[path]
        at = bisect.bisect_right(states, low, key=lambda s: s[0]) - 1
        found = []
        if at < 0:
            if seen == (frozenset() if path == 'children' else None):
                found.append(low)
            at = 0
        for zxid, state in states[at:]:
            if zxid > high:
                break
            if state == seen:
                found.append(max(zxid, low))
        return found


# -- the judge --------------------------------------------------------------

def observed(note, reply):
    """What a read reply says, in the terms of Story.states."""
    if reply.err == zkwire.NONODE:
        return None
    if note.op == GETCHILDREN:
        return frozenset(reply.value)
    if note.op == EXISTS:
        s = reply.value
        return s.czxid, s.mzxid, s.version
    data, s = reply.value
    return data, s.czxid, s.mzxid, s.version


def check_write(story, session, note, reply):
    record = story.records.get(reply.zxid)
    if record is None:
        return 'write %r answered with zxid %x, not in the log' % (
            note, reply.zxid)
    if (record.client, record.cxid) != (session, reply.xid):
        return 'zxid %x is not of request %d' % (reply.zxid, reply.xid)
    if reply.err and record.body != ('error', reply.err):
        return 'zxid %x: err %d, log has %r' % (reply.zxid, reply.err,
                                                record.body)
    if not reply.err and record.body[0] == 'error':
        return 'zxid %x: fine, log has %r' % (reply.zxid, record.body)
    return None


def check_worker(story, session, notes, trace, new):
    """The violations in what one worker saw."""
    bad = []
    # (table, path): the zxids whose state its registration may have seen
    armed = {}
    low = 0
    pending = iter(notes)
    for kind, x in trace:
        if kind == 'event':
            problem = check_event(story, armed, x, new)
            if problem:
                bad.append(problem)
            continue
        note = next(pending)
        if note.op in WRITES:
            problem = check_write(story, session, note, x)
            if problem:
                bad.append(problem)
            low = x.zxid
            found = []
        else:
            found = check_read(story, note, x, low)
            if not found:
                bad.append('%r between %x and %x: never so: %r' % (
                    note, low, x.zxid, x.value))
                continue
            low = found[0]
        for key in list(armed):
            armed[key] = [z for z in armed[key]
                          if not fired_by(story, key, z, low)]
            if not armed[key]:
                bad.append('%r shows zxid %x before the event of %r' % (
                    note, low, key))
                armed.pop(key)
        if note.watch and (note.op == EXISTS or x.err == 0):
            table = 'child' if note.op == GETCHILDREN else 'data'
            armed.setdefault((table, note.path), found)
    for key, since in armed.items():
        if all(story.first_fire(*key, z) for z in since):
            bad.append('the event of %r behind %r never came' % (key,
                                                                 since))
    return bad


def fired_by(story, key, since, zxid):
    """Whether a watch set at since must have fired by zxid."""
    first = story.first_fire(*key, since)
    return first is not None and first[0] <= zxid


def check_read(story, note, reply, low):
    seen = observed(note, reply)
    path = 'children' if note.op == GETCHILDREN else note.path
    if note.op == EXISTS and seen is not None:
        # exists does not tell the data; any state with this Stat will do.
        for zxid, state in story.states[path]:
            if zxid > reply.zxid:
                break
            if state and state[1:] == seen:
                seen = state
                break
    return story.when(path, low, reply.zxid, seen)


def check_event(story, armed, event, new):
    keys = {CREATED: ['data'], CHANGED: ['data'], CHILD: ['child'],
            DELETED: ['data', 'child']}[event.type]
    causes = set()
    for table in keys:
        for since in armed.get((table, event.path), ()):
            first = story.first_fire(table, event.path, since)
            if first and first[1] == event.type and (
                    not new or event.zxid == first[0]):
                causes.add(first)
    if not causes:
        return '%r was not to be expected, armed: %r' % (event, armed)
    for table in keys:
        # One event serves both tables if one transaction fired both.
        key = table, event.path
        left = [z for z in armed.get(key, ())
                if story.first_fire(*key, z) not in causes]
        if key in armed and len(left) < len(armed[key]):
            armed.pop(key)
    return None


def check_watcher(story, mode, since, trace, new):
    """A persistent watch sees every event of its kind, in order, once."""
    got = [(x.zxid, x.type, x.path) for k, x in trace if k == 'event']
    want = []
    for zxid, kind, path in story.sequence:
        if zxid <= since:
            continue
        if mode == 1 and kind != CHILD and (path + '/').startswith(
                BASE + '/'):
            want.append((zxid, kind, path))
        if mode == 0 and path == BASE:
            want.append((zxid, kind, path))
    if not new:
        want = [(-1, kind, path) for _, kind, path in want]
    if got == want:
        return []
    for i, (a, b) in enumerate(zip(got, want)):
        if a != b:
            return ['event %d is %r, want %r' % (i, a, b)]
    return ['%d events, want %d' % (len(got), len(want))]


def judge(story, workers, watchers, new):
    bad = []
    for w in workers:
        bad += check_worker(story, w.session, w.notes, w.client.trace, new)
    for w in watchers:
        bad += check_watcher(story, w.mode, w.since, w.client.trace, new)
    return bad


# -- the judge's own test ---------------------------------------------------

def doctor(trace):
    """(what, spoiled copy of the trace) pairs."""
    events = [i for i, (k, _) in enumerate(trace) if k == 'event']
    reads = [i for i, (k, x) in enumerate(trace) if k == 'reply' and
             x.op == GETDATA and x.err == 0]
    writes = [i for i, (k, x) in enumerate(trace) if k == 'reply' and
              x.op == SETDATA and x.err == 0]
    middle = events[len(events) // 2]
    copy = list(trace)
    del copy[middle]
    yield 'an event is missing', copy
    copy = list(trace)
    copy.insert(middle, trace[middle])
    yield 'an event comes twice', copy
    copy = list(trace)
    x = copy[middle][1]
    copy[middle] = 'event', x._replace(path=BASE + '/other')
    yield 'an event names another node', copy
    for i in events:
        # An event that moves behind the next reply that shows its cause.
        later = next((j for j in range(i + 1, len(trace))
                      if trace[j][0] == 'reply' and
                      trace[j][1].op in WRITES), None)
        if later:
            copy = list(trace)
            copy.insert(later, copy.pop(i))
            yield 'an event comes behind its effect', copy
            break
    at = reads[len(reads) // 2]
    x = copy_of = trace[at][1]
    data, stat = copy_of.value
    copy = list(trace)
    copy[at] = 'reply', x._replace(value=(b'never', stat))
    yield 'a read returns data never written', copy
    first = reads[0]
    copy = list(trace)
    copy[reads[-1]] = 'reply', trace[reads[-1]][1]._replace(
        value=trace[first][1].value)
    yield 'a read returns an old state', copy
    at = writes[0]
    copy = list(trace)
    copy[at] = 'reply', trace[at][1]._replace(zxid=trace[at][1].zxid + 1)
    yield 'a write is answered with another zxid', copy


def judge_can_fail(story, worker, new):
    for what, trace in doctor(worker.client.trace):
        if not check_worker(story, worker.session, worker.notes, trace,
                            new):
            raise AssertionError('not noticed: ' + what)


# -- the run ----------------------------------------------------------------

def interleave(kind, seconds, seed):
    rng = random.Random(seed)
    stop = threading.Event()
    with harness.Server(kind, CONF) as server:
        with server.client() as c:
            ok(c.create(BASE))
            for path in NAMES[:3]:
                ok(c.create(path, b'first'))
        watchers = [Watcher(server, mode, stop) for mode in (0, 1, 1)]
        workers = [Worker(server, rng.random(), stop) for _ in range(6)]
        for t in watchers + workers:
            t.start()
        time.sleep(seconds)
        stop.set()
        for t in watchers + workers:
            t.join(20)
        for t in watchers + workers:
            if t.error:
                raise t.error
        for t in workers + watchers:
            t.finish()
        server.stop()
        story = Story(disk.read_logs(server.data))
        new = not server.is_java
        bad = judge(story, workers, watchers, new)
        events = sum(1 for t in workers + watchers
                     for k, _ in t.client.trace if k == 'event')
        replies = sum(len(t.notes) for t in workers)
        print('  seed %d: %d replies and %d events against %d '
              'transactions' % (seed, replies, events,
                                len(story.records)), flush=True)
        for t in watchers + workers:
            t.client.abort()
    if bad:
        raise AssertionError('%d violations (seed %d):\n      %s' % (
            len(bad), seed, '\n      '.join(bad[:8])))
    judge_can_fail(story, workers[0], new)


def main():
    def extra(p):
        p.add_argument('--seconds', type=float, default=None)
        p.add_argument('--seed', type=int,
                       default=int(os.environ.get('FAL_SEED', 0)) or
                       random.SystemRandom().randrange(1, 1 << 31))
    options = harness.options(__doc__.splitlines()[0], extra)
    seconds = options.seconds or (1.5 if options.quick else 5)
    suite = harness.Suite('interleaved')
    suite.attempt('nine clients at once, judged by the log', interleave,
                  options.server, seconds, options.seed,
                  seconds=120 + 10 * seconds)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())

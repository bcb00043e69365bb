# SPDX-License-Identifier: Apache-2.0
"""The same random client script against two servers, side by side.

Goal: no sequence of client requests can tell Falconer from Debian's Java
ZooKeeper, apart from the version differences named in ALLOWED.

Method: a seeded generator produces steps (a request, a pipelined batch, a
malformed frame, a session closed, dropped or resumed) for five clients.
Each step runs on both servers; behind it every client reads until its reply
zxid has reached the step's last transaction, so all watch events have
arrived and the whole exchange is deterministic.  Everything a client saw is
put into a canonical form and compared: replies and events in arrival order
per connection, error codes, Stat fields, zxids, ACLs, session ids.  Session
ids become names, times are checked to be one value per zxid and then
dropped, zxids are counted without the transactions that only the older
version spends.  At the end a superuser dumps both trees, and both servers
restart from their disks and are dumped again.

Java beside Java must give no difference at all and uses no entry of the
table; that run is the self-check of the method.

Clients 0..2 use one-shot watches, client 3 persistent ones, client 4
recursive ones, because 3.8 lets the last registration on a path win.
"""
import bisect
import collections
import os
import random
import re
import struct
import sys
import time

import harness
import zkwire
from differential_script import CLIENTS, Script
from zkwire import (CHECKWATCHES, CLOSESESSION, CREATE, CREATE2,
                    CREATECONTAINER, CREATETTL, DELETE, EXISTS, GETACL,
                    GETCHILDREN, GETCHILDREN2, GETEPHEMERALS, MULTI, MULTIREAD,
                    PING, REMOVEWATCHES, SETACL, SETDATA, SETWATCHES,
                    SETWATCHES2, WHOAMI, Event, Reply, Stat)

WRITES = (CREATE, CREATE2, CREATECONTAINER, CREATETTL, DELETE, SETDATA,
          SETACL, MULTI)
LINE_MAX = 700
ATTEMPTS = 5
SEED = 167166853
SUPER = 'super:D/InIHSb7yEEbrWz8b9l71RjZJU='

CONF = {
    'DigestAuthenticationProvider.superDigest': SUPER,
    # Reaping runs by the clock; the script must not meet it.
    'znode.container.checkIntervalMs': 86400000,
}

# Version differences (protocol, section 18) this script can meet.  Each
# entry: name, and what it lets pass.  The code that applies them is
# reconcile() and World.note_extra().
ALLOWED = collections.OrderedDict([
    ('notification zxid',
     '3.8 sends -1, ours the zxid of the transaction'),
    ('exists without READ', '3.8 answers, ours -102'),
    ('create2 inside multi', '3.8 result type 1, ours 15 with Stat'),
    ('undecodable write', '-5 in both; only 3.8 spends a zxid'),
    ('undecodable operation inside multi',
     '3.8 fails the operation, ours the whole request with -5'),
    ('watch left by such an exists', '3.8 has it and tells, ours has not'),
    ('checkWatches of no path',
     '3.8 looks for its ancestors and fails with -5, ours -121'),
    # Section 5.7: 3.8 looks at whether anybody watches the path.
    ('watch of somebody else', '3.8 finds it for any type, ours -121'),
    # Section 20: clients do not order pings.
    ('ping ahead of its turn', '3.8 answers in order, ours may overtake'),
])


# -- the servers ------------------------------------------------------------

class World:
    """One server, its clients, and the translation to canonical form."""

    def __init__(self, server):
        self.server = server
        self.old = server.is_java
        self.clients = [None] * CLIENTS
        self.generation = [0] * CLIENTS
        self.names = {0: 0}
        self.extra = []
        self.times = {}
        self.last = 0

    def connect(self, i):
        c = self.server.client(timeout_ms=40000, strict=False)
        self.clients[i] = c
        self.names[c.session] = 'session %d.%d' % (i, self.generation[i])
        self.generation[i] += 1
        self.last += 1          # the createSession transaction
        return c

    def resume(self, i):
        old = self.clients[i]
        old.abort()
        c = self.server.client(timeout_ms=40000, session=old.session,
                               password=old.password, last_zxid=old.zxid,
                               strict=False)
        c.zxid, c.xid = old.zxid, old.xid
        self.clients[i] = c
        harness.expect(c.session, old.session, 'resumed session')
        return c

    def barrier(self):
        """Lets every client catch up with the last transaction."""
        for c in self.clients:
            deadline = time.monotonic() + 10
            while True:
                shown = c.call(EXISTS, '/', False).zxid
                c.trace.pop()       # the barrier's own reply
                if shown >= self.last:
                    break
                if time.monotonic() > deadline:
                    raise AssertionError('zxid %x never shown' % self.last)

    def seen(self):
        """All frames since the last call, per client."""
        out = []
        for c in self.clients:
            out.append(c.trace)
            c.trace, c.events = [], []
        return out

    def note_extra(self, zxid):
        """zxid was spent by this version only."""
        bisect.insort(self.extra, zxid)

    def zxid(self, zxid):
        if zxid <= 0:
            return zxid
        return zxid - bisect.bisect_right(self.extra, zxid)

    def back(self, zxid, count):
        """The zxid that lies count shared transactions before zxid."""
        want = max(self.zxid(zxid) - count, 0)
        while zxid > 0 and self.zxid(zxid) > want:
            zxid -= 1
        return zxid

    def stat(self, s):
        if s.czxid:
            self.time(s.czxid, s.ctime)
        # The quota and config nodes are written by the server itself.
        if s.mzxid:
            self.time(s.mzxid, s.mtime)
        return s._replace(
            czxid=self.zxid(s.czxid), mzxid=self.zxid(s.mzxid),
            pzxid=self.zxid(s.pzxid), ctime=0, mtime=0,
            ephemeralOwner=self.names.get(s.ephemeralOwner,
                                          hex(s.ephemeralOwner)))

    def time(self, zxid, ms):
        known = self.times.setdefault(zxid, ms)
        if known != ms:
            raise AssertionError('zxid %x has times %d and %d' % (
                zxid, known, ms))

    def value(self, op, v):
        if v is None:
            return v
        if isinstance(v, Stat):
            return self.stat(v)
        if op in (GETCHILDREN, GETEPHEMERALS, WHOAMI):
            return sorted(v)
        if op in (MULTI, MULTIREAD):
            return [(kind, x if kind == -1 else self.value(kind, x))
                    for kind, x in v]
        if isinstance(v, tuple):
            # The identities behind an `auth` entry come in no promised
            # order; cases 74 look at the order of what was given.
            first = sorted(v[0]) if op in (GETCHILDREN2, GETACL) else v[0]
            return first, self.stat(v[1])
        return v

    def frame(self, entry):
        kind, x = entry
        if kind == 'event':
            return Event('zxid', x.type, x.state, x.path)
        return Reply(x.op, x.xid, self.zxid(x.zxid), x.err,
                     self.value(x.op, x.value),
                     x.body[16:] if x.err else None)

    def dump(self, keep_sessions=True):
        """The whole tree as the superuser sees it."""
        tree = {}
        with self.server.client(timeout_ms=40000) as c:
            self.last += 1
            harness.ok(c.auth('digest', b'super:test'))
            self.names.setdefault(c.session, 'dumper')
            todo = ['/']
            while todo:
                path = todo.pop()
                data, stat = harness.ok(c.get(path)).value
                acl, _ = harness.ok(c.get_acl(path)).value
                names = harness.ok(c.children(path)).value
                if path != '/zookeeper/config':
                    stat = self.stat(stat)
                tree[path] = (data, stat, sorted(acl))
                base = path if path != '/' else ''
                todo += [base + '/' + n for n in names]
            c.close()
            self.last += 1
        return tree


class Differences(Exception):
    pass


class Run:
    """Two worlds and their comparison."""

    def __init__(self, left, right, limit=10):
        self.worlds = [World(left), World(right)]
        self.mixed = self.worlds[0].old != self.worlds[1].old
        self.used = collections.Counter()
        self.left_watches = set()
        self.limit = limit
        self.found = []
        self.step_number = 0
        self.requests = 0

    def differ(self, step, text):
        lines = ['step %d %r' % (self.step_number, step)]
        lines += text.split('\n')
        self.found.append('\n'.join(x[:LINE_MAX] for x in lines))
        if len(self.found) >= self.limit:
            raise Differences()

    # Version differences.

    def old_and_new(self, a, b):
        return (a, b) if self.worlds[0].old else (b, a)

    def note_extras(self, left, right):
        """Finds zxids only 3.8 spends, before anything is translated."""
        if not self.mixed:
            return
        old_world = self.worlds[0] if self.worlds[0].old else self.worlds[1]
        old, new = self.old_and_new(left, right)
        for trace, new_trace in zip(old, new):
            theirs, ours = (
                [x for kind, x in t if kind == 'reply' and x.op != PING]
                for t in (trace, new_trace))
            for x, y in zip(theirs, ours):
                if x.op not in WRITES or y.err != zkwire.MARSHALLINGERROR:
                    continue
                if old_world.zxid(x.zxid) == y.zxid:
                    # Both spent one: a failure behind the decoding.
                    continue
                self.used['undecodable write' if x.err == y.err else
                          'undecodable operation inside multi'] += 1
                old_world.note_extra(x.zxid)

    def reconcile(self, a, b):
        """Whether two canonical frames differ only as ALLOWED."""
        if not self.mixed or type(a) is not type(b):
            return False
        old, new = self.old_and_new(a, b)
        if isinstance(a, Event):
            return False
        if old._replace(value=None, err=0, body=None) != new._replace(
                value=None, err=0, body=None):
            return False
        if (old.op == EXISTS and old.err == 0 and
                new.err == zkwire.NOAUTH):
            self.used['exists without READ'] += 1
            return True
        if (old.op == CHECKWATCHES and
                old.err == zkwire.MARSHALLINGERROR and
                new.err == zkwire.NOWATCHER):
            self.used['checkWatches of no path'] += 1
            return True
        if (old.op in (CHECKWATCHES, REMOVEWATCHES) and old.err == 0 and
                new.err == zkwire.NOWATCHER):
            self.used['watch of somebody else'] += 1
            return True
        if (old.op == MULTI and old.err == 0 and
                new.err == zkwire.MARSHALLINGERROR):
            return any(kind == -1 for kind, _ in old.value)
        if old.op == MULTI and old.err == new.err == 0:
            if len(old.value) != len(new.value):
                return False
            for x, y in zip(old.value, new.value):
                if x == y:
                    continue
                if (x[0], y[0]) != (CREATE, CREATE2) or x[1] != y[1][0]:
                    return False
                self.used['create2 inside multi'] += 1
            return True
        return False

    def check_event_zxids(self, step, low):
        """Ours carry the zxid of a transaction of this step."""
        for world in self.worlds:
            for c in world.clients:
                for kind, x in c.trace:
                    if kind != 'event':
                        continue
                    if world.old:
                        good = x.zxid == -1
                    elif step[0] == 'resume':
                        good = x.zxid == -1
                    else:
                        good = (low < x.zxid <= world.last or
                                (x.zxid == -1 and step[0] == 'malformed'))
                        self.used['notification zxid'] += self.mixed
                    if not good:
                        self.differ(step, 'event %r with zxid %d' % (
                            x, x.zxid))

    # One step.

    def perform(self, world, step):
        what, i = step[0], step[1]
        c = world.clients[i]
        result = None
        if what == 'requests':
            result = self.send_requests(world, c, step)
        elif what == 'malformed':
            result = self.send_malformed(world, i, step)
        elif what == 'close':
            reply = c.call(CLOSESESSION)
            rest = c.recv_all()
            world.last = max(world.last, reply.zxid)
            result = world.frame(('reply', reply)), rest
            c.abort()
            world.connect(i)
        elif what == 'resume':
            c = world.resume(i)
            since = c.zxid if step[3] else world.back(c.zxid, 20)
            if any(step[2][3:]):
                c.call(SETWATCHES2, since, *step[2])
            elif any(step[2]):
                c.call(SETWATCHES, since, *step[2][:3])
        world.barrier()
        return result

    def send_requests(self, world, c, step):
        raw = b''
        for op, args in step[2]:
            raw += c.encode(op, zkwire.REQUEST[op](*args))[1]
        at = 0
        for cut in step[3] if isinstance(step[3], list) else ():
            end = int(cut * len(raw))
            c.send(raw[at:end])
            at = end
        c.send(raw[at:])
        for reply in c.drain():
            world.last = max(world.last, reply.zxid)
        if step[3] == 'ends':
            rest = c.recv_all()
            trace = c.trace
            fresh = world.resume(step[1])
            fresh.trace = trace
            return rest
        return None

    def send_malformed(self, world, i, step):
        c = world.clients[i]
        body, ends = step[2], step[3]
        xid, op = struct.unpack('>ii', (body + b'\0' * 8)[:8])
        c.pending.append((xid if op != PING else -2, op))
        c.send_frame(body)
        if not ends:
            c.send(c.encode(PING, b'')[1])
        closed = False
        try:
            while c.pending:
                reply = c.take()
                world.last = max(world.last, reply.zxid)
            if ends:
                c.recv_frame(5)
        except zkwire.Closed:
            closed = True
        trace = c.trace
        if closed:
            c = world.resume(i)
            c.trace = trace
        c.pending.clear()
        return 'closed' if closed else 'open'

    def step(self, step):
        self.step_number += 1
        self.requests += len(step[2]) if step[0] == 'requests' else 1
        results, traces = [], []
        lows = [w.last for w in self.worlds]
        for world in self.worlds:
            results.append(self.perform(world, step))
        self.check_event_zxids(step, min(lows))
        for world in self.worlds:
            traces.append(world.seen())
        self.note_extras(*traces)
        if results[0] != results[1]:
            self.differ(step, '%r\n      %r' % tuple(results))
        for i in range(CLIENTS):
            seen = [[w.frame(x) for x in t[i]]
                    for w, t in zip(self.worlds, traces)]
            self.compare_seen(step, i, seen)

    def compare_seen(self, step, i, seen):
        left, right = seen
        if step[0] == 'close':
            # The order of paths inside a closeSession is free.
            left, right = sorted(left, key=repr), sorted(right, key=repr)
        self.note_left_watches(step, i, left, right)
        if left == right:
            return
        if self.mixed:
            left, right = self.without_pings(step, left, right)
            left, right = self.without_left_watches(i, left, right)
        if len(left) != len(right):
            self.differ(step, 'client %d saw\n      %r\n      %r' % (
                i, left, right))
            return
        for a, b in zip(left, right):
            if a != b and not self.reconcile(a, b):
                self.differ(step, 'client %d saw\n      %r\n      %r' % (
                    i, a, b))

    def note_left_watches(self, step, i, left, right):
        """Watches that only 3.8 set: an exists that it alone answered."""
        if not self.mixed or step[0] != 'requests' or i != step[1]:
            return
        old, new = ([x for x in t if isinstance(x, Reply)]
                    for t in self.old_and_new(left, right))
        if len(old) != len(step[2]) or len(new) != len(step[2]):
            return
        # Pings may have moved; all else is in the order of the requests.
        old, new = ([x for x in t if x.op != PING] for t in (old, new))
        asked = [x for x in step[2] if x[0] != PING]
        for (op, args), x, y in zip(asked, old, new):
            if op == EXISTS and args[1] and x.err == 0 and y.err:
                self.left_watches.add((i, args[0]))

    def without_left_watches(self, i, left, right):
        """Both traces without what such a watch tells; it tells once."""
        old, new = self.old_and_new(left, right)
        events = [x for x in new if isinstance(x, Event)]
        kept = []
        for x in old:
            known = isinstance(x, Event) and x not in events and (
                i, x.path) in self.left_watches
            if known:
                self.left_watches.discard((i, x.path))
                self.used['watch left by such an exists'] += 1
            else:
                kept.append(x)
        return (kept, new) if self.worlds[0].old else (new, kept)

    def without_pings(self, step, left, right):
        """Both traces without their pings, which must be alike."""
        pings = [[x for x in t if isinstance(x, Reply) and x.op == PING]
                 for t in (left, right)]
        kept = [[x for x in t if x not in p]
                for t, p in zip((left, right), pings)]
        bare = [[x._replace(zxid=0) for x in p] for p in pings]
        if bare[0] != bare[1]:
            self.differ(step, 'pings\n      %r\n      %r' % tuple(bare))
        if pings[0]:
            self.used['ping ahead of its turn'] += 1
        return kept

    def compare_dumps(self, what):
        left, right = (w.dump() for w in self.worlds)
        for path in sorted(set(left) | set(right)):
            a, b = left.get(path), right.get(path)
            if path == '/zookeeper/config' and a and b:
                # Written by the server at start, not by a transaction.
                a = (a[0], a[1]._replace(mtime=0, ctime=0), a[2])
                b = (b[0], b[1]._replace(mtime=0, ctime=0), b[2])
                if harness.members() > 1:   # each has ports of its own
                    a, b = a[1:], b[1:]
            if a != b:
                self.differ((what, path), '%r\n      %r' % (a, b))
        return len(left)


def is_java_silent(servers, error):
    """A member of a Java ensemble now and then never answers a request that
    another run of the same script gets answered: nothing to compare with."""
    return harness.members() > 1 and isinstance(error, TimeoutError) and any(
        s.is_java and '%s:%d' % s.address in str(error) for s in servers)


def run_script(kinds, seed, count, restart=True, wrong=None, conf=None):
    """Runs count requests; returns the Run with what was found.

    conf   settings of both servers

    wrong holds settings for the second server that make it behave
    differently, to see it noticed.
    """
    servers = []
    try:
        for kind in kinds:
            all_conf = dict(CONF, **(conf or {}))
            if servers:
                all_conf.update(wrong or {})
            server = harness.Server(kind, all_conf)
            servers.append(server)
            server.start()
        run = Run(*servers)
        run.is_java_silent = False
        script = Script(seed)
        try:
            for world in run.worlds:
                for i in range(CLIENTS):
                    world.connect(i)
                world.barrier()
                world.seen()
            while run.requests < count:
                run.step(script.step())
            run.nodes = run.compare_dumps('dump')
            if restart:
                for server in servers:
                    server.restart()
                run.compare_dumps('dump after restart')
        except Differences:
            pass
        except (zkwire.Closed, zkwire.ProtocolError, TimeoutError,
                harness.ServerError, AssertionError, OSError) as e:
            run.is_java_silent = is_java_silent(servers, e)
            if not run.is_java_silent:
                run.found.append('step %d: %s: %s' % (
                    run.step_number, type(e).__name__, e))
        return run
    finally:
        for server in servers:
            server.close()


def report(run, seed):
    used = ', '.join('%s %d' % x for x in sorted(run.used.items()))
    print('  seed %d: %d requests in %d steps, allowed differences: %s' % (
        seed, run.requests, run.step_number, used or 'none'), flush=True)
    if run.found:
        raise AssertionError('%d differences (seed %d)\n    %s' % (
            len(run.found), seed, '\n    '.join(run.found)))


def main():
    def extra(p):
        p.add_argument('--seed', type=int,
                       default=int(os.environ.get('FAL_SEED', SEED)),
                       help='0: a random one, which is printed')
        p.add_argument('--count', type=int, default=None,
                       help='requests (2000 quick, 5000 full)')
    options = harness.options(__doc__.splitlines()[0], extra)
    if options.seed == 0:
        options.seed = random.SystemRandom().randrange(1, 1 << 31)
    count = options.count or (2000 if options.quick else 5000)
    limit = harness.CASE_SECONDS + count // 10
    suite = harness.Suite('differential')

    def compare(kinds, count=count, conf=None):
        for seed in range(options.seed, options.seed + ATTEMPTS):
            run = run_script(kinds, seed, count, conf=conf)
            if not run.is_java_silent:
                return report(run, seed)
            print('  seed %d: Java did not answer in step %d' % (
                seed, run.step_number), flush=True)
        raise AssertionError('Java fell silent %d times' % ATTEMPTS)
    def attempt(title, *what, seconds=harness.CASE_SECONDS):
        if not options.only or re.search(options.only, title):
            suite.attempt(title, *what, seconds=seconds)
    attempt('%s beside Java, %d requests' % (options.server, count),
            compare, (options.server, 'java'), seconds=limit)
    if not options.quick:
        attempt('with quotas enforced', compare,
                (options.server, 'java'), max(4000, count // 3),
                {'enforceQuota': 'true'}, seconds=limit)
    if options.server != 'java' and not options.quick:
        attempt('Java beside Java, the self-check', compare,
                ('java', 'java'), seconds=limit)

    def notice(wrong):
        # A seed whose first requests meet both settings; not all do.
        run = run_script(('java', 'java'), SEED, 2000, wrong=wrong)
        if not run.found:
            raise AssertionError('no difference seen with %r' % wrong)
    if not options.quick:
        attempt('a server without ACL checks is told apart', notice,
                {'skipACL': 'yes'})
        attempt('a server without TTL nodes is told apart', notice,
                {'extendedTypesEnabled': 'false'})
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())

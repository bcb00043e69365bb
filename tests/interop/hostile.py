# SPDX-License-Identifier: Apache-2.0
"""Clients that mean harm.

Goal: whatever a client sends or fails to do, the server answers as
specified or closes that connection; others are served all the while, and
memory stays under what is configured.

Method: each attack runs in a process of its own, against one server with
low caps, while a well-behaved client in this process reads and writes.  What
the attacker must see is checked there; the server must live, answer the
well-behaved client without a single failure, and not grow beyond the caps.
How the well-behaved client's p99 compares to the quiet one, measured just
before each attack, is printed as the table of docs/reliability.md, and never
asserted: that depends on who else uses the machine.  --full takes a million
watches and 10,000 silent connections instead of fewer, and more time for the
quiet.
"""
import multiprocessing
import os
import random
import resource
import select
import struct
import sys
import time
import traceback

import harness
import zkwire
from harness import Server, Suite, expect, expect_closed, expect_err, ok
from zkwire import (CREATE, EXISTS, GETCHILDREN, GETDATA, MULTI, MULTIREAD,
                    OPEN, SETDATA)

OUTPUT_MB = 8
CONF = {
    'nio.sessionlessCnxnTimeout': 1500,
    'falconer.output.maxBytes': '%dm' % OUTPUT_MB,
    'falconer.tree.maxBytes': '256m',
    'falconer.connections.max': 12000,
    'tickTime': 1000,
}
# Over what it holds when quiet: the tree's cap (nothing here comes near it),
# and for each of a few greedy connections its output and input.
GROWTH_MB = 160


# -- attacks: run in a process of their own ----------------------------------

def random_bytes(address, seed, options):
    """random bytes: closed, or answered with a documented error"""
    rng = random.Random(seed)
    for _ in range(150):
        with zkwire.Conn(address) as c:
            try:
                c.send(rng.randbytes(rng.randrange(1, 2000)))
            except zkwire.Closed:
                pass
    for _ in range(20):
        with zkwire.Client(address) as c:
            try:
                for _ in range(20):
                    body = rng.randbytes(rng.randrange(0, 64))
                    op = rng.choice(sorted(zkwire.REQUEST))
                    c.send_frame(struct.pack('>ii', 7, op) + body)
                c.send(rng.randbytes(4) * 3)
                while True:
                    reply = c.recv_frame(2.0)
                    if len(reply) < 16:
                        raise AssertionError('a frame of %d' % len(reply))
            except (zkwire.Closed, TimeoutError):
                pass


def wrong_states(address, seed, options):
    """valid frames at the wrong time: closed without an effect"""
    request = struct.pack('>ii', 1, CREATE) + zkwire.w_create('/wrong')
    with zkwire.Conn(address) as c:
        c.send_frame(request)  # before any ConnectRequest: read as one
        expect_closed(c, 'a create before the connect')
    for _ in range(2):
        with zkwire.Client(address) as c:
            # A second ConnectRequest is a request with xid 0 and type 0.
            c.send_frame(zkwire.connect_request())
            body = c.recv_frame()
            expect(struct.unpack('>iqi', body), (0, -1, -6), 'reply')
            expect_closed(c, 'a second connect')
    with zkwire.Client(address) as c:
        c.post(zkwire.CLOSESESSION)
        c.post(CREATE, '/wrong', b'', OPEN, 0)
        ok(c.take())
        expect_closed(c, 'a create behind the close')
    with zkwire.Client(address) as c:
        expect_err(c.get('/wrong'), zkwire.NONODE)
        # A server's own frames, sent back.
        c.send_frame(struct.pack('>iqiii', -1, -1, 0, 1, 3) +
                     zkwire.Writer().str('/').bytes())
        body = c.recv_frame()
        expect(struct.unpack('>iqi', body)[0], -1, 'xid')
        expect_closed(c, 'a notification from a client')


def huge_counts(address, seed, options):
    """huge counts and lengths in tiny bodies: -5, and nothing allocated"""
    huge = struct.pack('>i', 0x7fffffff)
    path = zkwire.Writer().str('/huge').bytes()
    with zkwire.Client(address) as c:
        for op, body in (
                (CREATE, path + huge), (CREATE, path + b'\0' * 4 + huge),
                (CREATE, huge), (SETDATA, path + huge),
                (zkwire.SETACL, path + huge),
                (zkwire.SETWATCHES, b'\0' * 8 + huge),
                (zkwire.SETWATCHES2, b'\0' * 8 + b'\0' * 12 + huge),
                (zkwire.RECONFIG, huge), (EXISTS, huge), (GETDATA, huge),
                (MULTI, struct.pack('>ibi', CREATE, 0, -1) + path + huge),
                (MULTIREAD, struct.pack('>ibi', GETDATA, 0, -1) + huge),
                (zkwire.AUTH, b'\0' * 4 + huge)):
            for _ in range(20):
                expect_err(c.call_raw(op, body), zkwire.MARSHALLINGERROR,
                           repr(body[:20]))
        ok(c.ping())


def deep_paths(address, seed, options):
    """paths of half a million levels, and a tree 2,000 levels deep"""
    with zkwire.Client(address) as c:
        deep = '/a' * 500000
        for _ in range(5):
            expect_err(c.create(deep), zkwire.NONODE)
            expect_err(c.get(deep), zkwire.NONODE)
            expect_err(c.exists(deep), zkwire.NONODE)
        ok(c.add_watch('/', 1))
        path = ''
        for _ in range(20):
            ops = []
            for _ in range(100):
                path += '/d'
                ops.append((CREATE, zkwire.w_create(path)))
            ok(c.call(MULTI, ops))
        expect(ok(c.call(zkwire.GETALLCHILDRENNUMBER, '/d')).value, 1999,
               'descendants')
        while path:
            ops = []
            for _ in range(100):
                ops.append((zkwire.DELETE, zkwire.w_path_version(path)))
                path = path[:-2]
            ok(c.call(MULTI, ops))


def silent_connections(address, seed, options):
    """thousands of connections that never speak are closed in time"""
    wanted = 10000 if options.full else 3000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE,
                           (min(hard, wanted + 200), hard))
    except ValueError:
        pass
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100
    if room < wanted:
        print('  only %d silent connections: ulimit -n' % room)
        wanted = room
    conns = [zkwire.Conn(address) for _ in range(wanted)]
    for c in conns:
        if not c.is_closed(30.0):
            raise AssertionError('a silent connection is still open')
        c.abort()


def slow_handshakes(address, seed, options):
    """handshakes of one byte at a time do not outlive the time for them"""
    frame = zkwire.connect_request()
    frame = struct.pack('>i', len(frame)) + frame
    conns = [zkwire.Conn(address) for _ in range(300)]
    began = time.monotonic()
    left = list(conns)
    for at in range(len(frame) - 1):
        for c in list(left):
            try:
                c.send(frame[at:at + 1])
            except (zkwire.Closed, OSError):
                left.remove(c)
        if not left:
            break
        time.sleep(0.1)
        if time.monotonic() - began > 120:
            raise AssertionError('%d handshakes still open' % len(left))
    for c in conns:
        expect_closed(c, 'a slow handshake', 10.0)
        c.abort()


def watches(address, seed, options):
    """watches by the hundred thousand, then all gone at once"""
    count = 1000000 if options.full else 60000
    c = zkwire.Client(address, timeout_ms=20000)
    for start in range(0, count, 500):
        out = bytearray()
        for i in range(start, start + 500):
            body = struct.pack('>ii', i + 1, EXISTS) + zkwire.w_path_watch(
                '/watched/%07d' % i, True)
            out += struct.pack('>i', len(body)) + body
        c.send(out)
        for _ in range(500):
            c.recv_frame()
    c.abort()


def deaf_pipeline(address, seed, options):
    """100,000 requests in a row, and no reply is ever read"""
    with zkwire.Client(address) as c:
        ok(c.create('/deaf', b'x' * 1000))
    c = zkwire.Conn(address, rcvbuf=4096)
    c.send_frame(zkwire.connect_request(timeout=2000))
    body = struct.pack('>ii', 1, GETDATA) + zkwire.w_path_watch('/deaf')
    piece = (struct.pack('>i', len(body)) + body) * 1000
    c.sock.settimeout(30.0)
    try:
        for _ in range(100):
            c.sock.sendall(piece)
    except ConnectionError:
        return
    # Much of it is in the buffers of both systems. The session lives for
    # some of its timeouts, because it is the server that does not read.
    poll = select.poll()
    poll.register(c.sock, select.POLLRDHUP | select.POLLERR)
    expect(bool(poll.poll(30000)), True, 'closed')
    c.abort()


def reply_bombs(address, seed, options):
    """a small request for gigabytes of replies ends its connection"""
    with zkwire.Client(address) as c:
        ok(c.create('/bomb', b'x' * 500000))
        one = struct.pack('>ibi', GETDATA, 0, -1) + zkwire.w_path_watch(
            '/bomb')
        bomb = one * 20000 + struct.pack('>ibi', -1, 1, -1)
        for _ in range(3):
            d = zkwire.Client(address)
            d.post_raw(MULTIREAD, bomb)
            try:
                while True:
                    d.recv_frame(30.0)
            except zkwire.Closed:
                pass
            d.abort()
        ok(c.delete('/bomb'))


def large_lists(address, seed, options):
    """a directory of thousands, listed again and again by many"""
    with zkwire.Client(address) as c:
        ok(c.create('/many'))
        for _ in range(20):
            ok(c.call(MULTI, [(CREATE, zkwire.w_create(
                '/many/a-rather-long-name-', b'', OPEN, 2))
                for _ in range(250)]))
        many = [zkwire.Client(address) for _ in range(10)]
        for _ in range(30 if options.full else 3):
            for m in many:
                m.post(GETCHILDREN, '/many', True)
            for m in many:
                expect(len(ok(m.take()).value), 5000, 'children')
        for m in many:
            m.abort()


def guessed_sessions(address, seed, options):
    """guessed ids, wrong and replayed passwords are all refused alike"""
    refusal = struct.pack('>iiqi', 0, 0, 0, 16) + b'\0' * 17
    rng = random.Random(seed)
    with zkwire.Client(address) as c, zkwire.Client(address) as gone:
        session, password = gone.session, gone.password
        ok(gone.call(zkwire.CLOSESESSION))
        attempts = [(session, password)]
        for i in range(1, 200):
            guess = (c.session + rng.choice((i, -i)) * rng.choice(
                (1000, 1 << 16, 1 << 40))) & 0x7fffffffffffffff
            attempts.append((guess, zkwire.password_of(guess)))
            wrong = bytearray(c.password)
            wrong[i % 16] ^= 1 << (i % 8)
            if i % 20 == 0:
                attempts.append((guess, bytes(16)))
                attempts.append((guess, None))
        for guess, password in attempts:
            with zkwire.Conn(address) as d:
                d.send_frame(zkwire.connect_request(
                    session=guess, password=password))
                expect(d.recv_frame(), refusal, 'refusal')
                expect_closed(d)
        ok(c.ping())


# With the words of the table; a number that --full makes larger is left out.
ATTACKS = {
    random_bytes: 'random bytes',
    wrong_states: 'valid frames in wrong states',
    huge_counts: 'huge counts in tiny bodies',
    deep_paths: 'paths of half a million levels',
    silent_connections: '%(conns)s connections that never speak',
    slow_handshakes: '300 handshakes, a byte at a time',
    watches: '%(watches)s watches, then all dropped',
    deaf_pipeline: '100,000 requests, no reply read',
    reply_bombs: '10 GB of replies asked for in one frame',
    large_lists: 'lists of 5,000 names, again and again',
    guessed_sessions: 'guessed sessions, replayed passwords',
}
LARGE = {'conns': '10,000', 'watches': '1,000,000'}
SMALL = {'conns': '3,000', 'watches': '60,000'}


# -- the well-behaved client ---------------------------------------------------

def rss_mb(server):
    with open('/proc/%d/status' % server.process.pid) as f:
        for line in f:
            if line.startswith('VmRSS:'):
                return int(line.split()[1]) / 1024
    raise AssertionError('no VmRSS')


def p99(samples):
    samples.sort()
    return samples[len(samples) * 99 // 100] if samples else 0.0


def behave(client, until, server=None):
    """Reads and writes until `until()`; latencies in s, and the peak RSS."""
    samples, peak, i = [], 0.0, 0
    while not until():
        began = time.monotonic()
        if i % 8 == 0:
            ok(client.set('/good', b'%d' % i))
        else:
            expect(ok(client.get('/good')).value[0],
                   b'%d' % (i - i % 8), 'data')
        samples.append(time.monotonic() - began)
        i += 1
        if server and i % 16 == 0:
            peak = max(peak, rss_mb(server))
        time.sleep(0.002)
    return samples, peak


def attacker(attack, address, seed, options, pipe):
    try:
        attack(address, seed, options)
        pipe.send('')
    except BaseException as e:
        at = traceback.extract_tb(e.__traceback__)[-1]
        pipe.send('%s: %s (%s:%d)' % (type(e).__name__, e,
                                      os.path.basename(at.filename),
                                      at.lineno))


def print_table(rows):
    """rows: attack, p99 in s when quiet and meanwhile, MB"""
    print('load average %.1f\n\n'
          '| attack | quiet p99, ms | meanwhile, ms | ratio | memory |\n'
          '|---|---|---|---|---|' % os.getloadavg()[0])
    for name, quiet, slow, grown in rows:
        ratio = slow / quiet
        print('| %s | %.2f | %.2f | x %s | +%.0f MB |' % (
            name, 1e3 * quiet, 1e3 * slow,
            '%.0f' % ratio if ratio >= 10 else '%.1f' % ratio, grown))
    print(flush=True)


def withstands(server, attack, seed, options, rows):
    with server.client(timeout_ms=20000) as good:
        ends = time.monotonic() + (4.0 if options.full else 0.2)
        quiet = p99(behave(good, lambda: time.monotonic() > ends)[0])
        before = rss_mb(server)
        mine, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(
            target=attacker, daemon=True,
            args=(attack, server.address, seed, options, theirs))
        process.start()
        try:
            samples, peak = behave(good, lambda: mine.poll(), server)
            verdict = mine.recv()
        finally:
            process.join(10)
            if process.is_alive():
                process.kill()
        if verdict:
            raise AssertionError(verdict)
        expect(server.alive(), True, 'the server lives')
        if peak - before > GROWTH_MB:
            raise AssertionError('grew by %.0f MB' % (peak - before))
        rows.append((ATTACKS[attack] % (LARGE if options.full else SMALL),
                     quiet, p99(samples), max(0.0, peak - before)))


def main():
    options = harness.options(
        __doc__.splitlines()[0],
        lambda p: (p.add_argument('--full', action='store_true'),
                   p.add_argument('--seed', type=int, default=1)))
    suite = Suite('hostile')
    multiprocessing.set_start_method('fork')
    print('seed %d' % options.seed)
    conf = {k: v for k, v in CONF.items()
            if options.server == 'falconer' or not k.startswith('falconer.')}
    rows = []
    with Server(options.server, conf) as server:
        with server.client(timeout_ms=20000) as good:
            ok(good.create('/good', b'0'))
        for attack in ATTACKS:
            if options.only and options.only not in attack.__name__:
                continue
            suite.attempt(attack.__doc__, withstands, server, attack,
                          options.seed, options, rows, seconds=600)
    print_table(rows)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Connecting, sessions, and clients that misbehave.

Goal: the numbered cases 1-14, 60, 66-68 and 88-92 of the protocol's section
15, and what belongs to them: expiry instants, sessions across a restart,
half-closed peers, frames of every bad length, random bodies.

Method: each case is a function of one server, with expectations for 3.8
(`server.is_java`) and ours where section 18 or 19 tells them apart.  Instants
are measured on the monotonic clock against the bucket rule of section 7.5.
"""
import os
import random
import signal
import socket
import struct
import sys
import threading
import time

import caselib
import harness
import zkwire
from harness import expect, expect_closed, expect_err, ok, wait_until
from zkwire import EPHEMERAL, connect_request

REFUSAL = bytes.fromhex('00000000' '00000000' '0000000000000000'
                        '00000010') + bytes(16)

CASES = caselib.Cases()
numbered = CASES.numbered


def frame(body):
    return struct.pack('>i', len(body)) + body


def request(xid, op, body=b''):
    return frame(struct.pack('>ii', xid, op) + body)


def handshake(server, body, timeout=5.0):
    """Sends a ConnectRequest body; the answer's body, None if closed."""
    c = server.conn(timeout=timeout)
    c.send_frame(body)
    try:
        return c, c.recv_frame()
    except zkwire.Closed:
        c.abort()
        return c, None


# -- connecting -------------------------------------------------------------

@numbered(1)
def response_length_follows_request(server):
    """a request with the readOnly byte gets 37 bytes, without it 36"""
    for body, want in ((connect_request(read_only=None), 36),
                       (connect_request(read_only=False), 37),
                       (connect_request(read_only=True), 37)):
        c, answer = handshake(server, body)
        expect(len(answer), want, 'ConnectResponse')
        if want == 37:
            expect(answer[36], 0, 'readOnly of a normal server')
        c.abort()


@numbered(2)
def timeouts_are_clamped(server):
    """session timeouts are clamped to 2..20 ticks"""
    for asked, want in ((1, 4000), (0, 4000), (-5, 4000), (10 ** 9, 40000),
                        (3999, 4000), (4001, 4001), (40001, 40000),
                        (-2 ** 31, 4000)):
        with server.client(timeout_ms=asked) as c:
            expect(c.timeout_ms, want, 'timeout for %d' % asked)


@numbered(3)
def zxid_ahead_is_turned_away(server):
    """lastZxidSeen beyond the server's zxid closes without a byte"""
    with server.client() as c:
        zxid = ok(c.create('/ahead%d' % random.getrandbits(30))).zxid
        for session, password in ((0, bytes(16)), (c.session, c.password),
                                  (77, bytes(16))):
            for ahead in (1, 1000, 2 ** 62):
                _, answer = handshake(server, connect_request(
                    session=session, password=password,
                    last_zxid=zxid + ahead))
                expect(answer, None, 'answer')
        expect(ok(c.exists('/')).zxid, zxid, 'zxid afterwards')
        with server.client(session=c.session, password=c.password,
                           last_zxid=zxid) as again:
            expect(again.session, c.session, 'session')


@numbered(4, 60)
def resume_takes_the_session_over(server):
    """a resumed session closes its old connection and loses its watches"""
    with server.client() as other, server.client() as old:
        ok(other.create('/resume'))
        ok(old.create('/resume/e', flags=EPHEMERAL))
        ok(old.get('/resume', watch=True))
        ok(old.children('/resume', watch=True))
        ok(old.add_watch('/resume', 1))
        with server.client(session=old.session,
                           password=old.password) as new:
            expect(new.session, old.session, 'session id')
            expect(new.password, old.password, 'password')
            expect_closed(old, 'old connection')
            ok(other.set('/resume', b'1'))
            ok(other.create('/resume/c'))
            expect(new.barrier(), [], 'events of the old watches')
            stat = ok(new.exists('/resume/e')).value
            expect(stat.ephemeralOwner, new.session, 'ephemeral')
            ok(new.close())
        expect_err(other.exists('/resume/e'), zkwire.NONODE)


@numbered(5)
def refusals_are_all_alike(server):
    """wrong password and unknown session get the same refusal, then close"""
    with server.client() as c:
        for session, password in (
                (c.session, b'x' * 16), (c.session, bytes(16)),
                (c.session ^ 1 << 40, c.password),
                (1, zkwire.password_of(1)), (-1, bytes(16)),
                (c.session + 1000,
                 zkwire.password_of(c.session + 1000))):
            conn, answer = handshake(server, connect_request(
                session=session, password=password))
            expect(answer, REFUSAL + b'\0', 'refusal')
            expect_closed(conn, 'refused connection')
            conn, answer = handshake(server, connect_request(
                session=session, password=password, read_only=None))
            expect(answer, REFUSAL, 'refusal of an old client')
            expect_closed(conn)
        # Any attempt for its id, right or wrong, costs the connection.
        expect_closed(c, 'the holder of the session')
        with server.client(session=c.session, password=c.password) as again:
            ok(again.ping())


@numbered(6)
def short_passwords_are_refused(server):
    """a null password or one of 15 or 17 bytes never resumes"""
    with server.client() as c:
        for password in (None, b'', c.password[:15], c.password + b'\0'):
            conn, answer = handshake(server, connect_request(
                session=c.session, password=password))
            expect(answer, REFUSAL + b'\0', 'refusal for %r' % password)
            expect_closed(conn)


@numbered()
def odd_new_sessions_are_granted(server):
    """protocol 5, odd passwords, a readOnly of 2, trailing bytes: all fine"""
    for body in (connect_request(protocol=5),
                 connect_request(password=None),
                 connect_request(password=b'abc'),
                 connect_request(password=b'a' * 40),
                 connect_request(read_only=None) + b'\x02',
                 connect_request() + b'trailing'):
        c, answer = handshake(server, body)
        r = zkwire.Reader(answer)
        expect(r.int(), 0, 'protocol')
        expect(r.int(), 10000, 'timeout')
        session = r.long()
        expect(r.buf(), zkwire.password_of(session), 'password')
        expect(r.bool(), False, 'readOnly')
        c.abort()


def whole_life(path):
    """Connect, auth, create, close and a create behind it, as bytes."""
    return (frame(connect_request()) +
            request(-4, zkwire.AUTH, zkwire.w_auth('digest', b'bob:pw')) +
            request(1, zkwire.CREATE, zkwire.w_create(path)) +
            request(2, zkwire.CLOSESESSION) +
            request(3, zkwire.CREATE,
                    zkwire.w_create(path + 'x', flags=EPHEMERAL)))


def check_whole_life(server, path, conn):
    """Reads what whole_life() must be answered with."""
    expect(len(conn.recv_frame()), 37, 'response')
    seen = []
    for _ in range(3):
        xid, zxid, err = struct.unpack_from('>iqi', conn.recv_frame())
        seen.append((xid, err))
        if xid == 1:
            created = zxid
        elif xid == 2:
            expect(zxid, created + 1, 'zxid of the close')
    want = [(-4, 0), (1, 0), (2, 0)]
    if server.is_java:
        seen.sort()             # its auth replies may overtake
    expect(seen, want, 'replies')
    rest = conn.recv_all()
    if server.is_java and rest:
        # It may answer what follows, always with SESSIONEXPIRED.
        rest = rest.replace(struct.pack('>iiqi', 16, 3, created + 2, -112),
                            b'')
    expect(rest, b'', 'bytes behind the close')
    with server.client() as c:
        ok(c.exists(path))
        expect_err(c.exists(path + 'x'), zkwire.NONODE)


@numbered(7, 68)
def one_segment_holds_a_whole_session(server):
    """a whole session in one segment; what follows the close is dropped"""
    with server.conn() as conn:
        conn.send(whole_life('/segment'))
        check_whole_life(server, '/segment', conn)


@numbered(8)
def single_bytes_are_the_same(server):
    """the same session sent byte by byte"""
    with server.conn() as conn:
        for b in whole_life('/bytes'):
            conn.send(bytes([b]))
        check_whole_life(server, '/bytes', conn)


@numbered(9)
def bad_lengths_close(server):
    """frame lengths out of range close without reply"""
    for length in (-1, 0, 5, 1048576, 0x7fffffff, -2 ** 31):
        with server.conn() as conn:
            conn.send(struct.pack('>i', length) + b'\0' * 5)
            expect_closed(conn, 'first frame of length %d' % length)
    for length in list(range(8)) + [-1, 1048576, 0x7fffffff]:
        with server.client() as c:
            c.send(struct.pack('>i', length) + b'\0' * min(
                max(length, 0), 16))
            expect_closed(c, 'frame of length %d' % length)
            with server.client(session=c.session, password=c.password):
                pass


@numbered(9)
def the_largest_frame_works(server):
    """setData with a frame of exactly 1048575 bytes, and its answer"""
    with server.client() as c:
        ok(c.create('/large'))
        overhead = len(zkwire.w_setdata('/large', b'')) + 8
        data = os.urandom(1048575 - overhead)
        ok(c.set('/large', data))
        got, stat = ok(c.get('/large')).value
        expect(got == data, True, 'same data')
        expect(stat.dataLength, len(data), 'dataLength')
        c.post(zkwire.SETDATA, '/large', data + b'x', -1)
        try:
            c.take()
            raise AssertionError('a frame of 1048576 bytes was answered')
        except (zkwire.Closed, ConnectionError):
            pass
    with server.client() as c:
        expect(ok(c.get('/large')).value[1].version, 1, 'version')
        ok(c.delete('/large'))


@numbered(10)
def words_end_with_the_session(server):
    """ruok behind an established session closes"""
    with server.client() as c:
        c.send(b'ruok')
        expect_closed(c)


@numbered(11, conf={'maxClientCnxns': 20})
def connections_per_address_are_limited(server):
    """the 21st connection of one address is reset, 20 keep working"""
    def count():
        return server.four_letter('srvr')
    clients = []
    try:
        # The probes of the start may still hold their places.
        wait_until('one connection counted',
                   lambda: b'Connections: 1\n' in count())
        time.sleep(0.1)
        while len(clients) < 20:
            clients.append(server.client())
        for _ in range(3):
            try:
                conn = server.conn()
                conn.send(b'ruok')
                expect(conn.recv_all(), b'', 'answer to the 21st')
            except (ConnectionResetError, zkwire.Closed):
                pass
        for c in clients:
            ok(c.ping())
        ok(clients.pop().close())
        wait_until('a free place', lambda: try_client(server, clients))
    finally:
        for c in clients:
            c.abort()


def try_client(server, clients):
    try:
        clients.append(server.client())
        return True
    except (OSError, zkwire.Closed):
        return False


@numbered(12, conf={'nio.sessionlessCnxnTimeout': 1000})
def mute_connections_are_closed(server):
    """a connection without a session is closed after its time"""
    before = server.zxid()
    began = time.monotonic()
    with server.conn() as mute, server.conn() as half:
        half.send(frame(connect_request())[:30])
        for c in (mute, half):
            expect_closed(c, 'silent connection', 5)
        took = time.monotonic() - began
    if not 0.9 < took < 3.5:
        raise AssertionError('closed after %.2f s' % took)
    expect(server.zxid(), before, 'zxid, as no session was made')


@numbered(12, quick=False)
def mute_connections_default(server):
    """by default that takes 10 to 20 s"""
    began = time.monotonic()
    with server.conn() as mute:
        expect_closed(mute, 'silent connection', 25)
    took = time.monotonic() - began
    if not 9.5 < took < 21:
        raise AssertionError('closed after %.2f s' % took)


@numbered(13)
def passwords_follow_the_ids(server):
    """passwords are the checksum of the session id"""
    for session, want in (
            (0x0100001089ee0000, 'd06ca2821d6640092e54e6bc2e74bd71'),
            (0x0100001089ee0006, 'f6ae96825dfdfe9219dab413d585e60b'),
            (0x0200001c4f8d0000, 'e951541bc267dfc16f4530cedb92e502'),
            (0xff00001234560001, '3bfd9ee8352a52e23bb2a6783a163a8d')):
        expect(zkwire.password_of(session).hex(), want, hex(session))
    last = None
    for _ in range(5):
        with server.client() as c:
            expect(c.password, zkwire.password_of(c.session), 'password')
            expect((c.session >> 56) & 0xff, server.sid, 'server id in the id')
            if last is not None:
                expect(c.session, last + 1, 'next id')
            last = c.session


@numbered(14)
def nothing_happens_behind_a_refusal(server):
    """requests pipelined behind a refused connect have no effect"""
    with server.client() as c:
        with server.conn() as bad:
            bad.send(frame(connect_request(session=c.session,
                                           password=b'y' * 16)) +
                     request(1, zkwire.CREATE, zkwire.w_create('/behind')) +
                     request(2, zkwire.CLOSESESSION))
            expect(bad.recv_frame(), REFUSAL + b'\0', 'refusal')
            expect(bad.recv_all(), b'', 'rest')
        with server.conn() as ahead:
            ahead.send(frame(connect_request(last_zxid=2 ** 60)) +
                       request(1, zkwire.CREATE,
                               zkwire.w_create('/behind')))
            expect(ahead.recv_all(), b'', 'bytes')
    with server.client() as c:
        expect_err(c.exists('/behind'), zkwire.NONODE)


# -- sessions ---------------------------------------------------------------

SHORT = {'tickTime': 500, 'minSessionTimeout': 500}


def expiry_of(server, client, began, timeout, tick=0.5):
    """Waits for the close by expiry and checks the instant."""
    expect_closed(client, 'expired connection', timeout + tick + 3)
    took = time.monotonic() - began
    if not timeout - 0.02 <= took <= timeout + tick + 0.35:
        raise AssertionError('expired after %.3f s, timeout %.1f' % (
            took, timeout))
    return took


@numbered(66, conf=SHORT)
def silence_ends_the_session(server):
    """a silent session ends within timeout .. timeout + tick"""
    with server.client() as watcher:
        ok(watcher.create('/expiry'))
        ok(watcher.add_watch('/expiry', 1))
        for timeout_ms in (1000, 1300):
            c = server.client(timeout_ms=timeout_ms)
            expect(c.timeout_ms, timeout_ms, 'timeout')
            names = ['/expiry/%d-%d' % (timeout_ms, i) for i in range(3)]
            for name in names:
                began = time.monotonic()
                ok(c.create(name, flags=EPHEMERAL))
            expiry_of(server, c, began, timeout_ms / 1000)
            events = watcher.barrier()
            expect(sorted(e.path for e in events if e.type == 2), names,
                   'deleted ephemerals')
            conn, answer = handshake(server, connect_request(
                session=c.session, password=c.password))
            expect(answer, REFUSAL + b'\0', 'resume afterwards')
            conn.abort()
            c.abort()


@numbered(66, conf=SHORT, quick=False)
def every_session_ends_in_its_bucket(server):
    """twelve silent sessions at random instants all end in their bucket"""
    rng = random.Random(4)
    failures = []

    def live(delay):
        time.sleep(delay)
        began = time.monotonic()
        with server.client(timeout_ms=1000) as c:
            try:
                expiry_of(server, c, began, 1.0)
            except AssertionError as e:
                failures.append(str(e))
    threads = [threading.Thread(target=live, args=(rng.random(),))
               for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect(failures, [], 'sessions outside')


@numbered(67, conf=SHORT)
def any_request_keeps_a_session(server):
    """pings and requests keep a session; auth packets alone do not"""
    pinging = server.client(timeout_ms=1000)
    reading = server.client(timeout_ms=1000)
    authing = server.client(timeout_ms=1000)
    began = time.monotonic()
    ended = None
    while time.monotonic() - began < 2.6:
        ok(pinging.ping())
        ok(reading.exists('/'))
        try:
            if ended is None:
                authing.auth('digest', b'a:b')
        except (zkwire.Closed, OSError):
            ended = time.monotonic() - began
        time.sleep(0.1)
    ok(pinging.ping())
    ok(reading.get('/'))
    if ended is None or not 0.9 < ended < 1.9:
        raise AssertionError('auth alone: ended at %r' % ended)
    for c in (pinging, reading, authing):
        c.abort()


@numbered(conf={'falconer.cores': 2})
def who_comes_back_to_a_closed_session(server):
    """who comes back while his old connection closes the session is closed"""
    harness.lone(server, 'it stands still while both ask')
    if server.is_java:
        raise harness.Skip('3.8 leaves one of two such connections open')
    other = server.client()
    for _ in range(10):
        with server.client() as old, server.conn() as new:
            server.process.send_signal(signal.SIGSTOP)
            old.post(zkwire.CLOSESESSION)
            new.send_frame(connect_request(session=old.session,
                                           password=old.password))
            server.process.send_signal(signal.SIGCONT)
            old.recv_all()
            other.barrier()     # all that was asked before is done
            try:
                new.recv_frame()    # granted or not
            except zkwire.Closed:
                continue
            # The old connection may end before it was heard.
            if b'\t0x%x\n' % old.session not in server.four_letter('dump'):
                expect_closed(new, 'the new connection')
    other.close()


@numbered(conf=SHORT, quick=False)
def a_resumed_session_starts_its_time_again(server):
    """resuming counts as a touch and may change the timeout"""
    with server.client(timeout_ms=1000) as c:
        ok(c.create('/touch', flags=EPHEMERAL))
        time.sleep(0.7)
        c.abort()
        with server.client(session=c.session, password=c.password,
                           timeout_ms=2000) as again:
            began = time.monotonic()
            expect(again.timeout_ms, 2000, 'timeout')
            time.sleep(0.8)
            ok(again.exists('/touch'))
            began = time.monotonic()
            took = expiry_of(server, again, began, 1.0, tick=1.5)
            if took < 0.95:
                raise AssertionError('expired after %.2f s' % took)


@numbered()
def closing_removes_ephemerals_at_once(server):
    """closeSession deletes all ephemerals in one transaction"""
    with server.client() as watcher:
        ok(watcher.create('/closing'))
        ok(watcher.add_watch('/closing', 1))
        with server.client() as c:
            for i in range(10):
                ok(c.create('/closing/%d' % i, flags=EPHEMERAL))
            ok(watcher.sync())
            watcher.barrier()
            reply = ok(c.close())
        events = watcher.barrier()
        expect(sorted((e.type, e.path) for e in events),
               sorted((2, '/closing/%d' % i) for i in range(10)), 'events')
        if not server.is_java:
            expect({e.zxid for e in events}, {reply.zxid}, 'one zxid')
        stat = ok(watcher.exists('/closing')).value
        expect(stat.numChildren, 0, 'children')
        expect(stat.pzxid, reply.zxid, 'pzxid')


@numbered()
def a_half_closed_peer_is_let_go(server):
    """a peer that stops sending is closed; its session can be resumed"""
    with server.client() as c:
        ok(c.create('/half', flags=EPHEMERAL))
        c.sock.shutdown(socket.SHUT_WR)
        expect_closed(c, 'half-closed connection')
        with server.client(session=c.session, password=c.password) as again:
            expect(ok(again.exists('/half')).value.ephemeralOwner,
                   c.session, 'owner')
            ok(again.close())


@numbered()
def a_reset_peer_leaves_its_session(server):
    """a reset connection ends nothing but itself"""
    with server.client() as c:
        ok(c.create('/reset', flags=EPHEMERAL))
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          struct.pack('ii', 1, 0))
        c.abort()
        with server.client(session=c.session, password=c.password) as again:
            ok(again.exists('/reset'))
            ok(again.close())


@numbered(conf={}, quick=False)
def sessions_survive_a_restart(server):
    """sessions and ephemerals survive a restart, and expire if alone"""
    a = server.client(timeout_ms=10000)
    b = server.client(timeout_ms=4000)
    ok(a.create('/ra', flags=EPHEMERAL))
    ok(b.create('/rb', flags=EPHEMERAL))
    top = max(a.session, b.session)
    server.restart()
    began = time.monotonic()
    with server.client(session=a.session, password=a.password,
                       last_zxid=a.zxid) as again:
        expect(again.session, a.session, 'session')
        ok(again.exists('/ra'))
        ok(again.exists('/rb'))
        with server.client() as fresh:
            if not fresh.session > top:
                raise AssertionError('session id %x after %x' % (
                    fresh.session, top))
        wait_until('the session nobody resumed is gone',
                   lambda: again.exists('/rb').err == zkwire.NONODE, 12,
                   0.05)
        took = time.monotonic() - began
        if not 3.5 < took < 7.5:
            raise AssertionError('gone after %.2f s' % took)
        ok(again.exists('/ra'))
    a.abort()
    b.abort()


# -- four-letter words ------------------------------------------------------

@numbered(85)
def words_in_pieces(server):
    """a word may come in pieces or with a newline; unknown ones close"""
    for pieces in ([b'r', b'u', b'o', b'k'], [b'ruok\n'], [b'ru', b'ok\r\n']):
        with server.conn() as c:
            for p in pieces:
                c.send(p)
                time.sleep(0.01)
            expect(c.recv_all(), b'imok', 'answer to %r' % pieces)
    for word in (b'abcd', b'RUOK', b'zzzz'):
        expect(server.four_letter(word), b'', 'answer to %r' % word)


# -- robustness -------------------------------------------------------------

BODY_OPS = [op for op in zkwire.REQUEST if op not in (
    zkwire.CLOSESESSION, zkwire.CHECK, zkwire.DELETECONTAINER,
    zkwire.AUTH, zkwire.SASL, zkwire.RECONFIG)]

DOCUMENTED = {0, -2, -5, -6, -8, -101, -102, -103, -108, -110, -111, -114,
              -121}


@numbered(88)
def random_bodies_do_no_harm(server):
    """random bodies for every opcode: a documented error, nothing else"""
    rng = random.Random(int(os.environ.get('FAL_SEED', 11)))
    with server.client() as c:
        ok(c.create('/garbage'))
        for op in BODY_OPS:
            for _ in range(40):
                kind = rng.random()
                if kind < 0.4:
                    body = rng.randbytes(rng.randrange(64))
                elif kind < 0.7:
                    body = bytes(rng.choice([0, 0, 0, 1, 47, 255])
                                 for _ in range(rng.randrange(64)))
                else:
                    whole = zkwire.Writer().str('/garbage').int(
                        rng.randrange(5)).raw(rng.randbytes(20)).bytes()
                    body = whole[:rng.randrange(len(whole))]
                reply = c.call_raw_err(op, body)
                if reply not in DOCUMENTED:
                    raise AssertionError('op %d body %s: err %d' % (
                        op, body.hex(), reply))
        ok(c.exists('/'))
    for op in (zkwire.AUTH, zkwire.SASL):
        for _ in range(20):
            with server.client() as c:
                c.post_raw(op, rng.randbytes(rng.randrange(40)))
                try:
                    c.recv_frame()
                except zkwire.Closed:
                    pass
    expect(server.four_letter('ruok'), b'imok', 'ruok')


@numbered(89)
def impossible_lengths_are_refused(server):
    """impossible string and vector lengths are -5, quickly"""
    began = time.monotonic()
    with server.client() as c:
        for length in (-2, 2 ** 31 - 1, 100, -2 ** 31):
            body = struct.pack('>i', length) + b'/a\0\0\0\0'
            for op in (zkwire.GETDATA, zkwire.CREATE, zkwire.DELETE,
                       zkwire.SETDATA, zkwire.EXISTS, zkwire.GETACL):
                expect(c.call_raw(op, body).err, -5, 'op %d length %d' % (
                    op, length))
        head = zkwire.Writer().str('/never').buf(b'').bytes()
        for count in (2 ** 31 - 1, 1000, 2 ** 24):
            body = head + struct.pack('>iii', count, 31, 5) + b'worl'
            expect(c.call_raw(zkwire.CREATE, body).err, -5, 'acl count')
            for n in range(3):
                body = struct.pack('>q', 0) + struct.pack(
                    '>i', 0) * n + struct.pack('>i', count) + b'\0\0'
                expect(c.call_raw(zkwire.SETWATCHES, body, xid=-8).err, -5,
                       'setWatches list %d' % n)
        expect_err(c.exists('/never'), zkwire.NONODE)
    if time.monotonic() - began > 60:
        raise AssertionError('took %.1f s' % (time.monotonic() - began))


@numbered(90)
def internal_opcodes_are_unknown(server):
    """deleteContainer, check and createSession are no client requests"""
    with server.client() as c:
        ok(c.create('/internal'))
        bodies = ((zkwire.DELETECONTAINER, zkwire.w_path('/internal')),
                  (zkwire.CHECK, zkwire.w_path_version('/internal', 7)),
                  (zkwire.CREATESESSION, struct.pack('>i', 10000)),
                  (0, b''), (10, b''), (-1, struct.pack('>i', -101)))
        for op, body in bodies:
            if server.is_java and op in (20, 13, -10):
                continue        # section 19: it executes or half-answers
            with server.client() as victim:
                before = ok(c.exists('/internal')).zxid
                reply = victim.call_raw(op, body)
                expect((reply.err, reply.zxid), (-6, -1), 'op %d' % op)
                expect_closed(victim, 'connection after op %d' % op)
                expect(ok(c.exists('/internal')).zxid, before,
                       'zxid after op %d' % op)


@numbered(91)
def long_paths_and_acls_fit(server):
    """a path of 64 KiB and a long ACL are stored and come back"""
    with server.client() as c:
        path = '/' + 'p' * 65535
        ok(c.create(path, b'long'))
        expect(ok(c.get(path)).value[0], b'long', 'data')
        expect(path[1:] in ok(c.children('/')).value, True, 'in children')
        ok(c.delete(path))
        count = 2000 if server.is_java else 40000
        acl = [(31, 'world', 'anyone')] + [
            ((i << 5) & 0x7fffffff, 'world', 'anyone')
            for i in range(1, count)]
        began = time.monotonic()
        ok(c.create('/acl', b'', acl))
        got, _ = ok(c.get_acl('/acl')).value
        expect(got == acl, True, 'the same ACL')
        ok(c.delete('/acl'))
        if time.monotonic() - began > 60:
            raise AssertionError('a long ACL took %.1f s' % (
                time.monotonic() - began))


def rss_mib(server):
    with open('/proc/%d/status' % server.process.pid) as f:
        for line in f:
            if line.startswith('VmRSS:'):
                return int(line.split()[1]) / 1024
    raise AssertionError('no VmRSS')


@numbered(92)
def a_deaf_client_harms_nobody(server):
    """a client that never reads costs bounded memory and no latency"""
    count = 60 if server.is_java else 600
    with server.client() as c:
        data = os.urandom(1000000)
        ok(c.create('/deaf', data))
        before = rss_mib(server)
        deaf = server.client(timeout=2)
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        worst = 0.0
        closed = False
        for i in range(count):
            try:
                deaf.post(zkwire.GETDATA, '/deaf')
            except (zkwire.Closed, OSError):
                closed = True
                break
            began = time.monotonic()
            ok(c.exists('/deaf'))
            worst = max(worst, time.monotonic() - began)
        grown = rss_mib(server) - before
        if worst > 1.0:
            raise AssertionError('another client waited %.2f s' % worst)
        if not server.is_java and grown > 256:
            raise AssertionError('memory grew by %.0f MiB%s' % (
                grown, ', closed' if closed else ''))
        deaf.abort()
        ok(c.set('/deaf', b''))
        ok(c.delete('/deaf'))


@numbered(92)
def a_deaf_watcher_harms_nobody(server):
    """a watcher that never reads does not stop the writer"""
    with server.client() as c, server.client() as deaf:
        path = '/deafwatch' + 'w' * 2000
        ok(c.create(path))
        ok(deaf.add_watch(path, 0))
        began = time.monotonic()
        for _ in range(40):
            for _ in range(100):
                c.post(zkwire.SETDATA, path, b'x', -1)
            for reply in c.drain():
                ok(reply)
        if time.monotonic() - began > 120:
            raise AssertionError('4000 writes took %.1f s' % (
                time.monotonic() - began))


def call_raw_err(client, op, body):
    """The error of a reply whose body is not looked at."""
    xid, raw = client.encode(op, body, client.xid + 1)
    client.xid += 1
    client.send(raw)
    while True:
        frame_ = client.recv_frame()
        got, _, err = struct.unpack_from('>iqi', frame_)
        if got == zkwire.XID_NOTIFICATION:
            continue
        client.pending.clear()
        expect(got, -2 if op == zkwire.PING else xid, 'xid')
        return err


zkwire.Client.call_raw_err = call_raw_err


def main():
    options = harness.options(__doc__.splitlines()[0])
    suite = harness.Suite('sessions')
    CASES.run(suite, options)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""A thousand sessions and a steady stream of writes, in one process.

Goal: the load of a rolling replacement: many sessions, each with an
ephemeral and a watch, that all have to survive; and writes that are offered
at a fixed rate whatever the servers do, so that a gap is seen as a gap.

Method: one selector loop over nonblocking sockets.  A session connects to
some server, resumes itself with its id and the zxid it saw, sets its watch
again (setWatches) and pings.  Writers set a register each, several in
flight; what is not answered when a connection breaks may or may not have
happened.  The version of a register at the end counts the sets that did.

Commands on stdin, answers on stdout, one line of JSON each:

  ready                answered when all sessions are up
  mark NAME            a new phase of the report begins
  touch                changes every watched node; answered when every session
                       has its event
  finish               ends; answered with the report and what was found wrong
"""
import argparse
import collections
import errno
import json
import os
import random
import selectors
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), 'interop'))

import zkwire  # noqa: E402

CONNECT_SECONDS = 1.5
ANSWER_SECONDS = 8.0
DEPTH = 64              # writes in flight of one writer
EVENT_SECONDS = 60.0


class Session:
    """One session on one socket at a time."""

    def __init__(self, swarm, number):
        self.swarm = swarm
        self.number = number
        self.session, self.password, self.zxid = 0, b'\0' * 16, 0
        self.sock = None
        self.state = 'idle'         # idle connecting greeting open
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.xid = 0
        self.flight = collections.deque()   # (xid, what, posted)
        self.since = 0.0
        self.retry_at = 0.0
        self.pinged = 0.0
        self.reconnects = 0
        self.expired = 0

    # -- the connection -------------------------------------------------------

    def dial(self, now):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = self.swarm.rng.choice(self.swarm.addresses)
        code = self.sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            return self.drop(now)
        self.state, self.since = 'connecting', now
        self.inbox, self.outbox = bytearray(), bytearray()
        body = zkwire.connect_request(self.swarm.timeout_ms, self.session,
                                      self.password, self.zxid, False)
        self.outbox += struct.pack('>i', len(body)) + body
        self.swarm.selector.register(
            self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def drop(self, now):
        if self.sock is not None:
            if self.state != 'idle':
                self.swarm.selector.unregister(self.sock)
            self.sock.close()
        self.sock = None
        if self.state == 'open':
            self.reconnects += 1
        self.state = 'idle'
        self.retry_at = now + 0.05 + self.swarm.rng.random() * 0.3
        for _, what, _ in self.flight:
            self.unanswered(what)
        self.flight.clear()

    def on_ready(self, mask, now):
        try:
            if mask & selectors.EVENT_WRITE:
                self.push()
            if mask & selectors.EVENT_READ:
                data = self.sock.recv(262144)
                if not data:
                    return self.drop(now)
                self.inbox += data
                self.frames(now)
        except OSError:
            self.drop(now)

    def push(self):
        if self.state == 'connecting':
            code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, 'connect')
            self.state = 'greeting'
        while self.outbox:
            try:
                n = self.sock.send(self.outbox)
            except BlockingIOError:
                return
            del self.outbox[:n]
        self.swarm.selector.modify(self.sock, selectors.EVENT_READ, self)

    def frames(self, now):
        at = 0
        while len(self.inbox) - at >= 4:
            n = struct.unpack_from('>i', self.inbox, at)[0]
            if len(self.inbox) - at - 4 < n:
                break
            body = bytes(self.inbox[at + 4:at + 4 + n])
            at += 4 + n
            if self.state == 'greeting':
                if not self.greet(body, now):
                    return
            else:
                self.frame(body, now)
        del self.inbox[:at]

    def greet(self, body, now):
        r = zkwire.Reader(body)
        r.int()
        timeout = r.int()
        session, password = r.long(), r.buf()
        if timeout <= 0 or session == 0:
            # Unknown to the servers: the one thing that may not happen.
            self.expired += 1
            self.session, self.password, self.zxid = 0, b'\0' * 16, 0
            self.drop(now)
            return False
        self.session, self.password = session, password
        self.state, self.since, self.pinged = 'open', now, now
        self.opened()
        return True

    def frame(self, body, now):
        xid, zxid, err = struct.unpack_from('>iqi', body)
        if xid == zkwire.XID_NOTIFICATION:
            return self.event(zkwire.decode_event(body))
        if zxid > 0:
            if zxid < self.zxid and xid >= 0:
                self.swarm.wrong('session %x went back from %x to %x' % (
                    self.session, self.zxid, zxid))
            self.zxid = max(self.zxid, zxid)
        for i, entry in enumerate(self.flight):
            if entry[0] == xid:
                if i and xid >= 0:
                    self.swarm.wrong('session %x: answer out of order' %
                                     self.session)
                del self.flight[i]
                return self.answered(entry[1], zxid, err, body, now)
        self.swarm.wrong('session %x: an answer to nothing' % self.session)

    def post(self, op, body, what, now):
        if op == zkwire.PING:
            xid = zkwire.XID_PING
        elif op == zkwire.SETWATCHES:
            xid = zkwire.XID_SETWATCHES
        else:
            self.xid += 1
            xid = self.xid
        self.flight.append((xid, what, now))
        frame = struct.pack('>ii', xid, op) + body
        if not self.outbox:
            self.swarm.selector.modify(
                self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE,
                self)
        self.outbox += struct.pack('>i', len(frame)) + frame

    def tick(self, now):
        if self.state == 'idle':
            if now >= self.retry_at:
                self.dial(now)
        elif self.state != 'open':
            if now - self.since > CONNECT_SECONDS:
                self.drop(now)
        elif self.flight and now - self.flight[0][2] > ANSWER_SECONDS:
            self.drop(now)
        elif now - self.pinged > self.swarm.timeout_ms / 3000.0:
            self.pinged = now
            self.post(zkwire.PING, b'', 'ping', now)

    # -- what a kind of session does ------------------------------------------

    def opened(self):
        pass

    def answered(self, what, zxid, err, body, now):
        pass

    def unanswered(self, what):
        pass

    def event(self, event):
        pass


class Guest(Session):
    """Has an ephemeral and a watch, and waits."""

    def __init__(self, swarm, number):
        super().__init__(swarm, number)
        self.path = '/swarm/w%d' % number
        self.mine = '/swarm/e%d' % number
        self.has_mine = False
        self.is_armed = False
        self.events = 0
        self.owner = None

    def is_settled(self):
        return self.state == 'open' and self.has_mine and self.is_armed

    def opened(self):
        now = time.monotonic()
        if not self.has_mine:
            self.post(zkwire.CREATE, zkwire.w_create(
                self.mine, b'', zkwire.OPEN, zkwire.EPHEMERAL), 'mine', now)
        if self.is_armed:
            self.post(zkwire.SETWATCHES, zkwire.w_setwatches(
                self.zxid, [self.path]), 'rearmed', now)
        else:
            self.arm(now)

    def arm(self, now):
        self.post(zkwire.GETDATA, zkwire.w_path_watch(self.path, True),
                  'armed', now)

    def answered(self, what, zxid, err, body, now):
        if what == 'mine' and err in (0, zkwire.NODEEXISTS):
            # After a lost answer the node is there; whose it is is checked
            # at the end.
            self.has_mine = True
        elif what == 'armed' and err == 0:
            self.is_armed = True
        elif what == 'owner':
            if err:
                self.owner = 0
            else:
                r = zkwire.Reader(body)
                r.take(16)
                self.owner = r.stat().ephemeralOwner

    def event(self, event):
        if event.path != self.path:
            self.swarm.wrong('an event of %s' % event.path)
        self.events += 1
        self.is_armed = False
        if self.state == 'open':
            self.arm(time.monotonic())


class Writer(Session):
    """Sets its register at its share of the rate, and never waits for it."""

    def __init__(self, swarm, number):
        super().__init__(swarm, number)
        self.path = '/swarm/r%d' % number
        self.offered = self.acked = self.unknown = self.refused = 0
        self.late = 0
        self.next_at = 0.0
        self.final = None

    def is_settled(self):
        return self.state == 'open'

    def offer(self, now):
        """One more write is due."""
        self.offered += 1
        if self.state != 'open' or len(self.flight) >= DEPTH:
            self.late += 1
            return
        data = struct.pack('>Q', self.offered)
        self.post(zkwire.SETDATA, zkwire.w_setdata(self.path, data), 'set',
                  now)

    def answered(self, what, zxid, err, body, now):
        if what == 'set' and err == 0:
            self.acked += 1
            self.swarm.note_write(now)
        elif what == 'set':
            self.refused += 1
        elif what == 'final' and err == 0:
            self.final = zkwire.decode_reply(zkwire.GETDATA, body).value[1]

    def unanswered(self, what):
        if what == 'set':
            self.unknown += 1


class Swarm:
    """The loop, its sessions and its report."""

    def __init__(self, options):
        self.options = options
        self.rng = random.Random(options.seed)
        self.addresses = [(h, int(p)) for h, p in
                          (a.rsplit(':', 1)
                           for a in options.servers.split(','))]
        self.timeout_ms = options.timeout_ms
        self.selector = selectors.DefaultSelector()
        self.bad = []
        self.phases = []
        self.last_write = None
        self.writing = False
        self.make_nodes()
        self.guests = [Guest(self, i) for i in range(options.sessions)]
        self.writers = [Writer(self, i) for i in range(options.writers)]
        self.all = self.guests + self.writers
        self.mark('start')
        self.selector.register(0, selectors.EVENT_READ, None)
        os.set_blocking(0, False)
        self.commands = bytearray()

    def wrong(self, text):
        if len(self.bad) < 50:
            self.bad.append(text)

    def make_nodes(self):
        names = ['/swarm'] + ['/swarm/w%d' % i
                              for i in range(self.options.sessions)]
        names += ['/swarm/r%d' % i for i in range(self.options.writers)]
        with zkwire.Client(self.addresses[0], 30000, timeout=60) as c:
            for at in range(0, len(names), 100):
                for name in names[at:at + 100]:
                    c.post(zkwire.CREATE, name, b'')
                for reply in c.drain():
                    if reply.err:
                        raise SystemExit('create: %d' % reply.err)
            c.close()

    def mark(self, name):
        now = time.monotonic()
        if self.phases:
            self.phases[-1]['seconds'] = round(now - self.phases[-1]['at'], 2)
            self.close_gap(now)
        self.phases.append({'name': name, 'at': now, 'gap': 0.0,
                            'writes': 0, 'seconds': 0})

    def close_gap(self, now):
        if self.writing and self.last_write is not None:
            self.phases[-1]['gap'] = max(self.phases[-1]['gap'],
                                         now - self.last_write)

    def note_write(self, now):
        self.close_gap(now)
        self.last_write = now
        self.phases[-1]['writes'] += 1

    def step(self, until):
        """The loop until a time or the next command."""
        for key, mask in self.selector.select(
                max(0.0, min(until - time.monotonic(), 0.005))):
            if key.data is None:
                self.commands += os.read(0, 4096) or b'quit\n'
            elif key.data.sock is key.fileobj:
                key.data.on_ready(mask, time.monotonic())
        now = time.monotonic()
        if now - self.ticked > 0.05:
            self.ticked = now
            for s in self.all:
                s.tick(now)
        if self.writing:
            share = len(self.writers) / self.options.rate
            for w in self.writers:
                w.next_at = max(w.next_at, now - 2.0)
                while w.next_at <= now:
                    w.next_at += share
                    w.offer(now)

    ticked = 0.0

    def until(self, predicate, seconds, what):
        end = time.monotonic() + seconds
        while not predicate():
            if time.monotonic() > end:
                self.wrong('not within %gs: %s' % (seconds, what))
                return False
            self.step(time.monotonic() + 0.01)
        return True

    # -- commands -------------------------------------------------------------

    def ready(self):
        self.until(lambda: all(s.is_settled() for s in self.all), 120,
                   'all sessions up')
        now = time.monotonic()
        for i, w in enumerate(self.writers):
            w.next_at = now + i / self.options.rate
        self.writing = True
        self.last_write = now
        return {'sessions': sum(s.state == 'open' for s in self.all)}

    def touch(self):
        """Changes every watched node by a client of its own."""
        before = [g.events for g in self.guests]
        sender = Session(self, -1)
        self.all.append(sender)
        self.until(lambda: sender.state == 'open', 60, 'a sender')
        now = time.monotonic()
        for g in self.guests:
            sender.post(zkwire.SETDATA, zkwire.w_setdata(g.path, b'x'), 'x',
                        now)
        done = self.until(
            lambda: all(g.events > b
                        for g, b in zip(self.guests, before)),
            EVENT_SECONDS, 'every session its event')
        self.all.remove(sender)
        sender.drop(time.monotonic())
        return {'events': sum(g.events - b
                              for g, b in zip(self.guests, before)),
                'all': done}

    def finish(self):
        self.writing = False
        self.mark('end')
        self.until(lambda: all(s.is_settled() and not [
            f for f in s.flight if f[1] != 'ping'] for s in self.all),
            60, 'all sessions settled')
        now = time.monotonic()
        for g in self.guests:
            g.post(zkwire.EXISTS, zkwire.w_path_watch(g.mine, False),
                   'owner', now)
        for w in self.writers:
            w.post(zkwire.SYNC, zkwire.w_path('/'), 'sync', now)
            w.post(zkwire.GETDATA, zkwire.w_path_watch(w.path, False),
                   'final', now)
        self.until(lambda: all(g.owner is not None for g in self.guests) and
                   all(w.final is not None for w in self.writers), 60,
                   'the last reads')
        for g in self.guests:
            if g.owner != g.session:
                self.wrong('the ephemeral of session %x is of %x' % (
                    g.session, g.owner or 0))
        for w in self.writers:
            done = w.final.version if w.final else -1
            if not w.acked <= done <= w.acked + w.unknown:
                self.wrong('register %d: %d sets took place, %d '
                           'acknowledged, %d unanswered' % (
                               w.number, done, w.acked, w.unknown))
        expired = sum(s.expired for s in self.all)
        if expired:
            self.wrong('%d sessions expired' % expired)
        return {
            'sessions': len(self.all),
            'expired': expired,
            'reconnects': sum(s.reconnects for s in self.all),
            'offered': sum(w.offered for w in self.writers),
            'not sent, no connection': sum(w.late for w in self.writers),
            'acknowledged': sum(w.acked for w in self.writers),
            'unanswered': sum(w.unknown for w in self.writers),
            'refused': sum(w.refused for w in self.writers),
            'phases': [{k: (round(v, 3) if k == 'gap' else v)
                        for k, v in p.items() if k != 'at'}
                       for p in self.phases[:-1]],
            'wrong': self.bad,
        }

    def run(self):
        while True:
            while b'\n' in self.commands:
                line, _, rest = bytes(self.commands).partition(b'\n')
                self.commands = bytearray(rest)
                words = line.decode().split(None, 1)
                if words[0] == 'quit':
                    return
                if words[0] == 'mark':
                    self.mark(words[1])
                    told = {}
                else:
                    told = getattr(self, words[0])()
                print(json.dumps(told), flush=True)
                if words[0] == 'finish':
                    return
            self.step(time.monotonic() + 0.02)


class Remote:
    """A swarm in a process of its own."""

    def __init__(self, addresses, sessions=1000, writers=20, rate=1000,
                 timeout_ms=30000, seed=1):
        import subprocess
        self.process = subprocess.Popen(
            ['/usr/bin/python3', os.path.abspath(__file__), '--servers',
             ','.join('%s:%d' % a for a in addresses), '--sessions',
             str(sessions), '--writers', str(writers), '--rate', str(rate),
             '--timeout-ms', str(timeout_ms), '--seed', str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command):
        try:
            self.process.stdin.write(command + '\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError('the swarm ended')
        return json.loads(line)

    def close(self):
        self.process.kill()
        self.process.wait()


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--servers', required=True, help='host:port,host:port')
    p.add_argument('--sessions', type=int, default=1000)
    p.add_argument('--writers', type=int, default=20)
    p.add_argument('--rate', type=float, default=1000)
    p.add_argument('--timeout-ms', type=int, default=30000)
    p.add_argument('--seed', type=int, default=1)
    Swarm(p.parse_args()).run()


if __name__ == '__main__':
    main()

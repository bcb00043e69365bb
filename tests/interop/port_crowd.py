#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ten thousand connections at once to the server's own TCP, all of them busy.

    tests/interop/port_crowd.py [--count 10000] [--rounds 3] [--kind REGEX]

Goal: every connection is made at the first attempt, every request of each is
answered rightly and in order, and when all have left nothing is kept of them.
Told are refused and failed connections, what the frames went through, and the
server's memory for a connection.

Method: in a network namespace of its own the kernel's TCP is the clients' side
of a tap device, then of a veth pair whose other end the server has by
af_packet.  Each connection opens a session and has a node of its own.  In each
round all connections send at once: a read, a write, a read of what was
written, a read of somebody else's; data, versions, zxids and xids are checked.
Run by ports.py with a smaller crowd; needs root, and ulimit -n above the
count, for the clients.
"""
import argparse
import errno
import os
import re
import resource
import select
import socket
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import harness  # noqa: E402
import ports  # noqa: E402
import zkwire  # noqa: E402
from harness import Suite, expect, ok  # noqa: E402

SUITE = Suite('port_crowd')
KINDS = ('tap', 'af_packet')
TIMEOUT_MS = 120000
BATCH = 500         # that connect at a time: below the server's half-open limit
PATIENCE = 240      # of a phase; on a busy machine, too
DATA_BYTES = 100
SPARE_FILES = 200
REPLY_HEAD = struct.Struct('>iqi')  # xid, zxid, err


def data_of(index, version):
    return (b'%d.%d.' % (index, version)).ljust(DATA_BYTES, b'x')


def path_of(index):
    return '/crowd/%05d' % index


class Member:
    """A connection: what it has asked, and whether the answers are right."""

    def __init__(self, index):
        self.index = index
        self.sock = None
        self.inbox = bytearray()
        self.asked = []         # [(xid, op, judge)] without an answer
        self.xid = 0
        self.zxid = 0
        self.has_ended = False
        self.answers = 0

    def ask(self, op, judge, *args):
        self.xid += 1
        frame = struct.pack('>ii', self.xid, op) + zkwire.REQUEST[op](*args)
        self.asked.append((self.xid, op, judge))
        return struct.pack('>i', len(frame)) + frame

    def send(self, data):
        """All of it: requests are far smaller than a socket's buffer."""
        expect(self.sock.send(data), len(data), 'bytes that were sent')

    def receive(self):
        data = self.sock.recv(65536)
        if not data:
            self.has_ended = True
        self.inbox += data
        at = 0
        while len(self.inbox) - at >= 4:
            length = struct.unpack_from('>i', self.inbox, at)[0]
            if len(self.inbox) - at < 4 + length:
                break
            self.judge(bytes(self.inbox[at + 4:at + 4 + length]))
            at += 4 + length
        del self.inbox[:at]

    def judge(self, body):
        """The next answer is that of the oldest request."""
        xid, op, judge = self.asked.pop(0)
        self.answers += 1
        if op is None:
            judge(body)
            return
        got, zxid, err = REPLY_HEAD.unpack_from(body)
        expect((got, err), (xid, 0), 'xid and error of connection %d'
               % self.index)
        if zxid < self.zxid:
            raise AssertionError('zxid of connection %d goes back'
                                 % self.index)
        self.zxid = zxid
        if judge is not None:
            judge(zkwire.decode_reply(op, body).value)


class Crowd:
    """All connections, and what waits for their sockets."""

    def __init__(self, address, count):
        self.address = address
        self.members = [Member(i) for i in range(count)]
        self.poll = select.epoll()
        self.by_fd = {}
        self.failed = {}    # text: how many

    def connect_some(self, members):
        """Begins to connect; returns those that could, connected."""
        waiting = {}
        poll = select.epoll()
        for member in members:
            sock = socket.socket()
            sock.setblocking(False)
            code = sock.connect_ex(self.address)
            if code not in (0, errno.EINPROGRESS):
                self.fail(code)
                sock.close()
                continue
            member.sock = sock
            waiting[sock.fileno()] = member
            poll.register(sock, select.EPOLLOUT)
        done, deadline = [], time.monotonic() + PATIENCE
        while waiting and time.monotonic() < deadline:
            for fd, _ in poll.poll(1.0):
                member = waiting.pop(fd)
                poll.unregister(fd)
                code = member.sock.getsockopt(socket.SOL_SOCKET,
                                              socket.SO_ERROR)
                if code:
                    self.fail(code)
                    continue
                self.by_fd[fd] = member
                self.poll.register(fd, select.EPOLLIN)
                done.append(member)
        for _ in waiting:
            self.fail(errno.ETIMEDOUT)
        poll.close()
        return done

    def fail(self, code):
        text = os.strerror(code)
        self.failed[text] = self.failed.get(text, 0) + 1

    def await_answers(self, is_done):
        """Receives until every member is done."""
        left = {m.index for m in self.members
                if m.sock is not None and not is_done(m)}
        deadline = time.monotonic() + PATIENCE
        while left:
            if time.monotonic() > deadline:
                raise AssertionError('%d connections wait' % len(left))
            for fd, _ in self.poll.poll(1.0, 1024):
                member = self.by_fd[fd]
                member.receive()
                if is_done(member):
                    left.discard(member.index)
                if member.has_ended:
                    self.poll.unregister(fd)
                    if not is_done(member):
                        raise AssertionError('connection %d was closed'
                                             % member.index)

    def connect(self):
        """Connections with a session each."""
        request = zkwire.connect_request(timeout=TIMEOUT_MS)
        raw = struct.pack('>i', len(request)) + request
        for at in range(0, len(self.members), BATCH):
            for member in self.connect_some(self.members[at:at + BATCH]):
                member.asked.append((0, None, opened))
                member.send(raw)
            self.await_answers(lambda m: not m.asked)

    def everyone(self, requests):
        """Sends requests(member) of all, then takes all answers."""
        for member in self.members:
            member.send(requests(member))
        self.await_answers(lambda m: not m.asked)

    def leave(self):
        for member in self.members:
            member.send(member.ask(zkwire.CLOSESESSION, None))
        self.await_answers(lambda m: m.has_ended)
        for member in self.members:
            expect(member.asked, [], 'requests without an answer')
            member.sock.close()
        self.poll.close()


def opened(body):
    r = zkwire.Reader(body)
    r.int()
    expect(r.int(), TIMEOUT_MS, 'timeout')
    expect(r.long() != 0, True, 'there is a session')


def create(member):
    return member.ask(zkwire.CREATE, None, path_of(member.index),
                      data_of(member.index, 0))


def traffic(crowd, version):
    """Requests of a round, from that version of a node's data to the next."""
    def is_data(index, versions):
        wanted = [(data_of(index, v), v) for v in versions]

        def judge(value):
            data, stat = value
            expect((data, stat.version) in wanted, True, 'data of %s: %r' % (
                path_of(index), (data, stat.version)))
        return judge

    def requests(member):
        i = member.index
        other = (i + len(crowd.members) // 2) % len(crowd.members)
        return b''.join((
            member.ask(zkwire.GETDATA, is_data(i, [version]), path_of(i)),
            member.ask(zkwire.SETDATA, lambda stat: expect(
                stat.version, version + 1, 'version'), path_of(i),
                data_of(i, version + 1), version),
            member.ask(zkwire.GETDATA, is_data(i, [version + 1]), path_of(i)),
            member.ask(zkwire.GETDATA,
                       is_data(other, [version, version + 1]),
                       path_of(other))))
    return requests


def rss_bytes(server):
    with open('/proc/%d/status' % server.process.pid) as f:
        return int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1)) * 1024


def metrics(server):
    return {name: int(value) for name, value in re.findall(
        r'^zk_(\S+)\t(\d+)$', server.four_letter('mntr').decode(), re.M)}


def is_empty(now, before):
    """Nothing but TIME-WAIT is left of anybody, no mbuf is missing."""
    def left(of):
        return of['num_alive_connections'] + of['falconer_tcp_half_open'] + \
            of['falconer_tcp_kept'] + of['falconer_tcp_conns'] - \
            of['falconer_tcp_time_waits']
    return left(now) <= left(before) and \
        now['falconer_port_mbufs_free'] >= before['falconer_port_mbufs_free']


def tell(server, crowd, memory, before):
    """What came of it, in lines for docs/tcp.md."""
    count, now = len(crowd.members), metrics(server)
    grown = {name: now['falconer_' + name] - before['falconer_' + name]
             for name in ('tcp_rx_frames', 'tcp_tx_frames', 'tcp_retransmits',
                          'tcp_cookies_sent', 'tcp_tx_full', 'tcp_tx_no_mbuf',
                          'port_rx_no_mbuf')}
    print('%d connections, %d requests answered and checked; '
          'refused or failed: %s' % (
              count, sum(m.answers for m in crowd.members),
              crowd.failed or 'none'))
    print('frames in %(tcp_rx_frames)d, out %(tcp_tx_frames)d; sent again '
          '%(tcp_retransmits)d, by cookie %(tcp_cookies_sent)d, the port was '
          'full for %(tcp_tx_full)d, no mbuf for %(tcp_tx_no_mbuf)d out and '
          '%(port_rx_no_mbuf)d in' % grown)
    print('bytes of RSS a connection: %s' % ', '.join(
        '%s %.0f' % (when, (bytes_ - memory['before']) / count)
        for when, bytes_ in memory.items() if when != 'before'), flush=True)


def crowd_comes(count, rounds):
    conf = {'falconer.connections.max': count + 100,
            # One for each frame that may be under way at once, and as many.
            'falconer.dpdk.mbufs': max(8191, 4 * count),
            'globalOutstandingLimit': 100000, 'maxSessionTimeout': TIMEOUT_MS,
            'nio.sessionlessCnxnTimeout': PATIENCE * 1000}
    with harness.Server('falconer', conf) as server:
        with server.client() as client:
            ok(client.create('/crowd', b''))
        before, memory = metrics(server), {'before': rss_bytes(server)}
        crowd = Crowd(server.address, count)
        crowd.connect()
        expect(crowd.failed, {}, 'refused or failed connections')
        memory['with a session'] = rss_bytes(server)
        crowd.everyone(create)
        for version in range(rounds):
            crowd.everyone(traffic(crowd, version))
        memory['after traffic'] = rss_bytes(server)
        # mntr comes over a connection of its own.
        expect(metrics(server)['num_alive_connections'], count + 1, 'open')
        crowd.leave()
        harness.wait_until('nothing is left of them', lambda: is_empty(
            metrics(server), before), PATIENCE)
        memory['when all have left'] = rss_bytes(server)
        tell(server, crowd, memory, before)
        expect(server.stop(), 0, 'exit code')


def need_files(count):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + SPARE_FILES:
        raise harness.Skip('%d clients need as many descriptors: ulimit -n '
                           'is %d' % (count, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def inside(options):
    """In the namespace: ports.py has made the kernel's end."""
    def run():
        need_files(options.count)
        crowd_comes(options.count, options.rounds)
    SUITE.attempt('%d connections' % options.count, run)
    return SUITE.finish()


def outside(options):
    status = 0
    for kind in KINDS:
        if not re.search(options.kind, kind):
            continue
        print('%s:' % kind, flush=True)
        status |= subprocess.run(
            ports.namespace() + [
                '/usr/bin/python3', os.path.join(HERE, 'ports.py'), 'inside',
                kind, os.path.basename(__file__), '--count',
                str(options.count), '--rounds',
                str(options.rounds)]).returncode
    return status


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--count', type=int, default=10000)
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--kind', metavar='REGEX', default='',
                   help='of the devices: %s' % ', '.join(KINDS))
    options = p.parse_args()
    if 'falconer.dpdk.port' in os.environ.get('FALCONER_CONF', ''):
        return inside(options)
    return outside(options)


if __name__ == '__main__':
    sys.exit(main())

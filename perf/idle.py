#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What sessions cost that do nothing but stay alive.

    perf/idle.py [--sessions 10000] [--seconds 30]

Opens the sessions (timeout 30 s) on Falconer and on Debian's ZooKeeper, each
with a server of its own, in turns; every client sends its heartbeat each 10 s,
as ZooKeeper's client does, spread over time.  Printed for both, as the table of
docs/perf.md: CPU of the server over the window, in % of one CPU and in us a
heartbeat, and how much its memory (RSS, after the sessions came) grew for a
session.  The Java heap
is what -Xmx512m makes of it, so its figure is an upper bound.
"""
import argparse
import heapq
import os
import resource
import select
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'tests', 'interop'))
sys.dont_write_bytecode = True

import harness  # noqa: E402
import zkwire  # noqa: E402

TIMEOUT_MS = 30000
PING_SECONDS = 10.0
PING = struct.pack('>iii', 8, -2, 11)
TICKS = os.sysconf('SC_CLK_TCK')


def cpu_seconds(pid):
    with open('/proc/%d/stat' % pid) as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_bytes(pid):
    with open('/proc/%d/status' % pid) as f:
        for line in f:
            if line.startswith('VmRSS:'):
                return int(line.split()[1]) * 1024
    return 0


def open_sessions(server, count):
    """Connections with a session each; some hundred at a time, the earlier
    ones kept alive meanwhile."""
    conns, beaten = [], time.monotonic()
    request = zkwire.connect_request(timeout=TIMEOUT_MS)
    while len(conns) < count:
        batch = [server.conn() for _ in range(min(250, count - len(conns)))]
        for c in batch:
            c.send_frame(request)
        for c in batch:
            r = zkwire.Reader(c.recv_frame(30))
            r.int()
            harness.expect(r.int(), TIMEOUT_MS, 'timeout')
        if time.monotonic() - beaten > PING_SECONDS / 2:
            for c in conns:
                c.send(PING)
            beaten = time.monotonic()
        conns += batch
    return conns


def heartbeats(conns, seconds):
    """Keeps all alive for so long; how many heartbeats were answered."""
    poll = select.epoll()
    by_fd = {}
    now = time.monotonic()
    due = []
    for i, c in enumerate(conns):
        c.sock.setblocking(False)
        by_fd[c.sock.fileno()] = c
        poll.register(c.sock, select.EPOLLIN)
        due.append((now + PING_SECONDS / 2 * i / len(conns), i))
    heapq.heapify(due)
    ends, answered = now + seconds, 0
    while now < ends:
        for fd, _ in poll.poll(max(0.0, min(due[0][0], ends) - now)):
            data = by_fd[fd].sock.recv(4096)
            if not data:
                raise AssertionError('a session was closed')
            answered += len(data) // 20
        now = time.monotonic()
        while due[0][0] <= now:
            at, i = heapq.heappop(due)
            conns[i].sock.send(PING)
            heapq.heappush(due, (at + PING_SECONDS, i))
    poll.close()
    return answered


def measure(kind, options):
    conf = {'maxSessionTimeout': 60000, 'tickTime': 2000}
    if kind == 'falconer':
        conf['falconer.connections.max'] = options.sessions + 100
    with harness.Server(kind, conf) as server:
        pid = server.process.pid
        with server.client() as c:
            harness.ok(c.get('/'))
        before = rss_bytes(pid)
        conns = open_sessions(server, options.sessions)
        heartbeats(conns, 2.0)
        cpu, began = cpu_seconds(pid), time.monotonic()
        answered = heartbeats(conns, options.seconds)
        cpu = cpu_seconds(pid) - cpu
        took = time.monotonic() - began
        grown = rss_bytes(pid) - before
        for c in conns:
            c.abort()
    return {'CPU, % of one': 100 * cpu / took,
            'us of CPU a heartbeat': 1e6 * cpu / max(1, answered),
            'KiB of RSS a session': grown / 1024 / options.sessions}


def shown(value):
    """Three digits that count."""
    return '%.0f' % value if value >= 100 else '%.3g' % value


def print_table(rows):
    names = {'falconer': 'Falconer', 'java': 'ZooKeeper 3.8.0'}
    columns = [names[kind] for kind in rows] + ['ratio'] * (len(rows) == 2)
    print('\n| | %s |\n|%s' % (' | '.join(columns),
                              '---|' * (len(columns) + 1)))
    for name in next(iter(rows.values())):
        values = [row[name] for row in rows.values()]
        cells = [shown(value) for value in values]
        if len(values) == 2:
            cells.append('1 : %s' % shown(values[1] / values[0])
                         if values[0] > 0 else '')
        print('| %s | %s |' % (name, ' | '.join(cells)))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--sessions', type=int, default=10000)
    p.add_argument('--seconds', type=float, default=30.0)
    options = p.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = options.sessions + 500
    if hard < want:
        options.sessions = hard - 500
        print('only %d sessions: ulimit -n is %d' % (options.sessions, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, want), hard))
    rows = {kind: measure(kind, options) for kind in ('falconer', 'java')
            if harness.available(kind)}
    print('%d sessions, timeout %d s, a heartbeat each %.0f s, for %.0f s; '
          'load average %.1f' % (options.sessions, TIMEOUT_MS // 1000,
                                 PING_SECONDS, options.seconds,
                                 os.getloadavg()[0]))
    print_table(rows)
    return 0


if __name__ == '__main__':
    sys.exit(main())

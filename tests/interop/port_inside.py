# SPDX-License-Identifier: Apache-2.0
"""What a poll core on a port does not do, and what can be seen of it.

Goal: between a request and its reply lies no system call, no allocation and no
page fault; frames can be captured while the server runs; an idle server sleeps.

Method: run by ports.py in a namespace of its own.  The core's thread is traced
with strace while clients read; an allocator in front of the real one counts
its calls.  Over vhost the core spins, so that even a wait would be seen.
"""
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import harness
from harness import Suite, expect, ok, wait_until

SUITE = Suite('port_inside')
SHIM = os.path.join(harness.ROOT, 'build', 'tests', 'net',
                    'liballoc_count.so')


def thread_of(server, name):
    """The id of a thread of the server."""
    folder = '/proc/%d/task' % server.process.pid
    for tid in os.listdir(folder):
        with open('%s/%s/comm' % (folder, tid)) as f:
            if f.read().strip() == name:
                return int(tid)
    raise AssertionError('no thread ' + name)


def stat_of(server, tid):
    """(minor faults, ticks of CPU) of a thread."""
    with open('/proc/%d/task/%d/stat' % (server.process.pid, tid)) as f:
        fields = f.read().rpartition(')')[2].split()
    return int(fields[7]), int(fields[11]) + int(fields[12])


def traced(server, tid, work):
    """The system calls of a thread while work() runs."""
    path = os.path.join(server.home, 'strace')
    tracer = subprocess.Popen(['strace', '-q', '-o', path, '-p', str(tid)],
                              stderr=subprocess.DEVNULL)
    status = '/proc/%d/task/%d/status' % (server.process.pid, tid)

    def is_traced():
        with open(status) as f:
            return 'TracerPid:\t0' not in f.read()
    wait_until('strace is attached', is_traced)
    work()
    tracer.send_signal(signal.SIGINT)
    tracer.wait()
    with open(path) as f:
        return [m.group(1) for m in (re.match(r'(\w+)\(', line)
                                     for line in f) if m]


def need_strace():
    if shutil.which('strace') is None:
        raise harness.Skip('strace is not installed')


def fewest_faults(server, tid, work, rounds=5):
    """Page faults of a thread while work() is done; the least of some rounds,
    since a kernel short of memory takes pages from whoever has them."""
    least = None
    for _ in range(rounds):
        before = stat_of(server, tid)[0]
        work()
        faults = stat_of(server, tid)[0] - before
        least = faults if least is None else min(least, faults)
        if least == 0:
            break
    return least


def reads(client, count):
    for _ in range(count):
        ok(client.get('/node'))


@SUITE.case('vhost: reads make no system call, no allocation, no page fault')
def nothing_forbidden():
    need_strace()
    counts = os.path.join('/tmp', 'alloc-%d' % os.getpid())
    os.environ['ALLOC_COUNT_FILE'] = counts
    os.environ['LD_PRELOAD'] = SHIM
    server = harness.Server('falconer')
    try:
        server.spawn()
        del os.environ['LD_PRELOAD']
        wait_until('it serves', server.serving)
        with server.client() as client:
            ok(client.create('/node', b'x' * 100))
            reads(client, 300)
            tid = thread_of(server, 'reader0')

            def allocations():
                with open(counts, 'rb') as f:
                    table = f.read()
                for at in range(0, len(table), 16):
                    who, number = struct.unpack_from('QQ', table, at)
                    if who == tid:
                        return number
                return 0
            calls = traced(server, tid, lambda: reads(client, 100))
            expect(calls, [], 'system calls')
            before = allocations()
            expect(before > 0, True, 'the count works')
            expect(fewest_faults(server, tid, lambda: reads(client, 300)), 0,
                   'page faults')
            expect(allocations() - before, 0, 'allocations')
    finally:
        server.close()
        if os.path.exists(counts):
            os.unlink(counts)


@SUITE.case('tap: only frames are system calls, and an idle core sleeps')
def only_frames():
    need_strace()
    with harness.Server('falconer') as server, server.client() as client:
        ok(client.create('/node', b'x' * 100))
        reads(client, 100)
        tid = thread_of(server, 'reader0')
        calls = set(traced(server, tid, lambda: reads(client, 100)))
        # A frame in, a frame out, the signal that announces one, the wait.
        expect(calls - {'readv', 'writev', 'rt_sigreturn', 'ppoll', 'read',
                        'sched_yield', 'restart_syscall'}, set(),
               'system calls')
        before = stat_of(server, tid)[1]
        time.sleep(1.0)
        ticks = stat_of(server, tid)[1] - before
        expect(ticks <= 2, True, '%d of 100 ticks of CPU while idle' % ticks)


def telemetry(server, command):
    path = '/var/run/dpdk/falconer-%d/dpdk_telemetry.v2' % server.process.pid
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(10)
        s.connect(path)
        s.recv(16384)
        s.send(command.encode())
        return json.loads(s.recv(16384))


def frames_of(path):
    with open(path, 'rb') as f:
        data = f.read()
    expect(struct.unpack_from('<I', data)[0], 0xa1b23c4d, 'magic')
    at, frames = 24, []
    while at < len(data):
        kept, length = struct.unpack_from('<II', data, at + 8)
        frames.append(data[at + 16:at + 16 + kept])
        at += 16 + kept
    return frames


@SUITE.case('tap: counters by telemetry, frames into a file by a filter')
def capture():
    with harness.Server('falconer') as server, server.client() as client:
        path = os.path.join(server.home, 'frames.pcap')
        counters = telemetry(server, '/falconer/port')['/falconer/port']
        expect(counters['rx_frames'] > 0, True, 'frames are counted')
        telemetry(server, '/falconer/capture,%s,port=%d' % (path, server.port))
        wait_until('it captures', lambda: 'captures' in server.stderr())
        ok(client.create('/captured', b'seen on the wire'))
        telemetry(server, '/falconer/capture_stop')
        wait_until('it ends', lambda: 'capture ended' in server.stderr())
        frames = frames_of(path)
        expect(any(b'seen on the wire' in f for f in frames), True,
               'the request is in the file')
        # Both directions, and nothing but the port.
        ports = {struct.unpack_from('>HH', f, 34) for f in frames}
        expect(all(server.port in pair for pair in ports), True, 'the filter')
        expect({pair.index(server.port) for pair in ports}, {0, 1},
               'directions')
        telemetry(server, '/falconer/capture,%s,nonsense' % path)
        wait_until('it refuses', lambda: 'no capture' in server.stderr())


def tcp_metrics(server):
    return {name: int(value) for name, value in re.findall(
        r'^zk_falconer_tcp_(\S+)\t(\d+)$',
        server.four_letter('mntr').decode(), re.M)}


def offloads():
    """What the device says it can do, it is asked to do."""
    with harness.Server('falconer') as server, server.client() as client:
        ok(client.create('/node', b'x' * 1000))
        reads(client, 10)
        metrics = tcp_metrics(server)
        expect(metrics['tx_offloaded'] > 10, True,
               'checksums are left to the device')
        # Header prediction is there for these.
        expect(metrics['expected'] > 10, True, 'segments were expected')


@SUITE.case('tap: long replies leave in frames that the driver cuts')
def trains():
    # The driver cuts nothing that is as long as its MTU, see docs/tcp.md.
    data, conf = os.urandom(1000000), {'falconer.dpdk.mtu': 1400}
    with harness.Server('falconer', conf) as server, \
            server.client() as client:
        ok(client.create('/long', data))
        before = tcp_metrics(server)
        for _ in range(5):
            expect(ok(client.get('/long')).value[0] == data, True, 'data')
        now = tcp_metrics(server)
        expect(now['tx_trains'] > before['tx_trains'], True, 'trains')
        frames = now['tx_frames'] - before['tx_frames']
        segments = 5 * len(data) // 1348
        expect(frames < segments // 2, True, '%d frames for %d segments, '
               '%d of them trains' % (frames, segments, now['tx_trains']))


for _kind in ('tap', 'vhost'):
    SUITE.case(_kind + ': checksums are the port\'s business')(offloads)


def main():
    options = harness.options(__doc__.splitlines()[0])
    kind = 'tap' if 'net_tap' in os.environ.get('FALCONER_CONF', '') \
        else 'vhost'
    SUITE.cases = [case for case in SUITE.cases if case[0].startswith(kind)]
    SUITE.run(options)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""What a side of a row is: functions from a row's table to a number.

Each takes the context of the run, the table of the scenario file and the
seconds that one run takes.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zlib

import bypass
import servers
from servers import harness

sys.path.insert(0, os.path.join(servers.ROOT, 'perf', 'gates'))

import gates  # noqa: E402  (found by the path above)

VALUE_BYTES = 100
# /load-100-1000000/d000000/k000000000: what a znode's name adds.
NAME_BYTES = len('k000000000')


class Tools:
    """The programs of one build folder."""

    def __init__(self, folder):
        self.folder = folder
        self.load_path = os.path.join(folder, 'perf', 'load', 'load')
        self.floor_path = os.path.join(folder, 'perf', 'floor', 'floor')
        self.server = os.path.join(folder, 'falconerd')
        for path in (self.load_path, self.floor_path, self.server):
            if not os.access(path, os.X_OK):
                raise SystemExit('%s is not there: ninja -C %s' % (path,
                                                                   folder))
        os.environ['FALCONER'] = self.server

    def load(self, server, args, seconds, histogram=None):
        """One run of the load program; its JSON."""
        command = [self.load_path, '--json', '--protocol', server.protocol,
                   '--server-pid', str(server.pid), '--warmup',
                   str(min(0.3, seconds / 4)), '--seconds', str(seconds)]
        if histogram:
            command += ['--histogram', histogram]
        command += args.split() + [server.hosts]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise harness.ServerError('load %s ended with %d: %s' % (
                args, done.returncode, (done.stderr or done.stdout).strip()))
        return json.loads(done.stdout)

    def floor(self, folder, names, seconds):
        done = subprocess.run(
            [self.floor_path, folder, str(seconds), '128'] + names,
            capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


class Context:
    """What all measures of a run share."""

    def __init__(self, tools, folder):
        self.tools = tools
        self.pool = servers.Pool(tools)
        self.folder = folder    # on the disk that the servers write to
        self.filled = {}        # kind: a server with many znodes
        self.counts = {}        # gate: instructions
        self.histograms = {}    # (row, side): file

    def full(self, kind, nodes, conf=None):
        """A server with so many znodes, and how long loading them took."""
        key = (kind, nodes, tuple(sorted((conf or {}).items())))
        if key not in self.filled:
            server = servers.start(kind, conf)
            took = self.tools.load(server, '--fill --keys %d --value %d'
                                   % (nodes, VALUE_BYTES), 1)
            self.filled[key] = (server, took)
        return self.filled[key]

    def close(self):
        self.pool.close()
        for server, _ in self.filled.values():
            server.close()


def field(result, path):
    """rate/cpu, rate, latency_us.p99.9"""
    if path == 'rate/cpu':
        # A server that used less than a clock tick used at most one.
        return result['operations'] / max(result['server_cpu_seconds'], 0.01)
    name, _, rest = path.partition('.')
    value = result[name]
    return value[rest] if rest else value


def load(context, table, seconds, histogram=None):
    server = context.pool.get(table['server'], table.get('conf'))
    try:
        result = context.tools.load(server, table['args'], seconds, histogram)
    except harness.ServerError as e:
        raise harness.ServerError('%s: %s\n%s' % (
            table['server'], e, servers.last_words(server))) from None
    return field(result, table['value'])


def floor(context, table, seconds, histogram=None):
    result = context.tools.floor(context.folder, table['names'], seconds)
    return sum(result[name][table['value']] for name in table['names'])


def vhost(context, table, seconds, histogram=None):
    """A load over vhost-user, on a server of its own: the guest's device goes
    with the load program."""
    server = servers.OnVhost(table.get('conf'))
    try:
        return field(context.tools.load(
            server, server.load_args() + ' ' + table['args'], seconds,
            histogram), table['value'])
    finally:
        server.close()


def instructions(context, table, seconds, histogram=None):
    """Counted by valgrind, each case once a run."""
    counts = context.counts
    less = table.get('less', [])
    names = [name for name in table['names'] + less if name not in counts]
    if names and not shutil.which('valgrind'):
        raise servers.Missing('valgrind is not installed: ./setup all')
    if names:
        perf = os.path.join(context.tools.folder, 'perf')
        counts.update(gates.count_all(
            os.path.join(perf, 'gates', 'count'),
            os.path.join(perf, 'tcp', 'tcp_segment'), names))
    return sum(counts[name] for name in table['names']) - sum(
        counts[name] for name in less)


def fill(context, table, seconds, histogram=None):
    return context.full(table['server'], table['nodes'])[1]['seconds']


def restart(context, table, seconds, histogram=None):
    """Until the first read is answered; the process ends in order before."""
    server = context.full(table['server'], table['nodes'])[0].server
    server.stop()
    began = time.monotonic()
    server.spawn()

    def reads():
        try:
            with harness.zkwire.Client(server.address) as client:
                client.exists('/')
                return True
        except (OSError, harness.zkwire.Closed):
            return False
    harness.wait_until('a read', reads, 120, 0.002)
    return time.monotonic() - began


def mntr(server):
    """The numbers of mntr by name, without the prefix zk_."""
    out = {}
    for line in server.server.four_letter('mntr').decode().splitlines():
        name, _, value = line.partition('\t')
        if re.fullmatch(r'-?[0-9.]+', value):
            out[name.removeprefix('zk_')] = float(value)
    return out


def resident(pid):
    with open('/proc/%d/status' % pid) as f:
        return int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1)) * 1024


def memory_node(context, table, seconds, histogram=None):
    server, _ = context.full(table['server'], table['nodes'])
    used = mntr(server)['falconer_tree_used_bytes']
    return used / table['nodes'] - NAME_BYTES - VALUE_BYTES


def memory_session(context, table, seconds, histogram=None):
    server = servers.start(table['server'])
    try:
        before = resident(server.pid)
        result = context.tools.load(
            server, '--idle --connections %d' % table['sessions'], seconds)
        return (result['server_rss_bytes'] - before) / 1024 / table['sessions']
    finally:
        server.close()


def cpu_seconds(pid):
    with open('/proc/%d/stat' % pid) as f:
        words = f.read().rpartition(')')[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf('SC_CLK_TCK')


def idle(context, table, seconds, histogram=None):
    server = servers.start(table['server'])
    try:
        before = cpu_seconds(server.pid)
        time.sleep(seconds)
        return (cpu_seconds(server.pid) - before) / seconds * 100
    finally:
        server.close()


def snapshot(context, table, seconds, histogram=None):
    """Latencies of a load beside a thin stream of writes, on a server that
    begins the next snapshot of many znodes soon after one is done, as `every`
    transactions are counted; quiet: on one that writes none. Each trigger rolls
    the log, also while a snapshot is being written, so `every` is what makes
    about two in a second."""
    conf = {'snapCount': 2000000000 if table.get('quiet')
            else table['every']}
    server, _ = context.full(table['server'], table['nodes'], conf)
    stream = subprocess.Popen(
        [context.tools.load_path, '--mix', 'set', '--rate', '200',
         '--seconds', str(seconds + 1), '--warmup', '0', server.hosts],
        stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.2)
        return field(context.tools.load(server, table['args'], seconds,
                                        histogram), table['value'])
    finally:
        stream.kill()
        stream.wait()


def newest_snapshot(server):
    folder = os.path.join(server.server.data, 'version-2')
    names = [n for n in os.listdir(folder) if n.startswith('snapshot.')]
    newest = max(names, key=lambda n: int(n.split('.')[1], 16))
    return os.path.join(folder, newest)


def snapshot_of_all(context, table):
    """The file of a snapshot that was begun when all znodes were there."""
    server, _ = context.full(table['server'], table['nodes'], {'snapCount': 2})
    fill_end = server.server.zxid()

    def is_there():
        context.tools.load(server, '--mix set', 0.1)
        path = newest_snapshot(server)
        return int(path.rpartition('.')[2], 16) > fill_end and path
    return server, harness.wait_until('a snapshot of all', is_there, 60)


def load_snapshot(context, table, seconds, histogram=None):
    """Seconds that recovery says it took, with a snapshot and nothing else."""
    server, path = snapshot_of_all(context, table)
    with tempfile.TemporaryDirectory(prefix='perf-snap-',
                                     dir=context.folder) as home:
        folder = os.path.join(home, 'version-2')
        os.mkdir(folder)
        shutil.copy(path, folder)
        copy = servers.ZooKeeper(table['server'], data=home)
        text = copy.server.stderr()
        copy.close()
    return int(re.search(r'recovered .* (\d+) ms', text).group(1)) / 1000


def read_snapshot(context, table, seconds, histogram=None):
    """Reading the file, from the page cache, and Adler-32 over it, as zlib
    does it."""
    _, path = snapshot_of_all(context, table)
    best = None
    for _ in range(3):
        began = time.monotonic()
        adler = 1
        with open(path, 'rb') as f:
            while chunk := f.read(1 << 20):
                adler = zlib.adler32(chunk, adler)
        took = time.monotonic() - began
        best = took if best is None else min(best, took)
    return best


def round_trip(context, table, seconds, histogram=None):
    """Over vhost-user; see bypass.py."""
    return bypass.measure(context.tools, table['what'],
                          seconds)[table['value']]


KINDS = {
    'bypass': round_trip,
    'load': load,
    'floor': floor,
    'vhost': vhost,
    'instructions': instructions,
    'fill': fill,
    'restart': restart,
    'memory-node': memory_node,
    'memory-session': memory_session,
    'idle': idle,
    'snapshot': snapshot,
    'load-snapshot': load_snapshot,
    'read-snapshot': read_snapshot,
}


def measure(context, table, seconds, histogram=None):
    try:
        return KINDS[table['kind']](context, table, seconds, histogram)
    finally:
        context.pool.rest()

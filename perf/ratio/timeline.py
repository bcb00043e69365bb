# SPDX-License-Identifier: Apache-2.0
"""Latency over time while a server does something beside: a snapshot of many
znodes, a roll of the log, the loss of its leader.

The first two come from the load program's --timeline: an open loop with a
steady rate, so that a server that stalls shows a triangle and cannot hide it.
What the server does meanwhile is read off its directory. For the third a prober
writes on a schedule and goes to another server when one hangs up.
"""
import os
import threading
import time

import measures
import report
import servers
from servers import harness

NODES = 1000000
SECONDS = 6
RATE = 2000         # requests a second, half of them writes
SNAPSHOT_EVERY = 5000    # transactions: twice in a run, as the counts fall
ROLL_EVERY = 1500
PROBE_SECONDS = 6
PROBE_STEP = 0.01
KILL_AFTER = 2.0
WARM_SECONDS = 2
KINDS = ('falconer', 'java')


class Watcher(threading.Thread):
    """Notes when files of a kind are written in a directory.

    spans: [(begin, end)] in seconds since `start`, of snapshots; moments: of
    new logs.
    """

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder = folder
        self.start_at = time.monotonic()
        self.stops = threading.Event()
        self.snapshots = {}     # name: [first seen, last grown, bytes]
        self.logs = {}
        self.known = set(self.names())

    def names(self):
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return []

    def look(self, now):
        for name in self.names():
            if name in self.known:
                continue
            if name.startswith('log.'):
                self.logs.setdefault(name, now)
            elif 'snapshot.' in name or name.startswith('falconer.tmp.'):
                # Falconer's has a hidden name until it is complete.
                key = name.rpartition('.')[2]
                try:
                    size = os.stat(os.path.join(self.folder, name)).st_size
                except FileNotFoundError:
                    continue
                seen = self.snapshots.setdefault(key, [now, now, size])
                if size > seen[2]:
                    seen[1], seen[2] = now, size

    def run(self):
        while not self.stops.wait(0.005):
            self.look(time.monotonic() - self.start_at)

    def finish(self):
        self.stops.set()
        self.join()
        spans = sorted((first, last) for first, last, _ in
                       self.snapshots.values())
        return spans, sorted(self.logs.values())


def read_steps(path):
    """[(seconds, replies, p50, p99, slowest)] of the load program."""
    with open(path) as f:
        return [tuple(float(word) for word in line.split()) for line in f]


def steady(context, server, label, seconds=SECONDS):
    """Steps of a steady load on a server, and what it did meanwhile."""
    path = os.path.join(context.folder, 'timeline-' + label)
    # Java compiles while it runs; fewer writes than make a snapshot.
    context.tools.load(server, '--mix get --connections 16 --pipeline 16', 2)
    context.tools.load(server, '--mix set --connections 16 --operations 1000',
                       1)
    watcher = Watcher(os.path.join(server.server.data, 'version-2'))
    watcher.start()
    context.tools.load(server, '--mix get=1,set=1 --connections 8 --pipeline '
                       '512 --rate %d --timeline %s' % (RATE, path), seconds)
    total = time.monotonic() - watcher.start_at
    spans, rolls = watcher.finish()
    # The measured phase ended with the run.
    begin = max(0.0, total - seconds)
    steps = read_steps(path)
    return (steps, [(max(0.0, a - begin), b - begin) for a, b in spans
                    if b > begin], [t - begin for t in rolls if t > begin])


def restarted(server, **conf):
    """The same data under another configuration."""
    server.server.stop()
    for key, value in conf.items():
        server.server.conf[key] = value
    server.server.start(servers.PATIENCE)
    return server


def snapshot(context):
    series = {}
    for kind in KINDS:
        server, _ = context.full(kind, NODES)
        restarted(server, snapCount=SNAPSHOT_EVERY)
        steps, spans, _ = steady(context, server, 'snapshot-' + kind)
        series[kind] = (steps, spans)
    report.plot_timeline('timeline-snapshot', 'a steady 2,000 requests/s while '
                         'snapshots of 1 M znodes are written (shaded)',
                         series)
    return series


def log_roll(context):
    """Few znodes: a snapshot is nothing, and each rolls the log."""
    series = {}
    for kind in KINDS:
        server = servers.start(kind, {'snapCount': ROLL_EVERY})
        try:
            steps, _, rolls = steady(context, server, 'roll-' + kind)
            series[kind] = (steps, [(t, t) for t in rolls])
        finally:
            server.close()
    report.plot_timeline('timeline-roll', 'a steady 2,000 requests/s while the '
                         'log goes over to new files (marked)', series)
    return series


# ---- failover ---------------------------------------------------------------

class Prober:
    """Writes on a schedule; a write counts from its scheduled time, whoever
    answers it in the end."""

    def __init__(self, addresses):
        self.addresses = addresses
        self.turn = 0
        self.client = None

    def connect(self):
        self.turn += 1
        self.client = harness.zkwire.Client(
            self.addresses[self.turn % len(self.addresses)], timeout=2.0)

    def drop(self):
        if self.client is not None:
            self.client.abort()
        self.client = None

    def write(self, until):
        while time.monotonic() < until:
            try:
                if self.client is None:
                    self.connect()
                harness.ok(self.client.set('/probe',
                                           b'x' * measures.VALUE_BYTES))
                return True
            except (OSError, harness.zkwire.Closed, harness.zkwire.Refused,
                    AssertionError):
                self.drop()
                time.sleep(0.002)
        return False

    def run(self, begin, seconds):
        points, due = [], begin
        while due < begin + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            done = self.write(begin + seconds + 20)
            now = time.monotonic()
            if done:
                points.append((due - begin, (now - due) * 1e6))
            # What fell due meanwhile was late, too.
            due += PROBE_STEP
        return points


def failover_of(kind):
    # What the snapshots before have left to write is none of its business.
    os.sync()
    ensemble = servers.Ensemble(kind, {'tickTime': 2000})
    killer = None
    try:
        leader = ensemble.leader
        others = [s.address for s in ensemble.servers if s is not leader]
        with harness.zkwire.Client(leader.address) as client:
            client.create('/probe', b'')
            # Whoever is asked next has it.
            for address in others:
                with harness.zkwire.Client(address) as other:
                    other.sync('/probe')
        prober = Prober(others)
        warm_until = time.monotonic() + WARM_SECONDS
        while time.monotonic() < warm_until:
            prober.write(warm_until)
        begin = time.monotonic()
        killer = threading.Timer(KILL_AFTER, leader.process.kill)
        killer.start()
        points = prober.run(begin, PROBE_SECONDS)
        prober.drop()
        return points
    finally:
        if killer is not None:
            killer.cancel()
        ensemble.close()


def gap(points):
    """The longest wait of a write that fell due about when the leader was
    killed, in seconds. However long nothing can be written, it is the first
    ones that wait longest; what is late much later has another cause."""
    late = [us for at, us in points
            if KILL_AFTER - 0.2 < at < KILL_AFTER + 0.5]
    return max(late or [us for _, us in points]) / 1e6


def failover(context):
    series = {kind: failover_of(kind) for kind in KINDS}
    report.plot_points('timeline-failover', 'a write each %g ms on three '
                       'servers, the leader killed at %g s'
                       % (PROBE_STEP * 1e3, KILL_AFTER), series, KILL_AFTER,
                       PROBE_SECONDS)
    return series


# ---- what the page says -----------------------------------------------------

def worst(steps, spans):
    """Highest p99 of a step inside and outside the spans, in us."""
    def inside(at):
        return any(a - 0.02 <= at <= b + 0.02 for a, b in spans)
    within = [p99 for at, count, _, p99, _ in steps if count and inside(at)]
    without = [p99 for at, count, _, p99, _ in steps
               if count and not inside(at)]
    return max(within, default=0), max(without, default=0)


def table(snapshots, rolls, failovers):
    """A part that could not be measured is None."""
    lines = ['| what | Falconer | Java ZooKeeper |', '|---|---|---|']

    def row(what, part, cell):
        lines.append('| %s | %s |' % (what, ' | '.join(
            'not measured' if part is None else cell(part[kind])
            for kind in KINDS)))
    row('worst p99 of 20 ms during a snapshot of 1 M znodes / beside it, us',
        snapshots, lambda run: '%.0f / %.0f' % worst(*run))
    row('snapshots in %d s, and how long each took, s' % SECONDS, snapshots,
        lambda run: '%d: %s' % (len(run[1]), ', '.join(
            '%.2f' % (b - a) for a, b in run[1]) or '-'))
    row('worst p99 of 20 ms around a roll of the log / beside it, us', rolls,
        lambda run: '%.0f / %.0f' % worst(*run))
    row('longest wait of a write when the leader is killed, s', failovers,
        lambda run: '%.3f' % gap(run))
    return lines


def all_timelines(context):
    os.makedirs(os.path.join(report.DOCS, 'perf'), exist_ok=True)
    return table(*(report.attempt(part, context)
                   for part in (snapshot, log_roll, failover)))

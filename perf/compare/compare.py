# SPDX-License-Identifier: Apache-2.0
"""Falconer beside Java ZooKeeper, case by case, in one run.

Both servers are up all the time; a case runs against the one, then the other,
and again, so that whatever else the machine does meets both. Verdicts are
ratios of neighbours: their median, and the lowest and highest beside it.
"""
import statistics

import bench

# (title, mix, connections, pipeline)
CASES = [
    ('read', 'get', 1, 1),
    ('read', 'get', 1, 16),
    ('read', 'get', 64, 1),
    ('read', 'get', 64, 16),
    ('write', 'set', 1, 1),
    ('write', 'set', 1, 16),
    ('write', 'set', 64, 1),
    ('write', 'set', 64, 16),
    ('mix 9:1', 'get=9,set=1', 64, 1),
]
QUICK = [CASES[0], CASES[2], CASES[4], CASES[7]]


def warm_up(build, servers, seconds):
    """Java compiles while it runs; what is measured is the compiled code."""
    for server in servers.values():
        for mix, connections, pipeline in (('get', 64, 16), ('set', 64, 16),
                                           ('get', 1, 1), ('set', 1, 1)):
            bench.run_load(build, server, '--mix', mix, '--connections',
                           connections, '--pipeline', pipeline, '--seconds',
                           seconds, '--warmup', 0)


def measure(build, servers, case, rounds, seconds):
    """{kind: [result of each round]}, taken in turns."""
    _, mix, connections, pipeline = case
    results = {kind: [] for kind in servers}
    for _ in range(rounds):
        for kind, server in servers.items():
            results[kind].append(bench.run_load(
                build, server, '--mix', mix, '--connections', connections,
                '--pipeline', pipeline, '--seconds', seconds, '--warmup',
                0.3))
    return results


def values(results, kind, what):
    return [what(r) for r in results[kind]]


def ratio(results, what, other='java'):
    """Falconer's figure by the other's: median, lowest, highest of pairs."""
    pairs = [what(a) / what(b)
             for a, b in zip(results['falconer'], results[other])
             if what(b) > 0]
    return (statistics.median(pairs), min(pairs), max(pairs))


def rate(r):
    return r['rate']


def per_cpu(r):
    # A server that used less than one clock tick used at most one.
    return r['operations'] / max(r['server_cpu_seconds'], 0.01)


def p50(r):
    return r['latency_us']['p50']


def p99(r):
    return r['latency_us']['p99']


def show_ratio(triple):
    return '%.2f (%.2f-%.2f)' % triple


def table(rows):
    """Markdown lines; rows: (case, results)."""
    lines = [
        '| case | conn. x pipeline | rate/s Falconer | Java | ratio '
        '| per server CPU s Falconer | Java | ratio '
        '| p50 us Falconer | Java | ratio of p99 |',
        '|---|---|---|---|---|---|---|---|---|---|---|']
    for case, results in rows:
        cells = [case[0], '%d x %d' % (case[2], case[3])]
        for what in (rate, per_cpu):
            cells += ['%.0f' % statistics.median(values(results, k, what))
                      for k in bench.KINDS]
            cells.append(show_ratio(ratio(results, what)))
        cells += ['%.0f' % statistics.median(values(results, k, p50))
                  for k in bench.KINDS]
        cells.append(show_ratio(ratio(results, p99)))
        lines.append('| ' + ' | '.join(cells) + ' |')
    return lines


def compare(build, rounds, seconds, warm_seconds, cases=None):
    """Runs all; the rows for table()."""
    servers = {}
    try:
        for kind in bench.KINDS:
            servers[kind] = bench.start(kind)
        warm_up(build, servers, warm_seconds)
        rows = []
        for case in cases or CASES:
            results = measure(build, servers, case, rounds, seconds)
            rows.append((case, results))
            print('%s %s x %s: rate %s, per CPU %s, p50 %s' % (
                case[0], case[2], case[3], show_ratio(ratio(results, rate)),
                show_ratio(ratio(results, per_cpu)),
                show_ratio(ratio(results, p50))), flush=True)
        return rows
    finally:
        for server in servers.values():
            server.close()


def synced_write(build, rounds, seconds):
    """One write at a time beside the floor of the same minute.

    The disk of a shared machine changes from second to second, so rounds are
    many and short. Returns [(floor, falconer, java)] by rounds.
    """
    servers = {}
    out = []
    try:
        for kind in bench.KINDS:
            servers[kind] = bench.start(kind)
            bench.run_load(build, servers[kind], '--mix', 'set',
                           '--seconds', 2, '--warmup', 0)
        folder = servers['falconer'].home
        for _ in range(rounds):
            floor = bench.run_floor(build, folder, seconds)
            out.append((floor,) + tuple(
                bench.run_load(build, servers[kind], '--mix', 'set',
                               '--seconds', seconds, '--warmup', 0.05)
                for kind in bench.KINDS))
        return out
    finally:
        for server in servers.values():
            server.close()


def floor_sum(floor):
    """One durable write plus one round trip, in us."""
    return floor['append']['p50'] + floor['echo_block']['p50']


def floor_echo_append(round_):
    return round_[0]['echo_append']['p50']


def synced_table(rounds):
    """Medians over the rounds, and each round's own ratio to its floor."""
    columns = [
        ('TCP echo', lambda r: r[0]['echo_block']['p50']),
        ('durable 4 KiB write', lambda r: r[0]['append']['p50']),
        ('echo with the write in it', floor_echo_append),
        ('Falconer setData', lambda r: p50(r[1])),
        ('Java setData', lambda r: p50(r[2])),
    ]
    lines = ['| | median us | lowest-highest round | by (write + echo) '
             '| by echo with the write in it |', '|---|---|---|---|---|']
    for title, what in columns:
        seen = [what(r) for r in rounds]
        cells = [title, '%.0f' % statistics.median(seen),
                 '%.0f-%.0f' % (min(seen), max(seen))]
        for floor in (lambda r: floor_sum(r[0]), floor_echo_append):
            ratios = [what(r) / floor(r) for r in rounds]
            cells.append(show_ratio((statistics.median(ratios), min(ratios),
                                     max(ratios))))
        lines.append('| ' + ' | '.join(cells) + ' |')
    return lines

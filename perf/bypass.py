#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Latency of the kernel-bypass path, beside its floors, in one run.

    perf/bypass.py [--build DIR] [--seconds 2]

Prints p50, p99 and p99.9 of getData and setData over vhost-user (log without
and with flushes), of a frame echo, the least TCP echo and one of our TCP over
the same device, of the kernel's TCP over loopback, and of a word to the other
processor and back, before and after: two processors of a virtual machine are
near or far, and only equal runs compare.  So a row is taken again, some times,
until the processors are as far from each other before and behind it as they
were at first, within a factor of two; how far they were is its last column.
Neither side sleeps.  Then the ratios of the targets.

Needs a build with -Dperf=true and -Dtests=true (the default folder has both),
no root and no huge pages.
"""
import argparse
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, 'ratio'))
sys.dont_write_bytecode = True

import bypass  # noqa: E402
import measures  # noqa: E402
import report  # noqa: E402
import servers  # noqa: E402

ROWS = (
    ('hop', 'a word to the other processor and back'),
    ('frame', 'frame echo, vhost-user'),
    ('tcp-floor', 'the least TCP echo, vhost-user'),
    ('tcp', 'TCP echo, our own, vhost-user'),
    ('echo_spin', 'TCP echo, the kernel\'s, loopback'),
    ('get', 'getData, vhost-user'),
    ('set', 'setData, vhost-user, log without flushes'),
    ('set-synced', 'setData, vhost-user, log flushed'),
    ('hop', 'a word to the other processor and back, again'),
)


TRIES = 12
SLACK = 2
HOP_SECONDS = 0.05


def measure(tools, folder, what, seconds):
    if what in ('hop', 'echo_spin'):
        return tools.floor(folder, [what], seconds)[what]
    return bypass.measure(tools, what, seconds)


def hop(tools, folder):
    return tools.floor(folder, ['hop'], HOP_SECONDS)['hop']['p50']


def take(tools, folder, what, seconds, first):
    """A row, and the two hops around it; that of the last try, if none is like
    the first row's."""
    for _ in range(TRIES):
        hops = [hop(tools, folder)]
        took = measure(tools, folder, what, seconds)
        hops.append(hop(tools, folder))
        near = min(hops + [first or hops[0]])
        if max(hops + [first or hops[0]]) <= SLACK * near:
            break
    return took, hops


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--build', default=os.path.join(servers.ROOT, 'build'))
    p.add_argument('--seconds', type=float, default=2, help='of each row')
    options = p.parse_args()
    tools = measures.Tools(os.path.abspath(options.build))
    before, found, missing = report.load_average(), {}, False
    first = None
    print('| round trip | p50 us | p99 us | p99.9 us | hop us |\n'
          '|---|---|---|---|---|')
    with tempfile.TemporaryDirectory(prefix='bypass-') as folder:
        for what, title in ROWS:
            try:
                took, hops = take(tools, folder, what, options.seconds, first)
            except (servers.Missing, servers.harness.ServerError) as e:
                print('| %s | not measured: %s ||||' % (title, e), flush=True)
                missing = True
                continue
            found.setdefault(what, took)
            first = first or hops[0]
            print('| %s | %s | %.2f, %.2f |' % (title, ' | '.join(
                '%.2f' % took[q] for q in bypass.QUANTILES), *hops),
                flush=True)
    for a, b in (('tcp', 'frame'), ('tcp', 'tcp-floor'), ('get', 'tcp-floor'),
                 ('get', 'tcp'), ('get', 'echo_spin')):
        if a in found and b in found:
            print('\np50 of %s to %s: %.2f' % (
                a, b, found[a]['p50'] / found[b]['p50']), end='')
    print('\n\n%s. Load average %.1f before, %.1f after.' % (
        report.machine(), before, report.load_average()))
    return 1 if missing else 0


if __name__ == '__main__':
    sys.exit(main())

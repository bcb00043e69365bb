#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Lets the fuzz targets run long, one after the other, and keeps count.

    tests/fuzz/long.py --state DIR [--build build-fuzz/tests/fuzz]
                       [--seconds 300] [--turns 1] [target...]

Each turn gives every target so many seconds. DIR holds the corpora, so that
what was found before is where the next turn begins, inputs that failed
(DIR/<target>.crash-*), and DIR/totals.json: runs, CPU seconds and wall seconds
of all turns so far, coverage and corpus of the last one. `--report` prints it.
Ends with status 1 if a target found something.
"""
import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
TARGETS = ('proto', 'txn', 'quorum', 'prep', 'log', 'snapshot', 'peers',
           'config', 'conn', 'tcp')
# What tests/fuzz/meson.build gives the same targets.
OPTIONS = {
    'prep': ['-rss_limit_mb=0'],
    'log': ['-rss_limit_mb=0'],
    'snapshot': ['-rss_limit_mb=0'],
    'peers': ['-close_fd_mask=2'],
    'config': ['-max_len=4096'],
    'conn': ['-rss_limit_mb=0', '-close_fd_mask=3', '-max_len=2048'],
    'tcp': ['-rss_limit_mb=0', '-max_len=4096', '-len_control=0'],
}


def seeds(build, target):
    if target == 'config':
        return [os.path.join(ROOT, 'configs')]
    made = os.path.join(build, 'corpus', target)
    return [made] if os.path.isdir(made) else []


def dictionary(build, target):
    path = os.path.join(build, target + '.dict')
    return ['-dict=' + path] if os.path.exists(path) else []


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(build, state, target, seconds):
    corpus = os.path.join(state, target)
    os.makedirs(corpus, exist_ok=True)
    before, start = cpu_seconds(), time.monotonic()
    done = subprocess.run(
        [os.path.join(build, 'fuzz_' + target),
         '-max_total_time=%d' % seconds, '-timeout=25',
         '-print_final_stats=1',
         '-artifact_prefix=%s.' % corpus] + OPTIONS.get(target, []) +
        dictionary(build, target) + [corpus] + seeds(build, target),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, errors='replace')
    units = re.findall(r'stat::number_of_executed_units: (\d+)', done.stderr)
    cover = re.findall(r'cov: (\d+) ft: (\d+) corp: (\d+)/', done.stderr)
    out = {'runs': int(units[-1]) if units else 0,
           'cpu_s': cpu_seconds() - before,
           'wall_s': time.monotonic() - start,
           'failed': done.returncode != 0}
    if cover:
        out['cov'], out['features'], out['corpus'] = map(int, cover[-1])
    if out['failed']:
        with open('%s.log' % corpus, 'w') as f:
            f.write(done.stderr)
    return out


def load(path):
    if not os.path.exists(path):
        return {}
    with open(path) as f:
        return json.load(f)


def add(total, turn):
    for key in ('runs', 'cpu_s', 'wall_s'):
        total[key] = total.get(key, 0) + turn[key]
    total['failures'] = total.get('failures', 0) + turn['failed']
    for key in ('cov', 'features', 'corpus'):
        if key in turn:
            total[key] = turn[key]


def report(totals):
    print('%-9s %12s %8s %8s %7s %8s %7s %8s' % (
        'target', 'runs', 'cpu min', 'wall min', 'cov', 'features', 'corpus',
        'failures'))
    for target in TARGETS:
        t = totals.get(target)
        if t:
            print('%-9s %12d %8.1f %8.1f %7d %8d %7d %8d' % (
                target, t['runs'], t['cpu_s'] / 60, t['wall_s'] / 60,
                t.get('cov', 0), t.get('features', 0), t.get('corpus', 0),
                t['failures']))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--state', required=True)
    parser.add_argument('--build', default=os.path.join(
        ROOT, 'build-fuzz', 'tests', 'fuzz'))
    parser.add_argument('--seconds', type=int, default=300)
    parser.add_argument('--turns', type=int, default=1)
    parser.add_argument('--report', action='store_true')
    parser.add_argument('target', nargs='*')
    options = parser.parse_args()
    path = os.path.join(options.state, 'totals.json')
    os.makedirs(options.state, exist_ok=True)
    failed = False
    if options.report:
        options.turns = 0
    for _ in range(options.turns):
        for target in options.target or TARGETS:
            turn = run(options.build, options.state, target, options.seconds)
            totals = load(path)
            add(totals.setdefault(target, {}), turn)
            with open(path + '.tmp', 'w') as f:
                json.dump(totals, f, indent=1)
            os.replace(path + '.tmp', path)
            failed |= turn['failed']
    report(load(path))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

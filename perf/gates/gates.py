#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions per operation of the data path, compared with gates.txt.

    perf/gates/gates.py COUNT SEGMENT            compare, 5 % of slack
    perf/gates/gates.py COUNT SEGMENT --record   write gates.txt anew
    perf/gates/gates.py COUNT SEGMENT --print    show what was counted

The programs are build/perf/gates/count and build/perf/tcp/tcp_segment.

A count above the recorded one by more than the slack fails; one below it by as
much fails, too, so that the file is brought up to date when something became
faster. Counts belong to a compiler: with another one (first line of the file)
nothing is compared.
"""
import argparse
import glob
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
RECORD = os.path.join(HERE, 'gates.txt')
SLACK = 0.05
OPERATIONS = 1024  # GATE_COUNT of gate.h
# A few instructions are noise of the harness.
LEAST = 3.0


def compiler():
    text = subprocess.run(['cc', '-dumpfullversion'], capture_output=True,
                          text=True, check=True).stdout.strip()
    return 'cc ' + text


def count(program, names):
    """{case: instructions per operation}"""
    with tempfile.TemporaryDirectory(prefix='gates-') as folder:
        done = subprocess.run(
            ['valgrind', '--tool=callgrind', '--instr-atstart=no',
             '--collect-atstart=no',
             '--callgrind-out-file=' + os.path.join(folder, 'out'), program]
            + names, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit('%s under callgrind ended with %d:\n%s' % (
                program, done.returncode, done.stderr[-2000:]))
        counted = {}
        for path in glob.glob(os.path.join(folder, 'out.*')):
            with open(path) as f:
                text = f.read()
            name = re.search(r'^desc: Trigger: Client Request: (.*)$', text,
                             re.M)
            total = re.search(r'^(?:summary|totals): (\d+)', text, re.M)
            if name and total:
                counted[name.group(1)] = int(total.group(1)) / OPERATIONS
    return counted


# Rows of our own TCP: one segment in and one out (perf/tcp/segment.c).
SEGMENTS = {
    'tcp/segment': [],
    'tcp/segment_ipv6': ['ipv6'],
    'tcp/segment_burst25': ['burst'],
    'tcp/segment_burst25_offload': ['burst', 'offload'],
}


def count_segments(program, names):
    """The same for SEGMENTS."""
    counted = {}
    for name, words in SEGMENTS.items():
        if names and name not in names:
            continue
        done = subprocess.run(
            ['valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null',
             '--toggle-collect=one_turn', program] + words,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        total = re.search(r'Collected : (\d+)', done.stdout)
        segments = re.search(r'^(\d+) segments$', done.stdout, re.M)
        if done.returncode or not total or not segments:
            sys.exit('%s under callgrind ended with %d:\n%s' % (
                program, done.returncode, done.stdout[-2000:]))
        counted[name] = int(total.group(1)) / int(segments.group(1))
    return counted


def count_all(program, segment, names):
    """Of all cases, or of those named."""
    counted = count_segments(segment, names)
    cases = [name for name in names if name not in SEGMENTS]
    if cases or not names:
        counted.update(count(program, cases))
    return counted


def read_record():
    recorded = {}
    with open(RECORD) as f:
        lines = f.read().splitlines()
    for line in lines:
        if line and not line.startswith('#'):
            name, number = line.split()
            recorded[name] = float(number)
    return lines[0].lstrip('# '), recorded


def write_record(counted):
    with open(RECORD, 'w') as f:
        f.write('# %s\n' % compiler())
        f.write('# Instructions per operation; made by gates.py --record.\n')
        for name in sorted(counted):
            f.write('%-36s %.0f\n' % (name, counted[name]))


def compare(counted, recorded):
    wrong = []
    for name in sorted(set(counted) | set(recorded)):
        if name not in recorded:
            wrong.append('%s is not in gates.txt' % name)
        elif name not in counted:
            wrong.append('%s was not counted' % name)
        else:
            off = counted[name] - recorded[name]
            if abs(off) > max(SLACK * recorded[name], LEAST):
                wrong.append('%s: %.0f instructions, recorded %.0f' % (
                    name, counted[name], recorded[name]))
    return wrong


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('program')
    p.add_argument('segment')
    p.add_argument('--record', action='store_true')
    p.add_argument('--print', action='store_true', dest='shows')
    p.add_argument('case', nargs='*')
    options = p.parse_args()
    counted = count_all(options.program, options.segment, options.case)
    if options.shows:
        for name in sorted(counted):
            print('%-36s %8.0f' % (name, counted[name]))
        return 0
    if options.record:
        write_record(counted)
        return 0
    by, recorded = read_record()
    if by != compiler():
        print('recorded with %s, this is %s: not compared' % (by, compiler()))
        return 77
    wrong = compare(counted, recorded)
    for line in wrong:
        print(line)
    if wrong:
        print('if this is right: perf/gates/gates.py %s %s --record' % (
            options.program, options.segment))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The link emulator does to frames what it says, and the same again.

Method: numbered datagrams go through a link from one namespace to another,
where a process notes the numbers that arrive, in their order.  What is
missing, doubled or late there must be what the emulator counted, and a seed
must give the same fate to the same frames again.
"""
import collections
import subprocess
import sys
import time

import lab
from lab import harness

PORT = 7000
COUNT = 600
RECEIVER = '''
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s.bind(("", %d))
print("ready", flush=True)
seen = []
while True:
    data = s.recv(100)
    if data == b"end":
        break
    seen.append(int(data))
print(" ".join(map(str, seen)), flush=True)
''' % PORT
# A pause after each keeps the order that the link gave them.
SENDER = '''
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(%d):
    s.sendto(b"%%d" %% i, (sys.argv[1], %d))
    time.sleep(0.0005)
''' % (COUNT, PORT)


def python(network, index, program, *args):
    return subprocess.Popen(
        network.wrap(index, ['/usr/bin/python3', '-c', program] +
                     list(args)), stdout=subprocess.PIPE, text=True)


def introduce(network):
    """Both ends know each other's hardware address, for good, and the switch
    knows both."""
    receiver = python(network, 1, RECEIVER)
    receiver.stdout.readline()
    finish(network, receiver)
    for here, there in ((0, 1), (1, 0)):
        said = lab.run('ip', '-n', network.spaces[there], '-br', 'link',
                       'show', 'eth0')
        lab.run('ip', '-n', network.spaces[here], 'neighbour', 'replace',
                network.addresses[there], 'lladdr', said.split()[2], 'dev',
                'eth0', 'nud', 'permanent')


def finish(network, receiver):
    """The end of the datagrams, and what arrived."""
    subprocess.run(
        network.wrap(0, ['/usr/bin/python3', '-c', '''
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"end", (sys.argv[1], %d))
''' % PORT, network.addresses[1]]), check=True)
    line = receiver.stdout.readline()
    receiver.wait()
    return [int(word) for word in line.split()]


def through(network, **spec):
    """(numbers that arrived, what the emulator counted meanwhile)"""
    receiver = python(network, 1, RECEIVER)
    try:
        receiver.stdout.readline()
        before = network.counts()
        network.link(0, 1, **spec)
        python(network, 0, SENDER, network.addresses[1]).wait()
        # The emulator may not have had the CPU for all of them yet.
        harness.wait_until('the link has them', lambda: network.counts()[
            'frames'] >= before['frames'] + COUNT)
        after = network.counts()
        time.sleep(spec.get('reorder_us', 0) / 1e6 +
                   spec.get('delay_us', 0) / 1e6)
        network.heal()
        seen = finish(network, receiver)
    finally:
        receiver.kill()
        receiver.stdout.close()
    return seen, {k: after[k] - before[k] for k in after}


def expect_counted(seen, counted):
    """Only these datagrams were on the way meanwhile."""
    harness.expect(counted['frames'], COUNT, 'frames')
    times = collections.Counter(seen)
    harness.expect(COUNT - len(times), counted['lost'], 'lost')
    harness.expect(len(seen) - len(times), counted['duplicated'], 'doubled')


def late(seen):
    """How many came after one with a higher number."""
    highest, count = -1, 0
    for number in seen:
        count += number < highest
        highest = max(highest, number)
    return count


def a_good_link_changes_nothing(network):
    seen, counted = through(network)
    expect_counted(seen, counted)
    harness.expect(seen, list(range(COUNT)))


def frames_are_lost(network):
    seen, counted = through(network, seed=7, loss=100)
    expect_counted(seen, counted)
    harness.expect(20 < counted['lost'] < 120, True, counted)


def frames_are_doubled(network):
    seen, counted = through(network, seed=7, duplication=100)
    expect_counted(seen, counted)
    harness.expect(20 < counted['duplicated'] < 120, True, counted)


def frames_are_late(network):
    seen, counted = through(network, seed=7, reorder=50, reorder_us=20000)
    expect_counted(seen, counted)
    harness.expect(counted['reordered'] > 5, True, counted)
    harness.expect(0 < late(seen) <= counted['reordered'], True, counted)


def damaged_frames_are_not_delivered(network):
    """The kernel's checksum sees one bit; it may also be the address."""
    seen, counted = through(network, seed=7, corruption=100)
    harness.expect(counted['corrupted'] > 20, True, counted)
    harness.expect(seen, sorted(set(seen)), 'order')
    harness.expect(len(seen) >= COUNT - counted['corrupted'], True)
    harness.expect(len(seen) < COUNT, True)


def a_delay_is_a_delay(network):
    """At least so long, for as many as there are."""
    receiver = python(network, 1, RECEIVER)
    receiver.stdout.readline()
    network.link(0, 1, delay_us=300000)
    began = time.monotonic()
    seen = finish(network, receiver)
    took = time.monotonic() - began
    network.heal()
    harness.expect(seen, [])
    harness.expect(took >= 0.3, True, '%.3f s' % took)


def the_same_seed_the_same_fate(network):
    spec = dict(loss=80, duplication=80, seed=99)
    first, _ = through(network, **spec)
    second, _ = through(network, **spec)
    other, _ = through(network, **dict(spec, seed=100))
    harness.expect(first, second)
    harness.expect(first != other, True, 'another seed')


def what_is_no_command_is_refused(network):
    for line, told in (('0 1 loss=3 wind=2', 'no such key'),
                       ('0 0 loss=3', 'no such link'),
                       ('0 99 loss=3', 'no such link'),
                       ('0 1 rate_mbit=0', 'a rate of 0'),
                       ('0 1 loss', 'not key=number')):
        harness.expect(network.ask(line), told)


CASES = (a_good_link_changes_nothing, frames_are_lost, frames_are_doubled,
         frames_are_late, damaged_frames_are_not_delivered,
         a_delay_is_a_delay, the_same_seed_the_same_fate,
         what_is_no_command_is_refused)


def main():
    harness.options(__doc__.splitlines()[0])
    suite = harness.Suite('links')
    network, why = lab.network(2, want_faults=False, want_links=True)
    try:
        def possible():
            if not network.has_links:
                raise harness.Skip('no links: %s' % why)
            introduce(network)
        if suite.attempt('two ends', possible) and network.has_links:
            for case in CASES:
                suite.attempt(case.__name__.replace('_', ' '), case, network)
    finally:
        network.close()
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())

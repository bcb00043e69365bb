#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two processes elect a leader; the leader dies, and the other one leads.

    /usr/bin/python3 examples/leader_election.py [host:port]

Works against Falconer and against ZooKeeper (default: 127.0.0.1:2181). Needs
Debian's package python3-kazoo.

How it works: each candidate creates an ephemeral, sequential node below
/election-example. The lowest number leads; the next one watches it. When the
leader dies without a word, nobody closes its session, so the server does after
the session timeout: its node goes, the watch fires, and the next one leads.
The recipe itself is kazoo's; this file shows it at work across processes.
"""
import os
import subprocess
import sys
import time

from kazoo.client import KazooClient

PATH = '/election-example'
SESSION_SECONDS = 4
PATIENCE_SECONDS = 30


def candidate(hosts, name):
    """What each of the two processes does: wait to lead, then lead."""
    client = KazooClient(hosts=hosts, timeout=SESSION_SECONDS)
    client.start(timeout=10)

    def lead():
        print(f'{name} leads', flush=True)
        sys.stdin.read()  # until the parent says that it is enough

    print(f'{name} stands', flush=True)
    client.Election(PATH, name).run(lead)
    client.stop()
    client.close()


class Candidate:
    """A candidate in a process of its own, as the parent sees it."""

    def __init__(self, hosts, name):
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), hosts, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def expect(self, what):
        line = self.process.stdout.readline().strip()
        if line != f'{self.name} {what}':
            sys.exit(f'expected "{self.name} {what}", got "{line}"')
        print(line)


def main():
    if sys.argv[1:2] in (['-h'], ['--help']):
        print(__doc__)
        return
    hosts = sys.argv[1] if len(sys.argv) > 1 else '127.0.0.1:2181'
    client = KazooClient(hosts=hosts)
    client.start(timeout=10)
    client.delete(PATH, recursive=True)

    first = Candidate(hosts, 'first')
    first.expect('stands')
    first.expect('leads')
    second = Candidate(hosts, 'second')
    second.expect('stands')

    # Both have their nodes: the second one waits for the first.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(client.get_children(PATH)) < 2:
        if time.monotonic() > deadline:
            sys.exit('the second candidate did not show up')
        time.sleep(0.05)

    print('first is killed')
    first.process.kill()
    first.process.wait()
    started = time.monotonic()
    second.expect('leads')
    print(f'after {time.monotonic() - started:.1f} s, the session timeout is '
          f'{SESSION_SECONDS} s')

    second.process.stdin.close()
    status = second.process.wait(PATIENCE_SECONDS)
    client.delete(PATH, recursive=True)
    client.stop()
    client.close()
    sys.exit(status)


if __name__ == '__main__':
    if len(sys.argv) == 3:
        candidate(sys.argv[1], sys.argv[2])
    else:
        main()

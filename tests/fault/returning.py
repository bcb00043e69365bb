# SPDX-License-Identifier: Apache-2.0
"""When clients are back after the leader died.

Goal: what a client program sees of a failover, with the pauses of the library
that it uses: kazoo, Apache's C client, Apache's Java client.

Method: clients of each kind know all three servers and write all the time.
The leader gets SIGKILL; of each client the time counts from the signal to the
first answer to a write that was sent after it.  Ensembles that differ in
falconer.failover.holdMs take turns.  A session that is lost is a failure;
nothing is asserted about times: read the table.
"""
import logging
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import ensemble
import harness
import lab
import native
import zkwire

HERE = os.path.dirname(os.path.abspath(__file__))
JARS = ['zookeeper', 'zookeeper-jute', 'slf4j-api', 'slf4j-nop']
KINDS = ('kazoo', 'c', 'java')
CLIENTS = 6         # of each kind
CONF = {'tickTime': 2000, 'initLimit': 10, 'syncLimit': 5}
BACK_SECONDS = 60


def java_program(folder):
    path = ':'.join(['/usr/share/java/%s.jar' % jar for jar in JARS])
    subprocess.run(['javac', '-cp', path, '-d', folder,
                    os.path.join(HERE, 'Returner.java')], check=True)
    return ['java', '-Xmx128m', '-XX:+UseSerialGC',
            '-XX:TieredStopAtLevel=1', '-cp', '%s:%s' % (folder, path),
            'Returner']


class Crowd:
    """Clients of all kinds of one ensemble.

    last   {name: (sent, answered) of the last acknowledged write}
    gone   names of clients whose session was lost
    """

    def __init__(self, addresses, programs):
        self.hosts = ','.join('%s:%d' % a for a in addresses)
        self.last, self.gone = {}, []
        self.stop = threading.Event()
        self.processes = []
        self.threads = [
            threading.Thread(target=self.kazoo, args=('kazoo%d' % i,))
            for i in range(CLIENTS)]
        self.spawn(programs['java'] + [self.hosts, str(CLIENTS)],
                   lambda words: (words[0], words[1], words[2]))
        self.spawn([programs['c'], self.hosts, '1', str(CLIENTS)],
                   lambda words: words[5] == 'ok' and (words[0], words[7],
                                                       words[8]))
        for thread in self.threads:
            thread.daemon = True
            thread.start()

    def spawn(self, command, parse):
        process = subprocess.Popen(command, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        self.threads.append(threading.Thread(target=self.listen,
                                             args=(process, parse)))

    def listen(self, process, parse):
        for line in process.stdout:
            words = line.split()
            if words[0] == 'gone':
                self.gone.append(words[1])
                continue
            told = parse(words)
            if told:
                self.last[told[0]] = (float(told[1]), float(told[2]))

    def kazoo(self, name):
        import kazoo.client
        import kazoo.exceptions
        logging.getLogger('kazoo').setLevel(logging.CRITICAL)
        client = kazoo.client.KazooClient(self.hosts, timeout=10)
        client.start(30)
        try:
            while not self.stop.is_set():
                sent = time.monotonic()
                try:
                    client.set('/returning', b'x')
                    self.last[name] = (sent, time.monotonic())
                except kazoo.exceptions.SessionExpiredError:
                    self.gone.append(name)
                except kazoo.exceptions.KazooException:
                    pass
                time.sleep(0.002)
        finally:
            client.stop()
            client.close()

    def names(self):
        return ['%s%d' % (kind, i) for kind in KINDS for i in range(CLIENTS)]

    def are_back_since(self, moment):
        return all(self.last.get(n, (0, 0))[0] > moment
                   for n in self.names())

    def close(self):
        self.stop.set()
        for process in self.processes:
            process.stdin.close()
            process.wait()
        for thread in self.threads:
            thread.join()


class Watch(threading.Thread):
    """Notes of each client its first write after a moment."""

    def __init__(self, crowd, moment):
        super().__init__(daemon=True)
        self.crowd, self.moment, self.back = crowd, moment, {}

    def run(self):
        names = self.crowd.names()
        limit = time.monotonic() + BACK_SECONDS
        while len(self.back) < len(names) and time.monotonic() < limit:
            for name in names:
                sent, answered = self.crowd.last.get(name, (0, 0))
                if name not in self.back and sent > self.moment:
                    self.back[name] = answered - self.moment
            time.sleep(0.001)


def one_round(group, crowd, rng):
    """{client: seconds}."""
    harness.wait_until('all write', lambda: crowd.are_back_since(
        time.monotonic() - 0.5), BACK_SECONDS)
    time.sleep(rng.random() * 0.5)
    leader = next(m for m in group.members if m.mode() == 'leader')
    watch = Watch(crowd, time.monotonic())
    leader.process.kill()
    watch.start()
    watch.join()
    harness.expect(sorted(watch.back), sorted(crowd.names()), 'who is back')
    leader.kill()
    leader.start()
    group.wait_serving()
    return watch.back


def prepare(address):
    with zkwire.Client(address, timeout=30) as c:
        for path in ('/returning', '/reg', '/seq', '/multi', '/eph'):
            harness.ok(c.create(path))
        for i in range(CLIENTS):
            c.create('/reg/c%d' % i)
        c.close()


def measure(holds, rounds, folder):
    """{(hold, kind): [seconds]}"""
    programs = {'java': java_program(folder), 'c': native.build(folder)}
    rng, times, open_things = random.Random(1), {}, []
    try:
        groups = []
        for hold in holds:
            network = lab.Loopback(3)
            open_things.append(network)
            group = ensemble.Ensemble(
                network, ['falconer'] * 3,
                conf=dict(CONF, **{'falconer.failover.holdMs': hold}))
            open_things.append(group)
            group.start()
            prepare(group[1].address)
            crowd = Crowd([m.address for m in group.members], programs)
            open_things.append(crowd)
            groups.append((hold, group, crowd))
        for number in range(rounds):
            for hold, group, crowd in groups:
                for name, took in one_round(group, crowd, rng).items():
                    times.setdefault((hold, name.rstrip('0123456789')),
                                     []).append(took)
            print('  round %d of %d' % (number + 1, rounds), flush=True)
        harness.expect([c.gone for _, _, c in groups], [[]] * len(groups),
                       'lost sessions')
    finally:
        for thing in reversed(open_things):
            thing.close()
    return times


def main():
    options = harness.options(__doc__.splitlines()[0], lambda p: (
        p.add_argument('--rounds', type=int, default=10),
        p.add_argument('--holds', default='0,300')))
    holds = [int(h) for h in options.holds.split(',')]
    with tempfile.TemporaryDirectory(prefix='fault-') as folder:
        times = measure(holds, options.rounds, folder)
    print('%8s %8s %8s %8s %8s %8s' % ('holdMs', 'client', 'median', 'mean',
                                       '90 %', 'worst'))
    for (hold, kind), took in sorted(times.items()):
        took = sorted(took)
        print('%8d %8s %8.3f %8.3f %8.3f %8.3f' % (
            hold, kind, statistics.median(took), statistics.mean(took),
            took[len(took) * 9 // 10], took[-1]))
    return 0


if __name__ == '__main__':
    sys.exit(main())

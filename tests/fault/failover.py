# SPDX-License-Identifier: Apache-2.0
"""How long nothing can be written after the leader dies or freezes.

Goal: failover times of an ensemble beside three Java servers, in one run.

Method: a client writes all the time through servers that are not the
leader and goes to the next one when its connection breaks, a millisecond or
three later, until one takes it.  The leader gets SIGKILL or SIGSTOP at a
random instant; the time counts from the signal to the first answer to a
write that was sent after it.  Its session must live through all of it.
Signals and ensembles take turns, so that all meet the same machine.  Nothing
is asserted about times: read the table, and with --plot a picture of the
distributions.  --save keeps the times after each round, and --from takes
them from there instead of measuring.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import ensemble
import harness
import lab
import zkwire
from voyager import SessionGone, Unanswered, Voyager

CONF = {'tickTime': 2000, 'initLimit': 10, 'syncLimit': 5}
SIGNALS = ('kill', 'freeze')


class Pen(threading.Thread):
    """Writes as fast as it is answered; keeps (sent, answered) times."""

    def __init__(self, addresses, seed):
        super().__init__(daemon=True)
        self.stop = threading.Event()
        # The pause of a client is no property of a server.
        self.voyager = Voyager(addresses, random.Random(seed), self.stop,
                               30000, pause=(0.001, 0.002))
        self.last = (0.0, 0.0)
        self.opened = 0.0   # when a server took it last
        self.sessions_lost = 0

    def run(self):
        while not self.stop.is_set():
            sent = time.monotonic()
            try:
                if self.voyager.client is None:
                    self.voyager.connect()
                    self.voyager.client.timeout = 1.0
                    self.opened = time.monotonic()
                reply = self.voyager.call(zkwire.SETDATA, '/pen', b'x')
                if reply.err == 0:
                    self.last = (sent, time.monotonic())
                time.sleep(0.001)
            except Unanswered:
                pass
            except SessionGone:
                self.sessions_lost += 1
                self.voyager.session = 0
                self.voyager.password = b'\0' * 16
            except Exception:
                return


def only_leader(group):
    """One that was frozen says for a moment that it leads still."""
    leaders = [m for m in group.members if m.mode() == 'leader']
    return leaders[0] if len(leaders) == 1 else None


def one_round(group, how, rng):
    """Seconds from the signal to the first write that works again, those
    until a server took the client again (None: it kept its connection), and
    lost sessions."""
    leader = harness.wait_until('a leader', lambda: only_leader(group), 60,
                                0.05)
    pen = Pen([m.address for m in group.members if m != leader],
              rng.random())
    pen.start()
    harness.wait_until('writes', lambda: pen.last[1] > 0, 30)
    time.sleep(0.2 + rng.random() * 0.5)
    began = time.monotonic()
    if how == 'kill':
        leader.process.kill()
    else:
        leader.pause()
    harness.wait_until('a write', lambda: pen.last[0] > began, 120, 0.0005)
    took = pen.last[1] - began
    ready = pen.opened - began if pen.opened > began else None
    pen.stop.set()
    pen.join()
    if how == 'kill':
        leader.kill()
        leader.start()
    else:
        leader.resume()
    group.wait_serving()
    return took, ready, pen.sessions_lost


def quantile(times, q):
    return sorted(times)[min(len(times) - 1, int(q * len(times)))]


def picture(times, edges):
    """One line for each class of times."""
    out = []
    for low, high in zip(edges, edges[1:]):
        count = sum(low <= t < high for t in times)
        out.append('    %6.2f .. %6.2f s %4d %s' % (
            low, high, count, '#' * count))
    return '\n'.join(out)


class Results:
    """Times of each ensemble and signal, and what sessions were lost.

    times  {(name of the ensemble, signal): seconds}
    ready  the same until a server took the client
    lost   {name of the ensemble: sessions}
    loads  load averages of the machine, one a round
    """

    def __init__(self):
        self.times, self.ready = {}, {}
        self.lost, self.loads = {}, []

    def note(self, name, how, took, ready, lost):
        self.times.setdefault((name, how), []).append(took)
        if ready is not None:
            self.ready.setdefault((name, how), []).append(ready)
        self.lost[name] = self.lost.get(name, 0) + lost

    def save(self, path):
        with open(path, 'w') as f:
            json.dump(dict({key: {'%s %s' % k: [round(x, 4) for x in v]
                                  for k, v in series.items()}
                            for key, series in (('times', self.times),
                                                ('ready', self.ready))},
                           lost=self.lost, loads=self.loads), f)

    def read(self, path):
        with open(path) as f:
            told = json.load(f)
        self.times, self.ready = (
            {tuple(k.rsplit(' ', 1)): v
             for k, v in told.get(key, {}).items()}
            for key in ('times', 'ready'))
        self.lost, self.loads = told['lost'], told['loads']


def start(kinds, networks, groups):
    for name, members in kinds.items():
        networks.append(lab.Loopback(len(members)))
        groups[name] = ensemble.Ensemble(networks[-1], members, conf=CONF)
        groups[name].start()
        with zkwire.Client(groups[name][1].address, timeout=30) as c:
            harness.ok(c.create('/pen'))
            c.close()


def measure(kinds, rounds, seed, say, path):
    rng = random.Random(seed)
    networks, groups, results = [], {}, Results()
    try:
        start(kinds, networks, groups)
        for number in range(rounds):
            for how in SIGNALS:
                for name, group in groups.items():
                    results.note(name, how, *one_round(group, how, rng))
            results.loads.append(round(os.getloadavg()[0], 1))
            say('  %d: %s' % (number + 1, ', '.join(
                '%s %s %.3f s' % (n, how, t[-1])
                for (n, how), t in results.times.items())))
            if path:
                results.save(path)
    finally:
        for group in groups.values():
            group.close()
        for network in networks:
            network.close()
    return results


GNUPLOT = '''set terminal %s size 860,520 font "sans,13" background "#ffffff"
set output "%s"
set title "%s"
set xlabel "seconds without an acknowledged write"
set ylabel "share of rounds that took longer"
set logscale x
set xrange [0.01:*]
set yrange [0:1]
set grid
set key outside right center
set border 3
set tics nomirror
plot %s
'''


def plot(results, path):
    """The share of rounds above each time, a staircase for each series."""
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for number, ((name, how), times) in enumerate(results.times.items()):
            data = os.path.join(folder, str(number))
            with open(data, 'w') as f:
                f.write('0.01 1\n')
                for at, t in enumerate(sorted(times)):
                    f.write('%g %g\n' % (t, 1 - (at + 1) / len(times)))
            parts.append('"%s" with steps lw 2 lc %d dt %d title "%s, %s"' % (
                data, 7 if 'java' in name else 6, SIGNALS.index(how) + 1,
                title(name), how))
        rounds = len(next(iter(results.times.values())))
        subprocess.run(['gnuplot'], text=True, check=True, input=GNUPLOT % (
            'svg' if path.endswith('.svg') else 'pngcairo', path,
            'the leader dies or freezes, %d times each' % rounds,
            ', '.join(parts)))


def title(name):
    kinds = name.split(',')
    return ' + '.join('%d %s' % (kinds.count(k), k.capitalize())
                      for k in sorted(set(kinds)))


def table(results, name):
    """What stands in docs, and the distribution in characters."""
    rival = 'java,java,java'
    edges = [0, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 20, 120]
    for how in SIGNALS:
        for who in dict.fromkeys((name, rival)):
            t = results.times[who, how]
            print('%s, %s of the leader, %d times: median %.3f s, 90 %% '
                  '%.3f s, worst %.3f s' % (
                      who, how, len(t), quantile(t, 0.5), quantile(t, 0.9),
                      max(t)))
            print(picture(t, edges))
            r = results.ready.get((who, how))
            if r:
                print('    a server takes the client: median %.3f s, worst '
                      '%.3f s' % (quantile(r, 0.5), max(r)))
        a, b = results.times[name, how], results.times[rival, how]
        print('%s: ratio of the medians %.3f, of the worst %.3f' % (
            how, quantile(a, 0.5) / quantile(b, 0.5), max(a) / max(b)))
    print('sessions lost: %s; load of the machine: %.1f (%.1f .. %.1f)' % (
        results.lost, quantile(results.loads, 0.5), min(results.loads),
        max(results.loads)))


def main():
    def extra(p):
        p.add_argument('--rounds', type=int, default=50)
        p.add_argument('--kinds', default='falconer,falconer,falconer')
        p.add_argument('--seed', type=int, default=1)
        p.add_argument('--save', default='', help='a JSON file')
        p.add_argument('--from', dest='source', default='',
                       help='such a file')
        p.add_argument('--plot', default='', help='an .svg or .png file')
    options = harness.options(__doc__.splitlines()[0], extra)
    kinds = {options.kinds: options.kinds.split(',')}
    kinds.setdefault('java,java,java', ['java'] * 3)
    if options.plot and not shutil.which('gnuplot'):
        print('gnuplot is not installed')
        return 2
    if options.source:
        results = Results()
        results.read(options.source)
    else:
        results = measure(kinds, options.rounds, options.seed,
                          lambda text: print(text, flush=True), options.save)
    table(results, options.kinds)
    if options.plot:
        plot(results, options.plot)
    return 1 if results.lost.get(options.kinds) else 0


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""How long nothing can be written after the leader dies or freezes.

Goal: failover times of an ensemble beside three Java servers, in one run.

Method: a client writes all the time through servers that are not the
leader and goes to the next one when its connection breaks, without a
pause.  The leader gets SIGKILL or SIGSTOP at a random instant; the time
counts from the signal to the first answer to a write that was sent after
it.  Its session must live through all of it.  Rounds of the two ensembles
take turns, so that both meet the same machine.  Nothing is asserted about
times: read the table.
"""
import json
import random
import sys
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
        self.voyager = Voyager(addresses, random.Random(seed), self.stop,
                               30000)
        self.last = (0.0, 0.0)
        self.sessions_lost = 0

    def run(self):
        while not self.stop.is_set():
            sent = time.monotonic()
            try:
                if self.voyager.client is None:
                    self.voyager.connect()
                    self.voyager.client.timeout = 1.0
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


def one_round(group, how, rng):
    """Seconds from the signal to the first write that works again."""
    leader = group.wait_leader()
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
    pen.stop.set()
    pen.join()
    if pen.sessions_lost:
        raise AssertionError('the session was lost')
    if how == 'kill':
        leader.kill()
        leader.start()
    else:
        leader.resume()
    group.wait_serving()
    return took


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


def measure(kinds, rounds, seed, say):
    rng = random.Random(seed)
    groups = {}
    networks = []
    times = {}
    try:
        for name, members in kinds.items():
            network = lab.Loopback(len(members))
            networks.append(network)
            groups[name] = ensemble.Ensemble(network, members, conf=CONF)
            groups[name].start()
            with zkwire.Client(groups[name][1].address, timeout=30) as c:
                harness.ok(c.create('/pen'))
                c.close()
        for how in SIGNALS:
            for number in range(rounds):
                for name, group in groups.items():
                    took = one_round(group, how, rng)
                    times.setdefault((name, how), []).append(took)
                say('  %s %d: %s' % (how, number + 1, ', '.join(
                    '%s %.3f s' % (n, times[n, how][-1]) for n in groups)))
    finally:
        for group in groups.values():
            group.close()
        for network in networks:
            network.close()
    return times


def main():
    def extra(p):
        p.add_argument('--rounds', type=int, default=50)
        p.add_argument('--kinds', default='falconer,falconer,falconer')
        p.add_argument('--seed', type=int, default=1)
    options = harness.options(__doc__.splitlines()[0], extra)
    kinds = {options.kinds: options.kinds.split(',')}
    kinds.setdefault('java,java,java', ['java'] * 3)
    times = measure(kinds, options.rounds, options.seed,
                    lambda text: print(text, flush=True))
    for how in SIGNALS:
        for name in kinds:
            t = times[name, how]
            print('%s, %s of the leader: median %.3f s, 90 %% %.3f s, '
                  'worst %.3f s' % (name, how, quantile(t, 0.5),
                                    quantile(t, 0.9), max(t)))
            edges = [0, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 20, 120]
            print(picture(t, edges))
        a, b = times[options.kinds, how], times['java,java,java', how]
        print('%s: ratio of the medians %.2f, of the worst %.2f' % (
            how, quantile(a, 0.5) / quantile(b, 0.5), max(a) / max(b)))
    print(json.dumps({'%s/%s' % k: [round(x, 4) for x in v]
                      for k, v in times.items()}))
    return 0


if __name__ == '__main__':
    sys.exit(main())

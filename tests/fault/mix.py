# SPDX-License-Identifier: Apache-2.0
"""Faults at random under load, judged again and again.

Goal: whatever fails, and whatever fails at the same time within reason, no
promise to a client is broken and the ensemble comes back by itself.

Method: workload.Load runs all the time; one fault after the other is drawn
(faults.py), held for a while, healed; then writes must go on.  Faults that
leave a quorum must not stop the writes either.  After some faults everything
heals, every server's tree is read and the whole history is judged; then a new
load begins.  The seed makes the same sequence of faults again, not the same
run.
"""
import collections
import json
import random
import sys
import time

import clock_shim
import disk_shim
import ensemble
import harness
import lab
import workload
from faults import FAULTS

FAULTS_A_LOAD = 8
HOLD_SECONDS = 2.5
LONG_SECONDS = 5     # that writes take is told


class Run:
    """One ensemble, its faults and their totals.

    only: names of the faults to draw from; None: all
    """

    def __init__(self, kinds, seed, say=print, keep=False, only=None):
        self.seed = seed
        self.rng = random.Random(seed)
        self.say = say
        # The C client has the address behind those of the servers.
        self.client_index = len(kinds)
        self.network, self.why_no_faults = lab.network(
            len(kinds) + 1, want_links=True)
        self.names = [n for n in only or FAULTS if self.may(FAULTS[n])]
        self.ensemble = None
        try:
            self.ensemble = ensemble.Ensemble(
                self.network, kinds, keep=keep, conf_of_kind={
                    # The shim sees system calls of libc only.
                    'falconer': {'falconer.log.io': 'thread'}})
            self.members = self.ensemble.members
            self.disks = [disk_shim.Disk(m) for m in self.members]
            self.clocks = [clock_shim.Clock(m) for m in self.members]
        except BaseException:
            self.close()
            raise
        self.load = None
        self.loads = 0
        self.faults = collections.Counter()
        self.totals = collections.Counter()
        self.longest_gap = 0.0

    # -- what faults need -----------------------------------------------------

    def some(self, of):
        return self.rng.choice(of)

    def others(self, member):
        return [m for m in self.members if m != member]

    def leader(self):
        return self.ensemble.wait_leader()

    def follower(self):
        return self.some(self.others(self.leader()))

    def pairs(self):
        """Of indexes of servers, each pair once."""
        return [(a.index, b.index) for a in self.members
                for b in self.others(a) if a.index < b.index]

    def two(self):
        """Indexes of two servers, in either order."""
        return self.rng.sample(range(len(self.members)), 2)

    def hold(self, writes_go_on=True):
        began = time.monotonic()
        if writes_go_on:
            self.load.progress(10)
            took = time.monotonic() - began
            self.longest_gap = max(self.longest_gap, took)
            if took > LONG_SECONDS:
                self.say('    %s: ten writes took %.1f s' % (
                    time.strftime('%H:%M:%S', time.gmtime()), took))
        time.sleep(self.rng.random() * HOLD_SECONDS)

    def crash(self, member):
        """kill -9, and what was not flushed is lost."""
        member.kill()
        loose, lost = self.disks[member.index].power_cut(self.rng)
        self.totals['unflushed writes at crashes'] += loose
        self.totals['of these lost'] += lost

    # -- a run ----------------------------------------------------------------

    def may(self, fault):
        return {None: True, 'network': self.network.has_faults,
                'links': self.network.has_links}[fault.needs]

    def draw(self):
        return self.rng.choices(self.names,
                                [FAULTS[n].weight for n in self.names])[0]

    def begin_load(self):
        self.load = workload.Load(
            self.ensemble, '%s/%d' % (self.seed, self.loads),
            wrap=lambda command: self.network.wrap(self.client_index,
                                                   command))
        self.loads += 1
        self.load.progress(20)

    def judge(self):
        self.heal()
        self.load.progress(20)
        told = self.load.finish()
        told.pop('nodes')
        self.totals.update(told)
        self.totals['judged'] += 1
        self.load = None
        self.clear()

    def clear(self):
        """The next load begins in an empty tree."""
        for _ in range(20):
            try:
                return self.clear_once()
            except (OSError, harness.zkwire.Closed, harness.zkwire.Refused):
                self.ensemble.wait_serving()
        raise AssertionError('the tree cannot be emptied')

    def clear_once(self):
        with harness.zkwire.Client(self.leader().address, 30000,
                                   timeout=20) as c:
            for base in workload.BASES + ('/inside',):
                names = c.children(base).value or []
                for at in range(0, len(names), 200):
                    for n in names[at:at + 200]:
                        c.post(harness.zkwire.DELETE, '%s/%s' % (base, n))
                    c.drain()
            c.close()

    def heal(self):
        for healed in self.disks + self.clocks:
            healed.heal()
        self.ensemble.heal()
        self.ensemble.wait_serving()

    def one_fault(self):
        name = self.draw()
        self.say('  fault %d: %s' % (sum(self.faults.values()) + 1, name))
        self.faults[name] += 1
        FAULTS[name].function(self)
        self.heal()
        self.load.progress(10)

    def run(self, seconds):
        end = time.monotonic() + seconds
        self.ensemble.start()
        while time.monotonic() < end:
            if self.load is None:
                self.begin_load()
            for _ in range(FAULTS_A_LOAD):
                self.one_fault()
                if time.monotonic() > end:
                    break
            self.judge()

    def close(self):
        if self.ensemble is not None:
            self.ensemble.close()
        self.network.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.load is not None:
            self.load.stop.set()
        if exc[0] is not None and self.ensemble is not None:
            self.ensemble.__exit__(*exc)
        self.close()


def report(run, seconds):
    return {
        'kinds': [m.kind for m in run.ensemble.members],
        'seed': run.seed,
        'seconds': round(seconds),
        'faults': dict(run.faults),
        'network faults': run.network.has_faults,
        'frames': run.network.counts() if run.network.has_links else {},
        'totals': dict(run.totals),
        'longest wait for ten writes': round(run.longest_gap, 2),
        'violations': 0,
    }


def mix(kinds, seconds, seed, say=print, only=None):
    """A whole run; its totals.  Raises on the first violation."""
    began = time.monotonic()
    with Run(kinds, seed, say, only=only) as run:
        if run.why_no_faults:
            say('  not every fault of the network: %s' % run.why_no_faults)
        run.run(seconds)
        return report(run, time.monotonic() - began)


def main():
    def extra(p):
        p.add_argument('--kinds', default='falconer,falconer,falconer')
        p.add_argument('--seconds', type=float, default=60)
        p.add_argument('--faults', default='', help='only these, a,b,c')
        p.add_argument('--seed', type=int,
                       default=random.SystemRandom().randrange(1 << 31))
    options = harness.options(__doc__.splitlines()[0], extra)
    print('seed %d' % options.seed, flush=True)
    told = mix(options.kinds.split(','), options.seconds, options.seed,
               lambda text: print(text, flush=True),
               options.faults.split(',') if options.faults else None)
    print(json.dumps(told, indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())

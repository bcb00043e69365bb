# SPDX-License-Identifier: Apache-2.0
"""Faults at random under load, judged again and again.

Goal: whatever fails, and whatever fails at the same time within reason, no
promise to a client is broken and the ensemble comes back by itself.

Method: workload.Load runs all the time; one fault after the other is drawn,
held for a while, healed; then writes must go on.  Faults that leave a
quorum must not stop the writes either.  After some faults everything heals,
every server's tree is read and the whole history is judged; then a new load
begins.  The seed makes the same sequence of faults again, not the same
run.
"""
import collections
import json
import random
import sys
import time

import disk_shim
import ensemble
import harness
import lab
import workload

FAULTS_A_LOAD = 8
HOLD_SECONDS = 2.5

FAULTS = collections.OrderedDict()


def fault(weight=2, network=False, disk=False):
    def enter(function):
        FAULTS[function.__name__] = (function, weight, network, disk)
        return function
    return enter


class Run:
    """One ensemble, its faults and their totals."""

    def __init__(self, kinds, seed, say=print, keep=False):
        self.seed = seed
        self.rng = random.Random(seed)
        self.say = say
        self.network, self.why_no_faults = lab.network(len(kinds))
        self.ensemble = None
        try:
            self.ensemble = ensemble.Ensemble(
                self.network, kinds, keep=keep, conf_of_kind={
                    # The shim sees system calls of libc only.
                    'falconer': {'falconer.log.io': 'thread'}})
            self.disks = [disk_shim.Disk(m) for m in self.ensemble.members]
        except BaseException:
            self.close()
            raise
        self.load = None
        self.loads = 0
        self.faults = collections.Counter()
        self.totals = collections.Counter()
        self.longest_gap = 0.0

    # -- what faults need -----------------------------------------------------

    def some(self, of=None):
        return self.rng.choice(of or self.ensemble.members)

    def leader(self):
        return self.ensemble.wait_leader()

    def follower(self):
        leader = self.leader()
        return self.some([m for m in self.ensemble.members if m != leader])

    def two(self):
        return self.rng.sample(range(len(self.ensemble.members)), 2)

    def hold(self, writes_go_on=True):
        began = time.monotonic()
        if writes_go_on:
            self.load.progress(10)
            self.longest_gap = max(self.longest_gap,
                                   time.monotonic() - began)
        time.sleep(self.rng.random() * HOLD_SECONDS)

    def crash(self, member):
        """kill -9, and what was not flushed is lost."""
        member.kill()
        loose, lost = self.disks[member.index].power_cut(self.rng)
        self.totals['unflushed writes at crashes'] += loose
        self.totals['of these lost'] += lost

    # -- a run ----------------------------------------------------------------

    def may(self, name):
        _, _, network, _ = FAULTS[name]
        return self.network.has_faults or not network

    def draw(self):
        names = [n for n in FAULTS if self.may(n)]
        return self.rng.choices(names, [FAULTS[n][1] for n in names])[0]

    def begin_load(self):
        self.load = workload.Load(self.ensemble,
                                  '%s/%d' % (self.seed, self.loads))
        self.loads += 1
        self.load.progress(20)

    def judge(self):
        self.heal()
        self.load.progress(20)
        told = self.load.finish()
        for name in ('operations', 'acknowledged', 'unanswered',
                     'sessions lost', 'lock entries'):
            self.totals[name] += told[name]
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
        for d in self.disks:
            d.heal()
        self.ensemble.heal()
        self.ensemble.wait_serving()

    def one_fault(self, name=None):
        name = name or self.draw()
        self.say('  fault %d: %s' % (sum(self.faults.values()) + 1, name))
        self.faults[name] += 1
        FAULTS[name][0](self)
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


# -- the faults ---------------------------------------------------------------

@fault(3)
def kill_leader(run):
    run.crash(run.leader())
    run.hold()


@fault(2)
def kill_follower(run):
    run.crash(run.follower())
    run.hold()


@fault(1)
def kill_two(run):
    first = run.leader()
    second = run.some([m for m in run.ensemble.members if m != first])
    run.crash(first)
    run.crash(second)
    run.hold(writes_go_on=False)


@fault(2)
def power_cut(run):
    for m in run.ensemble.members:
        m.pause()
    for m in run.ensemble.members:
        run.crash(m)
    run.hold(writes_go_on=False)


@fault(2)
def freeze_leader(run):
    run.leader().pause()
    run.hold()


@fault(1)
def freeze_follower(run):
    run.follower().pause()
    run.hold()


@fault(1)
def freeze_leader_and_kill_it(run):
    leader = run.leader()
    leader.pause()
    run.hold()
    run.crash(leader)


@fault(1)
def restart_in_turn(run):
    for m in run.rng.sample(run.ensemble.members,
                            len(run.ensemble.members)):
        m.stop()
        m.start()
        run.ensemble.wait_serving()


@fault(1)
def empty_disk(run):
    follower = run.follower()
    follower.stop()
    # Nobody but the others vouches for what it promised: they must be
    # up to date, and they are a quorum.
    run.load.progress(5)
    follower.wipe()
    follower.start()
    run.ensemble.wait_serving()


@fault(2, network=True)
def isolate_leader(run):
    leader = run.leader().index
    for i in range(len(run.ensemble.members)):
        if i != leader:
            run.network.cut(leader, i)
    run.hold()


@fault(2, network=True)
def isolate_follower(run):
    follower = run.follower().index
    for i in range(len(run.ensemble.members)):
        if i != follower:
            run.network.cut(follower, i)
    run.hold()


@fault(2, network=True)
def cut_one_pair(run):
    run.network.cut(*run.two())
    run.hold()


@fault(2, network=True)
def drop_one_way(run):
    run.network.drop(*run.two())
    run.hold()


@fault(1, network=True)
def leader_hears_nothing(run):
    leader = run.leader().index
    for i in range(len(run.ensemble.members)):
        if i != leader:
            run.network.drop(i, leader)
    run.hold()


@fault(1, network=True)
def leader_is_not_heard(run):
    leader = run.leader().index
    for i in range(len(run.ensemble.members)):
        if i != leader:
            run.network.drop(leader, i)
    run.hold()


@fault(2, network=True)
def reset_connections(run):
    for _ in range(3):
        run.network.reset(*run.two())
        time.sleep(0.05 + run.rng.random() * 0.3)
        run.network.heal()
        time.sleep(run.rng.random() * 0.5)
    run.hold()


@fault(1, network=True)
def lossy_network(run):
    for i in range(len(run.ensemble.members)):
        for j in range(len(run.ensemble.members)):
            if i != j:
                run.network.lose(i, j, 10)
    run.hold(writes_go_on=False)


@fault(1, network=True)
def slow_link(run):
    run.network.slow(*run.two(), 40)
    run.hold(writes_go_on=False)


@fault(1, network=True)
def election_port_cut(run):
    leader = run.leader().index
    for i in range(len(run.ensemble.members)):
        if i != leader:
            run.network.cut(leader, i, ensemble.ELECTION_PORT)
    run.hold()


@fault(1, network=True)
def quorum_port_cut(run):
    a, b = run.two()
    run.network.cut(a, b, ensemble.QUORUM_PORT)
    run.hold()


@fault(1, disk=True)
def slow_disk(run):
    run.disks[run.follower().index].slow(300)
    run.hold()


@fault(1, disk=True)
def slow_disk_of_the_leader(run):
    run.disks[run.leader().index].slow(200)
    run.hold()


def fails(run, member, how):
    """A server whose log cannot be written may not go on as if nothing were;
    what it does instead is its matter.  It gets a new process."""
    member.may_end = True
    how(run.disks[member.index])
    run.hold()
    if not member.is_running():
        run.totals['servers that ended for their disk'] += 1
    run.disks[member.index].heal()
    run.crash(member)
    member.may_end = False


@fault(1, disk=True)
def full_disk(run):
    fails(run, run.follower(), disk_shim.Disk.full)


@fault(1, disk=True)
def broken_disk(run):
    fails(run, run.follower(), disk_shim.Disk.broken)


@fault(1, disk=True)
def broken_disk_of_the_leader(run):
    fails(run, run.leader(), disk_shim.Disk.broken)


def report(run, seconds):
    return {
        'kinds': [m.kind for m in run.ensemble.members],
        'seed': run.seed,
        'seconds': round(seconds),
        'faults': dict(run.faults),
        'network faults': run.network.has_faults,
        'totals': dict(run.totals),
        'longest wait for ten writes': round(run.longest_gap, 2),
        'violations': 0,
    }


def mix(kinds, seconds, seed, say=print, only=None):
    """A whole run; its totals.  Raises on the first violation."""
    began = time.monotonic()
    with Run(kinds, seed, say) as run:
        if run.why_no_faults:
            say('  no network faults: %s' % run.why_no_faults)
        if only:
            for name in list(FAULTS):
                if name not in only:
                    FAULTS.pop(name)
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

# SPDX-License-Identifier: Apache-2.0
"""Three Java servers are replaced by three Falconers, one by one, and back.

Goal: what docs/migration.md tells an operator to do, done under load: 1,000
sessions with an ephemeral and a watch each, 1,000 writes a second offered.
No acknowledged write is lost, no session expires, every server holds the
same after each step.

Method: swarm.py is the load.  A step stops one server (SIGTERM), starts the
other kind on the same data and address, and waits until it serves; then
every watch must fire.  The longest time without an acknowledged write is
told for each step, beside those of Java's own rolling restart in the same
run: that is the yardstick.
"""
import json
import sys
import time

import ensemble
import harness
import history
import lab
import swarm
import workload

# A session outlives its server's absence; the rest as operators have it.
CONF = {'tickTime': 2000, 'initLimit': 10, 'syncLimit': 5,
        'maxSessionTimeout': 60000, 'snapCount': 20000}


def settle(group):
    group.wait_serving()
    group.check_alive()


def replace(group, member, kind):
    member.stop()
    member.kind = kind
    member.start()
    group.wait_serving([member])


def equal(group):
    """Every server holds the same, apart from what is being written."""
    def same():
        trees = {repr(m): {path: node for path, node in
                           workload.read_tree(m.address).items()
                           if not path.startswith('/swarm/r')}
                 for m in group.members}
        same.bad = history.check_equal(trees)
        return not same.bad
    harness.wait_until('equal trees: %s' % getattr(same, 'bad', '')[:3],
                       same, 30, 0.2)


def order(group, leader_first):
    """Followers first and the leader last, or the other way round."""
    leader = group.wait_leader()
    others = [m for m in group.members if m != leader]
    return [leader] + others if leader_first else others + [leader]


def rolling(say, sessions=1000, rate=1000, start='java',
            steps=('java', 'falconer', 'java'), leader_first=False):
    """start: kind of all at first; steps: what all become, in turn."""
    network, why = lab.network(3, want_faults=False)
    group = ensemble.Ensemble(network, [start] * 3, conf=CONF)
    load = None
    try:
        group.start()
        load = swarm.Remote(group.addresses, sessions, rate=rate)
        told = load.ask('ready')
        say('  %d sessions' % told['sessions'])
        load.ask('mark quiet')
        time.sleep(5)
        for number, kind in enumerate(steps):
            for member in order(group, leader_first):
                what = '%s%d: %s%d becomes %s' % (
                    'restart ' if kind == member.kind else '', number + 1,
                    member.kind, member.sid, kind)
                load.ask('mark ' + what)
                replace(group, member, kind)
                time.sleep(2)
                settle(group)
                told = load.ask('touch')
                if not told['all']:
                    raise AssertionError('%s: watches did not fire: %r' % (
                        what, told))
                equal(group)
                bad = group.mismatches()
                if bad:
                    raise AssertionError('%s: %s' % (what, bad[:3]))
                say('  ' + what)
        report = load.ask('finish')
        if report['wrong']:
            raise AssertionError('%d things wrong: %s' % (
                len(report['wrong']), report['wrong'][:8]))
        return report
    except BaseException:
        for m in group.members:
            print('  last words of %r:\n    %s' % (m, '\n    '.join(
                m.stderr().strip().splitlines()[-6:])))
        raise
    finally:
        if load is not None:
            load.close()
        group.close()
        network.close()


def main():
    def extra(p):
        p.add_argument('--sessions', type=int, default=1000)
        p.add_argument('--rate', type=int, default=1000)
        p.add_argument('--steps', default='java,falconer,java')
        p.add_argument('--leader-first', action='store_true')
    options = harness.options(__doc__.splitlines()[0], extra)
    suite = harness.Suite('rolling')

    def case():
        report = rolling(lambda text: print(text, flush=True),
                         options.sessions, options.rate,
                         steps=options.steps.split(','),
                         leader_first=options.leader_first)
        print(json.dumps(report, indent=1))
    suite.attempt('java becomes %s' % options.steps, case, seconds=1200)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())

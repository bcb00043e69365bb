# SPDX-License-Identifier: Apache-2.0
"""What can go wrong: the faults that mix.py draws from.

Goal: one function for each kind of fault; it breaks something, holds that for
a while under load, and leaves the healing to the mix.

Method: a fault gets the Run (mix.py), which knows members, network, disks,
clocks and the load.  hold() also demands that writes go on; faults that do
not leave a quorum, or may not, say so.
"""
import collections
import time

import disk_shim
import ensemble

HOUR = 3600

Fault = collections.namedtuple('Fault', 'function weight needs')
FAULTS = collections.OrderedDict()


def fault(weight=1, needs=None):
    """needs: 'network' (namespaces), 'links' (the link emulator), None"""
    def enter(function):
        FAULTS[function.__name__] = Fault(function, weight, needs)
        return function
    return enter


# -- processes ----------------------------------------------------------------

@fault(3)
def kill_leader(run):
    run.crash(run.leader())
    run.hold()


@fault(2)
def kill_follower(run):
    run.crash(run.follower())
    run.hold()


@fault()
def kill_two(run):
    leader = run.leader()
    run.crash(leader)
    run.crash(run.some(run.others(leader)))
    run.hold(writes_go_on=False)


@fault(2)
def power_cut(run):
    for m in run.members:
        m.pause()
    for m in run.members:
        run.crash(m)
    run.hold(writes_go_on=False)


@fault(2)
def freeze_leader(run):
    run.leader().pause()
    run.hold()


@fault()
def freeze_follower(run):
    run.follower().pause()
    run.hold()


@fault()
def freeze_leader_and_kill_it(run):
    leader = run.leader()
    leader.pause()
    run.hold()
    run.crash(leader)


@fault()
def restart_in_turn(run):
    for m in run.rng.sample(run.members, len(run.members)):
        m.stop()
        m.start()
        run.ensemble.wait_serving()


@fault()
def empty_disk(run):
    follower = run.follower()
    follower.stop()
    # Nobody but the others vouches for what it promised: they must be
    # up to date, and they are a quorum.
    run.load.progress(5)
    follower.wipe()
    follower.start()
    run.ensemble.wait_serving()


# -- the network, by nft ------------------------------------------------------

def isolate(run, member):
    for other in run.others(member):
        run.network.cut(member.index, other.index)


@fault(2, needs='network')
def isolate_leader(run):
    isolate(run, run.leader())
    run.hold()


@fault(2, needs='network')
def isolate_follower(run):
    isolate(run, run.follower())
    run.hold()


@fault(2, needs='network')
def cut_one_pair(run):
    run.network.cut(*run.two())
    run.hold()


@fault(2, needs='network')
def drop_one_way(run):
    run.network.drop(*run.two())
    run.hold()


@fault(needs='network')
def leader_hears_nothing(run):
    leader = run.leader()
    for other in run.others(leader):
        run.network.drop(other.index, leader.index)
    run.hold()


@fault(needs='network')
def leader_is_not_heard(run):
    leader = run.leader()
    for other in run.others(leader):
        run.network.drop(leader.index, other.index)
    run.hold()


@fault(2, needs='network')
def reset_connections(run):
    for _ in range(3):
        run.network.reset(*run.two())
        time.sleep(0.05 + run.rng.random() * 0.3)
        run.network.heal()
        time.sleep(run.rng.random() * 0.5)
    run.hold()


@fault(needs='network')
def lossy_network(run):
    for a in run.members:
        for b in run.others(a):
            run.network.lose(a.index, b.index, 10)
    run.hold(writes_go_on=False)


@fault(needs='network')
def slow_link(run):
    run.network.slow(*run.two(), 40)
    run.hold(writes_go_on=False)


@fault(needs='network')
def election_port_cut(run):
    leader = run.leader()
    for other in run.others(leader):
        run.network.cut(leader.index, other.index, ensemble.ELECTION_PORT)
    run.hold()


@fault(needs='network')
def quorum_port_cut(run):
    run.network.cut(*run.two(), ensemble.QUORUM_PORT)
    run.hold()


# -- links, by the emulator ---------------------------------------------------

def between_servers(run, **spec):
    for a, b in run.pairs():
        run.network.link(a, b, seed=run.rng.randrange(1, 1 << 30), **spec)


@fault(needs='links')
def delayed_links(run):
    """All servers are far from each other."""
    between_servers(run, delay_us=run.rng.choice((2000, 10000, 40000)))
    run.hold()


@fault(needs='links')
def one_delayed_link(run):
    run.network.link(*run.two(), delay_us=80000)
    run.hold()


@fault(2, needs='links')
def reordering_links(run):
    """A tenth of the frames is late by what some others take."""
    between_servers(run, delay_us=500, reorder=100, reorder_us=3000)
    run.hold()


@fault(2, needs='links')
def duplicating_links(run):
    between_servers(run, duplication=200)
    run.hold()


@fault(needs='links')
def corrupting_links(run):
    """Checksums notice; it is loss of single frames, both ways."""
    between_servers(run, corruption=20)
    run.hold()


@fault(needs='links')
def one_bad_link(run):
    """All of it at once."""
    run.network.link(*run.two(), seed=run.rng.randrange(1, 1 << 30),
                     delay_us=5000, loss=30, corruption=10, duplication=50,
                     reorder=100, reorder_us=20000)
    run.hold(writes_go_on=False)


@fault(needs='links')
def narrow_link(run):
    """One megabit a second and a queue of a few frames, which overflows."""
    run.network.link(*run.two(), rate_mbit=1, queue_bytes=15000)
    run.hold(writes_go_on=False)


@fault(2, needs='links')
def bad_links_of_a_client(run):
    """The C client's cables to all servers, and nobody else's."""
    for m in run.members:
        run.network.link(m.index, run.client_index,
                         seed=run.rng.randrange(1, 1 << 30), delay_us=3000,
                         loss=50, duplication=50, reorder=100,
                         reorder_us=10000)
    run.hold()


# -- disks --------------------------------------------------------------------

@fault()
def slow_disk(run):
    run.disks[run.follower().index].slow(300)
    run.hold()


@fault()
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


@fault()
def full_disk(run):
    fails(run, run.follower(), disk_shim.Disk.full)


@fault()
def broken_disk(run):
    fails(run, run.follower(), disk_shim.Disk.broken)


@fault()
def broken_disk_of_the_leader(run):
    fails(run, run.leader(), disk_shim.Disk.broken)


# -- clocks -------------------------------------------------------------------

@fault()
def clock_of_the_leader_jumps_forward(run):
    run.clocks[run.leader().index].jump(HOUR)
    run.hold()


@fault()
def clock_of_the_leader_jumps_back(run):
    run.clocks[run.leader().index].jump(-HOUR)
    run.hold()


@fault()
def clocks_jump_about(run):
    """Each its own way, several times, by up to a day."""
    for _ in range(5):
        clock = run.some(run.clocks)
        clock.jump(run.rng.uniform(-24, 24) * HOUR)
        run.load.progress(5)
    run.hold()


@fault()
def election_among_wrong_clocks(run):
    """The one who leads next believes in another day."""
    for clock in run.clocks:
        clock.jump(run.rng.uniform(-24, 24) * HOUR)
    run.crash(run.leader())
    run.hold()

# SPDX-License-Identifier: Apache-2.0
"""Counts of what a request costs the server, from outside.

Goal: a burst of pipelined reads is one receive and one send; a burst of
pipelined writes is few writes of the log.  Counted, not timed, by the figures
of mntr before and after.

Snapshots and the rolls of the log that come with them are other threads'
business: the core that answers touches no file.

With three servers a write of one client is 8 segments: the request, two
proposals, two acknowledgements, two commits, the reply; and one write of the
log for each server.  What is sent without a cause (a ping or so) is kept rare
by long ticks, and has its own small allowance.
"""
import contextlib
import os
import resource
import socket
import sys

import harness
import members
import zkwire
from harness import Suite, Skip, expect, ok

SUITE = Suite('counts')
BURST = 30
BURSTS = 20
# What the words cost that are asked before and after is nearly the same each
# time: an end of file is read together with the word or after it.
WORDS_DIFFER = 4


def figures(server):
    text = server.four_letter('mntr').decode()
    return {key: float(value) for key, value in
            (line.split('\t') for line in text.splitlines())
            if value.replace('.', '').isdigit()}


def burst(client, op, *args):
    """Sends BURST requests in one segment and takes their replies."""
    body = zkwire.REQUEST[op](*args)
    client.send(b''.join(client.encode(op, body)[1] for _ in range(BURST)))
    for _ in range(BURST):
        ok(client.take())


@SUITE.case('a burst of pipelined reads is one receive and one send')
def _(server, client):
    ok(client.create('/r', b'x' * 100))
    # What mntr itself costs is seen first: connect, word, answer.
    figures(server)
    a = figures(server)
    b = figures(server)
    own = {k: b[k] - a[k] for k in ('zk_falconer_net_recv_calls',
                                    'zk_falconer_net_send_calls')}
    before = figures(server)
    for _ in range(BURSTS):
        burst(client, zkwire.GETDATA, '/r')
    after = figures(server)
    expect(after['zk_falconer_reads'] - before['zk_falconer_reads'],
           BURSTS * BURST, 'reads')
    for key in own:
        calls = after[key] - before[key] - own[key]
        if abs(calls - BURSTS) > WORDS_DIFFER:
            raise AssertionError('%s: %d calls for %d bursts' % (
                key, calls, BURSTS))


@SUITE.case('a burst of pipelined writes is at most three writes of the log')
def _(server, client):
    before = figures(server)
    burst(client, zkwire.SETDATA, '/r', b'y')
    after = figures(server)
    expect(after['zk_falconer_log_records'] -
           before['zk_falconer_log_records'], BURST, 'records')
    writes = (after['zk_falconer_log_writes'] -
              before['zk_falconer_log_writes'])
    if not 1 <= writes <= 3:
        raise AssertionError('%d writes for %d records' % (writes, BURST))


@SUITE.case('a znode of 100 bytes costs at most 200 bytes beside them')
def _(server, client):
    count, batch, name = 20000, 200, '/m/%010d'
    ok(client.create('/m'))
    before = figures(server)
    for first in range(0, count, batch):
        ok(client.call(zkwire.MULTI, [
            (zkwire.CREATE, zkwire.w_create(name % i, b'x' * 100))
            for i in range(first, first + batch)]))
    after = figures(server)
    used = (after['zk_falconer_tree_used_bytes'] -
            before['zk_falconer_tree_used_bytes']) / count
    over = used - 100 - len(name % 0) + len('/m/')
    print('  a znode: %.0f bytes of the tree, %.0f over name and data'
          % (used, over), flush=True)
    if not 0 < over <= 200:
        raise AssertionError('%.0f bytes over name and data' % over)


SNAPSHOTS = 5


def bytes_of_threads(server):
    """thread's name: bytes of files that it had read or written."""
    out = {}
    folder = '/proc/%d/task' % server.process.pid
    for thread in os.listdir(folder):
        with open(os.path.join(folder, thread, 'comm')) as f:
            name = f.read().strip()
        with open(os.path.join(folder, thread, 'io')) as f:
            out[name] = sum(int(line.split()[1]) for line in f if
                            line.startswith(('read_bytes', 'write_bytes')))
    return out


@SUITE.case('the core that answers touches no file when snapshots are written')
def _(server, client):
    with harness.Server('falconer', conf={'snapCount': 2}) as own:
        with own.client() as writer:
            ok(writer.create('/s', b'x' * 1000))
            before, began = bytes_of_threads(own), figures(own)

            def grown():
                for _ in range(10):
                    ok(writer.set('/s', b'y' * 1000))
                return (figures(own)['zk_falconer_snapshots'] >=
                        began['zk_falconer_snapshots'] + SNAPSHOTS)
            harness.wait_until('snapshots', grown)
            after = bytes_of_threads(own)
    used = {name: after[name] - before.get(name, 0) for name in after}
    if used['log'] == 0 or used['bg'] == 0:
        raise Skip('the data is on a file system that counts no bytes')
    expect(used['reader0'], 0, 'bytes of files of the core that answers')


def process_line(server, name):
    with open('/proc/%d/status' % server.process.pid) as f:
        return int(next(line for line in f
                        if line.startswith(name)).split()[1])


@SUITE.case('a small soft limit of descriptors limits no connections, and '
            'their table does not grow with them')
def _(server, client):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 600
    if hard < 2 * count:
        raise Skip('ulimit -Hn is below %d' % (2 * count))
    with contextlib.closing(harness.Server('falconer')) as own:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            own.start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        before = process_line(own, 'FDSize:')
        held = [socket.create_connection(own.address) for _ in range(count)]
        harness.wait_until('all are accepted', lambda: len(os.listdir(
            '/proc/%d/fd' % own.process.pid)) > count)
        expect(own.four_letter('ruok'), b'imok', 'a connection more')
        expect(process_line(own, 'FDSize:'), before, 'places of the table')
        for one in held:
            one.close()


ENSEMBLE_WRITES = 200
# Segments that belong to no write: pings, words.
ALLOWANCE = ENSEMBLE_WRITES // 4


def write(client, data):
    return ok(client.call(zkwire.SETDATA, '/q', data))


def growth(ensemble, client, work):
    """What work() and one more write made grow, for each member."""
    def settled():
        # All were there before the first record, so their logs are equal
        # when they have come to the end, whoever was behind.
        zxid = write(client, b'').zxid

        def logged():
            found = [figures(m) for m in ensemble.members]
            if len({f['zk_falconer_log_records'] for f in found}) == 1:
                return found
        harness.wait_until('all have it', lambda: all(
            m.zxid() >= zxid for m in ensemble.members))
        return harness.wait_until('all logged it', logged)
    before = settled()
    work()
    return [{key: now[key] - then.get(key, 0) for key in now}
            for now, then in zip(settled(), before)]


def segments_at_depth_one(ensemble, leader, client):
    def work():
        for _ in range(ENSEMBLE_WRITES - 1):
            write(client, b'x' * 100)
    for member, grown in zip(ensemble.members,
                             growth(ensemble, client, work)):
        # Leader: two proposals, two commits, the reply.  Who is behind may
        # take several at once: nobody waits for the slowest.
        is_leader = member is leader
        most = ENSEMBLE_WRITES * (5 if is_leader else 1)
        sent = grown['zk_falconer_net_send_calls']
        if not (most if is_leader else 1) <= sent <= most + ALLOWANCE:
            raise AssertionError('server %d sent %d segments, not %d' % (
                member.sid, sent, most))
        expect(grown['zk_falconer_log_records'], ENSEMBLE_WRITES,
               'log records of server %d' % member.sid)
        writes = grown['zk_falconer_log_writes']
        if not 1 <= writes <= ENSEMBLE_WRITES:
            raise AssertionError('server %d wrote its log %d times, not %d' % (
                member.sid, writes, ENSEMBLE_WRITES))


def log_writes_of_a_burst(ensemble, client):
    def work():
        burst(client, zkwire.SETDATA, '/q', b'y')
    for member, grown in zip(ensemble.members,
                             growth(ensemble, client, work)):
        expect(grown['zk_falconer_log_records'], BURST + 1, 'records')
        writes = grown['zk_falconer_log_writes']
        # One for all is for who is behind.
        if not 1 <= writes <= 6:
            raise AssertionError('server %d: %d log writes for a burst of %d '
                                 'and one more' % (member.sid, writes, BURST))


@SUITE.case('of three servers a write is 8 segments and a log write each, '
            'a burst shares them')
def _(server, client):
    conf = {'tickTime': 5000, 'falconer.failover.beaconMs': 0,
            'maxSessionTimeout': 100000}
    ensemble = members.Ensemble(['falconer'] * 3, conf)
    try:
        ensemble.start()
        leader = ensemble.leader()
        with leader.client() as client:
            ok(client.create('/q', b''))
            segments_at_depth_one(ensemble, leader, client)
            log_writes_of_a_burst(ensemble, client)
    finally:
        ensemble.close()


def main():
    options = harness.options(__doc__.splitlines()[0])
    if options.server != 'falconer':
        SUITE.attempt('counts', lambda: (_ for _ in ()).throw(
            Skip('only Falconer tells these figures')))
        return SUITE.finish()
    with harness.Server(options.server) as server:
        with server.client() as client:
            SUITE.run(options, server, client)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())

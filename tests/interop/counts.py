# SPDX-License-Identifier: Apache-2.0
"""Counts of what a request costs the server, from outside.

Goal: a burst of pipelined reads is one receive and one send; a burst of
pipelined writes is few writes of the log.  Counted, not timed, by the figures
of mntr before and after.
"""
import sys

import harness
import zkwire
from harness import Suite, Skip, expect, ok

SUITE = Suite('counts')
BURST = 30


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
    burst(client, zkwire.GETDATA, '/r')
    after = figures(server)
    expect(after['zk_falconer_reads'] - before['zk_falconer_reads'], BURST,
           'reads')
    for key in own:
        expect(after[key] - before[key] - own[key], 1, key)


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

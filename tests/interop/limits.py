# SPDX-License-Identifier: Apache-2.0
"""Settings that limit what clients may take, beside a real ZooKeeper.

Goal: each limit of zoo.cfg that concerns clients shows its effect from
outside, and none of them costs a client that stays within it.

Method: a server of its own for each case, with the limit set low.  Where
Debian's ZooKeeper has the setting the case holds for it too
(--server java).  What needs a log that stands still (request throttling,
stale requests) is in tests/unit/dataplane/test_admission.c.
"""
import os
import struct
import sys

import caselib
import harness
import zkwire
from harness import expect, expect_closed, expect_err, ok
from zkwire import AUTH, CREATE, GETDATA, OPEN, SETDATA

CASES = caselib.Cases()
numbered = CASES.numbered
PROVIDER = 'org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider'


def mntr(server, name):
    for line in server.four_letter('mntr').decode().splitlines():
        key, _, value = line.partition('\t')
        if key == 'zk_' + name:
            return float(value)
    raise AssertionError('mntr has no ' + name)


def opens(server):
    """Whether a new session is granted now."""
    try:
        server.client().close()
        return True
    except (zkwire.Closed, OSError):
        return False


@numbered(conf={'maxCnxns': 5})
def all_connections_are_limited(server):
    """maxCnxns counts the connections of everybody"""
    kept = [server.client() for _ in range(5)]
    refused = 0
    for _ in range(3):
        try:
            with server.conn() as c:
                c.send(b'ruok')
                refused += not c.recv_all()
        except (zkwire.Closed, OSError):
            refused += 1
    expect(refused, 3, 'refused')
    for c in kept:
        ok(c.get('/'))
    kept[0].close()
    harness.wait_until('a place is free', lambda: opens(server))
    for c in kept[1:]:
        c.close()


@numbered(conf={'connection_throttle_tokens': 3,
                'connection_throttle_fill_time': 3600000,
                'connection_throttle_fill_count': 1})
def connects_take_tokens(server):
    """connection_throttle_tokens: the fourth connect is closed"""
    kept = [server.client() for _ in range(3)]
    with server.conn() as c:
        c.send_frame(zkwire.connect_request())
        expect_closed(c, 'the fourth')
    expect(mntr(server, 'connection_rejected'), 1, 'connection_rejected')
    for c in kept:
        ok(c.get('/'))
        c.close()


@numbered(conf={'connection_throttle_tokens': 7,
                'connection_throttle_fill_time': 3600000,
                'connection_throttle_weight_enabled': 'true'})
def connects_have_weights(server):
    """a new session weighs 3, one that comes back 2"""
    if server.is_java:
        raise harness.Skip('3.8.0 lets in more than its documentation says')
    a = server.client()
    a.abort()
    with server.client(session=a.session, password=a.password) as b:
        ok(b.get('/'))
        expect(opens(server), False, 'a third, of weight 3')
        with server.client(session=a.session, password=a.password) as c:
            ok(c.get('/'))


@numbered(conf={'largeRequestThreshold': 100000,
                'largeRequestMaxBytes': 300000})
def large_requests_are_limited(server):
    """one request beyond largeRequestMaxBytes closes its connection"""
    with server.client() as a, server.client() as b:
        ok(a.create('/big'))
        ok(a.set('/big', b'x' * 250000))
        b.post(SETDATA, '/big', b'x' * 400000, -1)
        expect_closed(b, 'too large')
        expect(mntr(server, 'large_requests_rejected'), 1, 'rejected')
        ok(a.set('/big', b'y' * 250000))


@numbered(conf={'globalOutstandingLimit': 5})
def few_outstanding_requests_are_enough(server):
    """a low globalOutstandingLimit slows nobody to a halt"""
    clients = [server.client() for _ in range(8)]
    for i, c in enumerate(clients):
        for k in range(200):
            c.post(CREATE, '/g-%d-%d' % (i, k), b'', OPEN, 0)
            c.post(GETDATA, '/g-%d-%d' % (i, k), False)
    for c in clients:
        for reply in c.drain():
            ok(reply)
        c.close()


@numbered(conf={'request_throttle_max_requests': 4})
def a_throttled_server_serves_everybody(server):
    """request_throttle_max_requests makes requests wait, loses none"""
    clients = [server.client() for _ in range(8)]
    for i, c in enumerate(clients):
        for k in range(100):
            c.post(CREATE, '/t-%d-%d' % (i, k), b'', OPEN, 0)
    for c in clients:
        for reply in c.drain():
            ok(reply)
        c.close()


@numbered(conf={'authProvider.1': PROVIDER, 'ensembleAuthName': 'red,blue'})
def ensembles_have_names(server):
    """scheme ensemble: right and empty names pass, a wrong one closes"""
    with server.client() as c:
        ok(c.auth('ensemble', b'blue'))
        ok(c.auth('ensemble', b''))
        ok(c.get('/'))
    with server.client() as c:
        c.post(AUTH, 'ensemble', b'green', xid=-4)
        expect_closed(c, 'the wrong ensemble')


@numbered()
def without_the_provider_there_is_no_ensemble(server):
    """scheme ensemble is unknown by default"""
    with server.client() as c:
        expect_err(c.auth('ensemble', b'blue'), zkwire.AUTHFAILED)
        expect_closed(c)


@numbered(conf={'txnLogSizeLimitInKb': 64, 'preAllocSize': 64})
def log_files_are_limited(server):
    """txnLogSizeLimitInKb starts a new log file, without a snapshot"""
    def files(kind):
        return [n for n in os.listdir(os.path.join(server.data, 'version-2'))
                if n.startswith(kind)]
    before = len(files('snapshot'))
    with server.client() as c:
        ok(c.create('/log'))
        for _ in range(400):
            ok(c.set('/log', b'x' * 1000))
    harness.wait_until('log files: %s' % files('log'),
                       lambda: len(files('log')) >= 4)
    expect(len(files('snapshot')), before, 'snapshots')


@numbered()
def clickhouse_probes_are_answered(server):
    """ClickHouse's first steps: plain ZooKeeper is what it finds"""
    with server.conn() as c:
        # readOnly always, a protocol version of its own is not taken up.
        c.send_frame(zkwire.connect_request(read_only=True, protocol=10))
        r = zkwire.Reader(c.recv_frame())
        expect(r.int(), 0, 'protocolVersion')
        # The auth reply must be the first frame behind the response.
        for xid, op, body in (
                (-4, AUTH, zkwire.w_auth('digest', b'user:pw')),
                (1, GETDATA, zkwire.w_path_watch('/keeper/feature_flags')),
                (2, GETDATA, zkwire.w_path_watch('/keeper/api_version')),
                (3, GETDATA,
                 zkwire.w_path_watch('/keeper/availability_zone')),
                (0x7fffffff, zkwire.CLOSESESSION, b'')):
            c.send_frame(struct.pack('>ii', xid, op) + body)
        for xid, err in ((-4, 0), (1, zkwire.NONODE), (2, zkwire.NONODE),
                         (3, zkwire.NONODE), (0x7fffffff, 0)):
            body = c.recv_frame()
            expect((struct.unpack('>iqi', body[:16])[0::2], len(body)),
                   ((xid, err), 16), 'reply')
        expect_closed(c)


@numbered()
def clickhouse_extensions_are_unknown(server):
    """opcodes 500 to 507 are no half-implemented extensions"""
    for op in range(500, 508):
        with server.client() as c:
            c.send_frame(struct.pack('>ii', 5, op) + b'\0' * 16)
            body = c.recv_frame()
            expect(struct.unpack('>iqi', body[:16]),
                   (5, -1, zkwire.UNIMPLEMENTED), 'reply')
            expect_closed(c)


def main():
    options = harness.options(__doc__.splitlines()[0])
    suite = harness.Suite('limits')
    CASES.run(suite, options)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())

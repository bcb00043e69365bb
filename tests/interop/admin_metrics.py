# SPDX-License-Identifier: Apache-2.0
"""Metrics: names, types, sums that agree, and who reads them."""
import http.client
import os
import re
import shutil
import socket
import subprocess
import time

from adminlib import (SUITE, admin_server, ask, command, falconer_only,
                      metrics, scene)
import harness
from harness import Skip, expect, ok
import members
import zkwire


@SUITE.case('metrics: names and types, sums that agree with each other')
def _(options):
    falconer_only(options)
    with admin_server() as server, scene(server):
        # A round is counted when its replies have left.
        harness.wait_until('the last request is counted', lambda: metrics(
            server.admin)[0]['op_count_exists_total'] == 1)
        values, types = metrics(server.admin)
        mntr = dict(line.split('\t') for line in
                    server.four_letter('mntr').decode().splitlines())
        expect(values['znode_count'], 7)
        expect(values['ephemerals_count'], float(
            mntr['zk_ephemerals_count']))
        for name, kind in (('avg_latency', 'gauge'), ('uptime', 'gauge'),
                           ('readlatency', 'summary'),
                           ('updatelatency', 'summary'),
                           ('fsynctime', 'summary'),
                           ('snapshottime', 'summary'),
                           ('bytes_received_count_total', 'counter'),
                           ('falconer_operation_seconds', 'histogram'),
                           ('op_count_create_total', 'counter')):
            expect(types.get(name), kind, name)
        expect(values['op_count_create_total'], 2)
        expect(values['bytes_received_count_total'],
               values['bytes_received_count'])
        ours = [n for n, kind in types.items() if kind == 'histogram']
        expect([n for n in ours if not re.fullmatch(
            r'falconer_\w+_seconds', n)], [], 'histograms are all ours')
        expect('falconer_proposal_seconds' in ours, True)
        for name, kind, least in (
                ('process_cpu_seconds_total', 'counter', 0.001),
                ('process_start_time_seconds', 'gauge', 1e9),
                ('process_resident_memory_bytes', 'gauge', 1 << 20),
                ('process_virtual_memory_bytes', 'gauge', 1 << 20),
                ('process_open_fds', 'gauge', 4),
                ('process_max_fds', 'gauge', 4)):
            expect((types.get(name), values[name] >= least), (kind, True),
                   name)
        expect(abs(values['process_start_time_seconds'] +
                   values['uptime'] / 1e3 - time.time()) < 600, True)
        name = 'falconer_operation_seconds'
        for op, count in (('create', 2), ('get_data', 1), ('exists', 1)):
            label = 'operation="%s"' % op
            buckets = [v for k, v in values.items()
                       if k.startswith('%s_bucket{%s,' % (name, label))]
            expect(len(buckets), 26)
            expect(buckets, sorted(buckets), 'cumulative')
            expect(buckets[-1], count, op)
            expect(values['%s_count{%s}' % (name, label)], count, op)
            expect(values['%s_sum{%s}' % (name, label)] > 0, True, op)
        # The time a create waits in line and for the disk is part of it.
        total = values['%s_sum{operation="create"}' % name]
        parts = sum(values['falconer_stage_seconds_sum{stage="%s"}' % s]
                    for s in ('decode', 'ring', 'prepare', 'log', 'quorum',
                              'publish', 'reply'))
        session = values['%s_sum{operation="create_session"}' % name]
        expect(parts <= total + session, True, 'stages within the whole')


STAGES = ('decode', 'ring', 'prepare', 'log', 'quorum', 'publish', 'reply')


@SUITE.case('where the time of updates goes: stages, and the slowest of them')
def _(options):
    falconer_only(options)
    with admin_server() as server, server.client() as c:
        long_path = '/' + 'n' * 200
        for path in ['/s%d' % i for i in range(40)] + [long_path]:
            ok(c.create(path))
        ok(c.sync('/'))
        # A session and the creates.
        harness.wait_until('the replies are counted', lambda: metrics(
            server.admin)[0]['falconer_stage_seconds_count{stage="reply"}']
            >= 41)
        values = metrics(server.admin)[0]
        counts = {values['falconer_stage_seconds_count{stage="%s"}' % s]
                  for s in STAGES}
        expect(len(counts), 1, 'each update passes each stage')
        expect(values['falconer_stage_seconds_sum{stage="log"}'] > 0, True)
        slow = command(server, 'slow_requests').json['slow_requests']
        totals = [one['total_us'] for one in slow]
        expect(totals, sorted(totals, reverse=True), 'slowest first')
        creates = [one for one in slow if one['operation'] == 'CREA']
        expect(len(creates) >= 10, True, 'creates: %r' % slow)
        for one in creates:
            stages = one['stages_us']
            expect(tuple(stages), STAGES)
            expect(stages['log'] > 0, True, 'a synced log')
            expect(sum(stages.values()) <= one['total_us'] + 1, True, one)
            expect(one['session_id'], c.session)
            expect(one['is_path_cut'], one['path'].startswith('/nn'))
            expect(len(one['path']) <= 128, True)


def table_rows():
    """Names of tests/compat/metrics.tsv that are said to be there."""
    path = os.path.join(harness.ROOT, 'tests', 'compat', 'metrics.tsv')
    with open(path) as f:
        rows = [line.rstrip('\n').split('\t') for line in f]
    return [row[0] for row in rows if row[1] in ('full', 'partial', 'own')]


def is_shown(name, monitor):
    """As itself, as a summary's parts, or as a set of them."""
    return any(key == name or key.endswith('_' + name) or
               key.startswith(name + '_') for key in monitor)


def three_roles():
    """Two voters and an observer, with admin servers."""
    ensemble = members.Ensemble(['falconer'] * 3, observers=(3,), conf={
        'admin.enableServer': 'true', 'admin.serverAddress': '127.0.0.1',
        'extendedTypesEnabled': 'true'})
    for member in ensemble.members:
        member.admin = harness.free_port()
        member.conf['admin.serverPort'] = member.admin
    return ensemble


def meet_quota(client, name):
    """A node with a quota of two, of which three creates are refused."""
    ok(client.create('/' + name))
    ok(client.create('/zookeeper/quota/' + name))
    ok(client.create('/zookeeper/quota/%s/zookeeper_limits' % name,
                     b'count=-1,bytes=-1=;countHardLimit=2'))
    ok(client.create('/zookeeper/quota/%s/zookeeper_stats' % name))
    ok(client.create('/%s/first' % name))
    for i in range(3):
        harness.expect_err(client.create('/%s/%d' % (name, i)),
                           zkwire.QUOTAEXCEEDED)


@SUITE.case('metrics: every row of the table is there')
def _(options):
    falconer_only(options)
    with admin_server(conf={'enforceQuota': 'true'}) as server, \
            scene(server):
        with server.client() as client:
            meet_quota(client, 'q')
        alone = command(server, 'monitor').json
        prometheus = ask(server.admin, '/metrics').text
    with three_roles() as ensemble:
        ensemble.start()
        ensemble.settle()
        shown = dict(alone)
        for member in ensemble.members:
            shown.update(command(member, 'monitor').json)
            prometheus += ask(member.admin, '/metrics').text
    missing = [n for n in table_rows() if not is_shown(n, shown)]
    expect(missing, [], 'in monitor')
    # A unit of promtool's own mind: those are falconer_stage_seconds there.
    missing = [n for n in table_rows() if not re.search(
        r'^(\w+_)?%s(_\w+)?[ {]' % n.replace('_ns', '_seconds'),
        prometheus, re.M) and not n.endswith('_ms')]
    expect(missing, [], 'in /metrics')


@SUITE.case('metrics that move when they should')
def _(options):
    falconer_only(options)
    with three_roles() as ensemble:
        ensemble.start()
        leader = ensemble.settle()
        follower = [m for m in ensemble.members
                    if m.mode() == 'follower'][0]
        observer = ensemble[3]
        with follower.client() as client:
            for i in range(20):
                ok(client.create('/n%d' % i))
            ok(client.create_ttl('/ttl'))
            ok(client.delete('/ttl'))
        gone = follower.client()
        gone.sock.close()
        ensemble.same_data()
        harness.wait_until('the drop is counted', lambda: command(
            follower, 'monitor').json['connection_drop_count'] >= 1)
        at = {m.sid: command(m, 'monitor').json for m in ensemble.members}
        lead, follow, observe = (at[m.sid] for m in (
            leader, follower, observer))
        expect(lead['cnt_quorum_ack_latency'] >= 22, True)
        expect(follow['cnt_quorum_ack_latency'], 0)
        for name in ('cnt_proposal_latency', 'cnt_propagation_latency',
                     'cnt_commit_propagation_latency',
                     'learner_proposal_received_count',
                     'learner_commit_received_count'):
            expect(follow[name] >= 20, True, 'follower: ' + name)
            expect(lead[name], 0, 'leader: ' + name)
        for name in ('cnt_propagation_latency',
                     'learner_commit_received_count'):
            expect(observe[name] >= 20, True, 'observer: ' + name)
        expect((follow['cnt_follower_sync_time'] >= 1,
                observe['cnt_observer_sync_time'] >= 1,
                lead['cnt_leader_unavailable_time'] >= 1,
                follow['cnt_leader_unavailable_time'] == 0),
               (True,) * 4)
        for one in (lead, follow, observe):
            expect((one['ttl_node_created_count'],
                    one['ttl_node_deleted_count']), (1, 1))
            expect(one['outstanding_changes_queued'],
                   one['outstanding_changes_removed'])
            expect(one['sync_processor_request_queued'] >= 22, True)
            expect(one['cnt_sync_process_time'] > 0, True)
        expect(follow['prep_processor_request_queued'] >= 22, True)
        # Who acknowledged, and how long that took; of the leader alone.
        sid = follower.sid
        expect((lead['cnt_%d_ack_latency' % sid] >= 1,
                lead['max_%d_ack_latency' % sid] < 60000,
                '%d_falconer_learner_queued_bytes' % sid in lead,
                any(key.endswith('_ack_latency') and key[-13] in '123'
                    for key in follow)), (True, True, True, False))
        keys = set(re.findall(r'^ack_latency_count\{key="(\d+)"\}',
                              ask(leader.admin, '/metrics').text, re.M))
        expect(keys, {str(sid)}, 'observers and the leader have none')
        # A session that comes to another server is asked for at the leader.
        moved = follower.client()
        other = observer.client(session=moved.session,
                                password=moved.password)
        harness.wait_until('it was asked for', lambda: command(
            leader, 'monitor').json['revalidate_count'] >= 1)
        for client in (moved, other):
            client.sock.close()
        # What the writer does by batches.
        writes = lead['proposal_count']
        for one in (lead, follow, observe):
            expect(0 < one['cnt_write_commit_proc_issued']
                   <= one['sum_write_commit_proc_issued'], True)
        for one in (lead, follow):
            expect(one['cnt_sync_processor_queue_size'] > 0, True)
        expect(lead['sum_write_commit_proc_issued'] >= writes, True)
        expect(follow['sum_prep_processor_queue_size'] >= 22, True)
        before = lead['cnt_close_session_prep_time']
        ok_close = follower.client()
        ok_close.close()
        harness.wait_until('a close is counted', lambda: command(
            leader, 'monitor').json['cnt_close_session_prep_time'] > before)
        follower.kill()
        follower.spawn()
        follower.wait_serving()
        again = command(follower, 'monitor').json
        expect((again['cnt_startup_snap_load_time'],
                again['cnt_startup_txns_load_time'],
                again['cnt_follower_sync_time']), (1, 1, 1))
        expect(again['startup_txns_loaded' if 'startup_txns_loaded' in again
                     else 'sum_startup_txns_loaded'] >= 20, True)


@SUITE.case('reads that wait for an update of their own connection')
def _(options):
    falconer_only(options)
    with admin_server() as server, server.client() as client:
        def numbers():
            monitor = command(server, 'monitor').json
            return [monitor[name] for name in (
                'sum_reads_issued_from_session_queue',
                'cnt_read_commitproc_time_ms',
                'sum_requests_in_session_queue',
                'sum_read_commit_proc_issued')]
        ok(client.create('/w'))
        ok(client.get('/w'))
        harness.wait_until('the read is counted',
                           lambda: numbers() == [0, 0, 0, 1])
        raw = b''.join(client.encode(op, zkwire.REQUEST[op](*args))[1]
                       for op, args in ((zkwire.SETDATA, ('/w', b'1')),
                                        (zkwire.GETDATA, ('/w', False)),
                                        (zkwire.EXISTS, ('/w', False)),
                                        (zkwire.SETDATA, ('/w', b'2')),
                                        (zkwire.GETDATA, ('/w', False))))
        client.send(raw)
        for reply in client.drain():
            ok(reply)
        # Two behind the first update and one behind the second; four and one
        # waited there.
        harness.wait_until('all reads are counted',
                           lambda: numbers() == [3, 3, 5, 4])


@SUITE.case('refusals by quotas are counted by namespace')
def _(options):
    falconer_only(options)
    conf = {'enforceQuota': 'true'}
    names = ('plain', 'odd "x\\ \u00e9', '\u65e5\u672c')
    with admin_server(conf=conf) as server, server.client() as client:
        expect('quota_exceeded_error_per_namespace' in
               ask(server.admin, '/metrics').text, False)
        for name in names:
            meet_quota(client, name)
        text = ask(server.admin, '/metrics').text
        monitor = command(server, 'monitor').json
        for name in names:
            escaped = name.replace('\\', '\\\\').replace('"', '\\"')
            expect('\nquota_exceeded_error_per_namespace_total{key="%s"} 3\n'
                   % escaped in text, True, name)
            expect(monitor['%s_quota_exceeded_error_per_namespace' % name], 3)
        if shutil.which('promtool'):
            done = subprocess.run(['promtool', 'check', 'metrics'],
                                  input=text.encode(), capture_output=True,
                                  timeout=60)
            expect((done.returncode, done.stdout, done.stderr), (0, b'', b''))


@SUITE.case('limits and usage of quotas are added up by namespace')
def _(options):
    limits = {'/a': b'count=10,bytes=20=;byteHardLimit=30;countHardLimit=0',
              '/a/b': b'count=5,bytes=-1', '/c': b'count=-1,bytes=-1'}
    expected = {'a_quota_count_limit': 0 + 5, 'a_quota_bytes_limit': 30 - 1,
                'a_quota_count_usage': 2 + 1, 'a_quota_bytes_usage': 6 + 5,
                'c_quota_count_limit': -1, 'c_quota_bytes_limit': -1,
                'c_quota_count_usage': 1, 'c_quota_bytes_usage': 0}
    with admin_server(options.server) as server, server.client() as client:
        ok(client.create('/a', b'x'))
        ok(client.create('/a/b', b'12345'))
        ok(client.create('/c', b''))
        for path, text in limits.items():
            base = '/zookeeper/quota' + path
            ok(client.create(base))
            ok(client.create(base + '/zookeeper_limits', text))
            ok(client.create(base + '/zookeeper_stats'))
        monitor = command(server, 'monitor').json
        expect({name: monitor.get(name + '_per_namespace')
                for name in expected}, expected)
        if options.server == 'java':
            return
        text = ask(server.admin, '/metrics').text
        expect('\nquota_bytes_limit_per_namespace{key="c"} -1\n' in text, True)
        expect('\nquota_count_usage_per_namespace{key="a"} 3\n' in text, True)


@SUITE.case('metrics on a port of their own, as the provider\'s keys say')
def _(options):
    falconer_only(options)
    port = harness.free_port()
    conf = {'metricsProvider.className': 'org.apache.zookeeper.metrics.'
            'prometheus.PrometheusMetricsProvider',
            'metricsProvider.httpPort': port,
            'metricsProvider.httpHost': '127.0.0.1',
            'metricsProvider.exportJvmInfo': 'true',
            'admin.enableServer': 'false'}
    with admin_server(conf=conf) as server:
        values, _ = metrics(port)
        expect(values['znode_count'], 5)
        expect(ask(port, '/commands/ruok').status, 404)
        expect(ask(port, '/').status, 404)
        try:
            ask(server.admin, '/')
            raise AssertionError('the admin port is open')
        except ConnectionRefusedError:
            pass


@SUITE.case('promtool has nothing to say against /metrics')
def _(options):
    falconer_only(options)
    if not shutil.which('promtool'):
        raise Skip('promtool is not installed (./setup page)')
    with admin_server() as server, scene(server):
        text = ask(server.admin, '/metrics').body
        done = subprocess.run(['promtool', 'check', 'metrics'], input=text,
                              capture_output=True, timeout=60)
        expect((done.returncode, done.stdout, done.stderr), (0, b'', b''))


@SUITE.case('Debian\'s prometheus scrapes without a warning', quick=False)
def _(options):
    falconer_only(options)
    if not shutil.which('prometheus'):
        raise Skip('prometheus is not installed (./setup page)')
    web = harness.free_port()
    with admin_server() as server, scene(server):
        config = os.path.join(server.home, 'prometheus.yml')
        with open(config, 'w') as f:
            f.write('global: {scrape_interval: 1s}\n'
                    'scrape_configs:\n- job_name: falconer\n'
                    '  static_configs: [{targets: ["127.0.0.1:%d"]}]\n'
                    % server.admin)
        log = open(os.path.join(server.home, 'prometheus.log'), 'w+')
        process = subprocess.Popen(
            ['prometheus', '--config.file=' + config,
             '--storage.tsdb.path=' + os.path.join(server.home, 'tsdb'),
             '--web.listen-address=127.0.0.1:%d' % web],
            stdout=log, stderr=log)
        try:
            def scraped(name):
                try:
                    found = ask(web, '/api/v1/query?query=' + name).json
                except (OSError, ValueError, http.client.HTTPException):
                    return None
                return found['data']['result'] if found.get('data') else None
            harness.wait_until('a scrape', lambda: scraped('znode_count'), 30)
            expect(scraped('znode_count')[0]['value'][1], '7')
            expect(scraped('up')[0]['value'][1], '1')
            share = scraped('histogram_quantile(0.99,'
                            'falconer_operation_seconds_bucket)')
            expect(len(share) > 10, True, 'quantiles')
            targets = ask(web, '/api/v1/targets').json['data']
            expect(targets['activeTargets'][0]['lastError'], '')
        finally:
            process.terminate()
            process.wait()
        log.seek(0)
        troubled = [line for line in log if re.search(
            r'level=(warn|error)', line) and 'SIGTERM' not in line]
        expect(troubled, [], 'prometheus')


@SUITE.case('a check_zookeeper-style script reads mntr')
def _(options):
    """What such scripts do: split at the tab, drop zk_, compare numbers."""
    with admin_server(options.server) as server, scene(server):
        with socket.create_connection(server.address) as s:
            s.sendall(b'mntr')
            text = b''
            while True:
                part = s.recv(65536)
                if not part:
                    break
                text += part
        stats = {}
        for line in text.decode().splitlines():
            key, value = line.split('\t')
            key = re.sub('^zk_', '', key)
            try:
                stats[key] = int(value)
            except ValueError:
                stats[key] = value
        expect(stats['server_state'], 'standalone')
        for key, warn, critical in (
                ('outstanding_requests', 10, 50),
                ('num_alive_connections', 100, 1000),
                ('open_file_descriptor_count', 10000, 20000),
                ('approximate_data_size', 10**6, 10**9),
                ('watch_count', 1000, 10000),
                ('znode_count', 1000, 10000)):
            expect(isinstance(stats[key], int), True, key)
            expect(0 <= stats[key] < warn < critical, True, key)
        expect(float(stats['avg_latency']) >= 0, True, 'avg_latency')

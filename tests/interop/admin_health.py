# SPDX-License-Identifier: Apache-2.0
"""Liveness, readiness and the start, each with its reason."""
import http.client
import json
import os
import re
import socket

from adminlib import (AUTH, SUITE, admin_server, ask, command, falconer_only,
                      metrics)
import harness
from harness import expect
import members


@SUITE.case('livez, readyz and startupz say why')
def _(options):
    falconer_only(options)
    with admin_server(conf={'falconer.cores': 2}) as server:
        for path in ('/livez', '/readyz', '/startupz'):
            answer = ask(server.admin, path)
            expect(answer.status, 200, path)
            expect(answer.text.splitlines()[-1],
                   '%s check passed' % path[1:])
        harness.wait_until('the probe is back', lambda: 'all answered' in
                           ask(server.admin, '/livez').text)


@SUITE.case('while the data is recovered startupz says so')
def _(options):
    falconer_only(options)
    server = admin_server()
    version = os.path.join(server.data, 'version-2')
    os.mkdir(version)
    # A snapshot that nobody writes yet: the start waits for its bytes.
    pipe = os.path.join(version, 'snapshot.5')
    os.mkfifo(pipe)
    try:
        server.spawn()

        def phase():
            try:
                answer = ask(server.admin, '/startupz')
            except (OSError, http.client.HTTPException):
                return None
            # It answers before there is anything to recover from.
            return answer if 'starting' not in answer.text else None
        answer = harness.wait_until('it has begun to recover', phase)
        expect((answer.status, answer.text),
               (503, '[-]not serving: recovering the data\n'))
        expect(ask(server.admin, '/readyz').status, 503)
        expect(ask(server.admin, '/livez').status, 200)
        expect(ask(server.admin, '/metrics').status, 503)
        expect(ask(server.admin, '/').status, 200)
        expect(command(server, 'ruok').json, {
            'command': 'ruok', 'error': 'This ZooKeeper instance is not '
            'currently serving requests'})
        with open(pipe, 'wb'):
            pass
        expect(server.wait_exit() != 0, True, 'an empty snapshot is refused')
    finally:
        server.close()


@SUITE.case('log lines as JSON, one object each')
def _(options):
    falconer_only(options)
    with admin_server(conf={'falconer.log.format': 'json',
                            'no.such\\ "key"': 'x'}) as server:
        command(server, 'snapshot', headers=AUTH)
        server.stop()
        # Its standard output goes there too.
        lines = [json.loads(line) for line in server.stderr().splitlines()]
    for line in lines:
        expect(sorted(line), ['level', 'text', 'time'], line)
        expect(bool(re.fullmatch(r'\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z',
                                 line['time'])), True, line)
    expect([x['level'] for x in lines if '"key"' in x['text']], ['warn'])
    for said in ('asks for a snapshot', 'falconer serves ZooKeeper clients'):
        expect(any(said in x['text'] for x in lines), True, said)


@SUITE.case('readyz: a full tree refuses writes, and it says so')
def _(options):
    falconer_only(options)
    with admin_server(conf={'falconer.tree.maxBytes': '16m'}) as server:
        with server.client() as client:
            for i in range(40):
                if client.create('/big%d' % i, b'x' * 500000).err:
                    break
            else:
                raise AssertionError('16 MB hold 20 MB')
        answer = ask(server.admin, '/readyz')
        expect(answer.status, 503)
        expect('[-]tree failed: ' in answer.text, True, answer.text)
        expect('falconer.tree.maxBytes' in answer.text, True, answer.text)
        expect(ask(server.admin, '/livez').status, 200, 'still alive')


@SUITE.case('members of an ensemble: who leads, who belongs, who is ready')
def _(options):
    ensemble = members.Ensemble([options.server] * 3, conf={
        'admin.enableServer': 'true', 'admin.serverAddress': '127.0.0.1'})
    for member in ensemble.members:
        member.admin = harness.free_port()
        member.conf['admin.serverPort'] = member.admin
    if options.server == 'java':
        admin_server('java').close()  # jars
    try:
        ensemble.start()
        modes = {m.sid: m.mode() for m in ensemble.members}
        leader = [sid for sid in modes if modes[sid] == 'leader'][0]
        for member in ensemble.members:
            told = command(member, 'leader').json
            expect(told, {'is_leader': member.sid == leader,
                          'leader_id': leader, 'leader_ip': '127.0.0.1',
                          'command': 'leader', 'error': None})
            view = command(member, 'voting_view').json['current_config']
            expect(sorted(view), ['1', '2', '3'])
            quorum, election = ensemble.ports[0]
            expect({k: view['1'][k] for k in (
                'server_addresses', 'election_addresses', 'learner_type')},
                   {'server_addresses': ['127.0.0.1:%d' % quorum],
                    'election_addresses': ['127.0.0.1:%d' % election],
                    'learner_type': 'participant'})
            state = command(member, 'zabstate').json
            expect((state['myid'], state['is_leader'], state['voting'],
                    state['zabstate']),
                   (member.sid, member.sid == leader, True, 'broadcast'))
            monitor = command(member, 'monitor').json
            expect(monitor['server_state'], modes[member.sid])
            expect(list(monitor)[:3],
                   ['version', 'server_state', 'peer_state'])
            if options.server == 'falconer':
                expect(ask(member.admin, '/readyz').status, 200)
        for sid in modes:
            if sid != 1:
                ensemble[sid].kill()
        harness.wait_until('it notices', lambda: command(
            ensemble[1], 'server_stats').json == {
                'command': 'server_stats',
                'error': 'This ZooKeeper instance is not currently serving '
                'requests'})
        expect('user.dir' in command(ensemble[1], 'sysp').json, True)
        if options.server == 'falconer':
            answer = ask(ensemble[1].admin, '/readyz')
            expect((answer.status, '[-]serving failed' in answer.text),
                   (503, True), answer.text)
            expect(ask(ensemble[1].admin, '/livez').status, 200)
            expect(ask(ensemble[1].admin, '/status.json').json['state'],
                   'looking for a leader')
    finally:
        for member in ensemble.members:
            member.close()


@SUITE.case('a port that is taken: a warning, or the end of the start')
def _(options):
    falconer_only(options)
    with admin_server() as server:
        # Somebody asked for this port.
        second = harness.Server('falconer', conf={
            'admin.enableServer': None, 'admin.serverPort': server.admin})
        try:
            second.start()
            raise AssertionError('it started')
        except harness.ServerError as e:
            expect('admin.serverPort=%d' % server.admin in str(e), True, e)
        finally:
            second.close()
    # Nobody asked for 8080. If it is free here it is taken first.
    plug = None
    try:
        plug = socket.create_server(('127.0.0.1', 8080), reuse_port=False)
    except OSError:
        pass
    try:
        with harness.Server('falconer', conf={
                'admin.enableServer': None}) as server:
            expect('admin.serverPort' in server.stderr() and
                   'admin.enableServer=false' in server.stderr(), True,
                   server.stderr())
    finally:
        if plug:
            plug.close()

# SPDX-License-Identifier: Apache-2.0
"""The commands of the admin server, and who may give them.

Method: a scene of sessions, watches and nodes is set up.  The answers'
keys and types are compared with those of Debian's ZooKeeper 3.8.0 in the same
scene, kept in tests/golden/admin/commands.json (`--server java` compares that
server itself, `--server java --record` writes the file); their values with
what the four-letter words say.
"""
import json
import os
import re

from adminlib import (AUTH, SUITE, admin_server, ask, command, falconer_only,
                      metrics, scene)
import harness
from harness import expect, ok
import zkwire

GOLDEN = os.path.join(harness.ROOT, 'tests', 'golden', 'admin',
                      'commands.json')

# name: aliases
COMMANDS = {
    'configuration': ('conf', 'config'), 'connections': ('cons',),
    'connection_stat_reset': ('crst',), 'dirs': (), 'dump': (),
    'environment': ('env', 'envi'), 'get_trace_mask': ('gtmk',), 'hash': (),
    'initial_configuration': ('icfg',), 'is_read_only': ('isro',),
    'last_snapshot': ('lsnp',), 'leader': ('lead',), 'monitor': ('mntr',),
    'observer_connection_stat_reset': ('orst',), 'observers': ('obsr',),
    'ruok': (), 'server_stats': ('srvr',), 'set_trace_mask': ('stmk',),
    'stat_reset': ('srst',), 'stats': ('stat',),
    'system_properties': ('sysp',), 'voting_view': (),
    'watches': ('wchc',), 'watches_by_path': ('wchp',),
    'watch_summary': ('wchs',), 'zabstate': (),
}


# -- the same keys as ZooKeeper ---------------------------------------------

def shape(value):
    """Keys and types, in order; keys that are data become one."""
    if isinstance(value, dict):
        return {'<id>' if re.fullmatch(r'\d+|/.*', k) else k: shape(v)
                for k, v in value.items()}
    if isinstance(value, list):
        return [shape(v) for v in value[:1]]
    return type(value).__name__


def shapes(server):
    out = {}
    for name in COMMANDS:
        answer = command(server, name + (
            '?traceMask=306' if name == 'set_trace_mask' else ''))
        expect(answer.status, 200, name)
        expect(answer.headers['content-type'].split(';')[0],
               'application/json', name)
        out[name] = shape(answer.json)
    return out


def without(names, value):
    return {k: v for k, v in value.items() if not k.startswith(names)}


# Which keys are there depends on the process, not on the server's kind.
VOLATILE = {'system_properties': ('zookeeper.', 'user.', 'java.', 'jdk.',
                                  'sun.', 'os.', 'org.', 'file.', 'line.',
                                  'path.', 'native.', 'awt.', 'jetty.',
                                  'http.', 'ftp.', 'socks', 'gopher')}


@SUITE.case('keys and types of each command are ZooKeeper\'s')
def _(options):
    with admin_server(options.server) as server:
        with scene(server):
            got = shapes(server)
    if options.record:
        with open(GOLDEN, 'w') as f:
            json.dump(got, f, indent=1)
    with open(GOLDEN) as f:
        want = json.load(f)
    for name in COMMANDS:
        one, other = got[name], want[name]
        if name == 'hash':  # every 128th transaction: none here
            one, other = shape(one), shape(other)
        if name in VOLATILE:
            one = without(VOLATILE[name], one)
            other = without(VOLATILE[name], other)
        if name == 'monitor':
            expect([k for k in list(one)[:2]], ['version', 'server_state'])
            common = [k for k in one if k in other]
            expect({k: one[k] for k in common},
                   {k: other[k] for k in common}, name)
            expect(len(common) >= 90 or options.server == 'java', True,
                   'metrics of ZooKeeper\'s name: %d' % len(common))
            continue
        expect(one, other, name)
        if name != 'leader':  # there ZooKeeper's map has another order
            expect(json.dumps(one), json.dumps(other), name)


@SUITE.case('aliases, list of commands, unknown commands')
def _(options):
    with admin_server(options.server) as server:
        for name, aliases in COMMANDS.items():
            for alias in aliases:
                answer = command(server, alias + '?traceMask=306').json
                expect(answer['command'], name, alias)
        listed = ask(server.admin, '/commands').text
        for name in COMMANDS:
            expect('<a href="/commands/%s">%s</a>\n<br/>\n' % (name, name)
                   in listed, True, name)
        answer = command(server, 'nonesuch')
        expect(answer.status, 200)
        expect(answer.text, '{\n  "command" : "nonesuch",\n'
               '  "error" : "Unknown command: nonesuch"\n}')
        expect(command(server, 'isro').text,
               '{\n  "read_only" : false,\n  "command" : "is_read_only",\n'
               '  "error" : null\n}')
        expect(ask(server.admin, '/nonesuch').status, 404)


@SUITE.case('another admin.commandURL')
def _(options):
    falconer_only(options)
    with admin_server(conf={'admin.commandURL': '/zk/cmd'}) as server:
        expect(ask(server.admin, '/zk/cmd/ruok').json['command'], 'ruok')
        expect('"/zk/cmd/ruok"' in ask(server.admin, '/zk/cmd').text, True)
        for path in ('/commands/ruok', '/zk/cmdx', '/zk'):
            expect(ask(server.admin, path).status, 404, path)
        expect(ask(server.admin, '/status.json').json['command_url'],
               '/zk/cmd')


@SUITE.case('values are those of the four-letter words')
def _(options):
    with admin_server(options.server) as server, scene(server) as a:
        cons = command(server, 'connections').json['connections']
        expect([c['session_id'] for c in cons if 'session_id' in c],
               [a.session], 'sessions')
        mine = cons[0]
        expect(mine['last_operation'], 'EXIS')
        expect(mine['session_timeout'], 30000)
        dump = command(server, 'dump').json
        expect(dump['session_id_to_ephemeral_paths'],
               {str(a.session): ['/scene/e']})
        expect([s for ids in dump['expiry_time_to_session_ids'].values()
                for s in ids], [a.session])
        watches = command(server, 'watches').json
        expect({session: sorted(paths) for session, paths
                in watches['session_id_to_watched_paths'].items()},
               {str(a.session): ['/scene', '/scene/e']})
        expect(command(server, 'watches_by_path').json['path_to_session_ids'],
               {'/scene': [a.session], '/scene/e': [a.session]})
        summary = command(server, 'watch_summary').json
        expect((summary['num_connections'], summary['num_paths'],
                summary['num_total_watches']), (1, 2, 2))
        stats = command(server, 'server_stats').json
        expect(stats['server_stats']['last_processed_zxid'], server.zxid())
        expect(stats['server_stats']['server_state'], 'standalone')
        expect(stats['node_count'], 7)
        expect(command(server, 'set_trace_mask?traceMask=77').json
               ['tracemask'], 77)
        expect(server.four_letter('gtmk'), b'77')
        expect(command(server, 'set_trace_mask').json['error'] is not None,
               True)
        command(server, 'connection_stat_reset')
        cons = command(server, 'connections').json['connections']
        expect(cons[0]['packets_received'], 0, 'after crst')


@SUITE.case('many watches and connections are listed whole, cores of their own')
def _(options):
    falconer_only(options)
    with admin_server(conf={'falconer.cores': 3}) as server:
        clients = [server.client(timeout_ms=30000) for _ in range(20)]
        # In one go: where the cores share a CPU each round trip takes long, and
        # who is silent for so many expires.
        for i in range(100):
            clients[0].post(zkwire.CREATE, '/n%d' % i)
        for reply in clients[0].drain():
            ok(reply)
        for client in clients:
            for i in range(100):
                client.post(zkwire.GETDATA, '/n%d' % i, True)
            for reply in client.drain():
                ok(reply)
        watches = command(server, 'watches').json[
            'session_id_to_watched_paths']
        expect({len(p) for p in watches.values()}, {100})
        expect(len(watches), 20)
        by_path = command(server, 'wchp').json['path_to_session_ids']
        expect(sorted(by_path['/n7']), sorted(c.session for c in clients))
        summary = command(server, 'wchs').json
        expect((summary['num_connections'], summary['num_paths'],
                summary['num_total_watches']), (20, 100, 2000))
        expect(len(command(server, 'cons').json['connections']), 20)


# -- who may ----------------------------------------------------------------

@SUITE.case('methods, and commands that change something')
def _(options):
    falconer_only(options)
    conf = {'4lw.commands.whitelist': 'mntr,stmk'}
    with admin_server(conf=conf) as server:
        expect(command(server, 'ruok', method='HEAD').status, 200)
        expect(command(server, 'ruok', method='POST').status, 405)
        for method in ('TRACE', 'PUT', 'DELETE', 'OPTIONS'):
            expect(command(server, 'ruok', method=method).status, 405, method)
        expect(command(server, 'shed', headers=AUTH).status, 405)
        # Free where the four-letter word is, else for those who show who
        # they are.
        expect(command(server, 'stmk?traceMask=5').status, 200)
        for name in ('srst', 'crst', 'orst'):
            expect(command(server, name).status, 401, name)
            expect(command(server, name, headers=AUTH).status, 200, name)
        for name, method in (('snapshot', 'GET'), ('shed', 'POST'),
                             ('restore', 'POST')):
            answer = command(server, name, method=method)
            expect(answer.status, 401, name)
            expect(answer.json['error'],
                   'Auth info is missing for the command')
            answer = command(server, name, method=method,
                             headers={'Authorization': 'kerberos x'})
            expect((answer.status, answer.json['error']),
                   (401, 'Not authenticated'), name)


@SUITE.case('the root\'s ACL says who may; superDigest always may')
def _(options):
    falconer_only(options)
    conf = {'DigestAuthenticationProvider.superDigest':
            'super:D/InIHSb7yEEbrWz8b9l71RjZJU=',  # super:test
            '4lw.commands.whitelist': 'srvr'}
    with admin_server(conf=conf) as server:
        with server.client() as client:
            ok(client.auth('digest', b'admin:pw'))
            ok(client.set_acl('/', [(31, 'auth', ''),
                                    (15, 'world', 'anyone')]))
        answer = command(server, 'srst', headers=AUTH)
        expect(answer.status, 200, 'the owner')
        answer = command(server, 'srst', headers={
            'Authorization': 'digest admin:wrong'})
        expect((answer.status, answer.json['error']), (403, 'Not authorized'))
        answer = command(server, 'srst', headers={'Authorization': 'ip'})
        expect(answer.status, 403, 'ip')
        answer = command(server, 'srst', headers={
            'Authorization': 'digest super:test'})
        expect(answer.status, 200, 'super')


@SUITE.case('no secret is told: log, commands, metrics, audit')
def _(options):
    falconer_only(options)
    digest = 'D/InIHSb7yEEbrWz8b9l71RjZJU='
    conf = {'DigestAuthenticationProvider.superDigest': 'super:' + digest,
            'X509AuthenticationProvider.superUser': 'CN=x',
            'SASLAuthenticationProvider.superPassword': 'hush-hush',
            'audit.enable': 'true', 'falconer.log.level': 'debug'}
    secrets = [digest, 'hush-hush', 'sesame-4711', 'pw-in-header']
    with admin_server(conf=conf) as server:
        with server.client() as client:
            ok(client.auth('digest', b'bob:sesame-4711'))
            whoami = zkwire.w_empty()
            client.call_raw(zkwire.WHOAMI, whoami)
            ok(client.create('/x', b'', [(31, 'auth', '')]))
            ok(client.set_acl('/x', [(31, 'auth', '')]))
            client.create('/y', b'', [(31, 'digest', 'eve:' + digest)])
            client.set_acl('/y', [(31, 'digest', 'eve:' + digest)])
        with server.client() as client:
            client.auth('digest', b'super:sesame-4711')
        texts = {}
        for name in list(COMMANDS) + ['snapshot?streaming=false', 'shed']:
            texts[name] = command(server, name, headers={
                'Authorization': 'digest bob:pw-in-header'}).text
        for path in ('/metrics', '/status.json', '/livez', '/readyz', '/'):
            texts[path] = ask(server.admin, path).text
        for word in ('conf', 'envi', 'cons', 'dump', 'mntr'):
            texts[word] = server.four_letter(word).decode()
        expect('superDigest=*****' in texts['initial_configuration'], True,
               'the key is there, its value is not')
        server.stop()
        texts['log'] = server.stderr()
        with open(os.path.join(server.data, 'zookeeper_audit.log')) as f:
            texts['audit'] = f.read()
        for name, text in texts.items():
            for secret in secrets:
                expect(secret in text, False, '%s in %s' % (secret, name))

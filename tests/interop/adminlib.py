# SPDX-License-Identifier: Apache-2.0
"""What the suites of the admin server have in common: asking it, a scene to
ask about, reading /metrics."""
import http.client
import json
import os
import re

import harness
from harness import Skip, Suite, expect, ok
import zkwire

SUITE = Suite('admin')
JARS = ['/usr/share/java/%s.jar' % name for name in (
    'jetty9-server', 'jetty9-servlet', 'jetty9-util', 'jetty9-util-ajax',
    'jetty9-http', 'jetty9-io', 'jetty9-security', 'jackson-core',
    'jackson-databind', 'jackson-annotations', 'servlet-api')]
AUTH = {'Authorization': 'digest admin:pw'}


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.getheaders()}
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.text)


def ask(port, path, method='GET', headers=None, body=None, timeout=30):
    conn = http.client.HTTPConnection('127.0.0.1', port, timeout=timeout)
    try:
        conn.request(method, path, body=body, headers=headers or {})
        return Answer(conn.getresponse())
    finally:
        conn.close()


def command(server, name, **kwargs):
    return ask(server.admin, '/commands/' + name, **kwargs)


def admin_server(kind='falconer', conf=None):
    port = harness.free_port()
    if kind == 'java' and JARS[0] not in harness.JAVA_CLASSPATH:
        missing = [jar for jar in JARS if not os.path.exists(jar)]
        if missing:
            raise Skip('%s is not installed' % missing[0])
        harness.JAVA_CLASSPATH += ':' + ':'.join(JARS)
    server = harness.Server(kind, conf=dict({
        'admin.enableServer': 'true', 'admin.serverPort': port,
        'admin.serverAddress': '127.0.0.1'}, **(conf or {})))
    server.admin = port
    return server


def scene(server):
    """Two sessions, an ephemeral, watches: client-protocol.md 11."""
    a = server.client(timeout_ms=30000)
    ok(a.create('/scene', b'data'))
    ok(a.create('/scene/e', flags=zkwire.EPHEMERAL))
    ok(a.get('/scene', watch=True))
    ok(a.children('/scene', watch=True))
    ok(a.exists('/scene/e', watch=True))
    return a


def falconer_only(options):
    if options.server == 'java':
        raise Skip('Falconer\'s own')


SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(\{[^}]*\})? (\S+)')


def metrics(port, path='/metrics'):
    """name{labels}: value; and name: type."""
    values, types, helped = {}, {}, set()
    answer = ask(port, path)
    expect(answer.status, 200)
    expect(answer.headers['content-type'],
           'text/plain; version=0.0.4; charset=utf-8')
    for line in answer.text.splitlines():
        if line.startswith('# HELP '):
            helped.add(line.split()[2])
        elif line.startswith('# TYPE '):
            _, _, name, kind = line.split()
            expect(name in types, False, 'twice: ' + name)
            types[name] = kind
        else:
            found = SAMPLE.fullmatch(line)
            expect(found is not None, True, line)
            key = found.group(1) + (found.group(2) or '')
            expect(key in values, False, 'twice: ' + key)
            values[key] = float(found.group(3))
    expect(set(types) - helped, set(), 'no help')
    return values, types


def served(server):
    try:
        return ask(server.admin, '/livez', timeout=5).status == 200
    except (OSError, ValueError, http.client.HTTPException):
        return False


def rss(server):
    with open('/proc/%d/status' % server.process.pid) as f:
        return int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1)) << 10

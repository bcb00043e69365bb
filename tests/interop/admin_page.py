# SPDX-License-Identifier: Apache-2.0
"""The page: alone, and in a browser."""
import os
import re
import shutil
import subprocess

from adminlib import SUITE, admin_server, ask, falconer_only
from harness import Skip, expect, ok


@SUITE.case('the page stands alone and its policy allows nothing else')
def _(options):
    falconer_only(options)
    with admin_server() as server:
        answer = ask(server.admin, '/')
        expect(answer.status, 200)
        policy = answer.headers['content-security-policy']
        expect("default-src 'none'" in policy, True)
        expect('unsafe' in policy, False)
        page = answer.text
        expect(re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page), [])
        expect(re.findall(r'(?:https?:)?//(?!www\.w3\.org)[a-z]', page), [],
               'outside resources')
        status = ask(server.admin, '/status.json').json
        expect(status['state'], 'standalone')


@SUITE.case('the page in a browser shows what the server says')
def _(options):
    falconer_only(options)
    chromium = shutil.which('chromium')
    if not chromium:
        raise Skip('chromium is not installed (./setup page)')
    with admin_server() as server:
        client = server.client()
        for i in range(100):
            ok(client.create('/app/x' if i else '/app', b''))\
                if i < 2 else ok(client.get('/app/x'))
        time_budget = '--virtual-time-budget=8000'
        done = subprocess.run(
            [chromium, '--headless', '--no-sandbox', '--disable-gpu',
             '--user-data-dir=' + os.path.join(server.home, 'chromium'),
             time_budget, '--dump-dom',
             'http://127.0.0.1:%d/' % server.admin],
            capture_output=True, timeout=50)
        dom = done.stdout.decode()
        expect('<span id="state">standalone</span>' in dom, True,
               dom[:300] + done.stderr.decode()[-300:])
        expect('127.0.0.1:%d' % server.port in dom, True, 'address')
        expect('0x%x' % server.zxid() in dom, True, 'zxid')
        expect('/app/x' in dom, True, 'the path asked for most')
        expect('Content Security Policy' in done.stderr.decode(), False,
               done.stderr.decode()[-500:])
        client.close()

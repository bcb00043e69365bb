# SPDX-License-Identifier: Apache-2.0
"""The four-letter words, compared with the recorded answers.

Goal: monitoring that reads these words keeps working.

Method: the scene of the recording is set up (two sessions, an ephemeral, a
few watches) and each word's answer is compared with its recorded text by
shape: lines, keys and fixed text, with numbers, dates and addresses masked.
Where the text is made of blocks of free order, the blocks are compared.
"""
import os
import re
import struct
import sys

import harness
import zkwire
from harness import GOLDEN, Suite, expect

SUITE = Suite('words')


def golden_text(name):
    with open(os.path.join(GOLDEN, '4lw-%s.txt' % name)) as f:
        return f.read()


def shape(text):
    """The text with everything that depends on the moment masked."""
    text = re.sub(r'Zookeeper version: \d+\.\d+\.\d+\S*, built on .*',
                  'Zookeeper version: V', text)
    text = re.sub(r'0x[0-9a-f]+', '0xN', text)
    text = re.sub(r'\b\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \w+ \d{4}', 'DATE',
                  text)
    text = re.sub(r'127\.0\.0\.1:\d+\[[0-9a-f]+\]', 'ADDR', text)
    text = re.sub(r'127\.0\.0\.1:\d+', 'ADDR', text)
    return re.sub(r'(?<![\w.])-?\d+(\.\d+)?', 'N', text)


def keys(text, separator):
    return [line.split(separator)[0] for line in text.splitlines()
            if separator in line]


def words_scene(server):
    """The scene the texts were taken in: two sessions, an ephemeral, some
    watches."""
    a = server.client(timeout_ms=30000)
    b = server.client(timeout_ms=30000)
    harness.ok(a.create('/flw'))
    harness.ok(a.create('/flw/eph', flags=zkwire.EPHEMERAL))
    harness.ok(a.get('/flw', watch=True))
    harness.ok(a.children('/flw', watch=True))
    harness.ok(b.exists('/flw/eph', watch=True))
    harness.ok(b.add_watch('/flw', 0))
    return a, b


def word(server, name):
    return server.four_letter(name).decode()


@SUITE.case('srvr has the recorded lines in the recorded order')
def _(server, a, b):
    expect(shape(word(server, 'srvr')), shape(golden_text('srvr')), 'srvr')


@SUITE.case('stat lists clients between version and numbers')
def _(server, a, b):
    got = shape(word(server, 'stat'))
    want = shape(golden_text('stat'))
    expect(sorted(set(got.splitlines())),
           sorted(set(want.splitlines())), 'stat lines')
    expect(got.splitlines()[:2], want.splitlines()[:2], 'head of stat')
    expect(got.splitlines()[-8:], want.splitlines()[-8:], 'its tail')


@SUITE.case('srvr average latency is a decimal')
def _(server, a, b):
    line = re.search(r'^Latency min/avg/max: (\S+)$', word(server, 'srvr'),
                     re.M).group(1)
    expect(bool(re.fullmatch(r'\d+/\d+\.\d{1,4}/\d+', line)), True, line)


@SUITE.case('conf has the recorded keys in order')
def _(server, a, b):
    got, want = keys(word(server, 'conf'), '='), keys(golden_text('conf'), '=')
    expect([k for k in got if k in want], want, 'keys of conf')
    text = word(server, 'conf')
    expect('clientPort=%d\n' % server.port in text, True,
           'own port in conf')
    expect('serverId=0\n' in text, True, 'serverId 0')


@SUITE.case('cons has one well-formed line per connection')
def _(server, a, b):
    lines = word(server, 'cons').split('\n')
    expect(lines[-2:], ['', ''], 'end of cons')
    bare = r' /127\.0\.0\.1:\d+\[[0-9a-f]+\]\(queued=\d+,recved=\d+,' \
           r'sent=\d+'
    full = bare + r',sid=0x[0-9a-f]+,lop=[A-Z0-9]+,est=\d+,to=30000,' \
        r'lcxid=0x[0-9a-f]+,lzxid=0x[0-9a-f]+,lresp=\d+,llat=\d+,' \
        r'minlat=\d+,avglat=\d+,maxlat=\d+\)'
    with_session = [x for x in lines if re.fullmatch(full, x)]
    expect(len(with_session), 2, 'lines with a session')
    rest = [x for x in lines[:-2] if x not in with_session]
    for line in rest:
        if not re.fullmatch(bare + r'\)', line):
            raise AssertionError('odd line %r' % line)
    lops = sorted(re.search('lop=([A-Z0-9]+)', x).group(1)
                  for x in with_session)
    expect(lops, ['ADDW', 'GETC'], 'last operations')


@SUITE.case('dump lists both sessions and the ephemeral')
def _(server, a, b):
    text = word(server, 'dump')
    for part in ('SessionTracker dump:\n', 'ephemeral nodes dump:\n',
                 'Sessions with Ephemerals (1):\n', '\t/flw/eph\n',
                 'Connections dump:\n'):
        expect(part in text, True, 'dump holds %r' % part)
    for c in (a, b):
        expect('\t0x%x\n' % c.session in text, True, 'session in dump')
        expect('sessionId: 0x%x\n' % c.session in text, True,
               'connection in dump')
    expect(bool(re.search(r'^Session Sets \(\d+\)/\(2\):$', text, re.M)),
           True, 'head of the session sets')


@SUITE.case('wchs, wchc and wchp describe the data watches')
def _(server, a, b):
    expect(word(server, 'wchs'), '2 connections watching 2 paths\n'
           'Total watches:3\n', 'wchs')
    blocks = {}
    for line in word(server, 'wchc').splitlines():
        if line.startswith('0x'):
            current = blocks.setdefault(line, set())
        elif line:
            expect(line[0], '\t', 'indent')
            current.add(line[1:])
    expect(blocks, {'0x%x' % a.session: {'/flw'},
                    '0x%x' % b.session: {'/flw', '/flw/eph'}}, 'wchc')
    blocks = {}
    for line in word(server, 'wchp').splitlines():
        if line.startswith('/'):
            current = blocks.setdefault(line, set())
        elif line:
            expect(line[0], '\t', 'indent')
            current.add(line[1:])
    expect(blocks, {'/flw': {'0x%x' % a.session, '0x%x' % b.session},
                    '/flw/eph': {'0x%x' % b.session}}, 'wchp')


@SUITE.case('dirs has its two lines')
def _(server, a, b):
    expect(bool(re.fullmatch(r'datadir_size: \d+\nlogdir_size: \d+\n',
                             word(server, 'dirs'))), True, 'dirs')


@SUITE.case('envi starts with its title and names the version')
def _(server, a, b):
    lines = word(server, 'envi').splitlines()
    expect(lines[0], 'Environment:', 'title')
    expect(bool(re.match(r'zookeeper\.version=\d+\.\d+\.\d+',
                         lines[1])), True, 'version line')
    have = keys('\n'.join(lines), '=')
    for key in keys(golden_text('envi'), '='):
        if key.startswith(('java.', 'os.memory')):
            continue
        expect(key in have, True, 'key %s in envi' % key)


@SUITE.case('mntr is tab-separated and holds the metrics users read')
def _(server, a, b):
    lines = word(server, 'mntr').splitlines()
    expect(lines[0].startswith('zk_version\t'), True, 'first line')
    expect(lines[1], 'zk_server_state\tstandalone', 'second line')
    values = {}
    for line in lines:
        key, tab, value = line.partition('\t')
        expect(tab, '\t', 'tab in %r' % line)
        expect(bool(re.fullmatch(r'zk_[\w.:-]+(\{.*\})?', key)), True,
               'key %r' % key)
        values[key] = value
    for key in ('zk_ephemerals_count', 'zk_num_alive_connections',
                'zk_avg_latency', 'zk_min_latency', 'zk_max_latency',
                'zk_outstanding_requests', 'zk_znode_count',
                'zk_watch_count', 'zk_packets_sent',
                'zk_packets_received', 'zk_approximate_data_size',
                'zk_open_file_descriptor_count', 'zk_global_sessions',
                'zk_max_file_descriptor_count', 'zk_local_sessions'):
        expect(key in values, True, 'metric %s' % key)
    expect(values['zk_ephemerals_count'], '1', 'ephemerals')
    expect(values['zk_znode_count'], '7', 'nodes')
    expect(values['zk_global_sessions'], '2', 'sessions')


@SUITE.case('latencies under ZooKeeper\'s names are in ms')
def _(server, a, b):
    if server.is_java:
        raise harness.Skip('compares with names of Falconer')
    values = dict(line.split('\t') for line in
                  word(server, 'mntr').splitlines())
    # The scene's only updates are creates.
    expect(values['zk_cnt_updatelatency'],
           values['zk_cnt_create_falconer_operation_ns'], 'updates')
    expect(int(values['zk_sum_updatelatency']),
           int(values['zk_sum_create_falconer_operation_ns']) // 10**6, 'sum')
    expect(values['zk_op_count_create'], '2', 'creates')


@SUITE.case('stmk echoes the mask, gtmk returns it')
def _(server, a, b):
    expect(server.four_letter(
        b'stmk' + struct.pack('>q', 306)), b'306', 'stmk')


@SUITE.case('ruok, isro, crst, srst answer the recorded text')
def _(server, a, b):
    for name in ('ruok', 'isro', 'crst', 'srst', 'gtmk'):
        if name == 'gtmk':
            expect(word(server, name).isdigit(), True, 'gtmk is a number')
        else:
            expect(word(server, name), golden_text(name), name)


@SUITE.case('crst empties what cons shows')
def _(server, a, b):
    expect(word(server, 'crst'), golden_text('crst'), 'crst')
    for line in word(server, 'cons').splitlines():
        if 'sid=' not in line:
            continue
        expect(re.sub(r'(sid=0x|est=)\w+|^ .*\]', r'\1', line),
               '(queued=0,recved=0,sent=0,sid=0x,lop=NA,est=,to=30000,'
               'lzxid=0xffffffffffffffff,lresp=0,llat=0,minlat=0,avglat=0,'
               'maxlat=0)', 'a connection after crst')


@SUITE.case('hash lists the digest of every 128th zxid')
def _(server, a, b):
    while harness.ok(a.set('/flw', b'x')).zxid < 3 * 128:
        pass
    lines = word(server, 'hash').splitlines()
    expect([x.split(': ')[0] for x in lines], ['80', '100', '180'], 'zxids')
    digests = {x.split(': ')[1] for x in lines}
    expect((len(digests), all(re.fullmatch(r'\d+', x) for x in digests)),
           (3, True), 'digests')


@SUITE.case('falc shows cores, rings, log and tree on one screen')
def _(server, a, b):
    if server.is_java:
        raise harness.Skip('a word of ours')
    text = server.four_letter('falc').decode()
    lines = text.splitlines()
    expect(len(lines) <= 50 and max(map(len, lines)) <= 100, True, text)
    for part in ('core  cpu roles', 'READER+ZAB', 'R1a sessions to ZAB',
                 'R1b requests to ZAB', 'R2 transactions', 'R3 answers',
                 'log  synced', 'tree ', 'watches '):
        if part not in text:
            raise AssertionError('%r is not in\n%s' % (part, text))
    nodes = int(re.search(r'^tree (\d+) nodes', text, re.M).group(1))
    shown = re.search(r'zk_znode_count\t(\d+)',
                      server.four_letter('mntr').decode()).group(1)
    expect(nodes + 1, int(shown), 'nodes')


@SUITE.case('stmk takes any mask')
def _(server, a, b):
    for mask in (-5, 2**63 - 1, -2**63, 0, 306):
        expect(server.four_letter(b'stmk' + struct.pack('>q', mask)),
               b'%d' % mask, 'stmk')
        expect(word(server, 'gtmk'), '%d' % mask, 'gtmk')


@SUITE.case('long lists are whole')
def _(server, a, b):
    paths = {'/long/%05d/%s' % (i, 'x' * 60) for i in range(6000)}
    paths.add('/' + 'y' * 300000)
    for path in paths:
        a.post(zkwire.EXISTS, path, True)
    a.drain()
    got = set()
    for line in word(server, 'wchc').splitlines():
        if line.startswith('0x'):
            current = line
        elif line and current == '0x%x' % a.session:
            expect(line[1:] in got, False, 'twice')
            got.add(line[1:])
    expect(got >= paths, True, 'all paths in wchc')
    tabs = 0
    got = set()
    for line in word(server, 'wchp').splitlines():
        if line.startswith('\t'):
            tabs += 1
        elif line:
            got.add(line)
    expect(got >= paths and tabs >= len(got), True, 'all paths in wchp')
    ephemerals = {'/flw/%04d-%s' % (i, 'e' * 100) for i in range(2000)}
    for path in ephemerals:
        b.post(zkwire.CREATE, path, b'', zkwire.OPEN, zkwire.EPHEMERAL)
    b.drain()
    dump = word(server, 'dump').splitlines()
    expect({x[1:] for x in dump if x.startswith('\t/flw/0') or
            x.startswith('\t/flw/1')}, ephemerals, 'ephemerals in dump')
    expect('Sessions with Ephemerals (2):' in dump, True, 'their sessions')


def not_whitelisted(kind):
    with harness.Server(kind, {'4lw.commands.whitelist': ' ruok , srvr'}) \
            as server:
        expect(server.four_letter('stat').decode(),
               golden_text('not-whitelisted').replace('ruok', 'stat'),
               'stat')
        expect(server.four_letter('stmk').decode(),
               golden_text('not-whitelisted').replace('ruok', 'stmk'),
               'stmk without its argument')
        expect(server.four_letter('ruok'), b'imok', 'blank in the list')
    with harness.Server(kind, {'4lw.commands.whitelist': None}) as server:
        expect(server.four_letter('ruok').decode(),
               golden_text('not-whitelisted'),
               'ruok by default')


def main():
    options = harness.options(__doc__.splitlines()[0])
    with harness.Server(options.server) as server:
        a, b = words_scene(server)
        SUITE.run(options, server, a, b)
        a.abort()
        b.abort()
    SUITE.attempt('the whitelist texts as recorded', not_whitelisted,
                  options.server)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())

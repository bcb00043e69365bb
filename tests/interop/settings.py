# SPDX-License-Identifier: Apache-2.0
"""Keys of zoo.cfg: what a server does otherwise when one is set.

Goal: a key that is accepted has the effect that its name promises, seen from
outside: in answers, files, log lines, metrics, /proc.

Method: servers are started with several keys at once where the effects do not
meet; each case looks at one effect and, where it costs nothing, at a server
without the key beside it.
"""
import glob
import json
import os
import re
import socket
import subprocess
import sys

import harness
import members
import zkwire
from harness import Skip, Suite, expect, ok, wait_until

SUITE = Suite('settings')


def txns_of(server, function):
    """How many transactions the call costs."""
    before = server.zxid()
    function()
    return server.zxid() - before


def refused_writes(client, path):
    """Writes that ACLs forbid, and what each is answered."""
    return (
        ('create', lambda: client.create(path + '/x'), zkwire.NOAUTH),
        ('create2', lambda: client.create2(path + '/x'), zkwire.NOAUTH),
        ('delete', lambda: client.delete(path + '/child'), zkwire.NOAUTH),
        ('setData', lambda: client.set(path, b'y'), zkwire.NOAUTH),
        ('setACL', lambda: client.set_acl(path), zkwire.NOAUTH),
        ('invalid', lambda: client.create('/free', acl=[
            (31, 'nonesuch', 'x')]), -114),
    )


@SUITE.case('enableEagerACLCheck: a member refuses without a transaction')
def _(options):
    if options.server == 'java':
        raise harness.Skip('counts zxids of one server')
    for is_eager in (True, False):
        with members.Ensemble(['falconer'] * 3, conf={
                'enableEagerACLCheck': str(is_eager).lower()}) as ensemble:
            ensemble.start()
            ensemble.settle()
            with ensemble[1].client() as client:
                ok(client.auth('digest', b'a:b'))
                for member in ensemble.members:
                    path = '/locked-%d' % member.sid
                    ok(client.create(path))
                    ok(client.create(path + '/child'))
                    ok(client.set_acl(path, acl=[(31, 'auth', '')]))
            for member in ensemble.members:
                path = '/locked-%d' % member.sid
                with member.client() as client:
                    ok(client.sync('/'))
                    for name, call, err in refused_writes(client, path):
                        cost = txns_of(member, lambda: expect(
                            call().err, err, name))
                        expect(cost, 0 if is_eager else 1,
                               '%s at a %s' % (name, member.mode()))
                    # What is allowed still is.
                    ok(client.auth('digest', b'a:b'))
                    ok(client.set(path, b'z'))
                    ok(client.create(path + '/mine'))
                    # Behind an unanswered write the leader says it.
                    client.post(zkwire.SETACL, path, [
                        (1, 'world', 'anyone')], -1)
                    client.post(zkwire.SETDATA, path, b'no', -1)
                    first, second = client.drain()
                    expect((first.err, second.err), (0, zkwire.NOAUTH))


# -- what can be seen of a process -------------------------------------------

def falconer_only(options):
    if options.server == 'java':
        raise Skip('looks into our files and threads')


def files(server, pattern):
    return sorted(glob.glob(os.path.join(
        server.log_dir or server.data, 'version-2', pattern)))


def snapshots(server):
    return sorted(glob.glob(os.path.join(
        server.data, 'version-2', 'snapshot.*')))


def fill(server, count, data=b''):
    with server.client() as client:
        for i in range(count):
            ok(client.create('/f', data, flags=zkwire.SEQUENTIAL))


def monitor(server):
    return dict(line.split('\t') for line in
                server.four_letter('mntr').decode().splitlines()
                if '\t' in line)


def sockets(*arguments):
    """Lines of ss; not every machine lets one look."""
    try:
        return subprocess.run(['ss', '-n', '-t'] + list(arguments),
                              check=True, capture_output=True,
                              text=True).stdout.splitlines()[1:]
    except (OSError, subprocess.CalledProcessError) as e:
        raise Skip('ss does not work here: %s' % e)


def listening(port):
    """address and backlog of who listens on it."""
    found = [line.split() for line in sockets('-l')
             if line.split()[3].endswith(':%d' % port)]
    return [(columns[3].rsplit(':', 1)[0], int(columns[2]))
            for columns in found]


def keepalive_timers(port):
    return [line for line in sockets('-o', 'state', 'established')
            if ':%d ' % port in line and 'timer:(keepalive' in line]


def threads(server):
    """name: CPUs it may run on."""
    out = {}
    for task in glob.glob('/proc/%d/task/*' % server.process.pid):
        with open(os.path.join(task, 'comm')) as f:
            name = f.read().strip()
        with open(os.path.join(task, 'status')) as f:
            out[name] = re.search(r'Cpus_allowed_list:\s*(\S+)',
                                  f.read()).group(1)
    return out


def refused_start(server, *words):
    """The start ends with a line that has these words."""
    server.spawn()
    expect(server.wait_exit(20) != 0, True, 'it started')
    for word in words:
        expect(word in server.stderr(), True,
               '%r in %s' % (word, server.stderr()[-500:]))


# A file holds the largest transaction, whatever preAllocSize says.
SMALLEST_LOG = (8 << 20) + 16384


# -- files --------------------------------------------------------------------

@SUITE.case('files: two directories, sizes, compression, how many are kept')
def _(options):
    falconer_only(options)
    with harness.Server('falconer', conf={
            'preAllocSize': 2048, 'snapCount': 60, 'digest.enabled': 'false',
            'snapshot.compression.method': 'gz',
            'fsync.warningthresholdms': 0,
            'autopurge.snapRetainCount': 3, 'autopurge.purgeInterval': '1s',
    }) as server:
        server.log_dir = os.path.join(server.home, 'logs')
        server.restart()
        fill(server, 1)
        expect([os.path.getsize(f) for f in files(server, 'log.*')][:1],
               [SMALLEST_LOG], 'preAllocSize')
        for _ in range(8):
            fill(server, 80)
        wait_until('snapshots came and went', lambda: len(
            snapshots(server)) == 3 and int(snapshots(server)[0].split(
                'snapshot.')[1].split('.')[0], 16) > 60)
        for path in snapshots(server):
            expect(path.endswith('.gz'), True, path)
            with open(path, 'rb') as f:
                expect(f.read(2), b'\x1f\x8b', path)
        expect(len(files(server, 'log.*')) >= 1, True)
        expect(glob.glob(os.path.join(server.data, 'version-2', 'log.*')),
               [], 'logs are in dataLogDir')
        expect(server.four_letter('hash').strip(), b'', 'digest.enabled')
        expect(int(monitor(server)['zk_fsync_threshold_exceed_count']) > 0,
               True, 'fsync.warningthresholdms')
        expect(server.stop(), 0)
        server.start()
        expect(int(monitor(server)['zk_znode_count']) >= 645, True)
    with harness.Server('falconer', conf={'preAllocSize': 16384}) as server:
        fill(server, 1)
        expect([os.path.getsize(f) for f in files(server, 'log.*')],
               [16384 << 10], 'preAllocSize')


@SUITE.case('snapSizeLimitInKb: a snapshot when so much was logged')
def _(options):
    falconer_only(options)
    for limit, want in ((8, True), (1000000, False)):
        with harness.Server('falconer', conf={
                'snapSizeLimitInKb': limit}) as server:
            fill(server, 60, bytes(1000))
            if want:
                wait_until('a snapshot', lambda: len(snapshots(server)) > 1)
            else:
                expect(len(snapshots(server)), 1)


@SUITE.case('directories that are not there, logs without a snapshot')
def _(options):
    falconer_only(options)
    server = harness.Server('falconer', conf={'datadir.autocreate': 'false'})
    try:
        os.rmdir(server.data)
        refused_start(server, 'zookeeper.datadir.autocreate')
        server.conf = {}
        server.start()
        fill(server, 5)
        server.stop()
        for path in snapshots(server):
            os.remove(path)
        server.conf = {}
        refused_start(server, 'snapshot')
        server.conf = {'snapshot.trust.empty': 'true'}
        server.start()
        with server.client() as client:
            expect(len(ok(client.children('/')).value), 6)
    finally:
        server.close()


@SUITE.case('db.autocreate=false: nothing is begun without a word')
def _(options):
    falconer_only(options)
    server = harness.Server('falconer', conf={'db.autocreate': 'false'})
    word = os.path.join(server.data, 'initialize')
    try:
        refused_start(server, 'db.autocreate', 'initialize')
        open(word, 'w').close()
        server.start()
        expect(os.path.exists(word), False)
        fill(server, 5)
        server.restart()
        with server.client() as client:
            expect(len(ok(client.children('/')).value), 6)
    finally:
        server.close()


# -- connections --------------------------------------------------------------

@SUITE.case('the client port: address, backlog, keepalive, how many')
def _(options):
    falconer_only(options)
    with harness.Server('falconer', conf={
            'clientPortListenBacklog': 37, 'clientTcpKeepAlive': 'true',
            'falconer.connections.max': 8}) as server:
        expect(listening(server.port), [('127.0.0.1', 37)])
        with server.client():
            expect(len(keepalive_timers(server.port)) >= 1, True)
        wait_until('nobody is there', lambda: int(monitor(server)[
            'zk_num_alive_connections']) <= 1)
        held = []
        for _ in range(30):
            try:
                held.append(server.client())
            except (OSError, zkwire.Closed):
                break
        expect(len(held), 8, 'falconer.connections.max')
        for client in held:
            client.close()
    with harness.Server('falconer', conf={
            'clientPortAddress': None}) as server:
        expect({a for a, _ in listening(server.port)} & {'127.0.0.1'}, set())
        with server.client():
            expect(keepalive_timers(server.port), [])


# -- cores --------------------------------------------------------------------

@SUITE.case('falconer.cores, .cpus, .idle: threads, where and how they wait')
def _(options):
    falconer_only(options)
    cpu = min(os.sched_getaffinity(0))
    with harness.Server('falconer', conf={
            'falconer.cores': 2, 'falconer.idle': 'yield',
            'falconer.window.mb': 128}) as server:
        seen = threads(server)
        names = ['reader0', 'reader1', 'zab2']
        expect([n for n in names if n in seen], names, str(seen))
        fill(server, 20)
        expect(monitor(server)['zk_falconer_loop_sleeps'], '0')
        expect(b'window 128 MB' in server.four_letter('falc'), True)
    with harness.Server('falconer', conf={
            'falconer.cores': 0, 'falconer.idle': 'sleep',
            'falconer.cpus': cpu}) as server:
        seen = threads(server)
        expect((seen.get('reader0'), 'zab2' in seen), (str(cpu), False))
        wait_until('it sleeps', lambda: int(monitor(server)[
            'zk_falconer_loop_sleeps']) > 0)


@SUITE.case('falconer.net and falconer.log.io: io_uring where it is allowed')
def _(options):
    falconer_only(options)
    def rings(server):
        links = glob.glob('/proc/%d/fd/*' % server.process.pid)
        return sum('io_uring' in os.readlink(link) for link in links
                   if os.path.islink(link))
    for conf in ({'falconer.net': 'uring'}, {'falconer.log.io': 'uring'}):
        server = harness.Server('falconer', conf=conf)
        try:
            server.start()
        except harness.ServerError:
            expect('io_uring' in server.stderr(), True, 'said why')
            server.close()
            raise Skip('this kernel does not allow io_uring')
        fill(server, 10)
        expect(rings(server) >= 1, True, str(conf))
        server.close()
    with harness.Server('falconer', conf={
            'falconer.net': 'epoll', 'falconer.log.io': 'thread'}) as server:
        fill(server, 10)
        expect(rings(server), 0)


@SUITE.case('falconer.log.level and .format: which lines, and their form')
def _(options):
    falconer_only(options)
    conf = {'forceSync': 'no', 'nonesuch': '1'}  # two warnings
    with harness.Server('falconer', conf=dict(conf, **{
            'falconer.log.format': 'json'})) as server:
        server.stop()
        lines = [json.loads(line) for line in server.stderr().splitlines()
                 if line.startswith('{')]
        expect({'time', 'level', 'text'} <= set(lines[0]), True)
        levels = {line['level'] for line in lines}
        expect({'warn', 'info'} <= levels, True, str(levels))
    for level, shown in (('error', set()), ('warn', {'warn'})):
        with harness.Server('falconer', conf=dict(conf, **{
                'falconer.log.level': level})) as server:
            server.stop()
            expect(set(re.findall(r'Z (error|warn|info|debug) ',
                                  server.stderr())), shown, level)


# -- containers -----------------------------------------------------------------

@SUITE.case('znode.container.*: never used ones go after their time')
def _(options):
    falconer_only(options)
    for limit in (100, 0):
        with harness.Server('falconer', conf={
                'znode.container.checkIntervalMs': 50,
                'znode.container.maxPerMinute': 60000,
                'znode.container.maxNeverUsedIntervalMs': limit}) as server:
            with server.client() as client:
                ok(client.create_container('/unused'))
                # In one go: between two requests it is never used, too.
                ok(client.multi(
                    (zkwire.CREATECONTAINER, zkwire.w_create(
                        '/used', flags=zkwire.CONTAINER)),
                    (zkwire.CREATE, zkwire.w_create('/used/x')),
                    (zkwire.DELETE, zkwire.w_path_version('/used/x'))))
                wait_until('the used one goes', lambda: client.exists(
                    '/used').err == zkwire.NONODE)
                if limit:
                    wait_until('the other, too', lambda: client.exists(
                        '/unused').err == zkwire.NONODE)
                else:
                    ok(client.exists('/unused'))


# -- ensembles ------------------------------------------------------------------

@SUITE.case('members: ports, keepalive, a leader that does not serve')
def _(options):
    falconer_only(options)
    with members.Ensemble(['falconer'] * 3, conf={
            'quorumListenOnAllIPs': 'true', 'tcpKeepAlive': 'true',
            'leaderServes': 'no', 'multiAddress.enabled': 'true'}) as e:
        for member in e.members:  # two addresses each, of one server
            for sid in (1, 2, 3):
                key = 'server.%d' % sid
                head, role = member.conf[key].rsplit(':', 1)
                quorum, election = head.split(':')[1:]
                member.conf[key] = '%s|127.0.0.1:%d:%d:%s' % (
                    head, harness.free_port(), harness.free_port(), role)
        for member in e.members:
            member.conf['server.2'] = e[1].conf['server.2']
            member.conf['server.1'] = e[1].conf['server.1']
            member.conf['server.3'] = e[1].conf['server.3']
            member.spawn()
        def followers():
            return [m for m in e.members if m.mode() == 'follower']
        wait_until('two followers serve', lambda: len(followers()) == 2)
        leader = [m for m in e.members if m not in followers()][0]
        with followers()[0].client() as client:
            ok(client.create('/x'))
        try:
            leader.client(timeout_ms=2000).close()
            raise AssertionError('the leader serves')
        except (OSError, zkwire.Closed, zkwire.Refused):
            pass
        quorum, election = e.ports[leader.sid - 1]
        for port in (quorum, election):
            expect({a for a, _ in listening(port)} & {'127.0.0.1'}, set(),
                   'quorumListenOnAllIPs')
        expect(len(keepalive_timers(quorum)) >= 2, True, 'tcpKeepAlive')


def snapshots_above(member, zxid):
    """How many snapshots of later states this server has said to be done
    with: what its log is worth to a learner is settled by then."""
    found = re.findall(r'snapshot of zxid (0x[0-9a-f]+) written',
                       member.stderr())
    return sum(int(text, 16) > zxid for text in found)


def write_over_snapshots(leader, client, snapshots):
    """Writes until the leader has written so many snapshots of them."""
    last = client.zxid
    for done in range(1, snapshots + 1):
        def wrote(done=done):
            ok(client.create('/s', bytes(300), flags=zkwire.SEQUENTIAL))
            return snapshots_above(leader, last) >= done
        wait_until('snapshot %d is written' % done, wrote)


def rejoin(conf, count, snapshots=0):
    """How a follower is synchronised that missed so many writes, and then
    as many as the leader needs for so many snapshots."""
    with members.Ensemble(['falconer'] * 3, conf=conf) as ensemble:
        ensemble.start()
        leader = ensemble.settle()
        lost = [m for m in ensemble.members if m is not leader][0]
        with leader.client() as client:
            ok(client.create('/before'))
        ensemble.same_data()
        lost.kill()
        with leader.client() as client:
            for i in range(count):
                ok(client.create('/n%d' % i, bytes(300)))
            write_over_snapshots(leader, client, snapshots)
        before = monitor(leader)
        lost.spawn()
        lost.wait_serving()
        after = monitor(leader)
        ensemble.same_data()
        return {kind: int(after['zk_%s_count' % kind]) -
                int(before['zk_%s_count' % kind])
                for kind in ('snap', 'diff')}


@SUITE.case('members: DIFF or SNAP, as the keys want it')
def _(options):
    falconer_only(options)
    expect(rejoin({}, 100), {'snap': 0, 'diff': 1})
    expect(rejoin({'forceSnapshotSync': 'true'}, 5), {'snap': 1, 'diff': 0})
    # Nothing of the log is worth more than a snapshot, and what is kept in
    # memory is too short. The log file behind the first snapshot may hold
    # no more than is kept in memory; the one behind the second does not.
    expect(rejoin({'snapshotSizeFactor': '0.01', 'commitLogCount': 10,
                   'snapCount': 60}, 60, snapshots=2),
           {'snap': 1, 'diff': 0})


def files_of(member):
    """What holds transactions, not what only could."""
    return sorted(f for f in os.listdir(os.path.join(
        member.data, 'version-2')) if re.match(r'(log|snapshot)\.', f))


@SUITE.case('members: syncEnabled=false: an observer keeps nothing')
def _(options):
    falconer_only(options)
    with members.Ensemble(['falconer'] * 3, observers=(3,), conf={
            'syncEnabled': 'false', 'snapCount': 60}) as ensemble:
        observer = ensemble[3]

        def write(name, count):
            with ensemble[1].client() as client:
                for i in range(count):
                    ok(client.create('/%s%d' % (name, i)))
        ensemble.start()
        write('a', 200)
        ensemble.same_data()
        assert any(f.startswith('log.') for f in files_of(ensemble[1]))
        wait_until('snapshots', lambda: len([
            f for f in files_of(ensemble[1]) if f.startswith('snap')]) > 1)
        # But for the snapshot that a leader may have sent at the start.
        kept = files_of(observer)
        assert len(kept) <= 1 and not any(
            f.startswith('log.') for f in kept), kept
        # What it held is gone with the process, and comes again.
        observer.kill()
        write('b', 100)
        observer.start()
        ensemble.same_data()
        write('c', 100)
        ensemble.same_data()
        assert not any(f.startswith('log.') for f in files_of(observer))
        # A log that is kept again begins where the disk ends.
        observer.conf['syncEnabled'] = 'true'
        observer.restart()
        # It stopped in order, and had nothing to lose.
        expect('had stopped cleanly' in observer.stderr(), False)
        write('d', 20)
        ensemble.same_data()
        observer.restart()
        ensemble.same_data()
        assert any(f.startswith('log.') for f in files_of(observer))


@SUITE.case('members: db.autocreate=false: an empty disk does not vote')
def _(options):
    falconer_only(options)
    told = 'does not vote until'
    ensemble = members.Ensemble(['falconer'] * 3, conf={
        'db.autocreate': 'false'})
    try:
        for member in ensemble.members:
            member.spawn()
        for member in ensemble.members:
            wait_until('it says so', lambda: told in member.stderr())
            expect(member.mode(), None)
        for member in ensemble.members:
            member.kill()
        for member in ensemble.members:
            # The operator's word that nothing was there before.
            for path in glob.glob(os.path.join(member.data, 'version-2',
                                               '*')):
                os.remove(path)
            open(os.path.join(member.data, 'initialize'), 'w').close()
        ensemble.start()
        ensemble.settle()
        for member in ensemble.members:
            expect(member.stderr().count(told), 1)
            expect(os.path.exists(os.path.join(member.data, 'initialize')),
                   False)
    finally:
        for member in ensemble.members:
            member.close()


@SUITE.case('members: electionPortBindRetry: a port that stays taken')
def _(options):
    falconer_only(options)
    ensemble = members.Ensemble(['falconer'] * 3, conf={
        'electionPortBindRetry': 1})
    try:
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', ensemble.ports[0][1]))
            taken.listen()
            ensemble[1].spawn()
            expect(ensemble[1].wait_exit(30) != 0, True)
            expect(str(ensemble.ports[0][1]) in ensemble[1].stderr(), True)
    finally:
        for member in ensemble.members:
            member.close()


def main():
    options = harness.options(__doc__.splitlines()[0])
    SUITE.run(options, options)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())

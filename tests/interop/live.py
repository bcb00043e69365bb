#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Live ensembles: three Falconers, and Falconer beside Java ZooKeeper.

Goal: members elect, synchronize and serve; a write on one is read on the
others after sync; a killed leader is replaced and nothing acknowledged is
lost; sessions and their ephemerals survive a change of server; a Falconer
joins Java servers by SNAP and by DIFF, follows them and leads them, with equal
trees and no digest mismatch on either side.

Method: tests/interop/members.py.  Everything is asked through client ports.
"""
import os
import re
import signal
import socket
import struct
import sys
import time

import harness
import members
import zkwire
from harness import expect, ok, wait_until
from zkwire import EPHEMERAL

NOTREADONLY = -119
BADARGUMENTS, NEWCONFIGNOQUORUM, RECONFIGINPROGRESS = -8, -13, -14

suite = harness.Suite('live')


def write_some(client, base, count, data=b'x'):
    """Creates base and children of it; returns their paths."""
    ok(client.create(base))
    paths = ['%s/n%04d' % (base, i) for i in range(count)]
    for path in paths:
        client.post(zkwire.CREATE, path, data)
    for reply in client.drain():
        ok(reply)
    return paths


def read_everywhere(ensemble, path, data):
    for member in ensemble.running():
        with member.client() as c:
            ok(c.sync(path))
            expect(ok(c.get(path)).value[0], data,
                   '%s on server %d' % (path, member.sid))


def follower_of(ensemble):
    return [m for m in ensemble.running() if m.mode() == 'follower'][0]


def three(kinds, options, conf=None):
    if 'java' in kinds and not harness.available('java'):
        raise harness.Skip('no Java ZooKeeper here')
    return members.Ensemble(kinds, conf)


# -- Falconers among themselves ------------------------------------------------

@suite.case('three Falconers: write on one, read on all, kill the leader')
def kill_the_leader(options):
    with three(['falconer'] * 3, options) as e:
        e.start()
        leader = e.settle()
        follower = follower_of(e)
        with follower.client() as c:
            write_some(c, '/a', 50)
            ok(c.set('/a', b'from a follower'))
        read_everywhere(e, '/a', b'from a follower')
        e.same_data()
        numbers(e, leader)
        leader.kill()
        second = e.settle()
        assert second is not leader
        with second.client() as c:
            ok(c.set('/a', b'without the first'))
            write_some(c, '/b', 20)
        leader.start()
        e.settle()
        read_everywhere(e, '/a', b'without the first')
        assert e.same_data() > 70
        expect(e.mismatches(), 0, 'digest mismatches')


@suite.case('a second server with the id of a follower is told of')
def one_id_twice(options):
    with three(['falconer'] * 3, options) as e:
        e.start()
        leader = e.settle()
        sid = follower_of(e).sid
        # FOLLOWERINFO: epoch 0; id, protocol version, configuration.
        with socket.create_connection(
                ('127.0.0.1', e.ports[leader.sid - 1][0])) as other:
            other.sendall(struct.pack('>iqiqiqi', 11, 0, 20, sid, 0x10000, 0,
                                      -1))
            wait_until('the leader tells what it may be', lambda:
                       'compare their files myid' in leader.stderr())
        e.settle()


@suite.case('a session with ephemerals moves between servers and elections')
def session_moves(options):
    with three(['falconer'] * 3, options) as e:
        e.start()
        leader = e.settle()
        one, other = [m for m in e.members if m is not leader]
        c = one.client(timeout_ms=20000)
        ok(c.create('/eph', b'mine', flags=EPHEMERAL))
        session, password = c.session, c.password
        c.abort()
        moved = other.client(timeout_ms=20000, session=session,
                             password=password)
        expect(moved.session, session, 'the session comes back elsewhere')
        ok(moved.set('/eph', b'still mine'))
        leader.kill()
        moved.abort()
        e.settle()
        again = wait_until('the session comes back', lambda: try_client(
            one, session, password))
        expect(ok(again.get('/eph')).value[0], b'still mine')
        again.close()
        with other.client() as c:
            ok(c.sync('/'))
            expect(c.exists('/eph').err, zkwire.NONODE, '/eph when closed')


def numbers(e, leader):
    """mntr, conf and /zookeeper/config tell what there is."""
    told = dict(line.split('\t', 1) for line in
                leader.four_letter('mntr').decode().splitlines())
    expect(told['zk_server_state'], 'leader')
    expect(told['zk_peer_state'], 'leading - broadcast')
    expect(told['zk_synced_followers'], '2')
    expect(told['zk_learners'], '2')
    expect(told['zk_quorum_size'], '3')
    assert int(told['zk_proposal_count']) > 50
    assert int(told['zk_cnt_election_time']) > 0
    lines = ['server.%d=127.0.0.1:%d:%d:participant' % (
        i + 1, quorum, election) for i, (quorum, election)
        in enumerate(e.ports)]
    for member in e.members:
        conf = member.four_letter('conf').decode()
        expect([x for x in lines if x not in conf], [], 'lines in conf')
        expect(member.four_letter('isro'), b'rw')
        with member.client() as c:
            data, stat = ok(c.get('/zookeeper/config')).value
            expect(data.decode().split('\n'), lines + ['version=0'],
                   'config node')
            expect(stat.version, -1, 'its version')


def try_client(member, session, password):
    try:
        return member.client(timeout_ms=20000, session=session,
                             password=password)
    except (OSError, zkwire.Closed):
        return None


@suite.case('sessions expire, wherever they are connected')
def sessions_expire(options):
    with three(['falconer'] * 3, options) as e:
        e.start()
        leader = e.settle()
        follower = follower_of(e)
        for member in (leader, follower):
            c = member.client(timeout_ms=1000)
            path = '/expires%d' % member.sid
            ok(c.create(path, flags=EPHEMERAL))
            kept = member.client(timeout_ms=1000)
            ok(kept.create(path + 'kept', flags=EPHEMERAL))
            c.send(b'')  # says nothing any more, but stays connected
            until = time.monotonic() + 30

            def is_gone():
                kept.ping()
                kept.drain()
                assert time.monotonic() < until
                return kept.exists(path).err == zkwire.NONODE
            wait_until(path + ' expires', is_gone, 30, 0.2)
            expect(c.is_closed(10), True, 'its connection')
            ok(kept.exists(path + 'kept'))
            kept.close()


@suite.case('a leader that is stopped hands over; nothing stays uncertain')
def hand_over(options):
    with three(['falconer'] * 3, options) as e:
        e.start()
        leader = e.settle()
        with follower_of(e).client() as c:
            write_some(c, '/h', 20)
        leader.stop()
        assert 'asked to hand over' in leader.stderr(), leader.stderr()
        second = e.settle()
        assert second is not leader
        read_everywhere(e, '/h', b'')


@suite.case('one server alone serves nobody; the second makes a quorum')
def no_quorum(options):
    with three(['falconer'] * 3, options) as e:
        e[1].spawn()
        wait_until('words are answered', lambda: says_not_serving(e[1]))
        try:
            e[1].client(timeout=2.0)
            raise AssertionError('a session without a quorum')
        except (OSError, zkwire.Closed):
            pass
        e.start(2)
        e[1].wait_serving()
        with e[1].client() as c:
            ok(c.create('/x'))


def says_not_serving(member):
    try:
        text = harness.four_letter(member.address, 'srvr', 2.0)
    except (OSError, zkwire.Closed):
        return False
    return b'not currently serving requests' in text


@suite.case('an observer follows, forwards, and votes for nobody')
def observer(options):
    with members.Ensemble(['falconer'] * 4, observers=(4,)) as e:
        e.start()
        leader = e.settle()
        expect(e[4].mode(), 'observer')
        with e[4].client() as c:
            write_some(c, '/seen', 30)
            ok(c.create('/eph', flags=EPHEMERAL))
            read_everywhere(e, '/seen', b'')
            e.same_data()
            c.close()
        others = [m for m in e.members[:3] if m is not leader]
        others[0].kill()
        with e[4].client() as c:
            ok(c.set('/seen', b'two voters'))
        others[1].kill()
        wait_until('nobody serves without a quorum',
                   lambda: e[4].mode() is None and leader.mode() is None)
        others[1].start()
        e.settle()
        read_everywhere(e, '/seen', b'two voters')
        e.same_data()


@suite.case('read-only servers when the quorum is gone')
def read_only(options):
    with three(['falconer'] * 3, options,
               {'readonlymode.enabled': 'true'}) as e:
        e.start()
        leader = e.settle()
        with leader.client() as c:
            ok(c.create('/r', b'kept'))
        one = follower_of(e)
        with one.client() as c:
            ok(c.sync('/'))
        for member in e.members:
            if member is not one:
                member.kill()
        wait_until('a read-only server', lambda: one.mode() == 'read-only')
        expect(one.four_letter('isro'), b'ro')
        try:
            one.client(timeout=2.0)
            raise AssertionError('a client that wants to write is served')
        except (OSError, zkwire.Closed):
            pass
        with one.client(read_only=True) as c:
            expect(c.read_only, True, 'the answer says so')
            expect(ok(c.get('/r')).value[0], b'kept')
            expect(c.set('/r', b'no').err, NOTREADONLY)
            expect(c.create('/x').err, NOTREADONLY)
            c.ping()
        [m for m in e.members if m is not one][0].start()
        e.settle()
        with one.client() as c:
            ok(c.set('/r', b'again'))


RECONFIG = {'reconfigEnabled': 'true', 'skipACL': 'yes'}


def version_of(data):
    return int(data.decode().rsplit('version=', 1)[1], 16)


def config_everywhere(ensemble):
    """The configuration that all running members show."""
    def check():
        seen = set()
        for member in ensemble.running():
            with member.client() as c:
                ok(c.sync('/'))
                seen.add(ok(c.get('/zookeeper/config')).value[0])
        return seen.pop() if len(seen) == 1 else None
    return wait_until('one configuration', check)


@suite.case('reconfig: a server joins, the leader leaves, roles change')
def reconfig(options):
    reconfig_with(['falconer'] * 4)


@suite.case('reconfig: one at a time')
def reconfig_in_progress(options):
    with members.Ensemble(['falconer'] * 3, RECONFIG,
                          with_clients=True) as e:
        e.start()
        leader = e.settle()
        followers = [m for m in e.members if m is not leader]
        leaving = str(followers[0].sid)

        def is_pending():
            text = leader.four_letter('mntr').decode()
            return re.search(r'^zk_outstanding_requests\t2$', text, re.M)
        with leader.client() as c, leader.client() as other:
            # Neither is acknowledged while the followers stand still.
            for member in followers:
                member.process.send_signal(signal.SIGSTOP)
            c.post(zkwire.RECONFIG, leaving=leaving)
            other.post(zkwire.SETDATA, '/', b'x')
            wait_until('the first is on its way', is_pending)
            other.post(zkwire.RECONFIG, leaving=leaving)
            wait_until('the second is on its way', lambda: re.search(
                r'^zk_outstanding_requests\t3$',
                leader.four_letter('mntr').decode(), re.M))
            for member in followers:
                member.process.send_signal(signal.SIGCONT)
            ok(c.take())
            ok(other.take())
            expect(other.take().err, RECONFIGINPROGRESS)
        wait_until('it is done', lambda: b'server.%s=' % leaving.encode()
                   not in (try_config([leader]) or b'server.%s='
                           % leaving.encode()))
        with leader.client() as c:
            ok(c.call(zkwire.RECONFIG, joining=e.line(int(leaving))))


def reconfig_with(kinds):
    with members.Ensemble(kinds, RECONFIG, first=3, with_clients=True) as e:
        e.start(1, 2, 3)
        leader = e.settle()
        with e[1].client() as c:
            write_some(c, '/before', 30)
            version = version_of(config_everywhere(e))
            assert version > 0
            stale = c.call(zkwire.RECONFIG, joining=e.line(4), config=5)
            expect(stale.err, zkwire.BADVERSION)
            expect(c.call(zkwire.RECONFIG, joining='server.4=x').err,
                   BADARGUMENTS)
            expect(c.call(zkwire.RECONFIG, members=','.join(
                e.line(s) for s in (1, 4, 5) if s < 5)).err, NEWCONFIGNOQUORUM)
        e.start(4)
        with e[1].client() as c:
            reply = ok(c.call(zkwire.RECONFIG, joining=e.line(4),
                              config=version))
            expect(version_of(reply.value[0]), reply.zxid)
        config = config_everywhere(e)
        assert b'server.4=' in config
        expect(version_of(config), reply.zxid)
        wait_until('conf shows who is there now', lambda: all(
            b'server.4=' in m.four_letter('conf') for m in e.running()))
        with e[4].client() as c:
            write_some(c, '/joined', 10)
        # Three of four are the quorum now.
        others = [m for m in e.members if m is not leader]
        others[0].kill()
        e.settle()
        with leader.client() as c:
            write_some(c, '/three', 10)
        others[0].start()
        e.settle()
        leader = e.leader()
        with leader.client() as c:
            c.post(zkwire.RECONFIG, leaving=str(leader.sid))
            try:
                ok(c.take())
            except (OSError, zkwire.Closed):
                pass  # it leaves with its answer
        gone = b'server.%d=' % leader.sid
        wait_until('a configuration without it', lambda: gone not in (
            try_config(others) or gone))
        leader.stop()
        second = e.settle()
        with second.client() as c:
            write_some(c, '/left', 10)
            ok(c.call(zkwire.RECONFIG, joining=e.line(
                others[0].sid if others[0] is not second else others[1].sid,
                'observer')))
        wait_until('a role changed', lambda: 'observer' in [
            m.mode() for m in e.running()])
        e.same_data()
        for member in e.running():
            member.stop()
        e.start(*[m.sid for m in others])
        e.settle()
        with others[0].client() as c:
            ok(c.set('/left', b'after all were down'))
        assert b':observer' in config_everywhere(e)


@suite.case('reconfig: a configuration whose files a crash took', quick=False)
def reconfig_without_files(options):
    with members.Ensemble(['falconer'] * 3, RECONFIG, with_clients=True) as e:
        e.start()
        leader = e.settle()
        config_everywhere(e)
        watcher = [m for m in e.members if m is not leader][0]
        files = {m: folder_of(m) for m in e.members}
        with leader.client() as c:
            reply = ok(c.call(zkwire.RECONFIG,
                              joining=e.line(watcher.sid, 'observer')))
        wait_until('a role changed', lambda: watcher.mode() == 'observer')
        for member in e.members:
            member.kill()
        for member, before in files.items():
            restore_folder(member, before)
        e.start()
        wait_until('the role is changed again',
                   lambda: watcher.mode() == 'observer')
        expect(version_of(config_everywhere(e)), reply.zxid)
        for member in e.members:
            wait_until('its file is there', lambda: any(
                name.endswith('.dynamic.%x' % reply.zxid)
                for name in folder_of(member)))


def folder_of(member):
    """{name: text} of zoo.cfg and what stands beside it."""
    folder = os.path.dirname(member.written[0])
    found = {}
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith(os.path.basename(member.written[0])):
            with open(path, encoding='utf-8') as file:
                found[name] = file.read()
    return found


def restore_folder(member, before):
    folder = os.path.dirname(member.written[0])
    for name in folder_of(member):
        os.remove(os.path.join(folder, name))
    for name, text in before.items():
        with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
            file.write(text)


def try_config(servers):
    for member in servers:
        try:
            with member.client() as c:
                return ok(c.get('/zookeeper/config')).value[0]
        except (OSError, zkwire.Closed):
            pass
    return None


# -- beside Java ------------------------------------------------------------------

@suite.case('a Falconer joins two Javas by SNAP, by DIFF, and leads them')
def beside_java(options):
    with three(['java', 'java', 'falconer'], options) as e:
        e.start(1, 2)
        with e[1].client() as c:
            write_some(c, '/before', 200)
        e.start(3)
        expect(e[3].mode(), 'follower')
        e.same_data()
        with e[3].client() as c:
            write_some(c, '/through', 50)
            ok(c.create('/eph', flags=EPHEMERAL))
            e.same_data()
            c.close()
        e[3].stop()
        with e[1].client() as c:
            write_some(c, '/meanwhile', 30)
        e[3].start()
        e.same_data()
        e.leader().stop()
        expect(e.settle(), e[3], 'the larger id with the longer log')
        other = e.running()[0]
        with other.client() as c:
            write_some(c, '/led', 30)
            ok(c.sync('/'))
            ok(c.multi((zkwire.CREATE2, zkwire.w_create('/led/m', b'1')),
                       (zkwire.SETDATA, zkwire.w_setdata('/led', b'2'))))
        with e[3].client() as c:
            write_some(c, '/own', 30)
        e.same_data()
        expect(e.mismatches(), 0, 'digest mismatches')
        for member in e.members:
            if not member.alive():
                member.start()
        e.settle()
        e.same_data()
        expect(e.mismatches(), 0, 'digest mismatches')


@suite.case('a server whose tree differs gets the snapshot of its leader')
def diverged(options):
    # Behind everybody's back one server makes as many transactions as the
    # others do without it, but others: same zxids, another tree.
    with three(['falconer'] * 3, options) as e:
        e.start()
        leader = e.settle()
        with leader.client() as c:
            write_some(c, '/before', 20)
        e.same_data()
        strange = [m for m in e.members if m is not leader][0]
        strange.stop()
        with harness.Server('falconer', data=strange.data) as alone:
            with alone.client() as c:
                ok(c.create('/alone'))
                c.close()
            alone.stop()
        with leader.client() as c:
            ok(c.create('/others'))
            c.close()
        strange.start()
        process = strange.process.pid
        with leader.client() as c:
            ok(c.create('/shows'))
        wait_until('it says so', lambda: 'digest mismatch'
                   in strange.stderr())
        strange.wait_serving()
        e.same_data()
        expect(strange.process.pid, process, 'the same process')
        with strange.client() as c:
            harness.expect_err(c.exists('/alone'), zkwire.NONODE)
            ok(c.create('/again'))
        # It votes again: with it the leader does without the third.
        wait_until('it may vote', lambda: not os.path.exists(
            os.path.join(strange.data, 'version-2', 'falconer.nonvoting'))
            and not os.path.exists(
                os.path.join(strange.data, 'falconer.nonvoting')))
        [m for m in e.members if m not in (leader, strange)][0].stop()
        with strange.client() as c:
            ok(c.create('/counts'))


@suite.case('local sessions beside Java, whoever leads', quick=False)
def mixed_local_sessions(options):
    if not harness.available('java'):
        raise harness.Skip('no Java ZooKeeper here')
    conf = {'localSessionsEnabled': 'true',
            'localSessionsUpgradingEnabled': 'true'}
    for kinds in (['java', 'java', 'falconer'],
                  ['falconer', 'falconer', 'java']):
        with members.Ensemble(kinds, conf) as e:
            e.start()
            e.settle()
            for member in e.members:
                with member.client() as c:
                    path = '/l%d' % member.sid
                    before = ok(c.create(path)).zxid
                    with member.client() as other:
                        expect(ok(other.exists(path)).zxid, before,
                               'a session costs no transaction')
                    ok(c.create(path + '/eph', flags=EPHEMERAL))
                    ok(c.multi((zkwire.CREATE, zkwire.w_create(
                        path + '/m', flags=EPHEMERAL))))
                    e.same_data()
                    c.close()
            e.same_data()
            expect(e.mismatches(), 0, 'digest mismatches')


@suite.case('reconfig with a Java among Falconers', quick=False)
def mixed_reconfig(options):
    if not harness.available('java'):
        raise harness.Skip('no Java ZooKeeper here')
    reconfig_with(['java', 'falconer', 'falconer', 'falconer'])


@suite.case('what a leader would not read breaks no follower', quick=False)
def too_large_for_the_leader(options):
    with three(['falconer'] * 3, options,
               {'jute.maxbuffer': 12 << 20}) as e:
        e.start()
        e.settle()
        follower = follower_of(e)
        with follower.client() as other, follower.client() as c:
            ok(c.create('/large'))
            for data in (b'small', b'x' * (9 << 20), b'small'):
                c.post(zkwire.SETDATA, '/large', data)
            expect([reply.err for reply in c.drain()],
                   [0, zkwire.THROTTLEDOP, 0], 'in their order')
            # Identities go to the leader with each write.
            expect(c.auth('digest', b'u' * 1000000 + b':p').err,
                   zkwire.AUTHFAILED, 'a name of a megabyte')
            ok(other.create('/other'))


@suite.case('one Java among two Falconers', quick=False)
def one_java(options):
    with three(['falconer', 'falconer', 'java'], options) as e:
        e.start(1, 2)
        with e[1].client() as c:
            write_some(c, '/before', 100)
        e.start(3)
        with e[3].client() as c:
            write_some(c, '/java', 50)
        # More identities than we know; ZooKeeper has no limit.
        with e[3].client() as other, e[3].client() as c:
            for i in range(40):
                ok(c.auth('digest', b'u%d:p' % i))
            expect(c.create('/nobody').err, zkwire.MARSHALLINGERROR)
            ok(other.create('/somebody'))
        e.same_data()
        e.leader().kill()
        e.settle()
        with e.running()[0].client() as c:
            write_some(c, '/after', 50)
        e.same_data()
        expect(e.mismatches(), 0, 'digest mismatches')


@suite.case('observers of the other kind', quick=False)
def mixed_observers(options):
    if not harness.available('java'):
        raise harness.Skip('no Java ZooKeeper here')
    for kinds in (['falconer', 'falconer', 'java'],
                  ['java', 'java', 'falconer']):
        with members.Ensemble(kinds, observers=(3,)) as e:
            e.start(1, 2)
            with e[1].client() as c:
                write_some(c, '/before', 40)
            e.start(3)
            expect(e[3].mode(), 'observer')
            with e[3].client() as c:
                write_some(c, '/through', 40)
                ok(c.create('/eph', flags=EPHEMERAL))
                ok(c.sync('/'))
                e.same_data()
                c.close()
            e.leader().stop()
            e.running()[0].mode()
            [m for m in e.members if not m.alive()][0].start()
            e.settle()
            with e[3].client() as c:
                write_some(c, '/after', 10)
            e.same_data()
            expect(e.mismatches(), 0, 'digest mismatches')


def main():
    options = harness.options(__doc__.splitlines()[0])
    suite.run(options, options)
    return suite.finish()


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Three servers that agree, for the cases that need more than one.

Goal: a case asks for an ensemble and never knows who started it.

Method: `Ensemble` starts three servers of a kind on free ports, each with
its own directory.  With FALCONER_ENSEMBLE=host:port,host:port,host:port it
uses those that run there instead; what needs to stop a server or to set a
key is skipped then, by name.  A server that knows no ensembles makes the
cases skip, with its own words.
"""
import os
import re

import harness
import zkwire

SIZE = 3


class Member(harness.Server):
    """One server of an ensemble started here."""

    def __init__(self, kind, number, lines, conf):
        super().__init__(kind, dict(conf, **lines))
        self.number = number
        with open(os.path.join(self.data, 'myid'), 'w') as f:
            f.write('%d\n' % number)


class Remote:
    """One server of an ensemble that runs elsewhere."""

    is_java = False
    kind = 'falconer'

    def __init__(self, address):
        host, port = address.rsplit(':', 1)
        self.address = (host, int(port))

    def client(self, **kwargs):
        return zkwire.Client(self.address, **kwargs)

    def conn(self, **kwargs):
        return zkwire.Conn(self.address, **kwargs)

    def four_letter(self, word):
        return harness.four_letter(self.address, word)

    def alive(self):
        return True


def mode(server):
    """What srvr says: leader, follower, ... or None."""
    try:
        text = server.four_letter('srvr').decode()
    except (OSError, zkwire.Closed):
        return None
    found = re.search(r'^Mode: (.*)$', text, re.M)
    return found.group(1) if found else None


class Ensemble:
    """conf: settings of every server; None takes what runs elsewhere."""

    def __init__(self, kind, conf=None):
        named = os.environ.get('FALCONER_ENSEMBLE')
        self.is_ours = not (named and kind == 'falconer')
        if self.is_ours:
            # A machine that is busy is no dead leader to the cases.
            lines = {'initLimit': 10, 'syncLimit': 5,
                     'falconer.failover.lostMs': 5000}
            for n in range(1, SIZE + 1):
                lines['server.%d' % n] = '127.0.0.1:%d:%d' % (
                    harness.free_port(), harness.free_port())
            # Java's default binds its admin server: off, as elsewhere.
            self.servers = [Member(kind, n, lines, conf or {})
                            for n in range(1, SIZE + 1)]
        else:
            if conf:
                raise harness.Skip('needs settings of its own: %s'
                                   % ', '.join(sorted(conf)))
            self.servers = [Remote(a) for a in named.split(',')]

    def __enter__(self):
        try:
            if self.is_ours:
                for server in self.servers:
                    server.spawn()
            self.wait_serving(self.servers)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        if self.is_ours:
            for server in self.servers:
                server.close()

    def wait_serving(self, servers, seconds=60):
        """Waits until all of them serve, one of them as leader."""
        def serve():
            for server in servers:
                if not server.alive():
                    raise harness.Skip('no ensembles: ' +
                                       server.stderr()[-300:].strip())
            modes = [mode(s) for s in servers]
            return None not in modes and 'leader' in modes
        harness.wait_until('an ensemble serves', serve, seconds, 0.05)

    def must_be_ours(self):
        if not self.is_ours:
            raise harness.Skip('needs servers that it may stop')

    @property
    def leader(self):
        return next(s for s in self.servers if mode(s) == 'leader')

    @property
    def followers(self):
        return [s for s in self.servers if mode(s) == 'follower']

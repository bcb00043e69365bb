# SPDX-License-Identifier: Apache-2.0
"""Keys of zoo.cfg: what a server does otherwise when one is set.

Goal: a key that is accepted has the effect that its name promises, seen from
outside: in answers, files, log lines, metrics, /proc.

Method: servers are started with several keys at once where the effects do not
meet; each case looks at one effect and, where it costs nothing, at a server
without the key beside it.
"""
import sys

import harness
import members
import zkwire
from harness import Suite, expect, ok

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


def main():
    options = harness.options(__doc__.splitlines()[0])
    SUITE.run(options, options)
    return SUITE.finish()


if __name__ == '__main__':
    sys.exit(main())

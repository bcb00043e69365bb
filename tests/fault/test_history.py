# SPDX-License-Identifier: Apache-2.0
"""The checkers find every doctored history, and nothing in a sound one.

Method: one sound history with its tree; each case spoils one thing in a
copy, and the violations must name it.
"""
import copy
import sys

import ensemble
import history
import native
from history import Mark, Node, Op

LAYOUT = {'nodes': ('/log', '/multi'), 'seq': '/seq', 'eph': '/eph'}
LIVE = {70, 71}


def node(data, czxid, mzxid=None, version=0, owner=0):
    return Node(data, czxid, mzxid or czxid, version, 0, owner, czxid, 5, 5)


def op(worker, session, kind, path, data, outcome, zxid, at):
    return Op(worker, session, kind, path, data, outcome, zxid, at, at + 1)


def sound():
    """(ops, trees, traces): a little of everything."""
    ops = [
        op('log', 70, 'create', '/log/a', b'a', 'ok', 10, 1),
        op('log', 70, 'create', '/log/b', b'b', 'unknown', 0, 2),
        op('log', 70, 'create', '/log/c', b'c', 'ok', 14, 3),
        op('log', 70, 'create', '/log/d', b'd', 'unknown', 0, 4),
        op('log', 70, 'delete', '/log/a', b'', 'ok', 16, 5),
        op('log', 70, 'create', '/log/e', b'e', 'failed', 0, 6),
        op('log', 70, 'create', '/log/f', b'f', 'ok', 17, 7),
        op('log', 70, 'delete', '/log/f', b'', 'unknown', 0, 8),
        op('reg', 71, 'set', '/reg/r', b'1', 'ok', 20, 1),
        op('reg', 71, 'get', '/reg/r', b'1', 'ok', 20, 2),
        op('reg', 71, 'set', '/reg/r', b'2', 'unknown', 0, 3),
        op('reg', 71, 'set', '/reg/r', b'3', 'ok', 26, 4),
        op('reg', 71, 'set', '/reg/r', b'4', 'unknown', 0, 5),
        op('seq', 72, 'seq', '/seq/n-0000000001', b's1', 'ok', 11, 1),
        op('seq', 72, 'seq', '/seq/n-', b's2', 'unknown', 0, 2),
        op('seq', 72, 'seq', '/seq/n-0000000004', b's3', 'ok', 22, 3),
        op('mul', 73, 'multi', '/multi/1', b'm1', 'ok', 12, 1),
        op('mul', 73, 'multi', '/multi/2', b'm2', 'unknown', 0, 2),
        op('mul', 73, 'multi', '/multi/3', b'm3', 'failed', 0, 3),
        op('mul', 73, 'multi', '/multi/4', b'm4', 'unknown', 0, 4),
        op('eph', 71, 'eph', '/eph/1', b'', 'ok', 30, 6),
        op('eph', 71, 'eph', '/eph/2', b'', 'unknown', 0, 7),
        op('eph', 74, 'eph', '/eph/3', b'', 'ok', 31, 8),
        op('eph', 71, 'eph', '/eph/4', b'e4', 'ok', 32, 9),
        op('eph', 71, 'delete', '/eph/4', b'', 'unknown', 0, 10),
        op('eph', 71, 'eph', '/eph/5', b'e5', 'ok', 33, 11),
        op('eph', 71, 'delete', '/eph/5', b'', 'ok', 34, 12),
    ]
    tree = {
        '/log': node(b'', 1), '/seq': node(b'', 2), '/multi': node(b'', 3),
        '/eph': node(b'', 4), '/reg': node(b'', 5),
        '/log/b': node(b'b', 13), '/log/c': node(b'c', 14),
        '/log/f': node(b'f', 17),
        '/reg/r': node(b'3', 6, 26, 3),
        '/seq/n-0000000001': node(b's1', 11),
        '/seq/n-0000000002': node(b's2', 18),
        '/seq/n-0000000004': node(b's3', 22),
        '/multi/1x': node(b'm1', 12), '/multi/1y': node(b'm1', 12),
        '/multi/2x': node(b'm2', 19), '/multi/2y': node(b'm2', 19),
        '/eph/1': node(b'', 30, owner=71),
        '/eph/4': node(b'e4', 32, owner=71),
    }
    trace = [Mark('armed', 20), Mark('read', 20), Mark('event', 0),
             Mark('read', 26), Mark('armed', 26), Mark('lost', 0),
             Mark('read', 28), Mark('armed', 28)]
    return (ops, {'s1': tree, 's2': copy.deepcopy(tree)}, {'w': trace})


def change(index, **fields):
    def doctor(ops, trees, traces):
        ops[index] = ops[index]._replace(**fields)
    return doctor


def drop(path):
    def doctor(ops, trees, traces):
        for tree in trees.values():
            tree.pop(path)
    return doctor


def put(path, value):
    def doctor(ops, trees, traces):
        for tree in trees.values():
            tree[path] = value
    return doctor


def spoil(path, **fields):
    def doctor(ops, trees, traces):
        for tree in trees.values():
            tree[path] = tree[path]._replace(**fields)
    return doctor


def diverge(ops, trees, traces):
    trees['s2']['/log/c'] = trees['s2']['/log/c']._replace(mtime=6)


def forget_one(ops, trees, traces):
    trees['s2'].pop('/multi/2y')


def trace_of(*marks):
    def doctor(ops, trees, traces):
        traces['w'] = [Mark(*m) for m in marks]
    return doctor


DOCTORED = [
    ('an acknowledged create is lost', drop('/log/c'), 'lost: /log/c'),
    ('an acknowledged delete came back', put('/log/a', node(b'a', 10)),
     'its delete was acknowledged'),
    ('a refused create is there', put('/log/e', node(b'e', 21)),
     'its create was refused'),
    ('a node holds the data of another', spoil('/log/c', data=b'x'),
     'holds'),
    ('a node was made by another transaction', spoil('/log/c', czxid=15),
     'acknowledged at e'),
    ('a node nobody made', put('/log/z', node(b'', 23)), "nobody's"),
    ('a register is lost', drop('/reg/r'), 'register'),
    ('a register went back', spoil('/reg/r', data=b'1'), 'may hold'),
    ('a register holds an overwritten value', spoil('/reg/r', data=b'2'),
     'may hold'),
    ('a register was set by another transaction',
     spoil('/reg/r', mzxid=27), 'acknowledged at 1a'),
    ('a set happened twice', spoil('/reg/r', version=5), 'set 5 times'),
    ('a set did not count', spoil('/reg/r', version=1), 'set 1 times'),
    ('an answered create overtook one of its session',
     change(2, zxid=9), 'comes after'),
    ('an unanswered create came late', spoil('/log/b', czxid=15),
     'comes after'),
    ('an unanswered sequential create came late',
     spoil('/seq/n-0000000002', czxid=23), 'comes after'),
    ('a read went back', change(9, zxid=19), 'after'),
    ('a sequence number was given twice',
     change(15, path='/seq/n-0000000001'), 'was given to'),
    ('an acknowledged sequential node is lost', drop('/seq/n-0000000004'),
     'lost: /seq'),
    ('a sequential create happened twice',
     put('/seq/n-0000000005', node(b's2', 24)), 'made 2 times'),
    ('numbers and transactions disagree',
     put('/seq/n-0000000003', node(b's9', 40)), 'out of order'),
    ('a multi is half there', drop('/multi/1y'), 'half there'),
    ('an unanswered multi is half there', drop('/multi/2x'), 'half there'),
    ('a multi took two transactions', spoil('/multi/2y', czxid=20),
     'two transactions'),
    ('a refused multi left something', put('/multi/3x', node(b'm3', 25)),
     'refused'),
    ('an ephemeral outlived its session',
     put('/eph/3', node(b'', 31, owner=74)), 'which is gone'),
    ('an ephemeral of a live session is lost', drop('/eph/1'),
     'of a live session'),
    ('an ephemeral came back', put('/eph/5', node(b'e5', 33, owner=71)),
     'its delete was acknowledged'),
    ('an ephemeral was made by another transaction',
     spoil('/eph/4', czxid=31), 'acknowledged at 20'),
    ('an ephemeral has no owner', spoil('/eph/1', owner=0), 'has no owner'),
    ('servers differ in a time', diverge, 's2 has'),
    ('servers differ in a node', forget_one, 's2 has None'),
    ('a read shows a change before its event',
     trace_of(('armed', 20), ('read', 26), ('event', 0)), 'without the event'),
    ('an event came twice',
     trace_of(('armed', 20), ('event', 0), ('event', 0)), 'without a watch'),
]


def verdict(ops, trees, traces):
    return history.check_all(ops, trees, LIVE, traces, LAYOUT)


def told_by_the_c_client():
    """Its lines are the same entries; returns what is wrong."""
    got = [native.parse(line) for line in (
        'c0 -5 multi /multi/c0.1 c0.1 ok 4294967309 10.5 10.75\n',
        'c1 9 delete /log/c1.2 - unknown 0 11.0 12.0\n')]
    want = [Op('c0', -5, 'multi', '/multi/c0.1', b'c0.1', 'ok', 4294967309,
               10.5, 10.75),
            Op('c1', 9, 'delete', '/log/c1.2', b'', 'unknown', 0, 11.0, 12.0)]
    return [] if got == want else got


def told_by_java():
    """Digests that differ while a ZooKeeper shuts down are its own doing, before
    and behind they are not; returns what is wrong."""
    differ = 'DataTree - Message:Digests are not matching. Value is Zxid.'
    closing = 'ZooKeeperServer - shutting down'
    closed = 'CommitProcessor exited loop!'
    wrong = []
    for lines, want in (
            ((closing, differ, closed), ([], 1)),
            ((differ, closing, closed), ([differ], 0)),
            ((closing, closed, differ), ([differ], 0)),
            ((closing, differ, closed, differ), ([differ], 1))):
        got = ensemble.told_mismatches('\n'.join(lines))
        if got != want:
            wrong.append('%r: %r' % (lines, got))
    return wrong


def main():
    failed = 0
    wrong = told_by_java()
    if wrong:
        failed += 1
        print('FAILED lines of a ZooKeeper: %s' % wrong)
    wrong = told_by_the_c_client()
    if wrong:
        failed += 1
        print('FAILED lines of the C client: %s' % wrong)
    found = verdict(*sound())
    if found:
        failed += 1
        print('FAILED a sound history: %s' % found)
    for what, doctor, text in DOCTORED:
        ops, trees, traces = sound()
        doctor(ops, trees, traces)
        found = verdict(ops, trees, traces)
        if not any(text in line for line in found):
            failed += 1
            print('FAILED not noticed: %s (%s)' % (what, found))
    print('history: %d passed, %d failed' % (
        len(DOCTORED) + 3 - failed, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""What clients were told, and whether the servers kept it.

Goal: judge a run without knowing servers, networks or faults.

Method: a history is a list of `Op`, in the order in which each worker
issued them; a worker has one request in flight.  An outcome is 'ok' (the
answer came), 'failed' (the answer said no) or 'unknown' (the connection
broke first).  A tree is what one server holds at the end, {path: Node}.
Every check is a pure function that returns the violations it found as
texts; test_history.py spoils histories and trees and sees each one found.
"""
import collections

Op = collections.namedtuple(
    'Op', 'worker session kind path data outcome zxid begin end')
# kind: create delete set get multi seq eph
# zxid: of the answer; of 'get' the mzxid of the node that was seen

Node = collections.namedtuple(
    'Node', 'data czxid mzxid version cversion owner pzxid ctime mtime')

Mark = collections.namedtuple('Mark', 'kind zxid')
# A watcher's trace: 'armed' (a read that set the watch, at mzxid zxid),
# 'read' (a read that saw mzxid zxid), 'event' (of the node, zxid 0), and
# 'lost' (the connection broke, watches with it)


def by_worker(ops):
    out = collections.OrderedDict()
    for op in ops:
        out.setdefault(op.worker, []).append(op)
    return out


def paths_of(op):
    """A multi makes two nodes."""
    if op.kind == 'multi':
        return [op.path + 'x', op.path + 'y']
    return [op.path]


def check_nodes(ops, tree, bases):
    """Acknowledged creates and deletes are there, and nothing else is.

    Paths are used once.  bases: below these every node is somebody's.
    Ephemerals may be gone (check_ephemerals).
    """
    bad = []
    state = {}          # path -> [create Op or None, delete outcome or None]
    for op in ops:
        if op.kind in ('create', 'multi', 'eph'):
            for path in paths_of(op):
                state.setdefault(path, [None, None])[0] = op
        elif op.kind == 'delete' and op.outcome != 'failed':
            state.setdefault(op.path, [None, None])[1] = op.outcome
    for path, (made, gone) in state.items():
        node = tree.get(path)
        if node is None:
            if made is not None and made.outcome == 'ok' and \
                    made.kind != 'eph' and gone is None:
                bad.append('lost: %s, acknowledged at %x' % (path, made.zxid))
            continue
        if made is None or made.outcome == 'failed':
            bad.append('%s is there, its create was refused' % path)
        elif gone == 'ok':
            bad.append('%s is there, its delete was acknowledged' % path)
        elif node.data != made.data:
            bad.append('%s holds %r, not %r' % (path, node.data, made.data))
        elif made.outcome == 'ok' and node.czxid != made.zxid:
            bad.append('%s was made by %x, acknowledged at %x' % (
                path, node.czxid, made.zxid))
    for path in tree:
        if path.startswith(tuple(b + '/' for b in bases)) and \
                path not in state:
            bad.append('%s is nobody\'s' % path)
    return bad


def check_registers(ops, tree):
    """The last acknowledged set, or an unanswered later one, is what is
    there; each set that took place counted once."""
    bad = []
    sets = collections.OrderedDict()
    for op in ops:
        if op.kind == 'set':
            sets.setdefault(op.path, []).append(op)
    for path, writes in sets.items():
        node = tree.get(path)
        if node is None:
            bad.append('lost: register %s' % path)
            continue
        done = [i for i, op in enumerate(writes) if op.outcome == 'ok']
        last = done[-1] if done else -1
        may = [op.data for op in writes[max(last, 0):]
               if op.outcome != 'failed']
        if last < 0:
            may.append(b'')
        if node.data not in may:
            bad.append('register %s holds %r, may hold one of %r' % (
                path, node.data, may[:5]))
        if done and node.data == writes[last].data and \
                node.mzxid != writes[last].zxid:
            bad.append('register %s was set by %x, acknowledged at %x' % (
                path, node.mzxid, writes[last].zxid))
        unknown = sum(op.outcome == 'unknown' for op in writes)
        if not len(done) <= node.version <= len(done) + unknown:
            bad.append('register %s was set %d times, %d acknowledged, %d '
                       'unanswered' % (path, node.version, len(done),
                                       unknown))
    return bad


def check_sessions(ops, tree):
    """Within a session transactions happen in the order they were asked
    for, the unanswered ones too, and reads never go back."""
    bad = []
    for worker, mine in by_worker(ops).items():
        session, last, what = None, 0, ''
        seen = {}
        for op in mine:
            if op.session != session:
                session, last, seen = op.session, 0, {}
            if op.kind == 'get':
                if op.outcome != 'ok':
                    continue
                if op.zxid < seen.get(op.path, 0):
                    bad.append('%s read %s of %x after %x' % (
                        worker, op.path, op.zxid, seen[op.path]))
                seen[op.path] = max(op.zxid, seen.get(op.path, 0))
                continue
            zxid = op.zxid if op.outcome == 'ok' else 0
            if op.outcome == 'unknown' and \
                    op.kind in ('create', 'multi', 'eph'):
                node = tree.get(paths_of(op)[0])
                zxid = node.czxid if node is not None else 0
            if op.outcome == 'unknown' and op.kind == 'seq':
                zxid = next((n.czxid for p, n in tree.items()
                             if n.data == op.data and
                             p.startswith(op.path.rstrip('0123456789'))), 0)
            if zxid and zxid <= last:
                bad.append('%s: %s %s at %x comes after %s at %x' % (
                    worker, op.kind, op.path, zxid, what, last))
            if zxid:
                last, what = max(last, zxid), op.path
            if op.kind == 'set' and op.outcome == 'ok':
                seen[op.path] = max(op.zxid, seen.get(op.path, 0))
    return bad


def check_sequence(ops, tree, base):
    """Numbers are given once and in the order of the transactions."""
    bad = []
    owner = {}
    for op in ops:
        if op.kind != 'seq' or op.outcome != 'ok':
            continue
        if op.path in owner:
            bad.append('%s was given to %s and %s' % (
                op.path, owner[op.path].worker, op.worker))
        owner[op.path] = op
        node = tree.get(op.path)
        if node is None:
            bad.append('lost: %s, acknowledged' % op.path)
        elif node.data != op.data or node.czxid != op.zxid:
            bad.append('%s is not what was acknowledged' % op.path)
    tags = collections.Counter()
    last = (-1, -1)
    for path in sorted(p for p in tree if p.startswith(base + '/')):
        node = tree[path]
        number = int(path[-10:])
        if number <= last[0] or node.czxid <= last[1]:
            bad.append('%s at %x is out of order' % (path, node.czxid))
        last = (number, node.czxid)
        tags[node.data] += 1
    for tag, count in tags.items():
        if count > 1:
            bad.append('%r was made %d times' % (tag, count))
    return bad


def check_multis(ops, tree):
    """Both nodes of a multi are there, by one transaction, or neither is;
    a refused one left nothing."""
    bad = []
    for op in ops:
        if op.kind != 'multi':
            continue
        x, y = (tree.get(path) for path in paths_of(op))
        if (x is None) != (y is None):
            bad.append('%s is half there' % op.path)
        elif x is not None and x.czxid != y.czxid:
            bad.append('%s was made by two transactions' % op.path)
        if op.outcome == 'failed' and (x is not None or y is not None):
            bad.append('%s was refused and is there' % op.path)
    return bad


def check_ephemerals(ops, tree, live, base):
    """Ephemerals belong to live sessions, and those of live sessions that
    were acknowledged are there.  live: session ids."""
    bad = []
    for path, node in tree.items():
        if node.owner != 0 and node.owner not in live:
            bad.append('%s belongs to session %x, which is gone' % (
                path, node.owner & 0xffffffffffffffff))
        if node.owner == 0 and path.startswith(base + '/'):
            bad.append('%s has no owner' % path)
    gone = {op.path for op in ops if op.kind == 'delete' and
            op.outcome != 'failed'}
    for op in ops:
        if op.kind == 'eph' and op.outcome == 'ok' and \
                op.session in live and op.path not in tree and \
                op.path not in gone:
            bad.append('lost: %s of a live session' % op.path)
    return bad


def check_watches(worker, trace):
    """An event comes before anything that shows the change, and once for
    each time the watch was armed."""
    bad = []
    armed = None
    for mark in trace:
        if mark.kind == 'armed':
            armed = mark.zxid
        elif mark.kind == 'lost':
            armed = None
        elif mark.kind == 'event':
            if armed is None:
                bad.append('%s: an event without a watch' % worker)
            armed = None
        elif armed is not None and mark.zxid != armed:
            bad.append('%s: saw %x without the event of %x' % (
                worker, mark.zxid, armed))
            armed = None
    return bad


def check_equal(trees):
    """Every server holds the same.  trees: {server: tree}"""
    bad = []
    names = sorted(trees)
    first = trees[names[0]]
    for name in names[1:]:
        other = trees[name]
        for path in sorted(set(first) | set(other)):
            if first.get(path) != other.get(path):
                bad.append('%s: %s has %r, %s has %r' % (
                    path, names[0], first.get(path), name, other.get(path)))
    return bad


def check_all(ops, trees, live, traces, layout):
    """All of the above; the tree of the first server stands for all.

    layout: {'nodes': bases, 'seq': base, 'eph': base}
    """
    tree = trees[sorted(trees)[0]]
    bad = check_equal(trees)
    bad += check_nodes(ops, tree, layout['nodes'])
    bad += check_registers(ops, tree)
    bad += check_sessions(ops, tree)
    bad += check_sequence(ops, tree, layout['seq'])
    bad += check_multis(ops, tree)
    bad += check_ephemerals(ops, tree, live, layout['eph'])
    for worker, trace in traces.items():
        bad += check_watches(worker, trace)
    return bad

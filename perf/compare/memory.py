# SPDX-License-Identifier: Apache-2.0
"""Bytes of memory for each znode, Falconer beside Java.

A server is filled through the protocol with nodes of 100 bytes; what grew is
divided by the nodes made. For Java the resident size depends on when the
collector ran, so the heap in use after a full collection is told too (jcmd).
"""
import re
import shutil
import subprocess

import bench


def mntr(server):
    """The numbers of mntr by name, without the prefix zk_."""
    out = {}
    for line in server.four_letter('mntr').decode().splitlines():
        name, _, value = line.partition('\t')
        if re.fullmatch(r'-?[0-9.]+', value):
            out[name.removeprefix('zk_')] = float(value)
    return out


def rss(server):
    with open('/proc/%d/status' % server.process.pid) as f:
        return int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1)) * 1024


def java_heap(server):
    """Heap in use after a full collection, or None without jcmd."""
    if shutil.which('jcmd') is None:
        return None
    pid = str(server.process.pid)
    subprocess.run(['jcmd', pid, 'GC.run'], capture_output=True, check=True)
    text = subprocess.run(['jcmd', pid, 'GC.heap_info'], capture_output=True,
                          check=True, text=True).stdout
    return sum(int(kb) for kb in re.findall(
        r'heap\s+total \d+K, used (\d+)K', text)) * 1024


def fill(build, kind, nodes, value_bytes):
    server = bench.start(kind, java_heap='4g')
    try:
        before = rss(server)
        heap_before = java_heap(server) if kind == 'java' else None
        made = bench.run_load(build, server, '--fill', '--keys', nodes,
                              '--value', value_bytes)
        numbers = mntr(server)
        result = {
            'kind': kind, 'nodes': numbers['znode_count'],
            'approximate_data_size': numbers['approximate_data_size'],
            'rss': rss(server), 'rss_per_node':
                (rss(server) - before) / nodes,
            'seconds': made['seconds'], 'rate': made['rate'],
            'server_cpu_seconds': made['server_cpu_seconds'],
            'mntr': {k: v for k, v in numbers.items()
                     if 'bytes' in k or 'mem' in k},
        }
        if heap_before is not None:
            result['used_per_node'] = (java_heap(server) -
                                       heap_before) / nodes
        elif 'falconer_tree_used_bytes' in numbers:
            result['used_per_node'] = (numbers['falconer_tree_used_bytes'] /
                                       numbers['znode_count'])
        return result
    finally:
        server.close()


def measure(build, nodes, value_bytes):
    return [fill(build, kind, nodes, value_bytes) for kind in bench.KINDS]


def table(results):
    lines = ['| server | znodes | made/s | server CPU s | resident MB '
             '| resident bytes/znode | used bytes/znode |',
             '|---|---|---|---|---|---|---|']
    for r in results:
        used = r.get('used_per_node')
        lines.append('| %s | %.0f | %.0f | %.1f | %.0f | %.0f | %s |' % (
            r['kind'], r['nodes'], r['rate'], r['server_cpu_seconds'],
            r['rss'] / 1e6, r['rss_per_node'],
            '-' if used is None else '%.0f' % used))
    return lines

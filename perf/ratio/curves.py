# SPDX-License-Identifier: Apache-2.0
"""The plots that are no ratio: latency distributions, latency against offered
load, throughput against connections and against window."""
import os

import report

CONNECTIONS = (1, 4, 16, 64, 128)
WINDOWS = (1, 4, 16, 64)
LOADS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
KINDS = ('falconer', 'java')


def latencies(context, seconds):
    for mix in ('get', 'set'):
        series = {}
        for kind in KINDS:
            path = os.path.join(context.folder, 'histogram-%s-%s' % (mix,
                                                                     kind))
            context.tools.load(context.pool.get(kind), '--mix ' + mix,
                               seconds, path)
            series[kind] = path
        report.plot_latency('latency-' + mix,
                            '%s, one client, one request at a time'
                            % {'get': 'getData', 'set': 'setData (synced)'}
                            [mix], series)


def offered(context, seconds):
    """Open loop: latency counts from the scheduled time. Loads are shares of
    what comes through when far too much is offered: requests that leave one by
    one are fewer than those of a closed loop, which leave together."""
    series = {}
    for kind in KINDS:
        server = context.pool.get(kind)
        closed = context.tools.load(
            server, '--connections 16 --pipeline 16 --mix get', seconds)

        def at(rate):
            return context.tools.load(
                server, '--connections 16 --pipeline 256 --mix get --rate %d'
                % rate, seconds)
        most = at(closed['rate'])
        results = [at(most['rate'] * share) for share in LOADS]
        series[kind] = [(result['rate'], result['latency_us']['p99'])
                        for result in results]
    report.plot_lines('latency-load', 'getData, open loop: p99 against offered '
                      'load', 'requests a second', 'p99, us', series, 'xy')


def throughput(context, seconds):
    for name, values, args, label in (
            ('connections', CONNECTIONS, '--connections %d', 'connections'),
            ('window', WINDOWS, '--connections 16 --pipeline %d',
             'requests under way on each of 16 connections')):
        series = {}
        for kind in KINDS:
            for mix in ('get', 'set'):
                points = [(value, context.tools.load(
                    context.pool.get(kind), ('--mix %s ' % mix) +
                    args % value, seconds)['rate']) for value in values]
                series['%s, %s' % (kind, mix)] = points
        report.plot_lines('throughput-' + name,
                          'requests a second against %s' % label, label,
                          'requests a second', series, 'xy')


def all_curves(context, seconds):
    os.makedirs(os.path.join(report.DOCS, 'perf'), exist_ok=True)
    report.attempt(latencies, context, 2 * seconds)
    report.attempt(offered, context, seconds)
    report.attempt(throughput, context, seconds)

# SPDX-License-Identifier: Apache-2.0
"""Tables and plots of a run, for docs/perf.md."""
import datetime
import os
import re
import shutil
import statistics
import subprocess
import tempfile

import servers

DOCS = os.path.join(servers.ROOT, 'docs')


def load_average():
    return os.getloadavg()[0]


def attempt(function, *args):
    """One part of the page; if it fails that is said, and the others are made.
    """
    try:
        return function(*args)
    except (servers.Missing, servers.harness.ServerError, AssertionError,
            OSError) as e:
        print('%s: %s' % (function.__name__, str(e).splitlines()[0]),
              flush=True)
        return None


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return 'none'
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0] if lines else 'none'


def machine():
    with open('/proc/cpuinfo') as f:
        models = [line.split(':', 1)[1].strip() for line in f
                  if line.startswith('model name')]
    with open('/proc/meminfo') as f:
        memory = int(f.readline().split()[1]) / 1e6
    return '%d x %s, %.0f GB, Linux %s' % (
        os.cpu_count(), models[0] if models else 'unknown processor', memory,
        os.uname().release)


def heading(before):
    """Under which circumstances a table was measured."""
    commit = first_line(['git', '-C', servers.ROOT, 'rev-parse', '--short',
                         'HEAD'])
    return ['%s, on %s. Commit %s; %s; %s; %s. Load average %.1f before, '
            '%.1f after.' % (
                datetime.datetime.now(datetime.timezone.utc)
                .strftime('%Y-%m-%d %H:%M UTC'), machine(), commit,
                first_line(['java', '-version']),
                first_line(['redis-server', '--version']).split(' sha')[0],
                first_line(['etcd', '--version']), before, load_average()),
            '']


def verdict(row, ratio):
    """The best level that the ratio reaches."""
    if ratio is None:
        return 'not measured'
    if 'levels' not in row:
        return '-'
    names = ('acceptance', 'target', 'record')
    reached = 'missed'
    for name, level in zip(names, row['levels']):
        if ratio <= level if row['better'] == 'lower' else ratio >= level:
            reached = name
    return reached


def show(value):
    if value is None:
        return '-'
    if abs(value) >= 1000:
        return '%.0f' % value
    return '%.3g' % value


def spread(row, ratios):
    """The lowest and the highest pair, and the distance of the processors."""
    text = '%s-%s' % (show(min(ratios)), show(max(ratios)))
    if row['hops']:
        text += '; hop %s us, %d of %d pairs' % (
            show(statistics.median(row['hops'])), len(ratios),
            len(ratios) + row['moved'])
    return text


def table(results):
    """Markdown; results: rows with pairs [(a, b)] and notes."""
    lines = ['| what | levels | a | b | ratio (lowest-highest of the pairs) '
             '| reached |', '|---|---|---|---|---|---|']
    for row in results:
        pairs = row['pairs']
        levels = ' / '.join('%g' % x for x in row.get('levels', ())) or '-'
        if not pairs:
            lines.append('| %s | %s | - | - | - | not measured: %s |' % (
                row['title'], levels, row['why']))
            continue
        ratios = [a if b is None else a / b for a, b in pairs if b != 0]
        middle = statistics.median(ratios)
        lines.append('| %s | %s | %s | %s | **%s** (%s) | %s |' % (
            row['title'], levels,
            show(statistics.median(a for a, _ in pairs)),
            show(None if pairs[0][1] is None else
                 statistics.median(b for _, b in pairs)),
            show(middle), spread(row, ratios), verdict(row, middle)))
    return lines


def machine_table(floors):
    """What the machine did by itself during the run."""
    lines = ['| floor | p50 us | p99 us | p99.9 us | max us |',
             '|---|---|---|---|---|']
    for name, f in floors.items():
        lines.append('| %s | %.2f | %.2f | %.2f | %.0f |' % (
            name, f['p50'], f['p99'], f['p99.9'], f['max']))
    return lines


def put_into_docs(name, lines):
    """Replaces what stands between the marks of that name."""
    path = os.path.join(DOCS, 'perf.md')
    with open(path) as f:
        text = f.read()
    begin, end = '<!-- %s: begin -->' % name, '<!-- %s: end -->' % name
    new, count = re.subn(re.escape(begin) + r'.*?' + re.escape(end),
                         lambda _: '\n'.join([begin] + lines + [end]), text,
                         flags=re.S)
    if count != 1:
        raise SystemExit('%s has no marks for %s' % (path, name))
    with open(path, 'w') as f:
        f.write(new)


# ---- plots -----------------------------------------------------------------

HEAD = '''set terminal svg size 860,520 font "sans,13" background "#ffffff"
set output "%s"
set title "%s"
set xlabel "%s"
set ylabel "%s"
set grid
set key outside right center
set border 3
set tics nomirror
'''


def gnuplot(text):
    """False: gnuplot is not installed."""
    if shutil.which('gnuplot') is None:
        return False
    subprocess.run(['gnuplot'], input=text, text=True, check=True)
    return True


def share_above(path):
    """(latency, share of requests above it) of a histogram file."""
    counts = []
    with open(path) as f:
        for line in f:
            top, count = line.split()
            counts.append((float(top), int(count)))
    total = sum(count for _, count in counts)
    left, points = total, []
    for top, count in counts:
        left -= count
        points.append((top, max(left, 0.5) / total))
    return points


def plot_latency(name, title, series):
    """series: {label: histogram file}. Share of requests that took longer, so
    that the tail can be read off."""
    with tempfile.TemporaryDirectory() as folder:
        parts = []
        for index, (label, path) in enumerate(series.items()):
            data = os.path.join(folder, str(index))
            with open(data, 'w') as f:
                for point in share_above(path):
                    f.write('%g %g\n' % point)
            parts.append('"%s" with lines lw 2 title "%s"' % (data, label))
        return gnuplot(
            HEAD % (os.path.join(DOCS, 'perf', name + '.svg'), title,
                    'latency, us', 'share of requests that took longer') +
            'set logscale xy\nplot ' + ', '.join(parts))


def plot_lines(name, title, x_label, y_label, series, logs='x'):
    """series: {label: [(x, y)]}"""
    with tempfile.TemporaryDirectory() as folder:
        parts = []
        for index, (label, points) in enumerate(series.items()):
            data = os.path.join(folder, str(index))
            with open(data, 'w') as f:
                for point in points:
                    f.write('%g %g\n' % point)
            parts.append('"%s" with linespoints lw 2 pt 7 ps 0.6 title "%s"'
                         % (data, label))
        return gnuplot(
            HEAD % (os.path.join(DOCS, 'perf', name + '.svg'), title, x_label,
                    y_label) +
            ('set logscale %s\n' % logs if logs else '') + 'plot ' +
            ', '.join(parts))


TIMELINE = '''set terminal svg size 860,%d font "sans,13" background "#ffffff"
set output "%s"
set multiplot layout %d,1 title "%s"
set xlabel "seconds"
set ylabel "us"
set grid
set key outside right center
set border 3
set tics nomirror
set logscale y
set format y "%%.0f"
'''
SHADE = 'set object %d rectangle from %g, graph 0 to %g, graph 1 ' \
    'fillcolor rgb "#f2c078" fillstyle solid 0.6 noborder behind\n'
PANEL = 300     # its height


def plot_panels(name, title, panels):
    """One below the other, all to the same scale. panels: [(commands, plot)]"""
    return gnuplot(
        TIMELINE % (PANEL * len(panels) + 40,
                    os.path.join(DOCS, 'perf', name + '.svg'), len(panels),
                    title) +
        ''.join('unset object\n%splot %s\n' % panel for panel in panels) +
        'unset multiplot\n')


def write_points(folder, name, points):
    path = os.path.join(folder, name)
    with open(path, 'w') as f:
        for point in points:
            f.write(' '.join('%g' % value for value in point) + '\n')
    return path


def scale(values):
    """The range of y that all panels share."""
    values = [v for v in values if v > 0] or [1]
    return 'set yrange [%g:%g]\n' % (min(values) / 1.5, max(values) * 1.5)


def plot_timeline(name, title, series):
    """series: {label: (steps, spans)}, see timeline.py."""
    with tempfile.TemporaryDirectory() as folder:
        panels = []
        whole = scale([value for steps, _ in series.values()
                       for step in steps if step[1] for value in step[2:4]])
        for label, (steps, spans) in series.items():
            data = write_points(folder, label, [s for s in steps if s[1]])
            end = max((step[0] for step in steps), default=1)
            shades = ''.join(
                SHADE % (i + 1, begin, min(max(stop, begin + 0.01), end))
                for i, (begin, stop) in enumerate(spans) if begin < end)
            panels.append((
                whole + shades + 'set xrange [0:%g]\n' % end +
                'set title "%s"\n' % label,
                '"%s" using 1:4 with lines lw 1.5 lc rgb "#c0392b" title '
                '"p99", "" using 1:3 with lines lw 1.5 lc rgb "#2c5f8a" title '
                '"p50"' % data))
        return plot_panels(name, title, panels)


def plot_points(name, title, series, moment, seconds):
    """series: {label: [(seconds, us)]}; a line stands at the moment."""
    with tempfile.TemporaryDirectory() as folder:
        panels = []
        whole = scale([us for points in series.values() for _, us in points])
        for label, points in series.items():
            data = write_points(folder, label, points)
            panels.append((
                whole + 'set xrange [0:%g]\n' % seconds +
                SHADE % (1, moment, moment + 0.02) +
                'set title "%s"\n' % label,
                '"%s" with points pt 7 ps 0.3 lc rgb "#2c5f8a" title '
                '"a write"' % data))
        return plot_panels(name, title, panels)

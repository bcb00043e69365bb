# SPDX-License-Identifier: Apache-2.0
"""The lints find what they are for.

Goal    a lint that stays silent says something: it would have spoken.
Method  a tiny clean tree passes each lint; then one thing at a time is broken
        in a copy, and the lint must name it.

Usage: self_test.py [cc]
"""
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap

HERE = os.path.dirname(os.path.abspath(__file__))
STYLE = os.path.join(os.path.dirname(os.path.dirname(HERE)), '.clang-format')
CC = sys.argv[1:] or ['cc']  # more than a word with ccache
SPDX = '/* SPDX-License-Identifier: Apache-2.0 */\n'


def header(path, body=''):
    guard = 'FALCONER_' + path.replace('/', '_').replace('.', '_').upper()
    body = '\n' + body + '\n' if body else '\n'
    return f'{SPDX}#ifndef {guard}\n#define {guard}\n{body}#endif\n'


CLEAN = {
    'base/b.h': header('base/b.h', 'int b(void);\n'),
    'wire/w.h': header('wire/w.h', '#include "base/b.h"\n'),
    'znode/z.h': header('znode/z.h'),
    'consensus/c.h': header('consensus/c.h'),
    'consensus/c.c': SPDX + '#include "consensus/c.h"\n\n'
                            '#include <string.h>\n\n#include "base/b.h"\n',
    'drivers/stream.h': header('drivers/stream.h'),
    'drivers/disk_posix.h': header('drivers/disk_posix.h'),
    'dataplane/d.h': header('dataplane/d.h', '#include "drivers/stream.h"\n'),
    'store/s.h': header('store/s.h'),
    'server/v.c': SPDX + '#include "drivers/disk_posix.h"\n',
}


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True,
                          check=False)
    return done.returncode, done.stdout + done.stderr


def lint(name, *args):
    program = [sys.executable] if name.endswith('.py') else ['bash']
    return run(*program, os.path.join(HERE, name), *args)


class Tree:
    """A clean tree in a folder of its own, with some files replaced."""

    def __init__(self, **changes):
        self.changes = changes.get('files', {})

    def __enter__(self):
        self.root = tempfile.mkdtemp(prefix='falconer-lint-')
        for path, text in {**CLEAN, **self.changes}.items():
            full = os.path.join(self.root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'w', encoding='utf-8') as file:
                file.write(text)
        shutil.copy(STYLE, self.root)
        return self.root

    def __exit__(self, *unused):
        shutil.rmtree(self.root)


failures = []
checks = 0


def expect(what, result, status, part=''):
    global checks
    checks += 1
    got, out = result
    if got != status or part not in out:
        failures.append(what)
        print(f'FAILED {what}: status {got}, wanted {status} with '
              f'"{part}"\n{textwrap.indent(out, "    ")}')


def on_tree(name, path, text, part, *args):
    """The lint must find `part` when the file at path has this text."""
    with Tree(files={path: text}) as root:
        expect(f'{name}: {part}', lint(name, root, *args), 1, part)


def layering():
    with Tree() as root:
        expect('layering: a clean tree', lint('layering.py', root), 0)
    for path, line, part in [
            ('wire/w.h', '#include "znode/z.h"', 'wire/ must not know znode/'),
            ('base/b.h', '#include "wire/w.h"', 'base/ must not know wire/'),
            ('znode/z.h', '#include "consensus/c.h"', 'must not know'),
            ('consensus/c.h', '#include "znode/z.h"', 'must not know'),
            ('store/s.h', '#include "dataplane/d.h"', 'must not know'),
            ('dataplane/d.h', '#include "store/s.h"', 'must not know'),
            ('dataplane/d.h', '#  include "drivers/disk_posix.h"',
             'is an implementation'),
            ('dataplane/d.h', '#include "stream.h"', 'is no path'),
            ('server/v.c', '#include "consensus/c.c"', 'included by nobody'),
            ('dataplane/d.h', '#include <sys/socket.h>', 'belongs below'),
            ('server/v.c', '#include <rte_ethdev.h>', 'belongs below'),
            ('store/s.h', '#include <liburing.h>', 'belongs below'),
            ('consensus/c.h', '#include <stdlib.h>', 'is pure'),
            ('wire/w.h', '#include <stdio.h>', 'is pure')]:
        text = SPDX + line + '\n' if path.endswith('.c') \
            else header(path, line + '\n')
        on_tree('layering.py', path, text, part)
    on_tree('layering.py', 'consensus/c.c',
            SPDX + '#include <string.h>\n#include "consensus/c.h"\n',
            'comes first')


def tidy():
    long_body = 'int\nlong_one(void)\n{\n' + '\tb();\n' * 68 + '}\n'
    with Tree(files={'base/b.c': SPDX + long_body.replace(
            '\tb();\n', '', 1)}) as root:
        expect('tidy: a clean tree', lint('tidy.py', root), 0)
    for path, text, part in [
            ('base/b.c', 'int a;\n', 'no line SPDX'),
            ('base/b.c', SPDX + 'int a; \n', 'trailing blanks'),
            ('base/b.c', SPDX + 'int a;', 'no newline'),
            ('base/b.c', SPDX + 'int a;\n\n', 'blank lines at the end'),
            ('base/b.c', SPDX + '/* TO' 'DO: more */\n', 'unfinished'),
            ('base/b.c', SPDX + '#if 0\n#endif\n', 'switched off'),
            ('base/b.c', SPDX + 'int a = 1 +\n  \t2;\n', 'blanks before'),
            ('base/b.c', SPDX + '/* see /wo' 'rk/x */\n', 'one machine'),
            ('base/b.c', SPDX + '\n' * 800 + 'int a;\n', 'more than 800'),
            ('base/b.c', SPDX + long_body, 'long_one() has 71 lines'),
            ('base/b.h', header('base/c.h'), 'is not FALCONER_BASE_B_H'),
            ('script', '#!/bin/sh\ntrue\n', 'no line SPDX'),
            ('tests/t.c', SPDX + '\n' * 2000 + 'int a;\n', 'more than 2000')]:
        on_tree('tidy.py', path, text, part)


def config_used():
    def tree(user='', refused='', row=''):
        return Tree(files={
            'server/config_keys.def':
                f'INT(DIRECT, "some.key",\n    the_field, 0, 0, 9)\n{row}',
            'server/config.c':
                f'static int\nmissing_part(void)\n{{\n{refused}\n}}\n'
                'int x = config->the_field;\n',
            'server/build.c': user})

    read_it = 'int f(void) { return config->the_field; }\n'
    for what, made, status, part in [
            ('read', tree(user=read_it), 0, ''),
            ('refused', tree(refused='config->the_field,'), 0, ''),
            ('forgotten', tree(), 1, '1: some.key is accepted, and nobody'),
            ('harmless and read',
             tree(user=read_it + 'int g = config->leader_nodelay;',
                  row='INT(DIRECT, "some.other", leader_nodelay, 0, 0, 1)'),
             1, 'HARMLESS no more')]:
        with made as root:
            expect(f'config_used: {what}', lint('config_used.py', root),
                   status, part)


def matrix():
    """A page of 84 rows; the seventh is what is said here."""
    good = 'fault/rows.py: row_07_it_dies'

    def tree(cell=good, **files):
        rows = [f'| {n} | it dies | {cell if n == 7 else good} |'
                for n in range(1, 85) if cell or n != 7]
        return Tree(files={
            'docs/matrix.md': '\n'.join(rows) + '\n',
            'tests/fault/rows.py': 'def row_07_it_dies(group):\n',
            'tests/unit/a.c': 'static void\nit_dies(void **state)\n',
            'tests/interop/b.py': "@case('two; and it dies')\n", **files})

    for what, made, status, part in [
            ('whole', tree(), 0, ''),
            ('others', tree(good + '; unit/a.c: it_dies; '
                            'interop/b.py: two; and it dies'), 0, ''),
            ('not built', tree('not built: no need (' + good + ')'), 0, ''),
            ('a row is missing', tree(''), 1, 'there is no row 7'),
            ('a row twice', tree(good + ' |\n| 8 | again | ' + good), 1,
             'row 8 is not one'),
            ('no file', tree('fault/x.py: f'), 1, 'no tests/fault/x.py'),
            ('no test', tree('unit/a.c: it_die'), 1, 'there is no it_die'),
            ('a file alone', tree('unit/a.c'), 1, 'no test in it'),
            ('no reason', tree('not built'), 1, 'there is no tests/not'),
            ('left out', tree(**{'tests/script/row_09_x.txt': 'x'}), 1,
             'row 9 leaves out script/row_09_x.txt')]:
        with made as root:
            expect(f'matrix: {what}', lint('matrix.py', root), status, part)


def python_names():
    library = 'import os\nif os:\n    def there():\n        pass\nA, B = 1, 2\n'

    for what, text, status, part in [
            ('all there', 'from lib import A, there\nimport lib as l\n'
             'print(l.B, l.os, l.__file__, os.none)\nimport os\n', 0, ''),
            ('not ours', 'from json import none\n', 0, ''),
            ('none to take', 'from lib import pass_\n', 1,
             'tests/a.py:1: there is no pass_ in tests/lib.py'),
            ('none in it', 'import lib as l\n\n\nl.there(l.C)\n', 1,
             'tests/a.py:4: there is no C')]:
        with Tree(files={'tests/lib.py': library, 'tests/a.py': text}) as root:
            expect(f'python_names: {what}', lint('python_names.py', root),
                   status, part)


def formatting():
    if shutil.which('clang-format') is None:
        print('skipped: clang-format is not installed')
        return
    with Tree() as root:
        expect('format: a clean tree', lint('format.sh', root), 0)
    with Tree(files={'base/b.c': SPDX + 'int  a;\n'}) as root:
        got, out = lint('format.sh', root)
        expect('format: two blanks', (got != 0, out), True, 'base/b.c')


def headers():
    with Tree() as root:
        expect('headers: a clean tree',
               lint('headers.sh', root, root, ' '.join(CC), 'base', 'wire'), 0)
    on_tree('headers.sh', 'wire/w.h',
            header('wire/w.h', 'static inline uint32_t\nw(void)\n{\n'
                               '\treturn 1;\n}\n'),
            'wire/w.h does not compile alone', '.', ' '.join(CC), 'base', 'wire')


def compatibility():
    program = os.path.join(os.path.dirname(HERE), 'compat', 'compat.py')
    table = 'tests/compat/words.tsv'
    clean = {'server/words_text.c': '{.name = "ruok"},\n{.name = "conf"},\n',
             'tests/t.py': 'def both_answer():\n',
             table: 'ruok\tfull\ttests/t.py#both_answer\tsays imok\n'
                    'conf\tnone\t-\n',
             'docs/compatibility.md': ''}

    def verdict(files, writes=True):
        with Tree(files={**clean, **files}) as root:
            if writes:
                run(sys.executable, program, 'write', root)
            return run(sys.executable, program, 'check', root)

    expect('compat: clean', verdict({}), 0)
    expect('compat: stale', verdict({}, False), 1, 'run tests/compat')
    for row, part in [
            ('ruok\tfull\t-', 'conf: has no test'),
            ('ruok\tfull\ttests/t.py', 'names a file and no test'),
            ('ruok\tfull\ttests/t.py#neither', 'a test that is not there'),
            ('ruok\tfull\ttests/none.py#x', 'a test that is not there'),
            ('ruok\tmaybe\ttests/t.py#both', "no state 'maybe'"),
            ('ruok', 'three or four fields'),
            ('other\tnone\t-', 'no row for ruok')]:
        rows = row + '\n'
        if 'conf' in part:
            rows = 'conf\tfull\t-\nruok\tnone\t-\n'
        expect('compat: ' + part, verdict({table: rows}), 1, part)


def compile_archive(folder, text):
    source = os.path.join(folder, 'x.c')
    archive = os.path.join(folder, 'x.a')
    with open(source, 'w', encoding='ascii') as file:
        file.write(text)
    subprocess.run([*CC, '-O2', '-fPIC', '-c', source, '-o', source + '.o'],
                   check=True)
    subprocess.run(['ar', 'rcs', archive, source + '.o'], check=True)
    return archive


def pure_symbols():
    with tempfile.TemporaryDirectory(prefix='falconer-lint-') as folder:
        def check(text, *args):
            return lint('pure_symbols.sh', *args,
                        compile_archive(folder, text))

        clean = ('#include <string.h>\n'
                 'const char *const names[] = {"a", "b"};\n'
                 'void f(char *a, const char *b, size_t n)\n'
                 '{ memcpy(a, b, n); }\n'
                 'void g(char *a) { f(a, names[1], 1); }\n')
        expect('pure: clean', check(clean), 0)
        expect('pure: malloc', check(
            '#include <stdlib.h>\nvoid *f(void) { return malloc(8); }\n'), 1,
            'needs from outside: malloc')
        expect('pure: clock', check(
            '#include <time.h>\nlong f(void) { return time(0); }\n'), 1,
            'needs from outside: time')
        expect('pure: allowed by hand', check(
            '#include <time.h>\nlong f(void) { return time(0); }\n',
            '-a', 'time'), 0)
        expect('pure: a variable', check(
            'int counter;\nint f(void) { return counter++; }\n'), 1,
            'has variables: counter')
        expect('pure: a static variable', check(
            'int f(void) { static int calls = 3; return calls++; }\n'), 1,
            'has variables: calls')
        expect('pure: an empty archive', check('static int x;\n'), 1,
               'defines nothing')


def read_path():
    with tempfile.TemporaryDirectory(prefix='falconer-lint-') as folder:
        def check(text):
            return lint('read_path.py', 'read_.*',
                        compile_archive(folder, text))

        start = '#include <stdlib.h>\n#define KEEP __attribute__((noinline))\n'
        expect('read path: clean', check(
            start + 'KEEP static int deep(int i) { return i * 3; }\n'
                    'int read_it(int i) { return deep(i) + 1; }\n'
                    'void *write_it(void) { return malloc(8); }\n'), 0,
            '1 starting functions: read_it')
        expect('read path: two calls deep', check(
            start + 'void *deep(size_t n);\n'
                    'KEEP void *deep(size_t n) { return malloc(n); }\n'
                    'KEEP static int middle(size_t n)\n'
                    '{ return deep(n) != 0; }\n'
                    'int read_it(size_t n) { return middle(n) + 1; }\n'), 1,
            'read_it -> middle')
        expect('read path: a tail call', check(
            start + 'void read_it(void *p) { free(p); }\n'), 1,
            'read_it -> free')
        expect('read path: nothing to start from', check(
            'int other(void) { return 1; }\n'), 1, 'no function matches')


def probes():
    with tempfile.TemporaryDirectory(prefix='falconer-lint-') as folder:
        archive = compile_archive(
            folder, '#include <sys/sdt.h>\n'
            'void f(long a) { DTRACE_PROBE2(falconer, seen, a, 2); }\n')
        os.makedirs(os.path.join(folder, 'docs'))

        def check(row):
            with open(os.path.join(folder, 'docs/perf.md'), 'w',
                      encoding='ascii') as file:
                file.write(row + '\n')
            return lint('probes.py', folder, archive)

        expect('probes: clean', check('| `seen(a, b)` | when |'), 0)
        expect('probes: not told', check('nothing'), 1,
               'does not tell of the probe seen')
        expect('probes: not there', check(
            '| `seen(a, b)` | |\n| `gone()` | |'), 1,
            'gone is not in the server')
        expect('probes: arguments', check('| `seen(a)` | |'), 1,
               'seen has 2 arguments, not 1')


def main():
    for group in (layering, tidy, config_used, matrix, python_names,
                  formatting, headers, compatibility, pure_symbols,
                  read_path, probes):
        group()
    print(f'{checks} checks, {len(failures)} failed')
    sys.exit(bool(failures))


if __name__ == '__main__':
    main()

# SPDX-License-Identifier: Apache-2.0
"""docs/compatibility.md, and the proof that it is whole.

Every row of the tables beside this file names what ZooKeeper has, the state
of it here and the test that proves it (README.md has the format).  `write`
makes the page; `check` fails if a row is without a test, names a test that
is not there, or if the sources know a name that has no row.

Usage: compat.py write|check [root]
"""
import os
import re
import sys

STATES = ('full', 'partial', 'own', 'accepted', 'refused', 'none')

# file, title, what stands above the table
SUBJECTS = (
    ('opcodes', 'Operations', 'Numbers and names of section 3 of the client '
     'protocol.'),
    ('errors', 'Error codes', 'Codes that no server ever sends are left out.'),
    ('keys', 'Keys of zoo.cfg', 'A key that ends in `.*` stands for all that '
     'begin so and have no row.'),
    ('words', 'Four-letter words', ''),
    ('admin', 'Admin commands', ''),
    ('metrics', 'Metrics', 'As `mntr` (with `zk_` in front) and `/metrics` '
     'name them.'),
)

INTRO = '''# Compatibility with ZooKeeper

Made by `tests/compat/compat.py write` from the tables in `tests/compat/`; a
lint fails if a row has no test. The measure is ZooKeeper 3.9 and 3.10; where
releases differ the newer behaviour is ours.

| state | meaning |
|---|---|
| full | as in ZooKeeper |
| partial | what is missing is said |
| own | Falconer's; ZooKeeper has nothing of that name |
| accepted | taken and without effect: there is nothing to set |
| refused | answered with an error, or stops the start, by name |
| none | not there |
'''


def rows_of(root, name):
    """The rows of a table as lists of four fields."""
    path = os.path.join(root, 'tests', 'compat', name + '.tsv')
    if not os.path.exists(path):
        return []
    with open(path, encoding='utf-8') as f:
        lines = [line.rstrip('\n') for line in f]
    return [(line.split('\t') + [''])[:4] if line.count('\t') in (2, 3)
            else [line] for line in lines if line and line[0] != '#']


def read(root, *path):
    name = os.path.join(root, *path)
    if not os.path.exists(name):
        return ''
    with open(name, encoding='utf-8', errors='replace') as f:
        return f.read()


def enum_numbers(text, name):
    """The numbers of a C enum."""
    body = re.search(r'enum %s \{(.*?)\n\};' % name, text, re.S)
    return set(re.findall(r'= (-?\d+),', body.group(1))) if body else set()


def known_names(root):
    """What the sources know, by subject."""
    proto = read(root, 'wire', 'proto.h')
    stats = read(root, 'base', 'stats.def')
    return {
        'opcodes': enum_numbers(proto, 'proto_op'),
        'errors': enum_numbers(proto, 'proto_err'),
        'keys': set(re.findall(r'^[A-Z]+\(\w+,\s*"([^"]+)"',
                               read(root, 'server', 'config_keys.def'),
                               re.M)),
        'words': set(re.findall(r'\{\s*\.name = "(\w{4})"',
                                read(root, 'server', 'words_text.c'))),
        'admin': set(re.findall(r'^\s*\{"(\w+)",\s*\{',
                                read(root, 'server', 'admin_commands.c'),
                                re.M)),
        'metrics': set(re.findall(r'^STAT\w*\([^"]*"([^"]+)"', stats, re.M)),
    }


def name_of(subject, row):
    return row[0].split(' ')[0] if subject in ('opcodes', 'errors') \
        else row[0]


def test_error(root, row):
    """What is wrong with the test a row names, or None."""
    if row[2] == '-':
        return None if row[1] == 'none' else 'has no test'
    path, _, text = row[2].partition('#')
    if not text:
        return 'names a file and no test in it'
    if text not in read(root, path):
        return 'names a test that is not there: %s' % row[2]
    return None


def check_rows(root, subject, rows, known):
    """Yields complaints about one table."""
    seen = set()
    for row in rows:
        where = 'tests/compat/%s.tsv: %s' % (subject, row[0])
        if len(row) < 4:
            yield where + ': three or four fields, separated by tabs'
            continue
        name = name_of(subject, row)
        if name in seen:
            yield where + ': twice'
        seen.add(name)
        if row[1] not in STATES:
            yield '%s: no state %r' % (where, row[1])
        error = test_error(root, row)
        if error:
            yield '%s: %s' % (where, error)
    # A subject nobody has begun has no rows at all.
    if rows:
        for name in sorted(known - seen):
            yield 'tests/compat/%s.tsv: no row for %s' % (subject, name)


def page(root):
    out = [INTRO]
    for subject, title, above in SUBJECTS:
        rows = [r for r in rows_of(root, subject) if len(r) == 4]
        if not rows:
            continue
        counts = ', '.join('%d %s' % (n, s) for s in STATES for n in [
            sum(r[1] == s for r in rows)] if n)
        out.append('\n## %s\n\n%s%d: %s.\n' % (
            title, above + ' ' if above else '', len(rows), counts))
        out.append('\n| name | state | test | note |\n|---|---|---|---|\n')
        for name, state, test, note in rows:
            path, _, text = test.partition('#')
            shown = '' if test == '-' else '%s: %s' % (
                os.path.relpath(path, 'tests'), text)
            out.append('| `%s` | %s | %s | %s |\n' % (
                name, state, shown.replace('|', '\\|'),
                note.replace('|', '\\|')))
    return ''.join(out) + old_versions(root)


def old_versions(root):
    """What the differential test lets pass, as a section."""
    text = read(root, 'tests', 'interop', 'differential.py')
    table = re.search(r"^ALLOWED = .*?^\]\)", text, re.M | re.S)
    rows = re.findall(r"\('([^']+)',\s*'([^']+)'\)",
                      table.group(0)) if table else []
    if not rows:
        return ''
    return ('\n## Where ZooKeeper 3.8.0 answers otherwise\n\nAll that '
            '`tests/interop/differential.py` lets pass beside Debian\'s '
            'server.\n\n| what | how |\n|---|---|\n' +
            ''.join('| %s | %s |\n' % row for row in rows))


def check(root):
    errors = []
    known = known_names(root)
    for subject, _, _ in SUBJECTS:
        errors += check_rows(root, subject, rows_of(root, subject),
                             known.get(subject, set()))
    if read(root, 'docs', 'compatibility.md') != page(root):
        errors.append('docs/compatibility.md is not what the tables say: '
                      'run tests/compat/compat.py write')
    for error in errors:
        print(error)
    return 1 if errors else 0


def main():
    root = sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(
        os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if sys.argv[1:2] in (['-h'], ['--help']):
        print(__doc__)
        return 0
    if sys.argv[1:2] == ['write']:
        with open(os.path.join(root, 'docs', 'compatibility.md'), 'w',
                  encoding='utf-8') as f:
            f.write(page(root))
        return 0
    return check(root)


if __name__ == '__main__':
    sys.exit(main())

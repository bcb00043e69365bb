# SPDX-License-Identifier: Apache-2.0
"""Each row of docs/matrix.md is there and names tests that exist.

    | 4 | what happens | script/row_04_x.txt; fault/rows.py: row_04_y |
    | 73 | what happens | not built: why (unit/server/test_config.c: name) |

A test is a file below tests/, or a file and a name in it: a function that is
defined there, or the title of a case. A file whose name says that it is of
that row (row_04_) must not be left out.

Usage: matrix.py [root]
"""
import os
import re
import sys

import sources

PAGE = 'docs/matrix.md'
ROWS = 84
NOT_BUILT = re.compile(r'not built: \S.*\((.+)\)$')


def defines(text, name):
    """A function of that name, or a case of that title."""
    word = re.escape(name)
    return bool(re.search(rf'^def {word}\(|^{word}\(', text, re.M) or
                f"'{name}'" in text or
                re.search(rf"'[^'\n]*\b{word}\b[^'\n]*'", text))


def wrong_with(root, test):
    """What is wrong with one named test, or None."""
    path, _, name = test.partition(': ')
    path = os.path.join('tests', path)
    if not os.path.isfile(os.path.join(root, path)):
        return f'there is no {path}'
    if name and not defines(sources.read(root, path), name):
        return f'there is no {name} in {path}'
    if not name and not path.endswith('.txt'):
        return f'names {path} and no test in it'
    return None


def split(cell):
    """The tests that a cell names. A title may hold a semicolon: only those
    before a path part them."""
    reason = NOT_BUILT.fullmatch(cell)
    if reason:
        cell = reason.group(1)
    return re.split(r'; (?=[a-z]+/)', cell)


def own_stories(root):
    """{row: files and functions whose names say that they are of it}"""
    found = {}
    folder = os.path.join(root, 'tests', 'script')
    names = [('script/' + n, n) for n in os.listdir(folder)
             if n.startswith('row_')] if os.path.isdir(folder) else []
    rows = os.path.join('tests', 'fault', 'rows.py')
    if os.path.isfile(os.path.join(root, rows)):
        names += [('fault/rows.py: ' + n, n) for n in re.findall(
            r'^def (row_\w+)\(', sources.read(root, rows), re.M)]
    for test, name in names:
        for number in re.match(r'row((?:_\d\d)+)_', name).group(1).split(
                '_')[1:]:
            found.setdefault(int(number), []).append(test)
    return found


def check(root):
    stories = own_stories(root)
    seen = set()
    for line, text in enumerate(sources.read(root, PAGE).split('\n'), 1):
        row = re.fullmatch(r'\| (\d+) \| (.+?) \| (.+) \|', text)
        if row is None:
            if re.match(r'\| *\d', text):
                yield PAGE, line, 'is no row of three cells'
            continue
        number, tests = int(row.group(1)), split(row.group(3))
        if number in seen or not 1 <= number <= ROWS:
            yield PAGE, line, f'row {number} is not one of 1..{ROWS}, once'
        seen.add(number)
        for test in tests:
            wrong = wrong_with(root, test)
            if wrong:
                yield PAGE, line, f'row {number}: {wrong}'
        for story in stories.get(number, []):
            if story not in tests:
                yield PAGE, line, f'row {number} leaves out {story}'
    for number in sorted(set(range(1, ROWS + 1)) - seen):
        yield PAGE, 1, f'there is no row {number}'


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else '.'
    sources.finish(list(check(root)))


if __name__ == '__main__':
    main()

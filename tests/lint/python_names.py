# SPDX-License-Identifier: Apache-2.0
"""What a Python file takes from another of ours is there.

Nothing is run: `from a import b` and `a.b` are looked up among the names that
the file of a has at its outermost level. A test that is split, or a function
that is renamed, is else noticed only when the file that was forgotten runs.

Usage: python_names.py [root]
"""
import ast
import os
import sys

import sources

EVERYWHERE = {'__doc__', '__file__', '__name__'}


def modules(root):
    """path: its syntax tree, of all Python files."""
    return {path: ast.parse(sources.read(root, path), path)
            for path in sources.walk(root) if path.endswith('.py')}


def targets(node):
    """Names that an assignment binds."""
    return {name.id for name in ast.walk(node)
            if isinstance(name, ast.Name) and
            isinstance(name.ctx, ast.Store)}


def bound(body):
    """Names that statements bind at their level."""
    names = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split('.')[0]
                      for alias in node.names}
        else:
            names |= targets(node)
            for part in ('body', 'orelse', 'finalbody', 'handlers'):
                names |= bound(getattr(node, part, []))
    return names


def find(name, path, trees):
    """The file that path means by a module's name, or None: not ours."""
    beside = os.path.join(os.path.dirname(path), name + '.py')
    if beside in trees and beside != path:
        return beside
    same = [p for p in trees
            if os.path.basename(p) == name + '.py' and p != path]
    return same[0] if len(same) == 1 else None


def faults(path, trees, names):
    ours = {}           # name in this file: path of the module
    for node in ast.walk(trees[path]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found = find(alias.name, path, trees)
                if found is not None:
                    ours[alias.asname or alias.name] = found
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = find(node.module, path, trees)
            for alias in node.names if found else []:
                if alias.name not in names[found]:
                    yield path, node.lineno, 'there is no %s in %s' % (
                        alias.name, found)
    for node in ast.walk(trees[path]):
        if isinstance(node, ast.Attribute) and \
                isinstance(node.value, ast.Name) and node.value.id in ours:
            found = ours[node.value.id]
            if node.attr not in names[found] | EVERYWHERE:
                yield path, node.lineno, 'there is no %s in %s' % (
                    node.attr, found)


def main(root):
    trees = modules(root)
    names = {path: bound(tree.body) for path, tree in trees.items()}
    sources.finish([fault for path in trees
                    for fault in faults(path, trees, names)])


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else os.curdir)

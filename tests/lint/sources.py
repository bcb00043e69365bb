# SPDX-License-Identifier: Apache-2.0
"""What the lints share: which files there are, and how findings are told."""
import os
import sys

# Products of builds, data, and editors; never looked into.
SKIPPED_FOLDERS = ('.git', 'data', '__pycache__', '.cache', 'golden')


def walk(root):
    """Yields the paths of all files below root, relative to it, sorted."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            name for name in folders
            if name not in SKIPPED_FOLDERS and not name.startswith('build'))
        for name in sorted(files):
            yield os.path.relpath(os.path.join(folder, name), root)


def read(root, path):
    with open(os.path.join(root, path), encoding='utf-8') as file:
        return file.read()


def finish(findings):
    """Prints (path, line, text) and ends with the status of a lint."""
    for path, line, text in findings:
        print(f'{path}:{line}: {text}')
    if findings:
        print(f'{len(findings)} findings')
    sys.exit(1 if findings else 0)

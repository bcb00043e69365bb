# SPDX-License-Identifier: Apache-2.0
"""Libraries that are put under the processes of members."""
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


def build(source, folder):
    """Compiles a shim into a folder, once; its path."""
    out = os.path.join(folder, source[:-len('.c')] + '.so')
    if not os.path.exists(out):
        subprocess.run(['cc', '-std=gnu11', '-O1', '-fPIC', '-shared',
                        '-D_GNU_SOURCE', '-Wall', '-Werror',
                        os.path.join(HERE, source), '-o', out, '-ldl',
                        '-lpthread'], check=True)
    return out


def preload(member, source):
    """From its next start on; several go one above the other."""
    before = member.environment.get('LD_PRELOAD')
    library = build(source, member.ensemble.home)
    member.environment['LD_PRELOAD'] = \
        library if before is None else before + ':' + library

# SPDX-License-Identifier: Apache-2.0
"""The wall clock of a member, that jumps.

Goal: one member's clock is wrong, or becomes wrong, while the others' is not.

Method: clock_shim.c below the process by LD_PRELOAD, on top of other shims;
this side writes the control file, which outlives the process as the machine's
clock does.
"""
import mmap
import os
import struct

import shims

OFFSET, READS = 0, 8


class Clock:
    """The clock under one member; attach before its start."""

    def __init__(self, member):
        control = os.path.join(member.home, 'clock.control')
        with open(control, 'wb') as f:
            f.write(bytes(4096))
        with open(control, 'r+b') as f:
            self.map = mmap.mmap(f.fileno(), 4096)
        shims.preload(member, 'clock_shim.c')
        member.environment['FAULT_CLOCK_CONTROL'] = control

    def jump(self, seconds):
        """The clock is wrong by so much more from now on."""
        struct.pack_into('<q', self.map, OFFSET,
                         self.offset_ns() + int(seconds * 1e9))

    def offset_ns(self):
        return struct.unpack_from('<q', self.map, OFFSET)[0]

    def reads(self):
        """How often the program asked for the time."""
        return struct.unpack_from('<I', self.map, READS)[0]

    def heal(self):
        struct.pack_into('<q', self.map, OFFSET, 0)

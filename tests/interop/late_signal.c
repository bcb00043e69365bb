/* SPDX-License-Identifier: Apache-2.0 */
/* late_signal - a second SIGTERM for a server that has freed all it had: sent
 * when the process runs its last functions. Preloaded by starts.py. */
#include <signal.h>

__attribute__((destructor)) static void
late_signal(void)
{
	raise(SIGTERM);
}

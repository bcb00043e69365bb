/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a port may be listened on at one address of ours and at another one, or
 * at all of them, and never twice at the same. Method: listeners that meet and
 * listeners that do not; each is found by its address.
 */

#include "packet_eal.h"
#include "packet_rig.h"

#define PORT 80u

int
main(void)
{
	struct rte_mempool *pool = packet_eal_pool(1023);
	const struct rig_options options = {0};
	const struct tcp_address ipv4 = tcp_address_ipv4(RIG_ADDRESS);
	const struct tcp_address ipv6 = {{0xfd000000u, 0, 0, 5}};
	struct tcp_core *core;
	struct rig rig;

	rig_start(&rig, pool, &options);
	core = rig.core;
	FAL_ASSERT(tcp_listen_on(core, &ipv4, PORT, 1) == 0);
	FAL_ASSERT(tcp_listen_on(core, &ipv6, PORT, 2) == 0);
	FAL_ASSERT(tcp_syn_listener(core, &ipv4, PORT)->tag == 1);
	FAL_ASSERT(tcp_syn_listener(core, &ipv6, PORT)->tag == 2);
	FAL_ASSERT(tcp_listen_on(core, &ipv4, PORT, 3) == FAL_EBUSY);
	FAL_ASSERT(tcp_listen(core, PORT, 3) == FAL_EBUSY);

	/* Who ends one leaves the other. */
	FAL_ASSERT(tcp_unlisten(core, PORT, 1));
	FAL_ASSERT(!tcp_unlisten(core, PORT, 1));
	FAL_ASSERT(tcp_syn_listener(core, &ipv4, PORT) == NULL);
	FAL_ASSERT(tcp_syn_listener(core, &ipv6, PORT)->tag == 2);
	FAL_ASSERT(tcp_listen(core, PORT, 3) == FAL_EBUSY);
	FAL_ASSERT(tcp_unlisten(core, PORT, 2));
	FAL_ASSERT(tcp_listen(core, PORT, 3) == 0);
	FAL_ASSERT(tcp_listen_on(core, &ipv6, PORT, 2) == FAL_EBUSY);
	FAL_ASSERT(tcp_syn_listener(core, &ipv4, PORT)->tag == 3);
	rig_stop(&rig);
	return 0;
}

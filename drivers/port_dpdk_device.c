/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_dpdk_device - finding a device in DPDK or making it, its queues, and
 * what is done before and after because of what drivers need:
 *
 *   net_tap        as many rx as tx queues; frames are announced by a signal
 *   net_vhost      the socket of a process that was killed is in the way; one
 *                  queue unless queues= says that the other side has more
 *   net_virtio_user  with server=1 likewise
 *   net_af_packet  queues by qpairs=; the descriptor is found by search
 *   net_af_xdp     by queue_count=; without busy polling, which would be a
 *                  system call in each empty poll
 *   cards          RSS over the queues, if they have it
 */
#include "drivers/port_dpdk_int.h"

#include <errno.h>
#include <libgen.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "base/log.h"
#include "drivers/port_pool.h"
#include "drivers/port_wait.h"

#define RX_DESCRIPTORS 1024u
#define TX_DESCRIPTORS 1024u

#define RSS_WANTED                                         \
	(RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_IPV4 | \
	 RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_IPV6)
#define RX_OFFLOADS                                                     \
	(RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM | \
	 RTE_ETH_RX_OFFLOAD_RSS_HASH)
#define TX_OFFLOADS RTE_ETH_TX_OFFLOAD_TCP_CKSUM
/* What a device must have to cut segments. */
#define TX_SEGMENTS                                                   \
	(RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS | \
	 RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM)
/* The driver of tap takes no segment whose frame is larger than the MTU, which
 * is about packets. So it is told this much more, as far as it allows. */
#define TAP_MTU_EXTRA (RTE_ETHER_HDR_LEN + 4u)

#ifndef AF_XDP
#define AF_XDP 44
#endif

/* ---- the name ---- */

static bool
is_virtual(const char *device)
{
	return strncmp(device, "net_", 4) == 0;
}

static enum port_dpdk_kind
kind_of(const char *device)
{
	static const struct {
		const char *prefix;
		enum port_dpdk_kind kind;
	} kinds[] = {
		{"net_tap", PORT_DPDK_TAP},
		{"net_af_packet", PORT_DPDK_PACKET},
		{"net_af_xdp", PORT_DPDK_XDP},
		{"net_vhost", PORT_DPDK_OTHER},
		{"net_virtio_user", PORT_DPDK_OTHER},
		{"net_", PORT_DPDK_MUTE},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(device, kinds[i].prefix, strlen(kinds[i].prefix)) ==
		    0)
			return kinds[i].kind;
	return PORT_DPDK_OTHER;
}

bool
port_dpdk_argument(const char *device, const char *key, char *value,
		   size_t room)
{
	const size_t key_bytes = strlen(key);
	const char *at = strchr(device, ',');

	while (at != NULL) {
		at++;
		if (strncmp(at, key, key_bytes) == 0 && at[key_bytes] == '=') {
			snprintf(value, room, "%.*s",
				 (int)strcspn(at + key_bytes + 1, ","),
				 at + key_bytes + 1);
			return true;
		}
		at = strchr(at, ',');
	}
	return false;
}

/* ---- what must be done before ---- */

/* Whether a socket can be made there. */
static int
check_folder(const char *path, struct port_error *error)
{
	char folder[108];

	snprintf(folder, sizeof(folder), "%s", path);
	if (access(dirname(folder), W_OK) == 0)
		return 0;

	const int reason = errno;

	snprintf(folder, sizeof(folder), "%s", path);
	return port_explain(error, FAL_EIO,
			    "falconer.dpdk.port: no socket can be made in %s: "
			    "%s; make the folder, or choose another",
			    dirname(folder), strerror(reason));
}

/* Removes the socket of a process that is gone; one that answers stays. */
static int
clear_socket(const char *path, struct port_error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int answer;

	if (fd < 0)
		return port_explain(error, FAL_ELIMIT,
				    "no descriptors left: ulimit -n");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	answer =
		connect(fd, (const struct sockaddr *)&address, sizeof(address));
	const int reason = errno;

	close(fd);
	if (answer == 0)
		return port_explain(error, FAL_EBUSY,
				    "%s: another process listens on it; stop "
				    "it or choose another path",
				    path);
	if (reason == ECONNREFUSED)
		unlink(path);
	return check_folder(path, error);
}

/* A second process on a tap device gets a part of the frames of the first.
 * One that was made before and waits for a process has no carrier. */
static int
check_tap(const char *netdev, struct port_error *error)
{
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {0};
	bool is_used;

	if (fd < 0)
		return port_explain(error, FAL_ELIMIT,
				    "no descriptors left: ulimit -n");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s", netdev);
	is_used = ioctl(fd, SIOCGIFFLAGS, &request) == 0 &&
		  (request.ifr_flags & IFF_RUNNING) != 0;
	close(fd);
	if (!is_used)
		return 0;
	return port_explain(error, FAL_EBUSY,
			    "falconer.dpdk.port: the netdev %s is in use, by "
			    "another server say; stop that or choose another "
			    "iface=",
			    netdev);
}

static int
check_netdev(const struct port_dpdk *device, const char *netdev,
	     struct port_error *error)
{
	if (device->kind == PORT_DPDK_TAP)
		return check_tap(netdev, error);
	if (if_nametoindex(netdev) != 0)
		return 0;
	return port_explain(error, FAL_EINVAL,
			    "falconer.dpdk.port: there is no netdev %s; ip "
			    "link lists them",
			    netdev);
}

static int
prepare(struct port_dpdk *device, struct port_error *error)
{
	const char *text = device->options.device;
	char path[108], server[8];

	if ((device->kind == PORT_DPDK_TAP || device->kind == PORT_DPDK_XDP ||
	     device->kind == PORT_DPDK_PACKET) &&
	    port_dpdk_argument(text, "iface", path, sizeof(path)))
		return check_netdev(device, path, error);
	if (strncmp(text, "net_vhost", 9) == 0 &&
	    port_dpdk_argument(text, "iface", path, sizeof(path)) &&
	    !port_dpdk_argument(text, "client", server, sizeof(server)))
		return clear_socket(path, error);
	if (strncmp(text, "net_virtio_user", 15) == 0 &&
	    port_dpdk_argument(text, "path", path, sizeof(path)) &&
	    port_dpdk_argument(text, "server", server, sizeof(server)))
		return clear_socket(path, error);
	return 0;
}

/* The arguments DPDK gets: the operator's, and those for the queues. */
static void
arguments_complete(const struct port_dpdk *device, char *text, size_t room)
{
	const char *given = device->options.device;
	const unsigned queues = device->options.queues_max != 0
					? device->options.queues_max
					: device->options.core_count;
	char value[16];

	snprintf(text, room, "%s", given);
	if (device->kind == PORT_DPDK_PACKET && queues > 1 &&
	    !port_dpdk_argument(given, "qpairs", value, sizeof(value)))
		snprintf(text, room, "%s,qpairs=%u", given, queues);
	if (device->kind == PORT_DPDK_XDP &&
	    !port_dpdk_argument(given, "busy_budget", value, sizeof(value)))
		snprintf(text, room, "%s,busy_budget=0", given);
}

/* What an error of a driver says; -1, which many return, says nothing. */
static const char *
reason_text(int err)
{
	return err == -1 ? "for no stated reason" : rte_strerror(-err);
}

static const char *
user_text(void)
{
	return geteuid() == 0 ? "" : ". It may need root";
}

/* Makes a virtual device; a card has been found by EAL. */
static int
probe(struct port_dpdk *device, struct port_error *error)
{
	char text[512];
	int err;

	if (is_virtual(device->options.device)) {
		arguments_complete(device, text, sizeof(text));
		err = rte_dev_probe(text);
		if (err != 0)
			return port_explain(
				error, FAL_EIO,
				"falconer.dpdk.port=%s: the driver refuses it "
				"(%s); the lines before tell why%s",
				device->options.device, reason_text(err),
				user_text());
	}
	if (rte_eth_dev_get_port_by_name(device->name, &device->port_id) != 0)
		return port_explain(
			error, FAL_EIO,
			"falconer.dpdk.port=%s: no such device; a card must be "
			"bound to vfio-pci first (dpdk-devbind.py --status)",
			device->options.device);
	return 0;
}

/* ---- queues ---- */

static uint16_t
least(uint16_t a, uint16_t b)
{
	return a < b ? a : b;
}

static uint16_t
queues_wanted(const struct port_dpdk *device,
	      const struct rte_eth_dev_info *info)
{
	uint16_t wanted = (uint16_t)device->options.core_count;

	if (device->options.queues_max != 0)
		wanted = least(wanted, device->options.queues_max);
	wanted = least(wanted, info->max_rx_queues);
	return least(wanted, info->max_tx_queues);
}

/* Whether the device is able to cut full segments. */
static bool
can_cut(const struct port_dpdk *device, const struct rte_eth_dev_info *info)
{
	const uint32_t frame = device->options.mtu + TAP_MTU_EXTRA +
			       RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;

	if ((info->tx_offload_capa & TX_SEGMENTS) != TX_SEGMENTS)
		return false;
	return device->kind != PORT_DPDK_TAP || frame <= info->max_rx_pktlen;
}

static int
configure(struct port_dpdk *device, const struct rte_eth_dev_info *info)
{
	struct rte_eth_conf conf = {
		.rxmode.mtu = device->options.mtu,
		.rxmode.offloads = RX_OFFLOADS & info->rx_offload_capa,
		.txmode.offloads = TX_OFFLOADS & info->tx_offload_capa,
	};
	uint16_t count = queues_wanted(device, info);
	int err;

	if (can_cut(device, info)) {
		conf.txmode.offloads |= TX_SEGMENTS;
		if (device->kind == PORT_DPDK_TAP)
			conf.rxmode.mtu += TAP_MTU_EXTRA;
	}
	/* Virtual devices that claim RSS fail later (net_tap). */
	device->has_rss = count > 1 && !is_virtual(device->options.device) &&
			  (info->flow_type_rss_offloads & RSS_WANTED) != 0;
	if (device->has_rss) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf =
			RSS_WANTED & info->flow_type_rss_offloads;
	} else {
		conf.rxmode.offloads &= ~RTE_ETH_RX_OFFLOAD_RSS_HASH;
	}
	device->has_interrupts =
		device->options.may_sleep && (device->kind == PORT_DPDK_OTHER ||
					      device->kind == PORT_DPDK_TAP);
	conf.intr_conf.rxq = device->has_interrupts ? 1 : 0;
	err = rte_eth_dev_configure(device->port_id, count, count, &conf);
	if (err != 0 && device->has_interrupts) {
		device->has_interrupts = false;
		conf.intr_conf.rxq = 0;
		err = rte_eth_dev_configure(device->port_id, count, count,
					    &conf);
	}
	device->queue_count = count;
	device->tx_offloads = 0;
	if ((conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0)
		device->tx_offloads |= PORT_TX_TCP_CHECKSUM;
	if ((conf.txmode.offloads & TX_SEGMENTS) == TX_SEGMENTS)
		device->tx_offloads |= PORT_TX_TCP_SEGMENTS;
	return err;
}

static int
set_up_queues(struct port_dpdk *device)
{
	uint16_t rx = RX_DESCRIPTORS, tx = TX_DESCRIPTORS;
	const int socket = rte_eth_dev_socket_id(device->port_id);
	int err = rte_eth_dev_adjust_nb_rx_tx_desc(device->port_id, &rx, &tx);

	for (uint16_t i = 0; i < device->queue_count && err == 0; i++) {
		err = rte_eth_rx_queue_setup(device->port_id, i, rx,
					     (unsigned)socket, NULL,
					     device->cores[i].pool);
		if (err == 0)
			err = rte_eth_tx_queue_setup(device->port_id, i, tx,
						     (unsigned)socket, NULL);
	}
	return err;
}

static void
share_queues(struct port_dpdk *device)
{
	struct rte_ether_addr mac;

	/* Who comes back keeps its name: others know it by that. */
	if (device->has_mac) {
		memcpy(mac.addr_bytes, device->cores[0].port.mac,
		       PORT_MAC_BYTES);
		device->has_mac = rte_eth_dev_default_mac_addr_set(
					  device->port_id, &mac) == 0;
	}
	if (!device->has_mac)
		rte_eth_macaddr_get(device->port_id, &mac);
	device->has_mac = true;
	for (uint16_t i = 0; i < device->options.core_count; i++) {
		struct port_dpdk_core *core = &device->cores[i];

		core->queue = i < device->queue_count ? i : PORT_DPDK_NONE;
		core->sender = (uint16_t)(i % device->queue_count);
		memcpy(core->port.mac, mac.addr_bytes, PORT_MAC_BYTES);
		core->port.tx_offloads = device->tx_offloads;
	}
}

/* The sockets that the driver opened since, in the order of its queues. */
static void
find_descriptors(struct port_dpdk *device, const struct port_fds *before)
{
	const int family = device->kind == PORT_DPDK_XDP ? AF_XDP : AF_PACKET;
	int found[PORT_STEER_CORES_MAX];
	uint32_t count;

	for (uint32_t i = 0; i < PORT_STEER_CORES_MAX; i++)
		device->cores[i].frames_fd = -1;
	if (device->kind != PORT_DPDK_XDP && device->kind != PORT_DPDK_PACKET)
		return;
	count = port_fds_new_sockets(before, family, found,
				     PORT_STEER_CORES_MAX);
	for (uint32_t i = 0; i < count && i < device->queue_count; i++)
		device->cores[i].frames_fd = found[i];
	if (count < device->queue_count)
		LOG_WARN("%s: the descriptors of its queues were not found; "
			 "idle cores look every 200 us",
			 device->name);
}

/* As DPDK reckons: what is no payload of the longest frame, or, where the
 * driver does not say it, header and checksum. */
static uint32_t
mtu_max(const struct rte_eth_dev_info *info)
{
	const uint32_t frame = info->max_rx_pktlen;
	const uint32_t plain = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;

	if (info->max_mtu != UINT16_MAX && frame > info->max_mtu)
		return info->max_mtu;
	return frame > plain && frame - plain < info->max_mtu ? frame - plain
							      : info->max_mtu;
}

int
port_dpdk_open(struct port_dpdk *device, struct port_error *error)
{
	struct rte_eth_dev_info info;
	struct port_fds before;
	int err = prepare(device, error);

	port_fds_note(&before);
	if (err == 0)
		err = probe(device, error);
	if (err != 0)
		return err;
	err = rte_eth_dev_info_get(device->port_id, &info);
	if (err == 0 && device->options.mtu > mtu_max(&info)) {
		port_dpdk_close(device);
		return port_explain(error, FAL_EINVAL,
				    "falconer.dpdk.mtu=%u: the device has %u "
				    "at most",
				    device->options.mtu, mtu_max(&info));
	}
	if (err == 0)
		err = configure(device, &info);
	if (err == 0)
		err = set_up_queues(device);
	if (err == 0)
		err = rte_eth_dev_start(device->port_id);
	if (err != 0) {
		port_dpdk_close(device);
		return port_explain(
			error, FAL_EIO,
			"falconer.dpdk.port=%s: %u queues of %u bytes MTU "
			"cannot be started: %s; the lines before tell why%s",
			device->options.device, device->queue_count,
			device->options.mtu, reason_text(err), user_text());
	}
	share_queues(device);
	find_descriptors(device, &before);
	return 0;
}

void
port_dpdk_close(struct port_dpdk *device)
{
	struct rte_eth_dev_info info;
	struct rte_device *bus_device = NULL;

	if (rte_eth_dev_info_get(device->port_id, &info) == 0)
		bus_device = info.device;
	/* A device that is gone cannot be stopped; what matters is that its
	 * queues give their mbufs back. */
	if (rte_eth_dev_stop(device->port_id) != 0)
		LOG_DEBUG("%s did not stop", device->name);
	rte_eth_dev_close(device->port_id);
	if (bus_device != NULL && is_virtual(device->options.device))
		rte_dev_remove(bus_device);
	device->kind = kind_of(device->options.device);
}

/* ---- making one ---- */

static struct rte_mempool *
make_pool(const struct port_dpdk *device, uint32_t core)
{
	const uint32_t frame = device->options.mtu + 18u;
	uint32_t room = RTE_MBUF_DEFAULT_BUF_SIZE;
	char name[32];

	if (frame + RTE_PKTMBUF_HEADROOM > room)
		room = (frame + RTE_PKTMBUF_HEADROOM + 63u) & ~63u;
	snprintf(name, sizeof(name), "frames-%u-%u", device->serial, core);

	const struct port_pool_options options = {
		.name = name,
		.count = device->options.mbufs,
		.private_bytes = device->options.mbuf_private_bytes,
		.room_bytes = (uint16_t)room,
		.is_packed = device->kind == PORT_DPDK_XDP,
		.core_count = device->options.core_count,
	};

	return port_pool_make(&options);
}

static struct rte_ring *
make_ring(const struct port_dpdk *device, uint32_t from, uint32_t to)
{
	char name[32];

	snprintf(name, sizeof(name), "ring-%u-%u-%u", device->serial, from, to);
	return rte_ring_create(name, PORT_DPDK_RING, SOCKET_ID_ANY,
			       RING_F_SP_ENQ | RING_F_SC_DEQ);
}

/* Every core may have a queue or not after the device has come back with other
 * ones, so all rings are there. */
static int
make_core(struct port_dpdk *device, uint32_t index)
{
	struct port_dpdk_core *core = &device->cores[index];
	const uint32_t count = device->options.core_count;

	core->port.ops = &port_dpdk_ops;
	core->port.mtu = device->options.mtu;
	core->device = device;
	core->index = (uint16_t)index;
	core->frames_fd = -1;
	core->pool = make_pool(device, index);
	if (core->pool == NULL)
		return FAL_ENOMEM;
	if (count == 1)
		return 0;
	core->out = make_ring(device, index, index);
	if (core->out == NULL)
		return FAL_ENOMEM;
	for (uint32_t to = 0; to < count; to++) {
		if (to == index)
			continue;
		core->to[to] = make_ring(device, index, to);
		if (core->to[to] == NULL)
			return FAL_ENOMEM;
	}
	return 0;
}

static void
free_cores(struct port_dpdk *device)
{
	for (uint32_t i = 0; i < device->options.core_count; i++)
		port_dpdk_drop(&device->cores[i]);
	for (uint32_t i = 0; i < device->options.core_count; i++) {
		struct port_dpdk_core *core = &device->cores[i];

		for (uint32_t to = 0; to < PORT_STEER_CORES_MAX; to++)
			rte_ring_free(core->to[to]);
		rte_ring_free(core->out);
		rte_mempool_free(core->pool);
	}
	free(device->device);
	free(device);
}

int
port_dpdk_start(const struct port_dpdk_options *options, struct port_dpdk **out,
		struct port_error *error)
{
	static uint32_t serial; /* the control thread's */
	struct port_dpdk *device =
		aligned_alloc(FAL_CACHE_LINE_BYTES, sizeof(*device));
	int err = 0;

	if (device == NULL)
		return port_explain(error, FAL_ENOMEM, "out of memory");
	memset(device, 0, sizeof(*device));
	device->serial = serial++;
	device->options = *options;
	device->device = strdup(options->device);
	device->options.device = device->device;
	device->kind = kind_of(options->device);
	snprintf(device->name, sizeof(device->name), "%.*s",
		 (int)strcspn(options->device, ","), options->device);
	port_steer_init(&device->steer, options->core_count);
	for (uint32_t i = 0; i < options->core_count && err == 0; i++)
		err = make_core(device, i);
	if (err != 0)
		port_explain(error, err,
			     "no memory for %u mbufs on each of %u cores; "
			     "lower falconer.dpdk.mbufs",
			     options->mbufs, options->core_count);
	else
		err = port_dpdk_open(device, error);
	if (err != 0) {
		free_cores(device);
		return err;
	}
	atomic_store_explicit(&device->is_open, true, memory_order_release);
	port_dpdk_telemetry(device);
	*out = device;
	return 0;
}

void
port_dpdk_stop(struct port_dpdk *device)
{
	struct port_capture *capture = atomic_exchange_explicit(
		&device->capture, NULL, memory_order_acq_rel);

	port_dpdk_telemetry(NULL);
	if (capture != NULL)
		port_capture_stop(capture);
	free(atomic_exchange_explicit(&device->order, NULL,
				      memory_order_acq_rel));
	if (!device->is_gone) {
		port_dpdk_send_rest(device);
		port_dpdk_close(device);
	}
	free_cores(device);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* stream_rig_tcp - see stream_rig_tcp.h. */
#include "stream_rig_tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "base/time.h"
#include "dataplane/stream_tcp.h"
#include "drivers/clock.h"
#include "drivers/port_dpdk.h"
#include "drivers/port_kernel_end.h"

#define NETWORK(n)  (0x0a4d0000u + ((n) << 8)) /* 10.77.n.0 */
#define PATIENCE_NS (10 * NS_PER_SECOND)
/* How long nothing must move to call it stuck. */
#define STILL_NS (3 * NS_PER_MS)

uint64_t rig_tcp_skew_ns;

/* A device that two cores share, and its network. */
static struct port_dpdk *shared;
static uint32_t shared_index = RIG_TCP_DEVICES;

static struct rte_mbuf *taken[8192];
static uint32_t taken_count;

static struct rig_tcp_device {
	struct port_dpdk *device;
	struct stream_core *core; /* NULL: it is free */
	uint16_t port;            /* of the listener */
	uint64_t now_ns;
} devices[RIG_TCP_DEVICES];

static bool
device_start(uint32_t index, uint32_t cores, uint32_t queues,
	     struct port_dpdk **device, struct port_error *error)
{
	struct port_dpdk_options options = {
		.core_count = cores,
		.queues_max = (uint16_t)queues,
		.mtu = 1500,
		.mbufs = 8191,
		.mbuf_private_bytes = TCP_POOL_PRIVATE_BYTES,
		.may_sleep = true,
	};
	const struct stream_address address =
		stream_address_ipv4(NETWORK(index) + 1, 0);
	char name[40], netdev[8];

	snprintf(netdev, sizeof(netdev), "rat%u", index);
	snprintf(name, sizeof(name), "net_tap%u,iface=%s", index, netdev);
	options.device = name;
	if (port_dpdk_start(&options, device, error) != 0)
		return false;
	return port_kernel_end_up(netdev, port_dpdk_port(*device, 0)->mac,
				  error) == 0 &&
	       port_kernel_end_address(netdev, &address, 24, error) == 0;
}

/* No router solicitations and multicast reports among the frames. */
static void
no_ipv6(void)
{
	const int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6",
			    O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		perror("disable_ipv6");
	close(fd);
}

bool
rig_tcp_start(struct stream_error *error)
{
	const struct port_env_options options = {.memory_mb = 320};
	struct port_error why = {""};
	bool is_good;

	if (unshare(CLONE_NEWNET) != 0 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
		snprintf(error->text, sizeof(error->text),
			 "no network namespace: %s", strerror(errno));
		return false;
	}
	if (access("/dev/net/tun", R_OK | W_OK) != 0) {
		snprintf(error->text, sizeof(error->text), "/dev/net/tun: %s",
			 strerror(errno));
		return false;
	}
	no_ipv6();
	is_good = port_env_start(&options, &why) == 0 && port_env_attach() == 0;
	for (uint32_t i = 0; i < RIG_TCP_DEVICES && is_good; i++)
		is_good = device_start(i, 1, 1, &devices[i].device, &why);
	if (!is_good) {
		fprintf(stderr, "FAILED: %s\n", why.text);
		exit(1);
	}
	return true;
}

static struct rig_tcp_device *
device_of(const struct stream_core *core)
{
	for (uint32_t i = 0; i < RIG_TCP_DEVICES; i++)
		if (devices[i].core == core)
			return &devices[i];
	return NULL;
}

int
rig_tcp_core_create(const struct stream_config *config,
		    struct stream_core **core)
{
	struct rig_tcp_device *device = device_of(NULL);
	const uint32_t index = (uint32_t)(device - devices);
	struct tcp_config tcp = {
		.address = NETWORK(index) + 2,
		.prefix_bits = 24,
		.secret = {(uint8_t)index, 1, 2, 3},
	};
	struct stream_core *made = NULL;
	int err;

	FAL_ASSERT(device != NULL);
	tcp.port = port_dpdk_port(device->device, 0);
	tcp.pool = port_dpdk_pool(device->device, 0);
	device->now_ns = clock_os_now_ns();
	err = stream_tcp_create(config, &tcp, device->now_ns, &made);
	if (err != 0)
		return err;
	device->core = made;
	device->port = 0;
	rig_tcp_skew_ns = 0;
	*core = made;
	return 0;
}

void
rig_tcp_forget(const struct stream_core *core)
{
	struct rig_tcp_device *device = device_of(core);

	FAL_ASSERT(device != NULL);
	device->core = NULL;
	device->port = 0;
}

void
rig_tcp_note_port(const struct stream_core *core, uint16_t port)
{
	device_of(core)->port = port;
}

uint32_t
rig_tcp_address(uint16_t port)
{
	for (uint32_t i = 0; i < RIG_TCP_DEVICES; i++)
		if (devices[i].port == port)
			return NETWORK(i) + 2;
	return NETWORK(shared != NULL ? shared_index : 0) + 2;
}

uint32_t
rig_tcp_kernel_address(const struct stream_core *core)
{
	return NETWORK((uint32_t)(device_of(core) - devices)) + 1;
}

void
rig_tcp_pump(void)
{
	for (uint32_t i = 0; i < RIG_TCP_DEVICES; i++) {
		if (devices[i].core == NULL)
			continue;

		struct tcp_core *tcp = stream_tcp_of(devices[i].core);

		tcp_poll(tcp, clock_os_now_ns() + rig_tcp_skew_ns);
		tcp_flush(tcp);
	}
}

int
rig_tcp_connect(int fd, const struct sockaddr_in *address)
{
	const uint64_t deadline_ns = clock_os_now_ns() + PATIENCE_NS;
	struct pollfd writable = {.fd = fd, .events = POLLOUT};
	const int flags = fcntl(fd, F_GETFL);
	int error = 0;
	socklen_t bytes = sizeof(error);

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) !=
		    0 &&
	    errno != EINPROGRESS)
		return -1;
	/* A signal of the tap ends a poll, too. */
	while (poll(&writable, 1, 0) <= 0 && clock_os_now_ns() < deadline_ns) {
		rig_tcp_pump();
		usleep(20);
	}
	/* The last ACK of the handshake. */
	rig_tcp_pump();
	fcntl(fd, F_SETFL, flags);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
	errno = error != 0 ? error : ETIMEDOUT;
	return error == 0 && (writable.revents & POLLOUT) != 0 ? 0 : -1;
}

void
rig_tcp_send(int fd, const void *data, size_t bytes)
{
	uint64_t moved_ns = clock_os_now_ns();
	const uint8_t *at = data;
	int left = 0, before = -1;

	while (bytes > 0 || (ioctl(fd, SIOCOUTQ, &left) == 0 && left > 0)) {
		const ssize_t sent = bytes > 0
					     ? send(fd, at, bytes,
						    MSG_DONTWAIT | MSG_NOSIGNAL)
					     : 0;

		if (sent > 0) {
			at += sent;
			bytes -= (size_t)sent;
		}
		if (sent > 0 || left != before)
			moved_ns = clock_os_now_ns();
		before = left;
		if (bytes == 0 && clock_os_now_ns() - moved_ns > STILL_NS)
			return;
		FAL_ASSERT(clock_os_now_ns() - moved_ns < PATIENCE_NS);
		rig_tcp_pump();
	}
}

void
rig_tcp_take_mbufs(const struct stream_core *core)
{
	struct rte_mempool *pool = port_dpdk_pool(device_of(core)->device, 0);

	while (taken_count < 8192 &&
	       (taken[taken_count] = rte_pktmbuf_alloc(pool)) != NULL)
		taken_count++;
}

void
rig_tcp_give_mbufs(const struct stream_core *core)
{
	FAL_ASSERT(device_of(core) != NULL);
	while (taken_count > 0)
		rte_pktmbuf_free(taken[--taken_count]);
}

/* ---- two cores on one device ---- */

void
rig_tcp_shared_start(uint32_t queues)
{
	struct port_error why;

	shared_index++;
	if (!device_start(shared_index, 2, queues, &shared, &why)) {
		fprintf(stderr, "FAILED: %s\n", why.text);
		exit(1);
	}
}

int
rig_tcp_shared_create(const struct stream_config *config, uint32_t index,
		      struct lcore *lcore, struct stream_core **core)
{
	struct tcp_config tcp = {
		.port = port_dpdk_port(shared, index),
		.pool = port_dpdk_pool(shared, index),
		.address = NETWORK(shared_index) + 2,
		.prefix_bits = 24,
		.secret = {1, 2, 3},
	};

	tcp.local_port_first =
		port_dpdk_range(shared, index, &tcp.local_port_count);
	port_dpdk_doorbell(shared, index, lcore);
	return stream_tcp_create(config, &tcp, clock_now_ns(), core);
}

uint64_t
rig_tcp_shared_handed(void)
{
	struct port_dpdk_counters one;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < 2; i++) {
		port_dpdk_counters(shared, i, &one);
		sum += one.handed_over;
	}
	return sum;
}

void
rig_tcp_shared_stop(void)
{
	port_dpdk_stop(shared);
	shared = NULL;
}

void
rig_tcp_attach(void)
{
	FAL_ASSERT(port_env_attach() == 0);
}

void
rig_tcp_detach(void)
{
	port_env_detach();
}

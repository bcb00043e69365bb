/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net - see net.h. With falconer.dataplane=dpdk:
 *
 *   one environment, one device       drivers/port_env.h, drivers/port_dpdk.h
 *   a part of it for each poll core   struct port
 *   a TCP on it                       dataplane/stream_tcp.h
 */
#include "server/net.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/be.h"
#include "base/log.h"
#include "dataplane/stream_tcp.h"
#include "drivers/clock.h"
#include "drivers/port_dpdk.h"
#include "drivers/port_kernel_end.h"
#include "server/machine.h"
#include "server/net_address.h"

#define READ_HEAD_BYTES 4u
/* RFC 8200 section 5 */
#define IPV6_MTU_MIN 1280u

#define UUID_CHARS 36u
/* An mbuf with its room for a usual frame and what the pool adds. */
#define MBUF_BYTES 2560u
/* Queues, rings, and what EAL takes for itself. */
#define EXTRA_MB 48u

/* What DPDK needs; NULL in struct server: the kernel's sockets are used. */
struct net {
	struct port_dpdk *device;
	struct tcp_config tcp; /* without port and pool */
	struct net_addresses own, gateway, kernel;
	bool is_env_started;
};

/* ---- settings ---- */

static struct tcp_address
tcp_address_of(const struct net_address *from)
{
	if (from->address.family == STREAM_ANY)
		return (struct tcp_address){{0}};
	return tcp_address_ipv6(from->address.ip);
}

static uint32_t
ipv4_of(const struct net_address *from)
{
	return from->address.family == STREAM_ANY ? 0
						  : be_load32(from->address.ip);
}

static bool
is_same_ip(const struct net_address *a, const struct net_address *b)
{
	return a->address.family != STREAM_ANY &&
	       stream_address_same_host(&a->address, &b->address);
}

/* What DPDK would take, and nobody could use. */
static int
check_settings(const struct config *config, const struct net *net,
	       struct server_error *error)
{
	if (config->dpdk_mtu < IPV6_MTU_MIN &&
	    net->own.ipv6.address.family != STREAM_ANY)
		return server_explain(
			error, FAL_EINVAL,
			"falconer.dpdk.mtu=%u: IPv6 needs %u at least; raise "
			"it, or leave the IPv6 address of "
			"falconer.dpdk.address=%s out",
			config->dpdk_mtu, IPV6_MTU_MIN, config->dpdk_address);
	if (is_same_ip(&net->kernel.ipv4, &net->own.ipv4) ||
	    is_same_ip(&net->kernel.ipv6, &net->own.ipv6))
		return server_explain(
			error, FAL_EINVAL,
			"falconer.dpdk.kernelAddress=%s: the kernel would "
			"answer for falconer.dpdk.address=%s; its end needs an "
			"address of its own in that network",
			config->dpdk_kernel_address, config->dpdk_address);
	if (config->dpdk_kernel_address != NULL && config->dpdk_vlan != 0)
		return server_explain(
			error, FAL_EINVAL,
			"falconer.dpdk.kernelAddress=%s: what the netdev sends "
			"has no tag, so falconer.dpdk.vlan=%u drops it; leave "
			"one out, or give the address to a netdev of that VLAN "
			"(ip link add link IFACE name NAME type vlan id %u)",
			config->dpdk_kernel_address, config->dpdk_vlan,
			config->dpdk_vlan);
	return FAL_OK;
}

static int
read_addresses(const struct config *config, struct net *net,
	       struct server_error *error)
{
	struct tcp_config *tcp = &net->tcp;

	if (net_addresses_parse(config->dpdk_address, true, &net->own) != 0 ||
	    config->dpdk_address == NULL)
		return server_explain(
			error, FAL_EINVAL,
			"falconer.dpdk.address=%s: allowed: an IPv4 and "
			"an IPv6 address with the bits of their "
			"network, 10.0.0.5/24,fd00::5/64",
			config->dpdk_address == NULL ? ""
						     : config->dpdk_address);
	if (net_addresses_parse(config->dpdk_gateway, false, &net->gateway) !=
	    0)
		return server_explain(
			error, FAL_EINVAL,
			"falconer.dpdk.gateway=%s: allowed: an IPv4 and "
			"an IPv6 address, 10.0.0.1,fd00::1",
			config->dpdk_gateway);
	if (net_addresses_parse(config->dpdk_kernel_address, true,
				&net->kernel) != 0)
		return server_explain(
			error, FAL_EINVAL,
			"falconer.dpdk.kernelAddress=%s: allowed as in "
			"falconer.dpdk.address",
			config->dpdk_kernel_address);
	tcp->address = ipv4_of(&net->own.ipv4);
	tcp->prefix_bits = net->own.ipv4.prefix_bits;
	tcp->gateway = ipv4_of(&net->gateway.ipv4);
	tcp->address6 = tcp_address_of(&net->own.ipv6);
	tcp->prefix6_bits = net->own.ipv6.prefix_bits;
	tcp->gateway6 = tcp_address_of(&net->gateway.ipv6);
	tcp->vlan = (uint16_t)config->dpdk_vlan;
	return check_settings(config, net, error);
}

/* ---- start ---- */

/* Cores that have a part of the port: those that have connections. A part that
 * nobody polls would lose what the device brings there. */
static uint32_t
port_count(const struct server *server)
{
	return server->config->is_standalone ? server->reader_count
					     : server->core_count;
}

static int
start_env(struct server *server, struct server_error *error)
{
	static const enum port_memory memory[] = {
		[CONFIG_HUGEPAGES_NO] = PORT_MEMORY_ORDINARY,
		[CONFIG_HUGEPAGES_AUTO] = PORT_MEMORY_AUTO,
		[CONFIG_HUGEPAGES_REQUIRED] = PORT_MEMORY_HUGE,
	};
	const struct config *config = server->config;
	const bool is_virtual = strncmp(config->dpdk_port, "net_", 4) == 0;
	const uint64_t frame =
		config->dpdk_mtu > 1900 ? config->dpdk_mtu + 640u : MBUF_BYTES;
	const uint64_t bytes =
		port_count(server) * (uint64_t)config->dpdk_mbufs * frame;
	const struct port_env_options options = {
		.pci = is_virtual ? NULL : config->dpdk_port,
		.extra = config->dpdk_eal,
		.memory = memory[config->hugepages],
		.memory_mb = (uint32_t)(bytes >> 20) + EXTRA_MB,
	};
	struct port_error why;
	const int err = port_env_start(&options, &why);

	if (err != FAL_OK)
		return server_explain(error, err, "%s", why.text);
	server->net->is_env_started = true;
	LOG_INFO("packets have %u MiB of %s pages", options.memory_mb,
		 port_env_is_huge() ? "huge" : "ordinary");
	return FAL_OK;
}

/* The netdev of a tap device, from "net_tap0,iface=fal0". */
static bool
netdev_of(const char *device, char *netdev, size_t room)
{
	const char *at = strstr(device, ",iface=");

	if (strncmp(device, "net_tap", 7) != 0 || at == NULL)
		return false;
	at += 7;
	snprintf(netdev, room, "%.*s", (int)strcspn(at, ","), at);
	return true;
}

static int
set_kernel_end(const struct server *server, struct server_error *error)
{
	const struct net *net = server->net;
	const struct net_address *ends[] = {&net->kernel.ipv4,
					    &net->kernel.ipv6};
	struct port_error why;
	char netdev[16];
	int err;

	if (!netdev_of(server->config->dpdk_port, netdev, sizeof(netdev))) {
		if (server->config->dpdk_kernel_address == NULL)
			return FAL_OK;
		return server_explain(error, FAL_EINVAL,
				      "falconer.dpdk.kernelAddress is for "
				      "falconer.dpdk.port=net_tap0,iface=NAME");
	}
	/* Without an address, too: it may become a port of a bridge. */
	err = port_kernel_end_up(netdev, port_dpdk_port(net->device, 0)->mac,
				 &why);
	for (uint32_t i = 0; i < 2 && err == FAL_OK; i++)
		if (ends[i]->address.family != STREAM_ANY)
			err = port_kernel_end_address(netdev, &ends[i]->address,
						      ends[i]->prefix_bits,
						      &why);
	return err == FAL_OK ? FAL_OK
			     : server_explain(error, err, "%s", why.text);
}

/* The tap device is a new one, and so is its netdev. */
static void
kernel_end_again(void *arg)
{
	struct server_error error;

	if (set_kernel_end(arg, &error) != FAL_OK)
		LOG_WARN("%s", error.text);
}

static int
start_device(struct server *server, struct server_error *error)
{
	const struct config *config = server->config;
	const struct port_dpdk_options options = {
		.device = config->dpdk_port,
		.core_count = port_count(server),
		.queues_max = (uint16_t)config->dpdk_queues,
		.mtu = (uint16_t)config->dpdk_mtu,
		.mbufs = config->dpdk_mbufs,
		.mbuf_private_bytes = TCP_POOL_PRIVATE_BYTES,
		.may_sleep = config->idle == CONFIG_IDLE_AUTO ||
			     config->idle == CONFIG_IDLE_SLEEP,
		.on_return = kernel_end_again,
		.arg = server,
	};
	struct net *net = server->net;
	struct port_error why;
	const int err = port_dpdk_start(&options, &net->device, &why);

	if (err != FAL_OK) {
		net->device = NULL;
		return server_explain(error, err, "%s", why.text);
	}
	for (uint32_t i = 0; i < options.core_count; i++)
		port_dpdk_doorbell(net->device, i, &server->core[i].lcore);
	return FAL_OK;
}

/* Says what about the machine costs latency, and what would help. */
static void
say_machine(const struct server *server)
{
	const struct config *config = server->config;
	const struct machine_question question = {
		.cpu = config->cpu,
		.cpu_count = config->cpu_count,
		.loop_count = server->core_count,
		.is_spinning = config->idle == CONFIG_IDLE_SPIN,
		.pci = strncmp(config->dpdk_port, "net_", 4) == 0
			       ? NULL
			       : config->dpdk_port,
	};
	struct machine_findings findings;

	machine_check("", &question, &findings);
	for (uint32_t i = 0; i < findings.count; i++)
		log_write(LOG_LEVEL_WARN, NULL, "not ideal: %s",
			  findings.line[i]);
}

int
net_start(struct server *server, struct server_error *error)
{
	const struct config *config = server->config;
	int err;

	if (config->dataplane == CONFIG_DATAPLANE_KERNEL)
		return FAL_OK;
	if (config->dpdk_port == NULL)
		return server_explain(
			error, FAL_EINVAL,
			"falconer.dataplane=dpdk needs "
			"falconer.dpdk.port; configs/dpdk-*.cfg are "
			"samples");
	/* A PCI address, or the id of a VMBus device. */
	if (strncmp(config->dpdk_port, "net_", 4) != 0 &&
	    strchr(config->dpdk_port, ':') == NULL &&
	    strlen(config->dpdk_port) != UUID_CHARS)
		return server_explain(
			error, FAL_EINVAL,
			"falconer.dpdk.port=%s: allowed: the PCI address of a "
			"card, 0000:03:00.0, or a virtual device; one on a "
			"netdev of the kernel is net_af_xdp0,iface=%s",
			config->dpdk_port, config->dpdk_port);
	server->net = calloc(1, sizeof(*server->net));
	if (server->net == NULL)
		return server_explain(error, FAL_ENOMEM, "out of memory");
	say_machine(server);
	err = read_addresses(config, server->net, error);
	if (err == FAL_OK &&
	    getrandom(server->net->tcp.secret, sizeof(server->net->tcp.secret),
		      0) != sizeof(server->net->tcp.secret))
		err = server_explain(error, FAL_EIO, "getrandom() failed");
	if (err == FAL_OK)
		err = start_env(server, error);
	if (err == FAL_OK)
		err = start_device(server, error);
	if (err == FAL_OK)
		err = set_kernel_end(server, error);
	return err;
}

void
net_stop(struct server *server)
{
	struct net *net = server->net;

	if (net == NULL)
		return;
	if (net->device != NULL)
		port_dpdk_stop(net->device);
	if (net->is_env_started)
		port_env_stop();
	free(net);
	server->net = NULL;
}

/* ---- stream cores ---- */

static int
make_sockets(struct server *server, struct server_core *core,
	     const struct stream_config *options, struct server_error *error)
{
	struct stream_error why = {0};
	int err;

	if (server->config->net == CONFIG_NET_URING)
		err = stream_uring_create(options, &core->streams);
	else
		err = stream_epoll_create(options, &core->streams);
	if (err == FAL_ENOTSUP) {
		stream_uring_probe(&why);
		return server_explain(
			error, err,
			"falconer.net=uring: this kernel does not "
			"allow it (%s); use auto or epoll",
			why.text);
	}
	if (err != FAL_OK)
		return server_explain(
			error, err,
			"cannot make the network driver: %s; check "
			"ulimit -n and falconer.connections.max",
			fal_err_str(err));
	return FAL_OK;
}

static int
make_tcp(struct server *server, struct server_core *core,
	 const struct stream_config *options, struct server_error *error)
{
	struct net *net = server->net;
	struct tcp_config tcp = net->tcp;
	int err;

	tcp.port = port_dpdk_port(net->device, core->index);
	tcp.pool = port_dpdk_pool(net->device, core->index);
	tcp.local_port_first = port_dpdk_range(net->device, core->index,
					       &tcp.local_port_count);
	err = stream_tcp_create(options, &tcp, clock_now_ns(), &core->streams);
	if (err != FAL_OK)
		return server_explain(error, err,
				      "cannot make the TCP of a core: %s",
				      fal_err_str(err));
	return FAL_OK;
}

int
net_make_streams(struct server *server, struct server_core *core,
		 struct server_error *error)
{
	const struct config *config = server->config;
	const struct stream_config options = {
		.stream_limit = config->core_connections_max,
		.frame_bytes_max =
			(uint32_t)config->frame_bytes_max + READ_HEAD_BYTES,
		.unsent_bytes_max = config->output_bytes_max,
		.doorbell_fd = core->lcore.event_fd,
	};
	const int err = server->net != NULL
				? make_tcp(server, core, &options, error)
				: make_sockets(server, core, &options, error);

	if (err == FAL_OK)
		server->stream_name = core->streams->ops->name;
	return err;
}

/* ---- while it runs ---- */

int
net_attach(const struct server *server)
{
	return server->net != NULL ? port_env_attach() : FAL_OK;
}

void
net_detach(const struct server *server)
{
	if (server->net != NULL)
		port_env_detach();
}

void
net_watch(const struct server *server)
{
	if (server->net != NULL)
		port_dpdk_watch(server->net->device);
}

bool
net_address_text(const struct server *server, char *out, size_t room)
{
	const struct net *net = server->net;
	char text[STREAM_ADDRESS_TEXT_MAX];
	struct stream_address address;

	if (net == NULL)
		return false;
	address = net->own.ipv4.address.family != STREAM_ANY
			  ? net->own.ipv4.address
			  : net->own.ipv6.address;
	address.port = server->bound.port;
	stream_address_text(&address, text);
	snprintf(out, room,
		 "on port %s, reach it from its network with: zkCli.sh -server "
		 "%s",
		 port_dpdk_name(net->device), text);
	return true;
}

struct visit {
	net_counter_fn take;
	void *arg;
	const char *group;
};

static void
tell(const struct visit *visit, const char *name, bool is_gauge, uint64_t value)
{
	char text[64];

	snprintf(text, sizeof(text), "falconer_%s_%s", visit->group, name);
	visit->take(visit->arg, text, is_gauge, value);
}

static bool
is_gauge_text(const char *what)
{
	return strncmp(what, "gauge", 5) == 0;
}

static void
visit_ports(const struct server *server, const struct visit *visit)
{
	struct port_dpdk *device = server->net->device;
	struct port_dpdk_counters sum = {0}, one;
	struct port_dpdk_stats stats;

	for (uint32_t i = 0; i < port_count(server); i++) {
		port_dpdk_counters(device, i, &one);
#define PORT_COUNTER(name, what) sum.name += one.name;
		PORT_COUNTERS(PORT_COUNTER)
#undef PORT_COUNTER
	}
#define PORT_COUNTER(name, what) \
	tell(visit, #name, is_gauge_text(what), sum.name);
	PORT_COUNTERS(PORT_COUNTER)
#undef PORT_COUNTER
	port_dpdk_stats(device, &stats);
	tell(visit, "is_up", true, stats.is_up);
	tell(visit, "queues", true, stats.queues);
	tell(visit, "link_changes", false, stats.link_changes);
	tell(visit, "losses", false, stats.losses);
	tell(visit, "rx_missed", false, stats.rx_missed);
	tell(visit, "rx_errors", false, stats.rx_errors);
	tell(visit, "rx_no_mbuf", false, stats.rx_no_mbuf);
	tell(visit, "tx_errors", false, stats.tx_errors);
	tell(visit, "mbufs", true, stats.mbufs);
	tell(visit, "mbufs_free", true, stats.mbufs_free);
}

static void
visit_tcp(const struct server *server, const struct visit *visit)
{
	struct tcp_counters sum = {0}, one;

	for (uint32_t i = 0; i < server->core_count; i++) {
		if (server->core[i].streams == NULL)
			continue;
		stream_tcp_counters(server->core[i].streams, &one);
#define TCP_COUNTER(name, what) sum.name += one.name;
		TCP_COUNTERS(TCP_COUNTER)
#undef TCP_COUNTER
	}
#define TCP_COUNTER(name, what) \
	tell(visit, #name, is_gauge_text(what), sum.name);
	TCP_COUNTERS(TCP_COUNTER)
#undef TCP_COUNTER
}

void
net_visit(const struct server *server, net_counter_fn take, void *arg)
{
	const struct visit ports = {.take = take, .arg = arg, .group = "port"};
	const struct visit tcp = {.take = take, .arg = arg, .group = "tcp"};

	if (server->net == NULL)
		return;
	visit_ports(server, &ports);
	visit_tcp(server, &tcp);
}

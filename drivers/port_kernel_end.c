/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_kernel_end - see port_kernel_end.h; by ioctl(), which does without a
 * netlink library.
 */
#include "drivers/port_kernel_end.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of linux/ipv6.h, which does not go together with netinet/in.h. */
struct in6_request {
	struct in6_addr address;
	uint32_t prefix_bits;
	int index;
};

static struct ifreq
request_of(const char *netdev)
{
	struct ifreq request = {0};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", netdev);
	return request;
}

/* Locally administered, and unlike the port's in its last byte. */
static int
change_mac(int fd, const char *netdev, const uint8_t mac[6])
{
	struct ifreq request = request_of(netdev);

	request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(request.ifr_hwaddr.sa_data, mac, 6);
	request.ifr_hwaddr.sa_data[0] =
		(char)((request.ifr_hwaddr.sa_data[0] & ~1) | 2);
	request.ifr_hwaddr.sa_data[5] ^= 0x40;
	return ioctl(fd, SIOCSIFHWADDR, &request);
}

static int
set_ipv4(int fd, const char *netdev, const struct stream_address *address,
	 uint32_t prefix_bits)
{
	struct ifreq request = request_of(netdev);
	struct sockaddr_in in = {.sin_family = AF_INET};
	const uint32_t mask =
		prefix_bits == 0 ? 0 : UINT32_MAX << (32 - prefix_bits);

	memcpy(&in.sin_addr, address->ip, 4);
	memcpy(&request.ifr_addr, &in, sizeof(in));
	if (ioctl(fd, SIOCSIFADDR, &request) != 0)
		return -1;
	in.sin_addr.s_addr = htonl(mask);
	memcpy(&request.ifr_netmask, &in, sizeof(in));
	return ioctl(fd, SIOCSIFNETMASK, &request);
}

static int
set_ipv6(const char *netdev, const struct stream_address *address,
	 uint32_t prefix_bits)
{
	const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct in6_request request = {.prefix_bits = prefix_bits};
	int result;

	if (fd < 0)
		return -1;
	memcpy(&request.address, address->ip, 16);
	request.index = (int)if_nametoindex(netdev);
	result = ioctl(fd, SIOCSIFADDR, &request);
	const int reason = errno;

	close(fd);
	errno = reason;
	return result != 0 && reason == EEXIST ? 0 : result;
}

static int
set_up(int fd, const char *netdev, bool is_up)
{
	struct ifreq request = request_of(netdev);

	if (ioctl(fd, SIOCGIFFLAGS, &request) != 0)
		return -1;
	request.ifr_flags = (short)(is_up ? request.ifr_flags | IFF_UP
					  : request.ifr_flags & ~IFF_UP);
	return ioctl(fd, SIOCSIFFLAGS, &request);
}

static int
refuse(const char *netdev, int reason, struct port_error *error)
{
	if (reason == ENODEV)
		return port_explain(
			error, FAL_EINVAL,
			"falconer.dpdk.port: there is no netdev %s; "
			"net_tap makes none of that name when it "
			"does not know all of its arguments",
			netdev);
	return port_explain(error, FAL_EIO,
			    "falconer.dpdk.port: the netdev %s cannot be set "
			    "up: %s; needs root or CAP_NET_ADMIN",
			    netdev, strerror(reason));
}

static void
set_ipv6_option(const char *netdev, const char *option, const char *value)
{
	char path[96];
	FILE *out;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", netdev,
		 option);
	out = fopen(path, "we");
	if (out == NULL)
		return; /* a kernel without IPv6 */
	fputs(value, out);
	fclose(out);
}

/* On a link of two stations nobody else can have the address; looking for
 * others (RFC 4862 5.4) would make it useless for more than a second, in which
 * programs connect from ::1 instead and never get an answer. Without probes
 * alone the address stays tentative for a random time. */
static void
skip_detection(const char *netdev)
{
	set_ipv6_option(netdev, "accept_dad", "0");
	set_ipv6_option(netdev, "dad_transmits", "0");
}

/* Down first: the kernel makes a link-local address of the MAC when it goes
 * up, and ours would be the same. */
int
port_kernel_end_up(const char *netdev, const uint8_t mac[6],
		   struct port_error *error)
{
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result;

	skip_detection(netdev);
	result = fd < 0 ? -1 : set_up(fd, netdev, false);
	if (result == 0)
		result = change_mac(fd, netdev, mac);
	if (result == 0)
		result = set_up(fd, netdev, true);

	const int reason = errno;

	if (fd >= 0)
		close(fd);
	return result == 0 ? 0 : refuse(netdev, reason, error);
}

int
port_kernel_end_address(const char *netdev,
			const struct stream_address *address,
			uint32_t prefix_bits, struct port_error *error)
{
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result = -1;

	if (fd >= 0)
		result = address->family == STREAM_IPV4
				 ? set_ipv4(fd, netdev, address, prefix_bits)
				 : set_ipv6(netdev, address, prefix_bits);

	const int reason = errno;

	if (fd >= 0)
		close(fd);
	return result == 0 ? 0 : refuse(netdev, reason, error);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    systemd's socket gets the state as one datagram, under either kind of
 *         name; without systemd nothing happens.
 * Method  a socket of the test's own in the place of systemd's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "drivers/notify.h"

/* Listens under `name`; one with @ in front is abstract. */
static int
listen_on(const char *name)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(at.sun_path, name, strlen(name));
	if (name[0] == '@')
		at.sun_path[0] = '\0';
	assert_int_equal(
		bind(fd, (const struct sockaddr *)&at,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				 strlen(name))),
		0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void
expect_state(int fd, const char *state)
{
	char text[64] = "";
	const ssize_t bytes = recv(fd, text, sizeof(text), MSG_DONTWAIT);

	assert_int_equal(bytes, strlen(state));
	assert_memory_equal(text, state, strlen(state));
}

static void
a_socket_in_a_folder_hears_it(void **state)
{
	char folder[] = P_tmpdir "/falconer-notify-XXXXXX";
	char name[64];

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(name, sizeof(name), "%s/notify", folder);

	const int fd = listen_on(name);

	assert_int_equal(notify_send("READY=1"), FAL_OK);
	expect_state(fd, "READY=1");
	close(fd);
	unlink(name);
	/* Nobody is there any more. */
	assert_int_equal(notify_send("STOPPING=1"), FAL_EIO);
	rmdir(folder);
}

static void
an_abstract_socket_hears_it(void **state)
{
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "@falconer-notify-%d", (int)getpid());

	const int fd = listen_on(name);

	assert_int_equal(notify_send("STOPPING=1"), FAL_OK);
	expect_state(fd, "STOPPING=1");
	close(fd);
}

static void
nothing_happens_without_systemd(void **state)
{
	char name[200];

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_send("READY=1"), FAL_OK);
	setenv("NOTIFY_SOCKET", "", 1);
	assert_int_equal(notify_send("READY=1"), FAL_OK);
	setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
	assert_int_equal(notify_send("READY=1"), FAL_EINVAL);
	memset(name, 'x', sizeof(name));
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1);
	assert_int_equal(notify_send("READY=1"), FAL_EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_in_a_folder_hears_it),
		cmocka_unit_test(an_abstract_socket_hears_it),
		cmocka_unit_test(nothing_happens_without_systemd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

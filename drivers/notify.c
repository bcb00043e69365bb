/* SPDX-License-Identifier: Apache-2.0 */
/* notify - see notify.h. A name that begins with @ is an abstract one, whose
 * first byte is NUL. */
#include "drivers/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int
notify_send(const char *state)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const size_t bytes = name == NULL ? 0 : strlen(name);

	if (bytes == 0)
		return FAL_OK;
	if ((name[0] != '/' && name[0] != '@') || bytes >= sizeof(to.sun_path))
		return FAL_EINVAL;
	memcpy(to.sun_path, name, bytes);
	if (name[0] == '@')
		to.sun_path[0] = '\0';

	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return FAL_EIO;

	const size_t length = strlen(state);
	const ssize_t sent = sendto(
		fd, state, length, MSG_NOSIGNAL | MSG_DONTWAIT,
		(const struct sockaddr *)&to,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes));

	close(fd);
	return sent == (ssize_t)length ? FAL_OK : FAL_EIO;
}

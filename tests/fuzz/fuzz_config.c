/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zoo.cfg: any file is read, or refused with a line that names it. What is read
 * is whole: every text of it ends, and reading it again gives the same.
 *
 * Input: the file. It is read from a folder of its own; what it names (a
 * dynamic file, a data directory) is looked for beside it.
 */

#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fal.h"
#include "server/config.h"

static struct config config, again;
static char folder[] = "/tmp/fuzz-config-XXXXXX";
static char path[sizeof(folder) + 16];

static void
remove_folder(void)
{
	unlink(path);
	rmdir(folder);
}

static void
write_file(const uint8_t *data, size_t bytes)
{
	if (path[0] == '\0') {
		FAL_ASSERT(mkdtemp(folder) != NULL);
		snprintf(path, sizeof(path), "%s/zoo.cfg", folder);
		FAL_ASSERT(atexit(remove_folder) == 0);
	}

	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	FAL_ASSERT(fd >= 0);
	FAL_ASSERT(write(fd, data, bytes) == (ssize_t)bytes);
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct config_error error = {0};

	write_file(data, bytes);

	const int err = config_read(path, &config, &error);

	if (err != FAL_OK) {
		FAL_ASSERT(err < 0);
		FAL_ASSERT(error.text[0] != '\0');
		FAL_ASSERT(memchr(error.text, '\0', sizeof(error.text)) !=
			   NULL);
	} else {
		FAL_ASSERT(config_read(path, &again, &error) == FAL_OK);
		FAL_ASSERT(again.warning_count == config.warning_count);
		FAL_ASSERT(again.tick_ms == config.tick_ms);
		FAL_ASSERT(config.session_timeout_min_ms <=
			   config.session_timeout_max_ms);
		(void)config_word_allowed(&config, "ruok");
		if (config_require_supported(&config, &error) != FAL_OK)
			FAL_ASSERT(error.text[0] != '\0');
		config_free(&again);
		config_free(&config);
	}
	return 0;
}

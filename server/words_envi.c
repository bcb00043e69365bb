/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words_envi - the answer to envi: what the process runs on. The java.* lines
 * are kept for programs that look for the keys; there is no Java here.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "server/version.h"
#include "server/words_text.h"

static const char *const java_keys[] = {
	"java.version",    "java.vendor",       "java.home",
	"java.class.path", "java.library.path", "java.io.tmpdir",
	"java.compiler",
};

static void
put_system(FILE *out)
{
	struct utsname name;

	if (uname(&name) == 0)
		fprintf(out, "os.name=%s\nos.arch=%s\nos.version=%s\n",
			name.sysname, name.machine, name.release);
}

static void
put_user(FILE *out)
{
	const struct passwd *user = getpwuid(geteuid());
	char *dir = getcwd(NULL, 0);

	fprintf(out, "user.name=%s\nuser.home=%s\nuser.dir=%s\n",
		user == NULL ? "?" : user->pw_name,
		user == NULL ? "?" : user->pw_dir, dir == NULL ? "?" : dir);
	free(dir);
}

static void
put_memory(FILE *out)
{
	struct sysinfo info;

	if (sysinfo(&info) != 0)
		return;

	const unsigned long long unit = info.mem_unit;

	fprintf(out,
		"os.memory.free=%lluMB\nos.memory.max=%lluMB\n"
		"os.memory.total=%lluMB\n",
		info.freeram * unit >> 20, info.totalram * unit >> 20,
		info.totalram * unit >> 20);
}

void
words_put_envi(FILE *out)
{
	char host[256] = "?";

	gethostname(host, sizeof(host) - 1);
	fprintf(out, "Environment:\nzookeeper.version=%s\nhost.name=%s\n",
		VERSION_TEXT, host);
	for (size_t i = 0; i < sizeof(java_keys) / sizeof(java_keys[0]); i++)
		fprintf(out, "%s=none\n", java_keys[i]);
	put_system(out);
	put_user(out);
	put_memory(out);
}

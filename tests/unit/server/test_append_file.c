/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a file that others rename or fill the disk under holds whole lines.
 * Method  files in a folder of the test's own; a limit on the size of files is
 *         the full disk.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/append_file.h"

static char folder[] = P_tmpdir "/falconer-append-XXXXXX";
static char path[200], renamed[200];

static void
expect_text(const char *name, const char *expected)
{
	char text[200] = "";
	FILE *file = fopen(name, "r");

	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = 0;
	fclose(file);
	assert_string_equal(text, expected);
}

static int
say(struct append_file *file, const char *text)
{
	return append_file_write(file, text, strlen(text));
}

static void
a_line_that_was_cut_is_not_part_of_the_next(void **state)
{
	struct append_file file;
	struct rlimit before, full;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(append_file_open(&file, path), 0);
	assert_int_equal(say(&file, "one\n"), 0);
	full = before;
	full.rlim_cur = 8;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	assert_int_equal(say(&file, "two and more\n"), FAL_EIO);
	assert_int_equal(say(&file, "three\n"), FAL_EIO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(say(&file, "four\n"), 0);
	assert_int_equal(say(&file, "five\n"), 0);
	append_file_close(&file);
	expect_text(path, "one\ntwo \nfour\nfive\n");
	unlink(path);
}

static void
a_renamed_file_is_followed_by_a_new_one(void **state)
{
	struct append_file file;

	(void)state;
	assert_int_equal(append_file_open(&file, path), 0);
	assert_int_equal(append_file_follow_name(&file), 0);
	assert_int_equal(say(&file, "one\n"), 0);
	assert_int_equal(rename(path, renamed), 0);
	assert_int_equal(say(&file, "two\n"), 0);
	assert_int_equal(append_file_follow_name(&file), 0);
	assert_int_equal(say(&file, "three\n"), 0);
	append_file_close(&file);
	expect_text(renamed, "one\ntwo\n");
	expect_text(path, "three\n");
	unlink(path);
	unlink(renamed);
}

static int
make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/log", folder);
	snprintf(renamed, sizeof(renamed), "%s/log.1", folder);
	return 0;
}

static int
remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_that_was_cut_is_not_part_of_the_next),
		cmocka_unit_test(a_renamed_file_is_followed_by_a_new_one),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

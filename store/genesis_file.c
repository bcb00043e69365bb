/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed places, big endian, one checksum. */

#include "store/genesis_file.h"

#include <string.h>

#include "base/be.h"
#include "base/checksum.h"
#include "store/file_name.h"
#include "store/small_file.h"

#define MAGIC      0x4647454eu /* "FGEN" */
#define VERSION    1u
#define AT_ID      16u
#define AT_MEMBER  32u
#define AT_BEGAN   36u
#define AT_WITNESS 40u
#define AT_SUM     44u

_Static_assert(AT_ID + GENESIS_ID_BYTES == AT_MEMBER, "no gap");
_Static_assert(AT_SUM + 4 == GENESIS_FILE_BYTES, "the sum ends the file");

int
genesis_file_read(struct disk *disk, const char *dir,
		  struct genesis_state *state)
{
	/* One byte more than there should be, and a NUL. */
	char text[GENESIS_FILE_BYTES + 2];
	const uint8_t *from = (const uint8_t *)text;
	char path[FILE_PATH_MAX];
	struct disk_info info;
	int err = file_path(path, dir, GENESIS_FILE_NAME);

	if (err == 0)
		err = disk_info(disk, path, &info);
	if (err == 0)
		err = small_file_read(disk, dir, GENESIS_FILE_NAME, text,
				      GENESIS_FILE_BYTES + 1);
	if (err != 0)
		return err;
	if (info.bytes != GENESIS_FILE_BYTES || be_load32(from) != MAGIC ||
	    be_load32(from + 4) != VERSION ||
	    be_load32(from + AT_SUM) !=
		    checksum_adler32(CHECKSUM_ADLER32_INIT, from, AT_SUM))
		return FAL_ECORRUPT;
	memset(state, 0, sizeof(*state));
	state->promised = be_load32(from + 8);
	state->accepted_ballot = be_load32(from + 12);
	memcpy(state->id, from + AT_ID, GENESIS_ID_BYTES);
	state->is_member = be_load32(from + AT_MEMBER);
	state->began = be_load32(from + AT_BEGAN);
	state->is_witness = be_load32(from + AT_WITNESS);
	return 0;
}

int
genesis_file_write(struct disk *disk, const char *dir,
		   const struct genesis_state *state)
{
	uint8_t to[GENESIS_FILE_BYTES];

	be_store32(to, MAGIC);
	be_store32(to + 4, VERSION);
	be_store32(to + 8, state->promised);
	be_store32(to + 12, state->accepted_ballot);
	memcpy(to + AT_ID, state->id, GENESIS_ID_BYTES);
	be_store32(to + AT_MEMBER, state->is_member);
	be_store32(to + AT_BEGAN, state->began);
	be_store32(to + AT_WITNESS, state->is_witness);
	be_store32(to + AT_SUM,
		   checksum_adler32(CHECKSUM_ADLER32_INIT, to, AT_SUM));
	return small_file_replace(disk, dir, GENESIS_FILE_NAME,
				  (const char *)to, sizeof(to));
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small machine: each state says how many bytes it wants, either to be
 * gathered as a big-endian number or to be passed over; at their end it names
 * the next state. Every length is checked before it is believed.
 */

#include "store/snap_form.h"

#include <string.h>

#include "store/snapshot.h"

#define LENGTH_BYTES  4u
#define SESSION_BYTES 12u
#define FIELD_MAX     (SNAPSHOT_FIELD_MAX / 2)

enum state {
	FORM_SESSION_COUNT,
	FORM_SESSION,
	FORM_ACL_COUNT,
	FORM_ACL_ID,
	FORM_ACL_ENTRIES,
	FORM_ACL_PERMS,
	FORM_ACL_LENGTH,
	FORM_ACL_TEXT,
	FORM_PATH_LENGTH,
	FORM_PATH,
	FORM_END_MARK,
	FORM_DATA_LENGTH,
	FORM_NODE_TAIL,
	FORM_SIGNATURE_LENGTH,
	FORM_SIGNATURE,
	FORM_DONE,
};

/* Which states gather a number of how many bytes. */
static uint32_t
number_bytes(uint32_t state)
{
	switch (state) {
	case FORM_SESSION_COUNT:
	case FORM_ACL_COUNT:
	case FORM_ACL_ENTRIES:
	case FORM_ACL_LENGTH:
	case FORM_PATH_LENGTH:
	case FORM_DATA_LENGTH:
	case FORM_SIGNATURE_LENGTH:
		return LENGTH_BYTES;
	case FORM_END_MARK:
		return 1;
	default:
		return 0;
	}
}

static void
enter(struct snap_form *form, enum state state, uint32_t need)
{
	form->state = state;
	form->need = need;
	form->have = 0;
	form->number = 0;
}

/* A state that gathers. */
static void
expect(struct snap_form *form, enum state state)
{
	enter(form, state, number_bytes(state));
}

static void
refuse(struct snap_form *form)
{
	form->err = FAL_EPROTO;
}

static void
next_session(struct snap_form *form)
{
	if (form->left == 0) {
		expect(form, FORM_ACL_COUNT);
		return;
	}
	form->left--;
	enter(form, FORM_SESSION, SESSION_BYTES);
}

static void
next_acl(struct snap_form *form)
{
	if (form->left == 0) {
		expect(form, FORM_PATH_LENGTH);
		return;
	}
	form->left--;
	form->acl_bytes = 0;
	enter(form, FORM_ACL_ID, 8);
}

/* An entry is perms, scheme, id: two texts, of which acl_left counts the
 * ones to come. */
static void
next_acl_text(struct snap_form *form)
{
	if (form->acl_left == 0)
		next_acl(form);
	else if (form->acl_left % 2 == 0)
		enter(form, FORM_ACL_PERMS, 4);
	else
		expect(form, FORM_ACL_LENGTH);
}

static void
got_acl_entries(struct snap_form *form, uint32_t count)
{
	if (count != UINT32_MAX && count > SNAPSHOT_ACL_ENTRIES_MAX) {
		refuse(form);
		return;
	}
	form->acl_left = count == UINT32_MAX ? 0 : 2 * count;
	next_acl_text(form);
}

static void
got_acl_length(struct snap_form *form, uint32_t bytes)
{
	if (bytes == UINT32_MAX)
		bytes = 0;
	if (bytes > FIELD_MAX || form->acl_bytes + bytes > FIELD_MAX) {
		refuse(form);
		return;
	}
	form->acl_bytes += bytes;
	form->acl_left--;
	enter(form, FORM_ACL_TEXT, bytes);
}

static void
got_path_length(struct snap_form *form, uint32_t bytes)
{
	/* The root's path is empty; one byte can only be the end's "/". */
	if (bytes > FIELD_MAX)
		refuse(form);
	else if (bytes == 1)
		expect(form, FORM_END_MARK);
	else
		enter(form, FORM_PATH, bytes);
}

static void
got_count(struct snap_form *form, uint32_t count)
{
	if (count > INT32_MAX) {
		refuse(form);
		return;
	}
	form->left = count;
	if (form->state == FORM_SESSION_COUNT)
		next_session(form);
	else
		next_acl(form);
}

static void
got_data_length(struct snap_form *form, uint32_t bytes)
{
	const uint32_t real = bytes == UINT32_MAX ? 0 : bytes;

	if (real > FIELD_MAX)
		refuse(form);
	else
		enter(form, FORM_NODE_TAIL, real + SNAPSHOT_NODE_TAIL_BYTES);
}

static void
got_signature_length(struct snap_form *form, uint32_t bytes)
{
	if (bytes != sizeof(QUORUM_SNAP_SIGNATURE) - 1)
		refuse(form);
	else
		enter(form, FORM_SIGNATURE, bytes);
}

/* The state has what it wanted. */
static void
step(struct snap_form *form)
{
	const uint32_t number = (uint32_t)form->number;

	switch ((enum state)form->state) {
	case FORM_SESSION_COUNT:
	case FORM_ACL_COUNT:
		got_count(form, number);
		break;
	case FORM_SESSION:
		next_session(form);
		break;
	case FORM_ACL_ID:
		expect(form, FORM_ACL_ENTRIES);
		break;
	case FORM_ACL_ENTRIES:
		got_acl_entries(form, number);
		break;
	case FORM_ACL_PERMS:
		expect(form, FORM_ACL_LENGTH);
		break;
	case FORM_ACL_LENGTH:
		got_acl_length(form, number);
		break;
	case FORM_ACL_TEXT:
		next_acl_text(form);
		break;
	case FORM_PATH_LENGTH:
		got_path_length(form, number);
		break;
	case FORM_PATH:
		expect(form, FORM_DATA_LENGTH);
		break;
	case FORM_END_MARK:
		if (number == '/')
			expect(form, FORM_SIGNATURE_LENGTH);
		else
			refuse(form);
		break;
	case FORM_DATA_LENGTH:
		got_data_length(form, number);
		break;
	case FORM_NODE_TAIL:
		form->nodes++;
		expect(form, FORM_PATH_LENGTH);
		break;
	case FORM_SIGNATURE_LENGTH:
		got_signature_length(form, number);
		break;
	case FORM_SIGNATURE:
		enter(form, FORM_DONE, 0);
		break;
	case FORM_DONE:
		break;
	}
}

void
snap_form_init(struct snap_form *form)
{
	*form = (struct snap_form){.err = 0};
	expect(form, FORM_SESSION_COUNT);
}

/* Takes up to `bytes` for the state at hand. */
static uint32_t
take_some(struct snap_form *form, const uint8_t *data, uint32_t bytes)
{
	const uint32_t want = form->need - form->have;
	const uint32_t some = want < bytes ? want : bytes;

	if (number_bytes(form->state) > 0)
		for (uint32_t i = 0; i < some; i++)
			form->number = form->number << 8 | data[i];
	else if (form->state == FORM_SIGNATURE &&
		 memcmp(data, &QUORUM_SNAP_SIGNATURE[form->have], some) != 0)
		refuse(form);
	form->have += some;
	return some;
}

int64_t
snap_form_take(struct snap_form *form, const uint8_t *data, uint32_t bytes)
{
	uint32_t at = 0;

	while (form->err == 0 && form->state != FORM_DONE) {
		if (form->have < form->need && at == bytes)
			break;
		if (form->have < form->need)
			at += take_some(form, data + at, bytes - at);
		if (form->have == form->need && form->err == 0)
			step(form);
	}
	form->taken += at;
	return form->err != 0 ? form->err : (int64_t)at;
}

bool
snap_form_is_done(const struct snap_form *form)
{
	return form->state == FORM_DONE && form->err == 0;
}

uint64_t
snap_form_bytes(const struct snap_form *form)
{
	return form->taken;
}

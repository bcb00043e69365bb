/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_auth - who may run a command that changes something: whoever the root's
 * ACL allows everything. Header as in ZooKeeper 3.9:
 *
 *   Authorization: digest user:password
 *   Authorization: ip                      the address it came from
 *
 * The identity is made as a client's auth packet makes it, superDigest
 * included; the ACL is looked at by a reader core, at the state it serves.
 */
#include "server/admin_int.h"

#include <string.h>

#include "base/log.h"
#include "znode/acl.h"

static bool
is_permitted(const struct words_rows *rows)
{
	struct words_rows_at at = {0};
	const struct words_row *row =
		words_rows_next(rows, &at, WORDS_ROW_PERMITTED);

	return row != NULL && row->value == 1;
}

static void
on_permission(struct admin_request *request, const struct words_rows *rows)
{
	if (!is_permitted(rows)) {
		LOG_WARN("admin server: %s from %s is refused: the root's ACL "
			 "does not allow everything to who asked",
			 request->path, request->peer);
		admin_finish_error(request, ADMIN_FORBIDDEN, "Not authorized");
		return;
	}
	request->is_authorised = true;
	request->go_on(request);
}

/* ids of "scheme data"; false: they do not prove anything. */
static bool
authenticate(struct admin_request *request)
{
	const struct server *server = admin_server(request->admin);
	const char *blank = strchr(request->authorization, ' ');
	const size_t scheme_bytes = strcspn(request->authorization, " ");
	const char *data = blank == NULL ? "" : blank + 1;
	const struct proto_auth_request auth = {
		.scheme = jute_slice_of((const void *)request->authorization,
					(uint32_t)scheme_bytes),
		.auth = jute_slice_of((const void *)data,
				      (uint32_t)strlen(data)),
	};
	struct auth_ids *ids = auth_ids_new(&server->acl, request->peer);
	struct auth_ids *added = NULL;

	if (ids == NULL)
		return false;
	if (auth_ids_add(&server->acl, ids, &auth, &added) != ZK_OK) {
		auth_ids_free(ids);
		return false;
	}
	auth_ids_free(ids);
	request->ids = added;
	return true;
}

void
admin_authorise(struct admin_request *request,
		void (*go_on)(struct admin_request *))
{
	const struct words_plan plan = {.reader_pass = WORDS_PASS_ROOT_ACL};

	request->go_on = go_on;
	if (!request->has_authorization)
		admin_finish_error(request, ADMIN_UNAUTHORIZED,
				   "Auth info is missing for the command");
	else if (!authenticate(request))
		admin_finish_error(request, ADMIN_UNAUTHORIZED,
				   "Not authenticated");
	else
		admin_gather(request, &plan, request->ids, on_permission);
}

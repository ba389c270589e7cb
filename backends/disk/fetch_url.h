#pragma once
/* URLs of downloads: what may be fetched, how it is shown, and a name for it. */

#include "backends/digest.h"
#include "proto/base/error.h"

/*
 * ret_shown: to be freed; as it may be shown and logged: without user, password, query and fragment.
 * key:       the digest of the whole URL.
 * Errors:    VN_E_INVALID neither http nor https.
 */
int fetch_url_check(const char *text, char **ret_shown, char key[static DIGEST_TEXT],
		    struct vn_error *err);

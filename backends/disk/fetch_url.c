/* libcurl's own parser, so that what is checked is what is fetched. */
#include "backends/disk/fetch_url.h"

#include <curl/curl.h>
#include <string.h>

#include "proto/base/mem.h"

/* To be freed with curl_free(); NULL: no URL of a scheme that may be fetched. */
static char *
print_shown(CURLU *url, const char *text)
{
	char *scheme = NULL, *shown = NULL;
	bool is_good = curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK
		       && curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK
		       && (!strcmp(scheme, "http") || !strcmp(scheme, "https"));

	curl_url_set(url, CURLUPART_USER, NULL, 0);
	curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
	curl_url_set(url, CURLUPART_QUERY, NULL, 0);
	curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
	if (is_good)
		curl_url_get(url, CURLUPART_URL, &shown, 0);
	curl_free(scheme);
	return shown;
}

int
fetch_url_check(const char *text, char **ret_shown, char key[static DIGEST_TEXT],
		struct vn_error *err)
{
	CURLU *url = curl_url();
	struct digest *digest;
	char *shown;

	if (!url)
		abort();
	shown = print_shown(url, text);
	curl_url_cleanup(url);
	if (!shown)
		return vn_fail(err, VN_E_INVALID, "the URL is not of the form http://host/path or "
			       "https://host/path");
	*ret_shown = vn_strdup(shown);
	curl_free(shown);
	digest = digest_new();
	digest_update(digest, text, strlen(text));
	digest_print(digest, key);
	digest_free(digest);
	return 0;
}

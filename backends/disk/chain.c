/*
 * A chain is read anew from the markers whenever it is needed: what is on the disk is what will be
 * mounted. An archive can be a layer on one base only, so its digest says the whole chain.
 */
#include "backends/disk/chain.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int
add(struct chain *chain, const char *sha256, struct vn_error *err)
{
	for (size_t i = 0; i < chain->count; i++)
		if (!strcmp(chain->sha256[i], sha256))
			return vn_fail(err, VN_E_STATE, "the image %.12s… is its own base: remove it and "
				       "add it again", sha256);
	if (chain->count == IMAGE_LAYERS_MAX)
		return vn_fail(err, VN_E_STATE, "more than %d layers lie on one another: make one image "
			       "of some of them", IMAGE_LAYERS_MAX);
	snprintf(chain->sha256[chain->count++], sizeof(*chain->sha256), "%s", sha256);
	return 0;
}

int
chain_read(const char *images, const char *sha256, struct chain *ret, struct vn_error *err)
{
	struct image_info info;
	char at[65];

	ret->count = 0;
	snprintf(at, sizeof(at), "%s", sha256);
	do {
		if (add(ret, at, err) < 0)
			return -1;
		if (!image_is_finished(images, at, &info))
			return vn_fail(err, VN_E_NOT_FOUND, ret->count == 1
				       ? "no image %.12s… is unpacked: add it again"
				       : "the base %.12s… is missing: add it again", at);
		if (info.facts.format != IMAGE_TAR)
			return vn_fail(err, VN_E_UNSUPPORTED, "the image %.12s… is the disk of a virtual "
				       "machine: nothing can be mounted from it", at);
		snprintf(at, sizeof(at), "%s", info.is_opaque ? "" : info.facts.base);
	} while (at[0]);
	return 0;
}

int
chain_check_unused(const char *images, const char *sha256, struct vn_error *err)
{
	DIR *dir = opendir(images);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return vn_fail_errno(err, errno, "open the image store %s", images);
	while (result == 0 && (entry = readdir(dir))) {
		struct image_info info;

		if (entry->d_name[0] != '.' && strcmp(entry->d_name, sha256) != 0
		    && image_is_finished(images, entry->d_name, &info)
		    && !strcmp(info.facts.base, sha256))
			result = vn_fail(err, VN_E_STATE, "the image %.12s… is a layer on %.12s…: remove "
					 "it first", entry->d_name, sha256);
	}
	closedir(dir);
	return result;
}

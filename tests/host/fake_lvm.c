/* One fake lvm at a time: PATH belongs to the process. Its group is named after that, since /dev is shared. */
#include "tests/host/fake_lvm.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "tests/shell.h"

static char group[40], *old_path;
static const char *folder;

void
fake_lvm_begin(const char *in, struct backend_env *env)
{
	vn_autofree char *path = NULL;

	folder = in;
	old_path = vn_strdup(getenv("PATH"));
	path = vn_format("%s/bin:%s", folder, old_path);
	snprintf(group, sizeof(group), "vnoded-test-%d", (int)getpid());
	run("mkdir %s/bin %s/lvm && printf '#!/bin/sh\\nexec python3 " FAKE_LVM " %s/lvm \"$@\"\\n' "
	    ">%s/bin/lvm && chmod 755 %s/bin/lvm && : >%s/lvm/log", folder, folder, folder, folder,
	    folder, folder);
	run("echo '{\"" FAKE_LVM_THEIRS "\": {\"tags\": [\"theirs\"], \"size\": 4194304}}' "
	    ">%s/lvm/volumes", folder);
	setenv("PATH", path, 1);
	env->lvm_group = group;
	env->lvm_pool = "pool";
}

void
fake_lvm_end(void)
{
	if (!old_path)
		return;
	run("for loop in $(losetup -a | grep %s/lvm | cut -d: -f1); do losetup -d $loop; done; "
	    "rm -rf /dev/%s", folder, group);
	setenv("PATH", old_path, 1);
	free(vn_take_ptr(&old_path));
}

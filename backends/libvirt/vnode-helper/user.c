/*
 * Users of the guest, from its own /etc/passwd and /etc/group, read inside of it and as data only.
 * What is no plain file is as good as absent.
 */
#include "backends/libvirt/vnode-helper/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096
#define N_FIELDS       7

static FILE *
open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;

	if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))) {
		close(fd);
		fd = -1;
	}
	return fd < 0 ? NULL : fdopen(fd, "r");
}

/* Splits at colons; fields that are missing are "". */
static void
split(char *line, char *fields[static N_FIELDS])
{
	static char nothing[1];

	line[strcspn(line, "\n")] = '\0';
	for (int i = 0; i < N_FIELDS; i++)
		fields[i] = line ? strsep(&line, ":") : nothing;
}

static int
read_number(const char *text, unsigned *ret)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value > 65535)
		return -1;
	*ret = (unsigned)value;
	return 0;
}

/* Fills ret from the line of passwd that has the name, or the number. */
static int
read_passwd(const char *name, int is_number, unsigned number, struct user *ret)
{
	char line[LINE_MAX_BYTES], *fields[N_FIELDS];
	FILE *file = open_file("/etc/passwd");
	int found = -1;

	while (file && found < 0 && fgets(line, sizeof(line), file)) {
		unsigned uid, gid;

		split(line, fields);
		if (read_number(fields[2], &uid) < 0 || read_number(fields[3], &gid) < 0 ||
		    (is_number ? uid != number : strcmp(fields[0], name) != 0))
			continue;
		ret->uid = uid;
		ret->gid = gid;
		snprintf(ret->name, sizeof(ret->name), "%s", fields[0]);
		snprintf(ret->home, sizeof(ret->home), "%s", *fields[5] ? fields[5] : "/");
		found = 0;
	}
	if (file)
		fclose(file);
	return found;
}

static int
is_member(char *members, const char *name)
{
	for (char *at; (at = strsep(&members, ",")) != NULL;)
		if (!strcmp(at, name))
			return 1;
	return 0;
}

static void
read_groups(struct user *user)
{
	char line[LINE_MAX_BYTES], *fields[N_FIELDS];
	FILE *file = open_file("/etc/group");
	const int room = sizeof(user->groups) / sizeof(*user->groups);

	user->groups[user->n_groups++] = user->gid;
	while (file && user->n_groups < room && fgets(line, sizeof(line), file)) {
		unsigned gid;

		split(line, fields);
		if (read_number(fields[2], &gid) == 0 && gid != user->gid &&
		    is_member(fields[3], user->name))
			user->groups[user->n_groups++] = gid;
	}
	if (file)
		fclose(file);
}

int
user_find(const char *name, struct user *ret, struct vn_error *err)
{
	unsigned number = 0;
	int is_number = !*name || read_number(name, &number) == 0;

	*ret = (struct user){ .uid = number, .gid = number, .home = "/" };
	snprintf(ret->name, sizeof(ret->name), "%s", number || !is_number ? name : "root");
	if (read_passwd(name, is_number, number, ret) < 0 && !is_number && strcmp(name, "root") != 0)
		return vn_fail(err, VN_E_NOT_FOUND, "the guest has no user '%s'", name);
	read_groups(ret);
	return 0;
}

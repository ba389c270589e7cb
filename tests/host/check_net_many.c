/* Many vnodes at once, with times printed, and a process killed at each of its system calls. */
#include "tests/host/net_world.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backends/digest.h"
#include "proto/base/mem.h"

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

#define MANY 50
#define THREADS 4
static struct node *many;
static atomic_int next;

static void *
ports_up_some(void *arg)
{
	int i;

	(void)arg;
	while ((i = atomic_fetch_add(&next, 1)) < MANY)
		check_ok(net_linux.ports_up(net, &many[i].ns, many[i].ports, 2, &err));
	return NULL;
}

static void *
down_some(void *arg)
{
	int i;

	(void)arg;
	while ((i = atomic_fetch_add(&next, 1)) < MANY)
		check_ok(net_linux.namespaces_down(net, &many[i].ns, &err));
	return NULL;
}

static double
in_threads(void *(*fn)(void *))
{
	pthread_t threads[THREADS];
	double start = now_ms();

	atomic_store(&next, 0);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, fn, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return now_ms() - start;
}

static void
make_many(int count)
{
	many = vn_alloc_array((size_t)count, sizeof(*many));
	check_ok(net_linux.host_up(net, &err));
	check_ok(net_linux.lan_up(net, &lan1, &err));
	for (int i = 0; i < count; i++) {
		describe(&many[i], i + 1);
		many[i].ns.userns = NULL;
		check_ok(net_linux.namespaces_up(net, &many[i].ns, &err));
	}
}

START_TEST(many_in_threads)
{
	struct net_found *found;
	double start;
	size_t count;

	make_many(MANY);
	printf("%d vnodes of 2 ports, %d threads: ports_up %.0f ms", MANY, THREADS,
	       in_threads(ports_up_some));
	printf(", again %.0f ms", in_threads(ports_up_some));
	ck_assert_int_eq(ping(1, "10.1.0.51"), 0);
	start = now_ms();
	printf(", namespaces_down %.0f ms", in_threads(down_some));
	check_ok(net_linux.inventory(net, &found, &count, &err));
	printf(" (all gone after %.0f ms)\n", now_ms() - start);
	ck_assert_uint_eq(count, 2);
	free(found);
	free(many);
}
END_TEST

#define WIDE 10			/* ports of each vnode */

/* The same 500 ports as commands: the pairs, then what is inside each vnode. */
static void
write_script(void)
{
	FILE *script = fopen("/media/batch", "w");

	for (int i = 0; i < MANY; i++)
		for (int k = 0; k < WIDE; k++)
			fprintf(script, "link add x%de%d type veth peer name eth%d netns %s\n"
				"link set x%de%d master l%d up alias %s\n", i, k, k, many[i].netns, i,
				k, k > 0, many[i].uuid);
	fclose(script);
	for (int i = 0; i < MANY; i++) {
		vn_autofree char *path = vn_format("/media/batch%d", i);

		script = fopen(path, "w");
		for (int k = 0; k < WIDE; k++)
			fprintf(script, "link set eth%d address 02:00:00:00:%02x:%02x up\n"
				"addr add 10.%d.%d.1/24 dev eth%d\n"
				"addr add fd0%d:%x::1/64 dev eth%d nodad\n", k, i, k, 20 + k, i, k,
				k, i, k);
		fclose(script);
	}
}

static void
widen(struct node *node, int vmid, struct port_spec ports[WIDE], struct vn_cidr addresses[WIDE][2])
{
	char text[64];

	for (unsigned k = 0; k < WIDE; k++) {
		snprintf(text, sizeof(text), "10.%u.%d.1/24", 20 + k, vmid);
		addresses[k][0] = cidr(text);
		snprintf(text, sizeof(text), "fd0%u:%x::1/64", k, (unsigned)vmid);
		addresses[k][1] = cidr(text);
		ports[k] = (struct port_spec){ .lan = 1, .index = k, .mac = digest_mac(node->uuid, k),
					       .addresses = addresses[k], .n_addresses = 2, .up = true,
					       .ifname = vn_format("eth%u", k) };
	}
}

START_TEST(five_hundred_ports)
{
	struct port_spec ports[MANY][WIDE];
	struct vn_cidr addresses[MANY][WIDE][2];
	double start, ours, theirs;

	make_many(MANY);
	for (int i = 0; i < MANY; i++)
		widen(&many[i], i, ports[i], addresses[i]);
	start = now_ms();
	for (int i = 0; i < MANY; i++)
		check_ok(net_linux.ports_up(net, &many[i].ns, ports[i], WIDE, &err));
	ours = now_ms() - start;
	check_ok(net_linux.host_down(net, &err));
	make_many(MANY);
	write_script();
	start = now_ms();
	ck_assert_int_eq(shell(FABRIC "ip -batch /media/batch"), 0);
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(shell("nsenter --net=%s ip -batch /media/batch%d", many[i].netns, i),
				 0);
	theirs = now_ms() - start;
	printf("%d ports of %d vnodes, one thread: ports_up %.0f ms, 'ip -batch' %.0f ms, "
	       "ratio %.2f\n", MANY * WIDE, MANY, ours, theirs, ours / theirs);
}
END_TEST

/* ---- being killed ---------------------------------------------------------------------------- */

static int *fuse;			/* shared: system calls until the end; 0 = never */

static void
burn(void)
{
	if (fuse && *fuse > 0 && --*fuse == 0)
		raise(SIGKILL);
}

/* In front of libc's: each call that changes the kernel is a point to be killed at, before and after. */
ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t result;

	burn();
	result = syscall(SYS_sendmsg, fd, message, flags);
	burn();
	return result;
}

int
mount(const char *source, const char *target, const char *type, unsigned long flags,
      const void *data)
{
	int result;

	burn();
	result = (int)syscall(SYS_mount, source, target, type, flags, data);
	burn();
	return result;
}

int
umount2(const char *target, int flags)
{
	int result;

	burn();
	result = (int)syscall(SYS_umount2, target, flags);
	burn();
	return result;
}

int
rename(const char *from, const char *to)
{
	int result;

	burn();
	result = (int)syscall(SYS_rename, from, to);
	burn();
	return result;
}

/* Runs fn in a process that is killed at its nth point. Returns whether it was. */
static bool
killed_at(int nth, void (*fn)(void))
{
	int status;
	pid_t pid;

	*fuse = 0;
	pid = fork();
	if (pid == 0) {
		check_ok(net_linux.open(&env, &net, &err));
		*fuse = nth;
		fn();
		*fuse = 0;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	*fuse = 0;
	ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

static void
take_down(void)
{
	check_ok(net_linux.namespaces_down(net, &two.ns, &err));
	check_ok(net_linux.host_down(net, &err));
}

START_TEST(killed_anywhere)
{
	vn_autofree char *empty = NULL, *whole = NULL;
	int points = 1;

	fuse = mmap(NULL, sizeof(*fuse), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	empty = dump();
	bring_up_two();
	whole = blur(dump());
	take_down();
	for (bool down = false;; points++) {
		vn_autofree char *after = NULL;
		bool killed = killed_at(points, down ? take_down : bring_up_two);

		bring_up_two();
		after = blur(dump());
		check_same(whole, after);
		take_down();
		free(vn_take_ptr(&after));
		after = dump();
		check_same(empty, after);
		if (!killed && down)
			break;
		if (!killed) {
			printf("killed at %d points of the way up", points - 1);
			points = 0;
			down = true;
		}
		if (down)
			bring_up_two();
	}
	printf(", at %d of the way down\n", points - 1);
}
END_TEST

const struct net_case many_cases[] = {
	{ "threads", &many_in_threads, 1 },
	{ "many", &five_hundred_ports, 1 },
	{ "killed", &killed_anywhere, 1 },
	{ 0 },
};

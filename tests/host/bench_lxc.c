/*
 * How fast containers start and stop: run as tests/host/env build/tests/host/bench_lxc [GUESTS [THREADS
 * [starts]]]. A bare loop of virDomainCreateXMLWithFiles over the same vnode-init and documents is
 * measured beside the backend, in the same run; "starts" leaves out virDomainDestroy, which takes longest.
 * Prints; asserts no time.
 */
#include <libvirt/libvirt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backends/libvirt/domain_xml.h"
#include "backends/libvirt/lxc.h"
#include "backends/libvirt/parcel.h"
#include "proto/base/mem.h"
#include "tests/host/lab.h"

#define IGNORES_TERM "trap '' TERM; while :; do sleep 1000 & wait $!; done"

static struct lab lab;
static size_t n_guests = 50, n_only;	/* the one width to measure; 0: several */
static bool is_starts_only;
static atomic_size_t next;

/* Processor time of everything in this environment's cgroups, libvirtd and the guests included. */
static double
processor_time(void)
{
	FILE *file = fopen("/sys/fs/cgroup/cpuacct/cpuacct.usage", "re");
	unsigned long long ns = 0;

	if (file && fscanf(file, "%llu", &ns) != 1)
		ns = 0;
	if (file)
		fclose(file);
	return (double)ns / 1e9;
}

typedef void work_fn(struct lab_guest *guest, virConnectPtr conn);

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void
start(struct lab_guest *guest, virConnectPtr conn)
{
	struct vn_error err;

	(void)conn;
	ck_assert_msg(lab.compute->ops->start(lab.compute, &guest->spec, &guest->id, &err) == 0, "%s",
		      err.text);
}

static void
stop(struct lab_guest *guest, virConnectPtr conn)
{
	struct vn_error err;

	(void)conn;
	ck_assert_msg(lab.compute->ops->stop(lab.compute, guest->domain, guest->uuid, &guest->id, 0, &err) == 0,
		      "%s", err.text);
}

/* What no program can do without: the descriptors and one libvirt call. vnode-init then waits for us. */
static void
start_bare(struct lab_guest *guest, virConnectPtr conn)
{
	struct lxc *lxc = (struct lxc *)lab.compute;
	vn_autofree char *xml = domain_xml_new(&guest->spec, lab.env.instance, lxc->skeleton);
	struct parcel parcel = PARCEL_EMPTY;
	struct vn_error err;
	virDomainPtr domain;

	ck_assert_msg(parcel_open(lxc, &guest->spec, &parcel, &err) == 0, "%s", err.text);
	domain = virDomainCreateXMLWithFiles(conn, xml, parcel.n_fds, parcel.fds, 0);
	ck_assert_ptr_nonnull(domain);
	virDomainFree(domain);
	guest->bare = vn_take_fd(&parcel.control);
	parcel_close(&parcel);
}

static void
destroy_bare(struct lab_guest *guest, virConnectPtr conn)
{
	virDomainPtr domain = virDomainLookupByUUIDString(conn, guest->uuid);

	ck_assert_ptr_nonnull(domain);
	ck_assert_int_eq(virDomainDestroy(domain), 0);
	virDomainFree(domain);
}

static void *
work(void *arg)
{
	work_fn *fn = *(work_fn **)arg;
	virConnectPtr conn = virConnectOpen(lab.env.libvirt_uri);
	size_t i;

	while ((i = atomic_fetch_add(&next, 1)) < n_guests)
		fn(&lab.guests[i], conn);
	virConnectClose(conn);
	return NULL;
}

static void
measure(const char *what, work_fn *fn, size_t n_threads)
{
	pthread_t threads[16];
	double began = now(), used = processor_time(), took;

	atomic_store(&next, 0);
	for (size_t i = 0; i < n_threads; i++)
		pthread_create(&threads[i], NULL, work, &fn);
	for (size_t i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	took = now() - began;
	used = processor_time() - used;
	printf("%-44s %2zu threads  %6.2f s  %6.1f/s  %6.1f ms processor time each\n", what, n_threads,
	       took, (double)n_guests / took, used * 1000 / (double)n_guests);
	fflush(stdout);
}

START_TEST(bench)
{
	static const size_t widths[] = { 1, 2, 4, 8 };

	lab_open(&lab);
	for (size_t i = 0; i < n_guests; i++)
		lab_guest(&lab, IGNORES_TERM, false);
	for (size_t i = 0; i < VN_COUNT(widths); i++) {
		if (n_only && widths[i] != n_only)
			continue;
		measure("bare start (libvirt and vnode-init alone)", start_bare, widths[i]);
		for (size_t j = 0; j < n_guests; j++)
			close(lab.guests[j].bare);
		measure("  removal of those", stop, 8);
		measure("start", start, widths[i]);
		measure("stop, init ignores SIGTERM", stop, widths[i]);
	}
	for (size_t width = 8; width > 0 && !is_starts_only; width = width == 8 ? 1 : 0) {
		measure("  start of what is destroyed next", start, 8);
		measure("virDomainDestroy alone, init ignores SIGTERM", destroy_bare, width);
	}
	lab_close(&lab);
}
END_TEST

/* One Check test, because the lab's checks need one around them. */
int
main(int argc, char **argv)
{
	Suite *suite = suite_create("bench");
	TCase *tcase = tcase_create("lxc");
	SRunner *runner = srunner_create(suite);
	int failed;

	n_guests = argc > 1 ? strtoul(argv[1], NULL, 10) : n_guests;
	n_only = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	is_starts_only = argc > 3 && strcmp(argv[3], "starts") == 0;
	tcase_add_test(tcase, bench);
	suite_add_tcase(suite, tcase);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

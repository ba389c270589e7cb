/*
 * How long the backend takes to compare everything with the kernel: LINKS shaped links between vnodes of one
 * port each, so twice as many ports and namespaces. usage (root): bench_verify [LINKS [ROUNDS]]
 */
#include "tests/host/net_world.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backends/difference.h"
#include "backends/digest.h"
#include "proto/base/mem.h"

struct crowd {
	size_t n_links, n_vnodes;
	struct node *nodes;
	struct net_vnode *vnodes;
	struct lan_spec *lans;
	char (*uuids)[VN_UUID_TEXT];
};

static double
ms_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double
now_ms(void)
{
	return ms_of(CLOCK_MONOTONIC);
}

static void
make_link(struct crowd *crowd, size_t i)
{
	snprintf(crowd->uuids[i], VN_UUID_TEXT, "00000000-0000-4000-9000-%012zu", i + 1);
	crowd->lans[i] = (struct lan_spec){ .id = (int64_t)i + 1, .uuid = crowd->uuids[i] };
	check_ok(net_linux.lan_up(net, &crowd->lans[i], &err));
}

static void
make_vnode(struct crowd *crowd, size_t i)
{
	struct node *node = &crowd->nodes[i];
	struct port_spec *port = &node->ports[1];

	describe(node, (int)i + 1);
	node->ns.userns = NULL;		/* as many, and made faster */
	port->lan = (int64_t)(i / 2) + 1;
	port->mtu = 1500;
	port->out = (struct shape){ .rate_bps = 10000000 };
	crowd->vnodes[i] = (struct net_vnode){ node->ns, port, 1, NULL, 0 };
	check_ok(net_linux.namespaces_up(net, &node->ns, &err));
	check_ok(net_linux.ports_up(net, &node->ns, port, 1, &err));
}

/* Prints the time, and that of the processors, which a busy machine does not stretch. */
static void
verify(const struct crowd *crowd, bool inside)
{
	struct net_wanted wanted = { .lans = crowd->lans, .n_lans = crowd->n_links,
				     .vnodes = crowd->vnodes, .n_vnodes = crowd->n_vnodes,
				     .whole = true, .inside = inside };
	struct differences list = { 0 };
	double begin = now_ms(), used = ms_of(CLOCK_PROCESS_CPUTIME_ID);

	check_ok(net_linux.verify(net, &wanted, &list, &err));
	printf("%s %.1f ms, processors %.1f ms\n", inside ? "all" : "fabric", now_ms() - begin,
	       ms_of(CLOCK_PROCESS_CPUTIME_ID) - used);
	fflush(stdout);
	if (list.count)
		ck_abort_msg("%zu differences; the first: %s %s %s", list.count, list.items[0].about.kind,
			     list.items[0].about.object, list.items[0].field);
	ck_assert_uint_eq(list.checked[CHECKED_PORTS], crowd->n_vnodes);
	ck_assert_uint_eq(list.checked[CHECKED_QDISCS], 2 * crowd->n_vnodes);
	differences_fini(&list);
}

static unsigned long links = 500, rounds = 5;

START_TEST(links_are_compared)
{
	struct crowd crowd = { .n_links = links, .n_vnodes = 2 * links };
	double begin;

	crowd.nodes = vn_alloc_array(crowd.n_vnodes, sizeof(*crowd.nodes));
	crowd.vnodes = vn_alloc_array(crowd.n_vnodes, sizeof(*crowd.vnodes));
	crowd.lans = vn_alloc_array(crowd.n_links, sizeof(*crowd.lans));
	crowd.uuids = vn_alloc_array(crowd.n_links, sizeof(*crowd.uuids));
	begin = now_ms();
	check_ok(net_linux.host_up(net, &err));
	for (size_t i = 0; i < crowd.n_links; i++)
		make_link(&crowd, i);
	for (size_t i = 0; i < crowd.n_vnodes; i++)
		make_vnode(&crowd, i);
	printf("made %.0f ms\n", now_ms() - begin);
	for (unsigned long i = 0; i < rounds; i++) {
		verify(&crowd, false);
		verify(&crowd, true);
	}
	check_ok(net_linux.host_down(net, &err));
	free(crowd.nodes);
	free(crowd.vnodes);
	free(crowd.lans);
	free(crowd.uuids);
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("bench_verify");
	TCase *tcase = tcase_create("verify");
	SRunner *runner = srunner_create(suite);
	int failed;

	links = argc > 1 ? strtoul(argv[1], NULL, 10) : links;
	rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : rounds;
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 600);
	tcase_add_test(tcase, links_are_compared);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}

/*
 * The network part of bringing up, changing and taking down shaped links: run as root, as
 * build/tests/host/bench_net [LINKS [ours]]. Beside it, in the same run, `ip -batch` and `tc -batch` over scripts
 * that do the same; "ours" leaves them out, for tracing. Prints; asserts no time.
 *
 * The scripts: one `ip -batch` for namespaces, bridges and pairs, one `tc -batch` for the queues, and one more
 * `ip -batch` in each vnode for what is inside, which one program cannot do from outside. Its time is told by itself.
 */
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "backends/digest.h"
#include "proto/base/mem.h"
#include "tests/host/net_world.h"

enum { VNODES = 50 };			/* a ring of them: links go round and round */
enum { RATE = 10000000 };

static unsigned n_links = 500;
static bool is_ours_only;

struct end {				/* one of a link */
	unsigned vnode, index;
};

static struct node nodes[VNODES];
static struct port_spec *ports[VNODES];
static unsigned n_ports[VNODES];
static struct end (*ends)[2];
static struct vn_cidr (*addresses)[2];

/* Of the clock, and of the processor: ours or that of programs that have ended. */
struct moment {
	double wall, used;
};

static double
used_by(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

static struct moment
now(void)
{
	struct timespec clock;

	clock_gettime(CLOCK_MONOTONIC, &clock);
	return (struct moment){ (double)clock.tv_sec * 1e3 + (double)clock.tv_nsec / 1e6,
				used_by(RUSAGE_SELF) + used_by(RUSAGE_CHILDREN) };
}

static void
say(const char *what, struct moment began)
{
	struct moment ended = now();

	printf("%-60s %8.0f ms %8.0f ms of a processor\n", what, ended.wall - began.wall,
	       ended.used - began.used);
	fflush(stdout);
}

/* ---- what there is to be --------------------------------------------------------------------- */

static void
add_end(unsigned link, unsigned side)
{
	unsigned vnode = (link * 2 + side) % VNODES;
	unsigned index = ++n_ports[vnode];
	struct port_spec *port = &ports[vnode][index - 1];
	char text[64];

	snprintf(text, sizeof(text), "10.%u.%u.%u/24", 32 + link / 250, link % 250, side + 1);
	addresses[link][side] = cidr(text);
	ends[link][side] = (struct end){ vnode, index };
	*port = (struct port_spec){ .lan = link + 1, .index = index, .mac = digest_mac(nodes[vnode].uuid, index),
				    .ifname = vn_format("eth%u", index), .up = true,
				    .addresses = &addresses[link][side], .n_addresses = 1,
				    .out = { .rate_bps = RATE } };
}

static void
describe_all(void)
{
	ends = vn_alloc_array(n_links, sizeof(*ends));
	addresses = vn_alloc_array(n_links, sizeof(*addresses));
	for (unsigned i = 0; i < VNODES; i++) {
		describe(&nodes[i], (int)i + 1);
		nodes[i].ns.userns = NULL;
		ports[i] = vn_alloc_array(2 * n_links / VNODES + 2, sizeof(**ports));
	}
	for (unsigned link = 0; link < n_links; link++) {
		add_end(link, 0);
		add_end(link, 1);
	}
}

/* ---- ours ------------------------------------------------------------------------------------ */

static void
lans_up(void)
{
	for (unsigned i = 0; i < n_links; i++) {
		char uuid[VN_UUID_TEXT];
		struct lan_spec lan = { .id = i + 1, .uuid = uuid };

		snprintf(uuid, sizeof(uuid), "00000000-0000-4000-9000-%012u", i);
		check_ok(net->ops->lan_up(net, &lan, &err));
	}
}

static void
ours_up(void)
{
	struct moment began = now(), part = began;

	lans_up();
	say("  vnoded: bridges", part);
	part = now();
	for (unsigned i = 0; i < VNODES; i++)
		check_ok(net->ops->namespaces_up(net, &nodes[i].ns, &err));
	say("  vnoded: namespaces", part);
	part = now();
	for (unsigned i = 0; i < VNODES; i++)
		check_ok(net->ops->ports_up(net, &nodes[i].ns, ports[i], n_ports[i], &err));
	say("  vnoded: ports, addresses, queues", part);
	say("vnoded, one thread: up", began);
}

static void
ours_change(uint64_t rate)
{
	struct port_shape *shapes = vn_alloc_array(n_links, sizeof(*shapes));
	struct moment began;

	for (unsigned i = 0; i < n_links; i++)
		shapes[i] = (struct port_shape){ .vmid = ends[i][0].vnode + 1, .index = ends[i][0].index,
						 .out = { .rate_bps = rate } };
	began = now();
	check_ok(net->ops->ports_shape(net, shapes, n_links, &err));
	say("vnoded: live change of one port of each link (wanted: 100 ms)", began);
	free(shapes);
}

static void
ours_down(void)
{
	struct net_found *found;
	struct moment began = now();
	size_t count;

	for (unsigned i = 0; i < VNODES; i++)
		check_ok(net->ops->namespaces_down(net, &nodes[i].ns, &err));
	say("  vnoded: namespaces", began);
	for (unsigned i = 0; i < n_links; i++)
		check_ok(net->ops->lan_down(net, i + 1, &err));
	say("  vnoded: and bridges", began);
	check_ok(net->ops->inventory(net, &found, &count, &err));
	ck_assert_uint_eq(count, 1);	/* the control bridge */
	free(found);
	say("vnoded, one thread: down, until nothing is left", began);
}

/* ---- theirs ---------------------------------------------------------------------------------- */

static void
write_scripts(void)
{
	FILE *links = fopen("/media/links", "we"), *queues = fopen("/media/queues", "we"), *inside;

	for (unsigned i = 0; i < VNODES; i++)
		fprintf(links, "netns add n%u\n", i);
	for (unsigned i = 0; i < n_links; i++)
		fprintf(links, "link add l%u address 02:00:00:01:%02x:%02x type bridge stp_state 0 forward_delay 0 "
			"mcast_snooping 0\nlink set l%u up\n", i, i >> 8, i & 255, i);
	for (unsigned i = 0; i < n_links; i++)
		for (unsigned side = 0; side < 2; side++) {
			const struct end *end = &ends[i][side];

			fprintf(links, "link add v%ue%u type veth peer name eth%u netns n%u\n"
				"link set v%ue%u master l%u alias %s up\n", end->vnode, end->index, end->index,
				end->vnode, end->vnode, end->index, i, nodes[end->vnode].uuid);
			fprintf(queues, "qdisc add dev v%ue%u root handle 3: tbf rate %u burst 5000 limit 62500\n"
				"qdisc add dev v%ue%u parent 3:1 handle 4: bfifo limit 62500\n", end->vnode,
				end->index, RATE, end->vnode, end->index);
		}
	fclose(links);
	fclose(queues);
	for (unsigned i = 0; i < VNODES; i++) {
		vn_autofree char *path = vn_format("/media/inside%u", i);

		inside = fopen(path, "we");
		for (unsigned k = 0; k < n_ports[i]; k++) {
			char text[VN_CIDR_TEXT];

			vn_cidr_print(ports[i][k].addresses, text);
			fprintf(inside, "link set eth%u address 02:00:00:00:%02x:%02x up\naddr add %s dev eth%u\n",
				k + 1, i, k, text, k + 1);
		}
		fclose(inside);
	}
}

static void
write_down(void)
{
	FILE *down = fopen("/media/down", "we"), *change = fopen("/media/change", "we");

	for (unsigned i = 0; i < VNODES; i++)
		fprintf(down, "netns del n%u\n", i);
	for (unsigned i = 0; i < n_links; i++) {
		fprintf(down, "link del l%u\n", i);
		fprintf(change, "qdisc change dev v%ue%u root handle 3: tbf rate 20mbit burst 10000 limit 125000\n"
			"qdisc change dev v%ue%u parent 3:1 handle 4: bfifo limit 125000\n", ends[i][0].vnode,
			ends[i][0].index, ends[i][0].vnode, ends[i][0].index);
	}
	fclose(down);
	fclose(change);
}

/* In a namespace that stands for the fabric. */
static void
theirs(void)
{
	struct moment began, part;

	write_scripts();
	write_down();
	ck_assert_int_eq(shell("mkdir -p /run/netns && ip netns add fabric"), 0);
	began = part = now();
	ck_assert_int_eq(shell("nsenter --net=/run/netns/fabric ip -batch /media/links"), 0);
	say("  ip -batch: namespaces, bridges, pairs", part);
	part = now();
	ck_assert_int_eq(shell("nsenter --net=/run/netns/fabric tc -batch /media/queues"), 0);
	say("  tc -batch: queues", part);
	say("ip -batch and tc -batch: up, but for addresses", began);
	part = now();
	ck_assert_int_eq(shell("for i in $(seq 0 %d); do ip -n n$i -batch /media/inside$i || exit; done", VNODES - 1), 0);
	say("  ip -batch in each vnode: addresses", part);
	say("ip -batch and tc -batch: up, whole", began);
	part = now();
	ck_assert_int_eq(shell("nsenter --net=/run/netns/fabric tc -batch /media/change"), 0);
	say("tc -batch: live change of one port of each link", part);
	part = now();
	ck_assert_int_eq(shell("nsenter --net=/run/netns/fabric ip -batch /media/down"), 0);
	ck_assert_int_eq(shell("while ip -n fabric -o link | grep -q ' v'; do :; done"), 0);
	say("ip -batch: down, until nothing is left", part);
	ck_assert_int_eq(shell("ip netns del fabric"), 0);
}

START_TEST(bench)
{
	char home[64];

	ck_assert_int_eq(shell("mount -t tmpfs none /run"), 0);
	check_ok(net->ops->host_up(net, &err));
	describe_all();
	snprintf(home, sizeof(home), "%u shaped links between %d vnodes", n_links, VNODES);
	printf("%s\n", home);
	prctl(PR_SET_NAME, "ours begins");	/* marks for strace */
	ours_up();
	ours_change(2 * RATE);
	ours_change(RATE);
	ours_down();
	prctl(PR_SET_NAME, "ours ends");
	if (!is_ours_only)
		theirs();
}
END_TEST

/* One Check test, because the surroundings' checks need one around them. */
int
main(int argc, char **argv)
{
	Suite *suite = suite_create("bench");
	TCase *tcase = tcase_create("net");
	SRunner *runner = srunner_create(suite);
	int failed;

	n_links = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : n_links;
	is_ours_only = argc > 2 && strcmp(argv[2], "ours") == 0;
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, bench);
	suite_add_tcase(suite, tcase);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*
 * What guests find in their files: the texts as the fake's disks hold them, keys that stay what they are
 * over everything that a vnode survives, and sources that are read once and kept by their digest.
 */
#include "tests/unit/lab.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>


#define KEY  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOep1EHCMkyvEv80Y6bzx/jYssAJGZ5KD9FZ7I2Dyszq me@home"
#define HASH "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
#define SHA_OF_HELLO "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"	/* "hello\n" */

#define LOGIN "'password':'" HASH "','authorized_keys':['" KEY "'],'timezone':'Europe/Berlin'"
#define ALICE(fields) "{'topology':'t','domain':'lab.example','dns':['192.0.2.53'],'vnodes':{'alice':{" fields \
	"},'b_b':{}},'lans':{'l':{'members':{'alice':{'address':['10.1.0.1/24','fd01::1/64']}," \
	"'b_b':{'address':'10.1.0.2/24'}}},'bare':{'mtu':9000,'members':{'alice':{}}}}}"

static json_t *
parse(const char *text)
{
	vn_autofree char *copy = vn_strdup(text);
	json_t *value;

	for (char *at = copy; *at; at++)
		if (*at == '\'')
			*at = '"';
	value = json_loads(copy, 0, NULL);
	ck_assert_msg(value != NULL, "%s", text);
	return value;
}

static void
apply(struct lab *lab, const char *text)
{
	lab_do(lab, "topology.apply", "{so sb}", "document", parse(text), "wait", 1);
	ck_assert(lab_settle(lab));
	lab_check_quiet(lab, text);
}

static char *
file(struct lab *lab, const char *vnode, const char *path)
{
	return world_file(lab->world, lab_vnode(lab, vnode)->vmid, path);
}

static void
check_file(struct lab *lab, const char *vnode, const char *path, const char *wanted)
{
	vn_autofree char *text = file(lab, vnode, path);

	if (!wanted) {
		ck_assert_msg(!text, "%s of %s: %s", path, vnode, text);
		return;
	}
	ck_assert_msg(text != NULL, "%s has no %s", vnode, path);
	ck_assert_str_eq(text, wanted);
}

static void
check_holds(struct lab *lab, const char *vnode, const char *path, const char *wanted)
{
	vn_autofree char *text = file(lab, vnode, path);

	ck_assert_msg(text && strstr(text, wanted), "%s of %s: '%s' is not in: %s", path, vnode, wanted, text);
}

static void
end(struct lab *lab, const char *what)
{
	lab_clean(lab, what);
	lab_free(lab);
}

/* ---- texts ---------------------------------------------------------------------------------- */

START_TEST(a_guest_knows_names_logins_zone_and_files)
{
	struct lab *lab = lab_new();

	apply(lab, ALICE(LOGIN ",'files':[{'path':'/etc/motd','content':'hello\\n','mode':'0600'}]"));
	check_file(lab, "alice", "/etc/hostname", "alice\n");
	check_file(lab, "b_b", "/etc/hostname", "b-b\n");
	check_holds(lab, "alice", "/etc/hosts", "10.1.0.2\tb-b.lab.example b-b\n");
	check_holds(lab, "alice", "/etc/hosts", "198.18.0.3\tb-b.lab.example b-b\n");
	check_file(lab, "alice", "/etc/resolv.conf", "search lab.example\nnameserver 192.0.2.53\n");
	check_file(lab, "alice", "/etc/shadow", HASH);
	check_holds(lab, "alice", "/root/.ssh/authorized_keys", "\n" KEY "\n");
	check_file(lab, "alice", "/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin");
	check_file(lab, "alice", "/etc/timezone", "Europe/Berlin\n");
	check_file(lab, "alice", "/etc/motd", "hello\n");
	check_file(lab, "alice", "/var/emulab/boot/vmname", "alice\n");
	check_file(lab, "alice", "/var/emulab/boot/realname", "alice.lab.example\n");
	check_file(lab, "alice", "/var/emulab/boot/myip", "198.18.0.2\n");
	check_file(lab, "alice", "/var/emulab/boot/mynetmask", "255.255.0.0\n");
	check_file(lab, "alice", "/var/emulab/boot/routerip", "198.18.0.1\n");
	check_file(lab, "alice", "/var/emulab/boot/localevserver", "198.18.0.1\n");
	check_file(lab, "alice", "/var/emulab/boot/controlif", "eth0\n");
	check_file(lab, "alice", "/var/emulab/boot/extrafs", "FS=/\n");
	check_file(lab, "b_b", "/etc/shadow", NULL);
	check_file(lab, "b_b", "/root/.ssh/authorized_keys", NULL);
	check_file(lab, "b_b", "/etc/localtime", NULL);
	end(lab, "texts");
}
END_TEST

START_TEST(a_guests_tools_are_told_what_is_set)
{
	struct lab *lab = lab_new();
	vn_autofree char *text = NULL;

	apply(lab, ALICE("'routes':[{'to':'10.9.0.0/16','via':'10.1.0.2','metric':7},"
			 "{'to':'fd09::/64','via':'fd01::9'}]"));
	check_holds(lab, "alice", "/etc/network/interfaces", "source /etc/network/interfaces.d/*\n");
	check_holds(lab, "alice", "/etc/network/interfaces.d/vnoded", "auto eth0\niface eth0 inet manual\n"
		    "\tmtu 1500\n\tup ip addr replace 198.18.0.2/16 brd + dev eth0\n");
	check_holds(lab, "alice", "/etc/network/interfaces.d/vnoded",
		    "\tup ip route replace default via 198.18.0.1 dev eth0 proto 4\n\tup ip -6 route replace default "
		    "via fd");
	check_holds(lab, "alice", "/etc/network/interfaces.d/vnoded", "iface eth1 inet manual\n\tmtu 1500\n"
		    "\tup ip addr replace 10.1.0.1/24 brd + dev eth1\n\tup ip addr replace fd01::1/64 dev eth1\n"
		    "\tup ip route replace 10.9.0.0/16 via 10.1.0.2 dev eth1 metric 7 proto 86\n"
		    "\tup ip -6 route replace fd09::/64 via fd01::9 dev eth1 proto 86\n");
	text = file(lab, "alice", "/etc/network/interfaces.d/vnoded");
	ck_assert_msg(!strstr(text, "eth2"), "an interface without addresses is the guest's: %s", text);
	check_holds(lab, "alice", "/etc/systemd/network/05-vnoded-eth1.network", "[Match]\nName=eth1\n"
		    "MACAddress=02:");
	check_holds(lab, "alice", "/etc/systemd/network/05-vnoded-eth1.network",
		    "KeepConfiguration=yes\nAddress=10.1.0.1/24\nAddress=fd01::1/64\n\n[Route]\n"
		    "Destination=10.9.0.0/16\nGateway=10.1.0.2\nMetric=7\nProtocol=86\n\n[Route]\n"
		    "Destination=fd09::/64\nGateway=fd01::9\nProtocol=86\n");
	check_file(lab, "alice", "/etc/systemd/network/05-vnoded-eth2.network", NULL);
	check_holds(lab, "alice", "/etc/netplan/99-vnoded.yaml", "    eth1:\n      match: {macaddress: \"02:");
	check_holds(lab, "alice", "/etc/netplan/99-vnoded.yaml", "      addresses:\n        - \"10.1.0.1/24\"\n"
		    "        - \"fd01::1/64\"\n      routes:\n        - {to: \"10.9.0.0/16\", via: \"10.1.0.2\", "
		    "metric: 7}\n");
	/* one that has lost its interface goes, with the next boot */
	apply(lab, "{'topology':'t','vnodes':{'alice':{},'b_b':{}}}");
	lab_do(lab, "topology.apply", "{so sb sb}", "document", parse("{'topology':'t','vnodes':{'alice':{}}}"),
	       "prune", 1, "wait", 1);
	lab_do(lab, "vnode.reboot", "{ss sb}", "vnode", "alice", "wait", 1);
	check_file(lab, "alice", "/etc/systemd/network/05-vnoded-eth1.network", NULL);
	check_holds(lab, "alice", "/etc/systemd/network/05-vnoded-eth0.network", "Name=eth0");
	end(lab, "tools");
}
END_TEST

START_TEST(a_topology_speaks_for_vnodes_that_say_nothing)
{
	struct lab *lab = lab_new();

	apply(lab, "{'topology':'t'," LOGIN ",'vnodes':{'a':{},'b':{'timezone':'UTC'},'c':{'inject':false}}}");
	check_file(lab, "a", "/etc/timezone", "Europe/Berlin\n");
	check_file(lab, "b", "/etc/timezone", "UTC\n");
	check_file(lab, "b", "/etc/shadow", HASH);
	check_file(lab, "c", "/etc/hostname", NULL);
	/* It is written at the next boot, and what is asked for no more goes. */
	apply(lab, "{'topology':'t','timezone':'UTC','vnodes':{'a':{},'b':{'timezone':'UTC'},"
		   "'c':{'inject':false}}}");
	check_file(lab, "a", "/etc/timezone", "Europe/Berlin\n");
	lab_do(lab, "vnode.reboot", "{ss sb}", "vnode", "a", "wait", 1);
	check_file(lab, "a", "/etc/timezone", "UTC\n");
	check_file(lab, "a", "/root/.ssh/authorized_keys", NULL);
	end(lab, "defaults");
}
END_TEST

START_TEST(what_the_topology_writes_is_not_written_twice)
{
	struct lab *lab = lab_new();

	apply(lab, ALICE("'files':[{'path':'/etc/hosts','content':'mine\\n'},"
			 "{'path':'/etc/ssh/ssh_host_ed25519_key','content':'my key'}]"));
	check_file(lab, "alice", "/etc/hosts", "mine\n");
	check_file(lab, "alice", "/etc/ssh/ssh_host_ed25519_key", "my key");
	check_holds(lab, "alice", "/etc/ssh/ssh_host_ecdsa_key", "BEGIN EC PRIVATE KEY");
	end(lab, "own");
}
END_TEST

/* ---- changes -------------------------------------------------------------------------------- */

static void
check_plan(struct lab *lab, const char *text, const char *how, const char *fields)
{
	json_t *plan = lab_result(lab, "topology.plan", "{so}", "document", parse(text));
	json_t *first = json_array_get(json_object_get(plan, "actions"), 0);
	vn_autofree char *got = json_dumps(json_object_get(first, "fields"), JSON_COMPACT);

	ck_assert_int_eq(json_array_size(json_object_get(plan, "actions")), how ? 1 : 0);
	if (how) {
		ck_assert_str_eq(json_string_value(json_object_get(first, "how")), how);
		ck_assert_str_eq(got, fields);
	}
	json_decref(plan);
}

START_TEST(changes_restart_the_guest_and_come_back_from_export)
{
	static const char whole[] = ALICE(LOGIN ",'files':[{'path':'/a','content':'1','owner':'7:8'}]");
	struct lab *lab = lab_new();
	json_t *exported, *document = parse(whole);
	unsigned starts;

	apply(lab, ALICE(""));
	starts = world_guest_starts(lab->world, lab_vnode(lab, "alice")->uuid);
	check_plan(lab, whole, "restart", "[\"password\",\"authorized_keys\",\"timezone\",\"files\"]");
	apply(lab, whole);
	ck_assert_uint_eq(world_guest_starts(lab->world, lab_vnode(lab, "alice")->uuid), starts + 1);
	check_file(lab, "alice", "/a", "1");
	check_plan(lab, whole, NULL, NULL);
	exported = lab_result(lab, "topology.export", "{ss}", "topology", "t");
	lab_same(json_object_get(document, "vnodes"), json_object_get(exported, "vnodes"), "export");
	json_decref(exported);
	json_decref(document);
	lab_kill(lab);
	ck_assert(lab_open(lab));
	check_plan(lab, whole, NULL, NULL);
	apply(lab, ALICE("'inject':false"));
	check_file(lab, "alice", "/a", "1");
	end(lab, "changes");
}
END_TEST

START_TEST(an_operator_gives_nobody_a_way_into_privileged_vnodes)
{
	static const char *const changes[] = { "'authorized_keys':['" KEY "']", "'password':'" HASH "'",
		"'files':[{'path':'/etc/init.d/rcS','content':'x'}]", "'inject':false" };
	struct lab *lab = lab_new();

	apply(lab, "{'topology':'t','vnodes':{'a':{'privileged':true}}}");
	lab_connect(lab, 1000, ROLE_OPERATOR);
	for (size_t i = 0; i < VN_COUNT(changes); i++) {
		vn_autofree char *vnode = vn_format("{'topology':'t','vnodes':{'a':{'privileged':true,%s}}}",
						    changes[i]);
		vn_autofree char *top = vn_format("{'topology':'t',%s,'vnodes':{'a':{'privileged':true}}}",
						  changes[i]);

		lab_refuse(lab, "denied", "topology.apply", "{so}", "document", parse(vnode));
		if (i < 2)
			lab_refuse(lab, "denied", "topology.apply", "{so}", "document", parse(top));
	}
	lab_connect(lab, 0, ROLE_ADMIN);
	end(lab, "privileged");
}
END_TEST

START_TEST(viewers_see_no_secrets)
{
	struct lab *lab = lab_new();
	vn_autofree char *text = NULL;
	json_t *exported;

	apply(lab, "{'topology':'t','password':'" HASH "','vnodes':{'a':{'password':'" HASH "','files':["
		   "{'path':'/key','content':'dark','mode':'0600'},{'path':'/motd','content':'light'}]}}}");
	lab_connect(lab, 1000, ROLE_VIEWER);
	exported = lab_result(lab, "topology.export", "{ss}", "topology", "t");
	text = json_dumps(exported, 0);
	ck_assert_msg(!strstr(text, HASH) && !strstr(text, "dark") && strstr(text, "light"), "%s", text);
	json_decref(exported);
	lab_connect(lab, 0, ROLE_ADMIN);
	exported = lab_result(lab, "topology.export", "{ss}", "topology", "t");
	ck_assert(json_object_get(exported, "password"));
	ck_assert(json_object_get(json_object_get(json_object_get(exported, "vnodes"), "a"), "password"));
	json_decref(exported);
	end(lab, "secrets");
}
END_TEST

/* ---- keys ----------------------------------------------------------------------------------- */

static char *
told_keys(struct lab *lab, const char *vnode)
{
	json_t *object = lab_result(lab, "vnode.get", "{ss}", "vnode", vnode);
	json_t *keys = json_object_get(object, "host_keys");
	char *text;

	ck_assert_uint_eq(json_array_size(keys), 2);
	text = vn_format("%s\n%s\n", json_string_value(json_array_get(keys, 0)),
			 json_string_value(json_array_get(keys, 1)));
	json_decref(object);
	return text;
}

static char *
public_keys(struct lab *lab, const char *vnode)
{
	vn_autofree char *one = file(lab, vnode, "/etc/ssh/ssh_host_ed25519_key.pub");
	vn_autofree char *two = file(lab, vnode, "/etc/ssh/ssh_host_ecdsa_key.pub");

	return vn_format("%s%s", one, two);
}

START_TEST(host_keys_and_machine_id_stay_a_vnodes_own)
{
	struct lab *lab = lab_new();
	vn_autofree char *keys = NULL, *told = NULL, *others = NULL, *private = NULL, *id = NULL;
	vn_autofree char *other_id = NULL, *after = NULL;

	apply(lab, "{'topology':'t','vnodes':{'a':{},'b':{}}}");
	keys = public_keys(lab, "a");
	told = told_keys(lab, "a");
	others = public_keys(lab, "b");
	private = file(lab, "a", "/etc/ssh/ssh_host_ed25519_key");
	id = file(lab, "a", "/etc/machine-id");
	other_id = file(lab, "b", "/etc/machine-id");
	ck_assert_str_eq(keys, told);
	ck_assert_str_ne(keys, others);
	ck_assert_str_ne(id, other_id);
	ck_assert_uint_eq(strlen(id), 33);
	lab_do(lab, "vnode.reload", "{ss sb}", "vnode", "a", "wait", 1);
	check_file(lab, "a", "/etc/ssh/ssh_host_ed25519_key", private);
	check_file(lab, "a", "/etc/machine-id", id);
	lab_reboot(lab);
	ck_assert(lab_open(lab));
	lab_do(lab, "vnode.reload", "{ss sb}", "vnode", "a", "wait", 1);
	after = told_keys(lab, "a");
	ck_assert_str_eq(after, keys);
	check_file(lab, "a", "/etc/ssh/ssh_host_ed25519_key", private);
	end(lab, "keys");
}
END_TEST

/* ---- sources -------------------------------------------------------------------------------- */

#define SOURCE(more) "{'topology':'t','vnodes':{'a':{'files':[{'path':'/x','source':'greeting'" more "}]}}}"

static void
write_import(struct lab *lab, const char *text)
{
	vn_autofree char *folder = vn_format("%s/import", lab->folder);
	vn_autofree char *path = vn_format("%s/greeting", folder);
	FILE *out;

	mkdir(folder, 0755);
	lab->daemon->config.import_dir = vn_arena_strdup(&lab->daemon->config.arena, folder);
	out = fopen(path, "we");
	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	fclose(out);
}

static bool
is_kept(struct lab *lab)
{
	vn_autofree char *path = vn_format("%s/files/" SHA_OF_HELLO, lab->folder);
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	return true;
}

START_TEST(a_source_is_read_once_and_kept)
{
	struct lab *lab = lab_new();
	vn_autofree char *path = vn_format("%s/import/greeting", lab->folder);
	json_t *exported;

	write_import(lab, "hello\n");
	apply(lab, SOURCE(""));
	check_file(lab, "a", "/x", "hello\n");
	ck_assert(is_kept(lab));
	exported = lab_result(lab, "topology.export", "{ss}", "topology", "t");
	unlink(path);
	lab_do(lab, "vnode.reload", "{ss sb}", "vnode", "a", "wait", 1);
	check_file(lab, "a", "/x", "hello\n");
	lab_do(lab, "topology.apply", "{sO}", "document", exported);
	json_decref(exported);
	lab_refuse(lab, "not_found", "topology.plan", "{so}", "document", parse(SOURCE("")));
	write_import(lab, "changed\n");
	check_plan(lab, SOURCE(""), "restart", "[\"files\"]");
	apply(lab, SOURCE(""));
	check_file(lab, "a", "/x", "changed\n");
	lab_kill(lab);
	ck_assert(lab_open(lab));
	ck_assert_msg(!is_kept(lab), "a file that nothing names is kept");
	end(lab, "source");
}
END_TEST

START_TEST(the_last_vnode_that_names_a_source_takes_it_along)
{
	struct lab *lab = lab_new();

	write_import(lab, "hello\n");
	apply(lab, SOURCE(""));
	lab_do(lab, "vnode.destroy", "{ss sb}", "vnode", "a", "wait", 1);
	ck_assert(!is_kept(lab));
	end(lab, "destroyed");
}
END_TEST

START_TEST(bad_sources_are_refused_where_they_are_named)
{
	struct lab *lab = lab_new();
	json_t *error;

	write_import(lab, "hello\n");
	error = lab_error(lab, "invalid", "topology.apply", "{so}", "document",
			  parse(SOURCE(",'sha256':'0000000000000000000000000000000000000000000000000000000000000000'")));
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")),
			 "/document/vnodes/a/files/0/sha256");
	json_decref(error);
	error = lab_error(lab, "invalid", "topology.apply", "{so so}", "document", parse(SOURCE("")), "sources",
			  parse("['other','greeting']"));
	ck_assert_str_eq(json_string_value(json_object_get(error, "path")), "/sources");
	json_decref(error);
	lab_refuse(lab, "not_found", "vnode.create", "{ss so}", "name", "b", "files",
		   parse("[{'path':'/x','source':'greeting'}]"));
	lab_refuse(lab, "invalid", "topology.plan", "{so}", "document",
		   parse("{'topology':'t','vnodes':{'a':{'files':[{'path':'/x','source':'../img'}]}}}"));
	lab_connect(lab, 1000, ROLE_VIEWER);
	lab_refuse(lab, "denied", "topology.plan", "{so}", "document", parse(SOURCE("")));
	lab_connect(lab, 0, ROLE_ADMIN);
	end(lab, "bad sources");
}
END_TEST

START_TEST(a_source_too_large_is_refused)
{
	struct lab *lab = lab_new();
	vn_autofree char *path = vn_format("%s/import/greeting", lab->folder);

	write_import(lab, "");
	ck_assert_int_eq(truncate(path, DOC_FILE_MAX), 0);
	lab_do(lab, "topology.plan", "{so}", "document", parse(SOURCE("")));
	ck_assert_int_eq(truncate(path, DOC_FILE_MAX + 1), 0);
	lab_refuse(lab, "invalid", "topology.plan", "{so}", "document", parse(SOURCE("")));
	end(lab, "large source");
}
END_TEST

int
main(void)
{
	return run_suite("guest", (const TTest *const[]){
		a_guest_knows_names_logins_zone_and_files,
		a_guests_tools_are_told_what_is_set,
		a_topology_speaks_for_vnodes_that_say_nothing,
		what_the_topology_writes_is_not_written_twice,
		changes_restart_the_guest_and_come_back_from_export,
		an_operator_gives_nobody_a_way_into_privileged_vnodes,
		viewers_see_no_secrets,
		host_keys_and_machine_id_stay_a_vnodes_own,
		a_source_is_read_once_and_kept,
		the_last_vnode_that_names_a_source_takes_it_along,
		bad_sources_are_refused_where_they_are_named,
		a_source_too_large_is_refused,
		NULL });
}

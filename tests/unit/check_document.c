/* Topology documents: what decodes, what is refused at which path, and that encoding is canonical.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/document.h"
#include "proto/message.h"
#include "tests/unit/run.h"

/* Single quotes for double ones: a document stays readable in C. */
static json_t *
load(const char *text)
{
	vn_autofree char *copy = vn_strdup(text);
	struct vn_error err = { 0 };
	json_t *value = NULL;

	for (char *at = copy; *at; at++)
		if (*at == '\'')
			*at = '"';
	ck_assert_msg(message_parse(copy, strlen(copy), &value, &err) == 0, "%s: %s", text,
		      err.text);
	return value;
}

#define TWO "{'topology':'t','vnodes':{'a':{},'b':{}},"

#define KEY  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOep1EHCMkyvEv80Y6bzx/jYssAJGZ5KD9FZ7I2Dyszq me@home"
#define HASH "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"

static const char *const good[] = {
	"{'topology':'t','password':'" HASH "','authorized_keys':['" KEY "'],'timezone':'UTC',"
	"'vnodes':{'a':{'password':'$2b$10$abcdefghijklmnopqrstuv0123456789ABCDEFGHIJKLMNOPQRSTU',"
	"'timezone':'America/Argentina/Buenos_Aires','authorized_keys':['" KEY "'],'files':["
	"{'path':'/etc/motd','content':'x'},{'path':'/opt/a','source':'dir/a','mode':'4755','owner':'65535:5'},"
	"{'path':'/opt/ab','content':''}]},'b':{'inject':false}}}",
	"{'topology':'t','vnodes':{'a':{'timezone':'Etc/GMT+5','password':"
	"'$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7'}}}",
	"{'topology':'t'}",
	"{'topology':'t','domain':'lab.example','dns':['10.0.0.1','fd00::1'],'vnodes':{'a':{}}}",
	"{'topology':'pair','vnodes':{'alice':{'backend':'lxc','image':'busybox','memory':'64MiB','"
	"vcpus':1,"
	"'restart':'on-failure','forwards':[{'host':2201,'guest':22}]},'bob':{'grace':'1ns',"
	"'init':['/bin/sh','-c',''],'privileged':true,'control':false}},"
	"'lans':{'link0':{'members':{'alice':{'address':'10.1.0.1/24','interface':'eth1'},"
	"'bob':{'address':['10.1.0.2/24','fd01::2/"
	"64'],'interface':'eth0','mac':'02:00:00:00:00:01'}}}}}",
	TWO "'lans':{'l':{'mtu':9000,'members':{'a':{'address':'10.0.0.1/32'}}},'m':{}}}",
	TWO "'lans':{'l':{'members':{'a':{'address':'10.0.0.1/24'}}},"
	    "'m':{'members':{'b':{'address':'10.0.0.1/24'}}}}}",
	"{'topology':'t','vnodes':{'a':{'forwards':[{'host':1,'guest':2},{'host':1,'guest':2,"
	"'protocol':'udp'},{'host':2,'guest':2,'address':'127.0.0.1'},{'host':2,'guest':2,"
	"'address':'127.0.0.2'}]}}}",
	TWO "'lans':{'l':{'members':{'a':{'address':'10.0.0.1/24','shape':{'to':{'rate':'1Mbit'}}}},"
	    "'tunnels':{'west':{'kind':'gre','remote':'192.0.2.1','key':0,'shape':{'to':{'delay':"
	    "'1ms'}}}}}}}",
	TWO "'lans':{'l':{'learning':false,'uplink':{'device':'eth3','vlan':100,'default_route':true},"
	    "'members':{'a':{}},'tunnels':{'east':{'kind':'vxlan','remote':'fd00::2','local':'fd00::1',"
	    "'key':16777215,'port':8472},'west':{'kind':'egre','remote':'192.0.2.1'}}},"
	    "'m':{'uplink':{'device':'eth3','vlan':101},'members':{'a':{'shape':{'from':{'rate':"
	    "'1Mbit'}}}}},'n':{'uplink':{'device':'eth4'}}}}",
	/* The two ends of a link between LANs of one host. */
	TWO "'lans':{'l':{'tunnels':{'t':{'kind':'vxlan','local':'127.0.0.1','remote':'127.0.0.2','key':1}}},"
	    "'m':{'tunnels':{'t':{'kind':'vxlan','local':'127.0.0.2','remote':'127.0.0.1','key':1}}}}}",
};

START_TEST(a_good_document_encodes_as_it_was)
{
	json_t *object = load(good[_i]), *again;
	vn_autoarena arena = { 0 };
	struct vn_error err = { 0 };
	struct document document = { 0 };

	ck_assert_msg(document_decode(object, &arena, &document, &err) == 0, "%s: %s", err.path,
		      err.text);
	again = schema_encode(document_fields, &document);
	ck_assert_int_eq(json_equal(again, object), 1);
	json_decref(again);
	json_decref(object);
}
END_TEST

static const struct {
	const char *text, *path, *says;
} bad[] = {
	{ "[]", "", "expected an object" },
	{ "{}", "/topology", "missing" },
	{ "{'topology':'a/b'}", "/topology", "\"/\"" },
	{ "{'topology':'t','vnode':{}}", "/vnode", "did you mean \"vnodes\"?" },
	{ "{'topology':'t','domain':'a b'}", "/domain", "domain name" },
	{ "{'topology':'t','dns':['x']}", "/dns/0", "expected an address" },
	{ "{'topology':'t','vnodes':{'a b':{}}}", "/vnodes/a b", "a space" },
	{ "{'topology':'t','vnodes':{'a/b~':{}}}", "/vnodes/a~1b~0", "\"/\"" },
	{ "{'topology':'t','vnodes':{'a':{'memory':64}}}", "/vnodes/a/memory",
	  "got the number 64" },
	{ "{'topology':'t','vnodes':{'a':{'memory':'1MiB'}}}", "/vnodes/a/memory",
	  "at least 4MiB" },
	{ "{'topology':'t','vnodes':{'a':{'vcpus':0}}}", "/vnodes/a/vcpus", "at least 1" },
	{ "{'topology':'t','vnodes':{'a':{'vcpus':1025}}}", "/vnodes/a/vcpus", "at most 1024" },
	{ "{'topology':'t','vnodes':{'a':{'pids':4194305}}}", "/vnodes/a/pids", "at most 4194304" },
	{ "{'topology':'t','vnodes':{'a':{'grace':'3601s'}}}", "/vnodes/a/grace", "at most 3600s" },
	{ "{'topology':'t','vnodes':{'a':{'restart':'sometimes'}}}", "/vnodes/a/restart",
	  "on-failure" },
	{ "{'topology':'t','vnodes':{'a':{'init':[]}}}", "/vnodes/a/init", "at least 1" },
	{ "{'topology':'t','vnodes':{'a':{'init':['init']}}}", "/vnodes/a/init/0",
	  "absolute path" },
	{ "{'topology':'t','vnodes':{'a':{'devices':[]}}}", "/vnodes/a/devices", "not supported" },
	{ "{'topology':'t','vnodes':{'a':{'forwards':[{'host':0,'guest':1}]}}}",
	  "/vnodes/a/forwards/0/host", "at least 1" },
	{ "{'topology':'t','vnodes':{'a':{'forwards':[{'host':1,'guest':65536}]}}}",
	  "/vnodes/a/forwards/0/guest", "at most 65535" },
	{ "{'topology':'t','vnodes':{'a':{'forwards':[{'host':1,'guest':2}]},'b':{'forwards':"
	  "[{'host':7,'guest':7},{'host':1,'guest':3}]}}}",
	  "/vnodes/b/forwards/1/host", "used already at /vnodes/a/forwards/0/host" },
	{ "{'topology':'t','vnodes':{'a':{'forwards':[{'host':1,'guest':2,'address':'127.0.0.1'},"
	  "{'host':1,'guest':2}]}}}",
	  "/vnodes/a/forwards/1/host", "used already" },
	{ "{'topology':'t','vnodes':{'a':{'forwards':[{'host':1,'guest':2},"
	  "{'host':1,'guest':2,'address':'127.0.0.1'}]}}}",
	  "/vnodes/a/forwards/1/host", "used already" },
	{ "{'topology':'t','vnodes':{'a':{'forwards':[{'host':1,'guest':2,'address':'fd00::1'},"
	  "{'host':1,'guest':2,'address':'fd00:0::1'}]}}}",
	  "/vnodes/a/forwards/1/host", "used already" },
#define ROUTE(route) "{'topology':'t','vnodes':{'a':{'routes':[{" route "}]}}}"
	{ ROUTE("'to':'10.0.0.0/8'"), "/vnodes/a/routes/0/via", "missing" },
	{ ROUTE("'to':'10.0.0.0','via':'10.1.0.1'"), "/vnodes/a/routes/0/to", "expected a network" },
	{ ROUTE("'to':'10.0.0.0/33','via':'10.1.0.1'"), "/vnodes/a/routes/0/to", "expected a network" },
	{ ROUTE("'to':'10.0.0.1/8','via':'10.1.0.1'"), "/vnodes/a/routes/0/to", "the network is 10.0.0.0/8" },
	{ ROUTE("'to':'fd02::/64','via':'10.1.0.1'"), "/vnodes/a/routes/0/via", "an IPv6 next hop" },
	{ ROUTE("'to':'10.0.0.0/8','via':'10.1.0'"), "/vnodes/a/routes/0/via", "expected an address" },
	{ ROUTE("'to':'10.0.0.0/8','via':'10.1.0.1','metric':0"), "/vnodes/a/routes/0/metric",
	  "at least 1" },
	{ ROUTE("'to':'default','via':'10.1.0.1'"), "/vnodes/a/routes/0/to", "give this one a metric" },
	{ ROUTE("'to':'0.0.0.0/0','via':'10.1.0.1'"), "/vnodes/a/routes/0/to", "default_route" },
	{ ROUTE("'to':'default','via':'fd01::1','metric':1024"), "/vnodes/a/routes/0/to",
	  "give this one another metric" },
	{ ROUTE("'to':'10.9.0.0/16','via':'10.1.0.1'},{'to':'10.9.0.0/16','via':'10.1.0.2'"),
	  "/vnodes/a/routes/1/to", "used already at /vnodes/a/routes/0/to" },
	{ ROUTE("'to':'fd09::/64','via':'fd01::1'},{'to':'fd09:0::/64','via':'fd01::2','metric':1024"),
	  "/vnodes/a/routes/1/to", "used already" },
	{ "{'topology':'t','vnodes':{'a':{'default_route':'lan'}}}", "/vnodes/a/default_route",
	  "control" },
#define IN_A(fields) "{'topology':'t','vnodes':{'a':{" fields "}}}"
	{ IN_A("'password':'secret'"), "/vnodes/a/password", "never the password itself" },
	{ IN_A("'password':'$6$salt'"), "/vnodes/a/password", "crypt(3) hash" },
	{ IN_A("'password':'$6$salt$short'"), "/vnodes/a/password", "crypt(3) hash" },
	{ IN_A("'password':'$6$salt$aaaaaaaaaaaaaaaaaaaaaaaaaaaaa:0'"), "/vnodes/a/password", "crypt(3)" },
	{ "{'topology':'t','password':'x'}", "/password", "crypt(3) hash" },
	{ IN_A("'authorized_keys':['me@home']"), "/vnodes/a/authorized_keys/0", "expected a public key" },
	{ IN_A("'authorized_keys':['ssh-ed25519']"), "/vnodes/a/authorized_keys/0", "cut short" },
	{ IN_A("'authorized_keys':['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==']"),
	  "/vnodes/a/authorized_keys/0", "cut short" },
	/* an RSA key's word before an Ed25519 key */
	{ IN_A("'authorized_keys':['" KEY "','ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOep1EHCMkyvEv80Y6bzx/jYssAJ"
	       "GZ5KD9FZ7I2Dyszq']"), "/vnodes/a/authorized_keys/1", "damaged" },
	{ IN_A("'authorized_keys':['" KEY "\\ncommand']"), "/vnodes/a/authorized_keys/0", "one line" },
	{ IN_A("'authorized_keys':['-----BEGIN OPENSSH PRIVATE KEY-----']"), "/vnodes/a/authorized_keys/0",
	  "private key" },
	{ "{'topology':'t','authorized_keys':['x']}", "/authorized_keys/0", "expected a public key" },
	{ IN_A("'timezone':'../../etc/passwd'"), "/vnodes/a/timezone", "expected a time zone" },
	{ IN_A("'timezone':'/etc/passwd'"), "/vnodes/a/timezone", "expected a time zone" },
	{ IN_A("'timezone':'Europe/'"), "/vnodes/a/timezone", "expected a time zone" },
	{ IN_A("'timezone':'a/b/c/d'"), "/vnodes/a/timezone", "expected a time zone" },
#define A_FILE(file) IN_A("'files':[{" file "}]")
	{ A_FILE("'content':''"), "/vnodes/a/files/0/path", "missing" },
	{ A_FILE("'path':'etc/motd','content':''"), "/vnodes/a/files/0/path", "absolute path" },
	{ A_FILE("'path':'/etc/../motd','content':''"), "/vnodes/a/files/0/path", "\"..\" part" },
	{ A_FILE("'path':'/..','content':''"), "/vnodes/a/files/0/path", "\"..\" part" },
	{ A_FILE("'path':'/etc/./motd','content':''"), "/vnodes/a/files/0/path", "\"..\" part" },
	{ A_FILE("'path':'/etc//motd','content':''"), "/vnodes/a/files/0/path", "empty" },
	{ A_FILE("'path':'/etc/','content':''"), "/vnodes/a/files/0/path", "empty" },
	{ A_FILE("'path':'/','content':''"), "/vnodes/a/files/0/path", "empty" },
	{ A_FILE("'path':'/proc/sys/x','content':''"), "/vnodes/a/files/0/path", "made anew" },
	{ A_FILE("'path':'/sys','content':''"), "/vnodes/a/files/0/path", "made anew" },
	{ A_FILE("'path':'/dev/null','content':''"), "/vnodes/a/files/0/path", "made anew" },
	{ A_FILE("'path':'/run/x','content':''"), "/vnodes/a/files/0/path", "made anew" },
	{ A_FILE("'path':'/a'"), "/vnodes/a/files/0", "either" },
	{ A_FILE("'path':'/a','content':'','source':'x'"), "/vnodes/a/files/0", "either" },
	{ A_FILE("'path':'/a','content':'','mode':'644'"), "/vnodes/a/files/0/mode", "octal" },
	{ A_FILE("'path':'/a','content':'','mode':'0888'"), "/vnodes/a/files/0/mode", "octal" },
	{ A_FILE("'path':'/a','content':'','owner':'root:root'"), "/vnodes/a/files/0/owner", "UID:GID" },
	{ A_FILE("'path':'/a','content':'','owner':'65536:0'"), "/vnodes/a/files/0/owner", "65535" },
	{ A_FILE("'path':'/a','content':'','owner':'0:'"), "/vnodes/a/files/0/owner", "UID:GID" },
	{ A_FILE("'path':'/a','source':'x','sha256':'abc'"), "/vnodes/a/files/0/sha256", "SHA-256" },
	{ A_FILE("'path':'/a','content':''},{'path':'/a','content':''"), "/vnodes/a/files/1/path",
	  "a file already" },
	{ A_FILE("'path':'/a/b','content':''},{'path':'/a','content':''"), "/vnodes/a/files/1/path",
	  "a file already" },
	{ IN_A("'inject':false,'password':'" HASH "'"), "/vnodes/a/inject", "nothing is written" },
	{ IN_A("'inject':false,'files':[{'path':'/a','content':''}]"), "/vnodes/a/inject", "nothing is" },
#define SHAPE(shape) TWO "'lans':{'l':{'shape':{" shape "}}}}"
	{ SHAPE("'speed':'1Mbit'"), "/lans/l/shape/speed", "unknown field" },
	{ SHAPE("'rate':10"), "/lans/l/shape/rate", "got the number 10" },
	{ SHAPE("'rate':'-1Mbit'"), "/lans/l/shape/rate", "rate such as" },
	{ SHAPE("'rate':'1100Gbit'"), "/lans/l/shape/rate", "at most" },
	{ SHAPE("'delay':'3601s'"), "/lans/l/shape/delay", "at most 3600s" },
	{ SHAPE("'delay':'0.1ns'"), "/lans/l/shape/delay", "whole number of nanoseconds" },
	{ SHAPE("'loss':'101%'"), "/lans/l/shape/loss", "above 100%" },
	{ SHAPE("'loss':'0.1'"), "/lans/l/shape/loss", "write % behind it" },
	{ SHAPE("'jitter':'1ms'"), "/lans/l/shape/jitter", "more than the delay" },
	{ SHAPE("'distribution':'normal'"), "/lans/l/shape/distribution", "needs a jitter" },
	{ SHAPE("'loss_correlation':'5%'"), "/lans/l/shape/loss_correlation", "needs a loss" },
	{ SHAPE("'reorder':'5%'"), "/lans/l/shape/reorder", "needs a delay" },
	{ SHAPE("'delay':'1ms','reorder_correlation':'5%'"), "/lans/l/shape/reorder_correlation",
	  "needs a reorder" },
	{ SHAPE("'limit':'0B'"), "/lans/l/shape/limit", "at least 1514B" },
	{ SHAPE("'limit_packets':0"), "/lans/l/shape/limit_packets", "at least 1" },
	{ SHAPE("'limit':'2KiB','limit_packets':1"), "/lans/l/shape/limit_packets", "either" },
	{ TWO "'lans':{'l':{'members':{'a':{'shape':{'rate':'1Mbit'}}}}}}",
	  "/lans/l/members/a/shape/rate", "known: to, from" },
	{ TWO "'lans':{'l':{'members':{'a':{'shape':{'to':{'reorder':'1%'}}}}}}}",
	  "/lans/l/members/a/shape/to/reorder", "needs a delay" },
	{ TWO "'lans':{'l':{'members':{'a':{'shape':{'from':{'rate':'1Mbit'}}},'b':{}}}}}",
	  "/lans/l/members/a/shape/from", "other member's \"to\"" },
	{ TWO "'lans':{'l':{'mtu':100}}}", "/lans/l/mtu", "at least 576" },
	{ TWO "'lans':{'l':{'mtu':1000,'members':{'a':{'address':'fd00::1/64'}}}}}", "/lans/l/mtu",
	  "at least 1280" },
	{ TWO "'lans':{'l':{'members':{'c':{}}}}}", "/lans/l/members/c", "no vnode \"c\"" },
	{ TWO "'lans':{'l':{'members':{'a':{'address':'10.0.0.1'}}}}}", "/lans/l/members/a/address",
	  "lacks its prefix" },
	{ TWO "'lans':{'l':{'members':{'a':{'address':['10.0.0.1/24','10.0.0.x/24']}}}}}",
	  "/lans/l/members/a/address/1", "expected an address" },
	{ TWO
	  "'lans':{'l':{'members':{'a':{'address':'10.0.0.1/24'},'b':{'address':'10.0.0.1/16'}}}}}",
	  "/lans/l/members/b/address", "used already at /lans/l/members/a/address" },
	{ TWO "'lans':{'l':{'members':{'a':{'address':'fd00::1/64'},"
	      "'b':{'address':['10.0.0.1/24','fd00:0:0::1/64']}}}}}",
	  "/lans/l/members/b/address/1", "fd00::1 is used already" },
	{ TWO "'lans':{'l':{'members':{'a':{'address':'10.0.0.1/32'},'b':{}}}}}",
	  "/lans/l/members/a/address", "reaches no other member" },
	{ TWO "'lans':{'l':{'members':{'a':{'address':'fd00::1/128'},'b':{}}}}}",
	  "/lans/l/members/a/address", "reaches no other member" },
	{ TWO "'lans':{'l':{'members':{'a':{'interface':'eth0'}}}}}", "/lans/l/members/a/interface",
	  "control network" },
	{ TWO "'lans':{'l':{'members':{'a':{'interface':'lo'}}}}}", "/lans/l/members/a/interface",
	  "lo" },
	{ TWO "'lans':{'l':{'members':{'a':{'interface':'x'}}},'m':{'members':{'a':{'interface':'x'"
	      "}}}}}",
	  "/lans/m/members/a/interface", "used already at /lans/l/members/a/interface" },
	{ TWO "'lans':{'l':{'members':{'a':{'mac':'02:00:00:00:00:0A'},'b':{'mac':'02:00:00:00:00:"
	      "0a'}}}}}",
	  "/lans/l/members/b/mac", "used already at /lans/l/members/a/mac" },
	{ TWO "'lans':{'l':{'members':{'a':{'mac':'03:00:00:00:00:0a'}}}}}",
	  "/lans/l/members/a/mac", "group" },
#define UPLINK(uplink) TWO "'lans':{'l':{'uplink':{" uplink "}}}}"
	{ UPLINK(""), "/lans/l/uplink/device", "missing" },
	{ UPLINK("'device':'a/b'"), "/lans/l/uplink/device", "name of a network device" },
	{ UPLINK("'device':'sixteen-letters-'"), "/lans/l/uplink/device", "name of a network device" },
	{ UPLINK("'device':'eth3','vlan':0"), "/lans/l/uplink/vlan", "at least 1" },
	{ UPLINK("'device':'eth3','vlan':5000"), "/lans/l/uplink/vlan", "at most 4094" },
	{ TWO "'lans':{'l':{'uplink':{'device':'eth3'}},'m':{'uplink':{'device':'eth3'}}}}",
	  "/lans/m/uplink", "lent already at /lans/l/uplink" },
	{ TWO "'lans':{'l':{'uplink':{'device':'eth3','vlan':7}},'m':{'uplink':{'device':'eth3'}}}}",
	  "/lans/m/uplink", "lent already at /lans/l/uplink" },
	{ TWO "'lans':{'l':{'uplink':{'device':'eth3','vlan':7}},'m':{'uplink':{'device':'eth3','vlan':"
	  "7}}}}", "/lans/m/uplink", "lent already at /lans/l/uplink" },
#define TUNNEL(fields) TWO "'lans':{'l':{'members':{'a':{}},'tunnels':{'t':{" fields "}}}}}"
	{ TUNNEL("'remote':'192.0.2.1'"), "/lans/l/tunnels/t/kind", "missing" },
	{ TUNNEL("'kind':'ipip','remote':'192.0.2.1'"), "/lans/l/tunnels/t/kind", "expected one of" },
	{ TUNNEL("'kind':'egre'"), "/lans/l/tunnels/t/remote", "missing" },
	{ TUNNEL("'kind':'egre','remote':'host'"), "/lans/l/tunnels/t/remote", "expected an address" },
	{ TUNNEL("'kind':'egre','remote':'239.1.1.1'"), "/lans/l/tunnels/t/remote", "one host" },
	{ TUNNEL("'kind':'egre','remote':'::'"), "/lans/l/tunnels/t/remote", "one host" },
	{ TUNNEL("'kind':'egre','remote':'192.0.2.1','local':'fd00::1'"), "/lans/l/tunnels/t/local",
	  "IPv4 address" },
	{ TUNNEL("'kind':'egre','remote':'fd00::1','local':'fd00:0::1'"), "/lans/l/tunnels/t/remote",
	  "a tunnel to oneself" },
	{ TUNNEL("'kind':'egre','remote':'192.0.2.1','key':4294967296"), "/lans/l/tunnels/t/key",
	  "at most 4294967295" },
	{ TUNNEL("'kind':'egre','remote':'192.0.2.1','port':1"), "/lans/l/tunnels/t/port", "no ports" },
	{ TUNNEL("'kind':'vxlan','remote':'192.0.2.1'"), "/lans/l/tunnels/t/key", "VXLAN needs" },
	{ TUNNEL("'kind':'vxlan','remote':'192.0.2.1','key':16777216"), "/lans/l/tunnels/t/key",
	  "at most 16777215" },
	{ TUNNEL("'kind':'vxlan','remote':'192.0.2.1','key':1,'shape':{'from':{}}"),
	  "/lans/l/tunnels/t/shape/from", "other member's \"to\"" },
	{ TUNNEL("'kind':'vxlan','remote':'192.0.2.1','key':1,'shape':{'to':{'reorder':'1%'}}"),
	  "/lans/l/tunnels/t/shape/to/reorder", "needs a delay" },
	{ TWO "'lans':{'l':{'members':{'a':{'shape':{'from':{}}}},'tunnels':{'t':{'kind':'egre',"
	  "'remote':'192.0.2.1'}}}}}", "/lans/l/members/a/shape/from", "other member's \"to\"" },
	{ TWO "'lans':{'l':{'members':{'a':{}},'tunnels':{'a':{'kind':'egre','remote':'192.0.2.1'}}}}}",
	  "/lans/l/tunnels/a", "a member of that name" },
	{ TWO "'lans':{'l':{'members':{'a':{},'b':{}},'tunnels':{'t':{'kind':'gre','remote':"
	  "'192.0.2.1'}}}}}", "/lans/l/tunnels/t/kind", "use egre or vxlan" },
	{ TWO "'lans':{'l':{'tunnels':{'t':{'kind':'egre','remote':'192.0.2.1','key':7},'u':{'kind':"
	  "'egre','remote':'192.0.2.1','key':7}}}}}", "/lans/l/tunnels/u",
	  "those of /lans/l/tunnels/t" },
	{ TWO "'lans':{'l':{'tunnels':{'t':{'kind':'vxlan','remote':'192.0.2.1','key':7}}},'m':{'tunnels':"
	  "{'u':{'kind':'vxlan','remote':'192.0.2.9','key':7,'port':4789}}}}}", "/lans/m/tunnels/u",
	  "those of /lans/l/tunnels/t" },
	{ TWO "'lans':{'l':{'tunnels':{'t':{'kind':'egre','local':'127.0.0.1','remote':'127.0.0.2'},'u':"
	  "{'kind':'egre','local':'127.0.0.2','remote':'127.0.0.1'}}}}}", "/lans/l/tunnels/u",
	  "a tunnel to oneself" },
};

START_TEST(a_bad_document_is_refused_at_its_path_with_a_reason)
{
	json_t *object = load(bad[_i].text);
	vn_autoarena arena = { 0 };
	struct vn_error err = { 0 };
	struct document document = { 0 };

	ck_assert_int_eq(document_decode(object, &arena, &document, &err), -1);
	ck_assert_int_eq(err.code,
			 strstr(bad[_i].says, "not supported") ? VN_E_UNSUPPORTED : VN_E_INVALID);
	ck_assert_str_eq(err.path, bad[_i].path);
	ck_assert_msg(strstr(err.text, bad[_i].says), "%s: '%s'", bad[_i].text, err.text);
	ck_assert_ptr_null(document.topology);
	json_decref(object);
}
END_TEST

/* The kernel's bound, with what counts as a port. */
START_TEST(a_lan_has_as_many_ports_as_a_bridge)
{
	json_t *vnodes = json_object(), *members = json_object(), *object, *lan;

	for (int i = 0; i < 1022 + _i; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%d", i);
		json_object_set_new(vnodes, name, json_object());
		json_object_set_new(members, name, json_object());
	}
	lan = json_pack("{so s{s{ss ss}}}", "members", members, "tunnels", "t", "kind", "egre", "remote",
			"192.0.2.1");
	object = json_pack("{ss so s{so}}", "topology", "t", "vnodes", vnodes, "lans", "l", lan);
	for (int uplink = 0; uplink < 2; uplink++) {
		vn_autoarena arena = { 0 };
		struct vn_error err = { 0 };
		struct document document = { 0 };
		int result = document_decode(object, &arena, &document, &err);

		ck_assert_int_eq(result, _i + uplink ? -1 : 0);
		if (result < 0) {
			ck_assert_int_eq(err.code, VN_E_LIMIT);
			ck_assert_str_eq(err.path, "/lans/l/members");
			ck_assert_ptr_nonnull(strstr(err.text, "at most 1023"));
		}
		json_object_set_new(lan, "uplink", json_pack("{ss}", "device", "eth3"));
	}
	json_decref(object);
}
END_TEST

START_TEST(presets_of_a_vnode_are_set)
{
	json_t *object = load("{'topology':'t','vnodes':{'a':{}}}");
	vn_autoarena arena = { 0 };
	struct vn_error err = { 0 };
	struct document document = { 0 };
	const struct doc_vnode *vnode;

	ck_assert_int_eq(document_decode(object, &arena, &document, &err), 0);
	vnode = document.vnodes.items;
	ck_assert(vnode->control && !vnode->privileged);
	ck_assert_uint_eq(vnode->grace_ns, 0);
	ck_assert_int_eq(vnode->restart, RESTART_NEVER);
	ck_assert_uint_eq(vnode->memory_bytes, 0);
	json_decref(object);
}
END_TEST

START_TEST(four_thousand_members_in_four_lans_decode)
{
	json_t *vnodes = json_object(), *lans = json_object(), *object;
	vn_autoarena arena = { 0 };
	struct vn_error err = { 0 };
	struct document document = { 0 };

	for (int i = 0; i < 4000; i++) {
		char name[16], lan[16];

		snprintf(name, sizeof(name), "n%d", i);
		snprintf(lan, sizeof(lan), "l%d", i / 1000);
		json_object_set_new(vnodes, name, json_object());
		if (i % 1000 == 0)
			json_object_set_new(lans, lan, json_pack("{s{}}", "members"));
		json_object_set_new(json_object_get(json_object_get(lans, lan), "members"), name,
			json_pack("{so}", "address",
				  json_sprintf("10.%d.%d.1/8", 1 + i / 250, i % 250)));
	}
	object = json_pack("{ss so so}", "topology", "t", "vnodes", vnodes, "lans", lans);
	ck_assert_msg(document_decode(object, &arena, &document, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(document.vnodes.count, 4000);
	json_decref(object);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("document");

	tcase_add_loop_test(tcase, a_good_document_encodes_as_it_was, 0, VN_COUNT(good));
	tcase_add_loop_test(tcase, a_bad_document_is_refused_at_its_path_with_a_reason, 0,
			    VN_COUNT(bad));
	tcase_add_loop_test(tcase, a_lan_has_as_many_ports_as_a_bridge, 0, 2);
	tcase_add_test(tcase, presets_of_a_vnode_are_set);
	tcase_add_test(tcase, four_thousand_members_in_four_lans_decode);
	return run_tcase("document", tcase);
}

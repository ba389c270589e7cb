"""After the last power cut: it is looked at, then everything is taken down and nothing may be left."""
import boot_cut
from lab.world import domains, links, mounts, namespaces, run, tables
from machine import verify, vnodectl

# Of the kernel: they come with a module, which vnoded's probe has loaded, and stay with it.
MODULES_OWN = {"gre0", "gretap0", "erspan0", "ip6gre0", "ip6tnl0"}


def case_whole_or_absent(m):
	return f"after the cut at {m.notes['moment']}: {boot_cut.look(m)}"


def case_verify_is_clean(m):
	return verify()


def case_teardown_leaves_nothing(m):
	vnodectl("destroy", "--all")
	vnodectl("teardown", "--yes")
	run("systemctl", "stop", "vnoded.socket", "vnoded.service")
	assert not domains() and not namespaces(), (domains(), namespaces())
	assert not [table for table in tables() if "vnoded" in table], tables()
	assert not [mount for mount in mounts() if "vnoded" in mount], mounts()
	assert not links() - MODULES_OWN, links()

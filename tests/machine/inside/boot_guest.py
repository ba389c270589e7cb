"""A Debian with systemd and sshd as a vnode: boots whole in its user namespace and cgroup, is reached by ssh, obeys."""
import json

from lab.client import PATIENCE
from lab.world import inits_of, run
from machine import show, vnodectl

SSH = ["ssh", "-i", "/opt/machine/key", "-p", "2222", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
       "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "root@127.0.0.1"]

# Tells whether it was ended in order.
UNIT = """[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c 'echo >>/root/ended-in-order'
[Install]
WantedBy=multi-user.target
"""


def ssh(*words):
	return run(*SSH, *words).strip()


def wait_until_up(m):
	"""systemd says when it has done all that its targets want."""
	while True:
		done = m.client().run("deb", "systemctl", "is-system-running", "--wait")
		if done.out.strip() in ("running", "degraded"):
			break
	failed = m.client().output("deb", "systemctl --failed --plain --no-legend")
	assert not failed, failed


def case_image(m):
	digest = run("sha256sum", "/opt/machine/image.tar.zst").split()[0]
	vnodectl("image", "add", "debian", "/opt/machine/image.tar.zst", "--sha256", digest)
	size = next(row for row in m.client().call("image.list")["images"] if row["name"] == "debian")
	return json.dumps({key: value for key, value in size.items() if "bytes" in key or key == "size"})


def case_boots_to_multi_user(m):
	m.client().change("vnode.create", name="deb", image="debian", memory="512MiB", grace="120s", restart="on-failure",
			  forwards=[{"host": 2222, "guest": 22}])
	vnodectl("boot", "deb")
	wait_until_up(m)
	assert m.client().output("deb", "systemctl is-active multi-user.target ssh.service").split() == ["active"] * 2
	with open(f"/proc/{inits_of(m.client(), ['deb'])['deb']}/uid_map") as file:
		assert file.read().split()[1] != "0", "no user namespace"


def case_reached_by_ssh(m):
	assert ssh("hostname") == "deb" and ssh("id", "-u") == "0"
	assert ssh("systemctl", "is-active", "multi-user.target") == "active"
	return ssh("uptime", "-p") + ", " + ssh("systemctl", "--version").splitlines()[0]


def case_own_cgroups(m):
	"""systemd inside limits its own units, below what the vnode may have."""
	controllers = set(ssh("cat", "/sys/fs/cgroup/cgroup.controllers").split())
	assert {"cpu", "io", "memory", "pids"} <= controllers, controllers
	found = ssh("systemd-run", "-q", "--pipe", "--wait", "-p", "MemoryMax=48M", "-p", "TasksMax=33", "sh", "-c",
		    "'cd /sys/fs/cgroup/$(cut -d: -f3 /proc/self/cgroup) && cat memory.max pids.max'")
	assert found.split() == [str(48 << 20), "33"], found


def case_user_of_its_own(m):
	"""A user's login has its session and its own systemd, which needs delegation twice."""
	ssh("useradd -m -s /bin/sh ann && loginctl enable-linger ann")
	ssh("systemctl is-active --wait user@$(id -u ann).service || systemctl start user@$(id -u ann).service")
	said = ssh("systemctl", "show", "-p", "ActiveState", "--value", "user@1000.service")
	assert said == "active", said


def case_reboots_from_inside(m):
	ssh("cat >/etc/systemd/system/mark.service <<'.'\n" + UNIT + ".\nsystemctl -q enable --now mark.service")
	c = m.client()
	before = inits_of(c, ["deb"])
	c.subscribe(types=["vnode.exit", "vnode.state"])
	ssh("systemctl", "--no-block", "reboot")
	assert c.event("vnode.exit", vnode="deb", patience=4 * PATIENCE)["data"]["cause"] == "reboot"
	c.event("vnode.state", vnode="deb", to="running")
	wait_until_up(m)
	assert inits_of(c, ["deb"]) != before
	assert ssh("wc", "-l", "/root/ended-in-order").split()[0] == "1"


def case_powers_off_from_inside(m):
	c = m.client()
	c.subscribe(types=["vnode.exit"])
	ssh("systemctl", "--no-block", "poweroff")
	assert c.event("vnode.exit", vnode="deb", patience=4 * PATIENCE)["data"]["cause"] == "poweroff"
	c.call("vnode.wait", vnode="deb", observed=["stopped"])


def case_halts_politely(m):
	"""vnoded asks systemd in its own way and waits for the end of it."""
	vnodectl("boot", "deb")
	wait_until_up(m)
	c = m.client()
	c.subscribe(types=["vnode.exit"])
	vnodectl("halt", "deb")
	assert c.event("vnode.exit", vnode="deb")["data"]["cause"] == "halted"
	vnodectl("boot", "deb")
	wait_until_up(m)
	assert ssh("wc", "-l", "/root/ended-in-order").split()[0] == "3"


def case_nothing_is_left_of_it(m):
	vnodectl("destroy", "deb")
	vnodectl("image", "rm", "debian")
	assert not run("systemctl", "--failed", "--plain", "--no-legend").strip()
	assert show("vnoded.service", "ActiveState") == "active"

"""A Debian with systemd and sshd as a vnode: boots whole in its user namespace and cgroup, is reached by ssh, obeys."""
import json
import subprocess

from lab.client import PATIENCE
from lab.world import inits_of, run
from machine import add_image, load, show, vnodectl

EXAMPLE = "/opt/machine/examples/debian.json"
KNOWN_HOSTS = "/run/known_hosts"
SSH = ["ssh", "-i", "/opt/machine/key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
       "-o", f"UserKnownHostsFile={KNOWN_HOSTS}", "-o", "LogLevel=ERROR",
       "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=6"]	# the other end may be gone without a word

# Tells whether it was ended in order.
UNIT = """[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c 'echo >>/root/ended-in-order'
[Install]
WantedBy=multi-user.target
"""


def ssh(*words, options=(), port=2222):
	return run(*SSH, "-p", str(port), *options, "root@127.0.0.1", *words).strip()


def leave(*words):
	"""The machine may be gone before ssh is."""
	subprocess.run([*SSH, "-p", "2222", "root@127.0.0.1", *words], capture_output=True, stdin=subprocess.DEVNULL)


def example():
	"""The example, for whoever has the tests' key."""
	document = load(EXAMPLE)
	with open("/opt/machine/key.pub") as file:
		document["authorized_keys"] = [file.read().strip()]
	return document


def network(c):
	"""Addresses and routes of the guest, without what the kernel makes by itself."""
	lines = c.output("deb", "ip -o addr show scope global; ip route; ip -6 route show scope global").splitlines()
	return sorted(" ".join(word for word in line.split() if word not in ("noprefixroute", "nodad", "permanent"))
		      for line in lines if "proto kernel" not in line)


def wait_until_up(m, name="deb"):
	"""systemd says when it has done all that its targets want."""
	while True:
		done = m.client().run(name, "systemctl", "is-system-running", "--wait")
		if done.out.strip() in ("running", "degraded"):
			break
	failed = m.client().output(name, "systemctl --failed --plain --no-legend")
	assert not failed, failed


def case_image(m):
	digest = run("sha256sum", "/opt/machine/image.tar.zst").split()[0]
	vnodectl("image", "add", "debian", "/opt/machine/image.tar.zst", "--sha256", digest)
	size = next(row for row in m.client().call("image.list")["images"] if row["name"] == "debian")
	return json.dumps({key: value for key, value in size.items() if "bytes" in key or key == "size"})


def case_boots_to_multi_user(m):
	add_image(m.client())
	m.client().change("topology.apply", document=example())
	wait_until_up(m)
	assert m.client().output("deb", "systemctl is-active multi-user.target ssh.service").split() == ["active"] * 2
	with open(f"/proc/{inits_of(m.client(), ['deb'])['deb']}/uid_map") as file:
		assert file.read().split()[1] != "0", "no user namespace"


def case_reached_by_ssh(m):
	"""By the key of the topology, and only where the host keys are those that vnoded tells."""
	keys = m.client().call("vnode.get", vnode="deb")["host_keys"]
	with open(KNOWN_HOSTS, "w") as file:
		file.writelines(f"[127.0.0.1]:2222 {key}\n" for key in keys)
	for key in keys:
		assert ssh("id", "-u", options=["-o", f"HostKeyAlgorithms={key.split()[0]}"]) == "0", key
	assert ssh("ls /etc/ssh/*_key").split() == ["/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_ed25519_key"]
	assert ssh("hostname") == "deb" and ssh("id", "-u") == "0"
	assert ssh("systemctl", "is-active", "multi-user.target") == "active"
	return ssh("uptime", "-p") + ", " + ssh("systemctl", "--version").splitlines()[0]


def case_knows_what_it_was_told(m):
	assert ssh("cat", "/etc/motd") == "This Debian is a vnode."
	assert ssh("date", "+%Z", "-d", "2026-01-01") == "CET" and ssh("cat", "/etc/timezone") == "Europe/Berlin"
	assert ssh("getent", "hosts", "peer").split()[0] in ("10.30.0.2", "fd30::2"), ssh("getent", "hosts", "peer")
	assert ssh("hostname", "-f") == "deb.lab.example"
	assert ssh("ping", "-c", "1", "-W", "10", "peer")
	identity = ssh("cat", "/etc/machine-id")
	assert len(identity) == 32 and ssh("dbus-uuidgen", "--get") == identity


def case_keeps_its_network_whatever_its_tools_do(m):
	"""ifupdown has run at its boot; then it runs again, and systemd-networkd takes over."""
	c = m.client()
	before = network(c)
	assert [line for line in before if "10.30.0.1/24" in line] and [line for line in before if "fd30::1/64" in line], before
	assert c.output("deb", "systemctl is-active networking.service") == "active"
	c.output("deb", "systemctl restart networking.service")
	assert network(c) == before, (before, network(c))
	c.output("deb", "systemctl start systemd-networkd.service && "
		 "/lib/systemd/systemd-networkd-wait-online --timeout=600 -i eth0 -i eth1")
	states = c.output("deb", "networkctl --no-legend list eth0 eth1").split()
	assert states.count("configured") == 2, states
	assert network(c) == before, (before, network(c))
	assert ssh("ping", "-c", "1", "-W", "10", "10.30.0.2")
	c.output("deb", "systemctl stop systemd-networkd.service systemd-networkd.socket")
	assert ssh("id", "-u") == "0"


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
	leave("systemctl", "--no-block", "reboot")
	assert c.event("vnode.exit", vnode="deb", patience=4 * PATIENCE)["data"]["cause"] == "reboot"
	c.event("vnode.state", vnode="deb", to="running")
	wait_until_up(m)
	assert inits_of(c, ["deb"]) != before
	keys = c.call("vnode.get", vnode="deb")["host_keys"]
	with open(KNOWN_HOSTS) as file:
		assert file.read() == "".join(f"[127.0.0.1]:2222 {key}\n" for key in keys), "other host keys after a reboot"
	assert ssh("wc", "-l", "/root/ended-in-order").split()[0] == "1"


def case_powers_off_from_inside(m):
	c = m.client()
	c.subscribe(types=["vnode.exit"])
	leave("systemctl", "--no-block", "poweroff")
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


def copy():
	"""A topology with a second Debian, made from an image of the first."""
	first = example()
	vnode = dict(first["vnodes"]["deb"], image="captured", forwards=[{"host": 2223, "guest": 22}], files=[])
	return {"topology": "copy", "authorized_keys": first["authorized_keys"], "vnodes": {"twin": vnode}}


def case_a_capture_boots_as_another_machine(m):
	"""With what the first has written, and nothing that makes it the first one."""
	c = m.client()
	identity = ssh("cat", "/etc/machine-id")
	vnodectl("halt", "deb")
	vnodectl("image", "capture", "deb", "captured")
	c.change("topology.apply", document=copy())
	wait_until_up(m, "twin")
	keys = {name: c.call("vnode.get", vnode=name)["host_keys"] for name in ("deb", "twin")}
	assert keys["twin"] and not set(keys["deb"]) & set(keys["twin"]), keys
	with open(KNOWN_HOSTS, "a") as file:
		file.writelines(f"[127.0.0.1]:2223 {key}\n" for key in keys["twin"])
	for key in keys["twin"]:
		assert ssh("hostname", options=["-o", f"HostKeyAlgorithms={key.split()[0]}"], port=2223) == "twin", key
	assert ssh("cat", "/root/ended-in-order", port=2223) == "" and ssh("id", "-u", "ann", port=2223) == "1000"
	own = ssh("cat", "/etc/machine-id", port=2223)
	assert len(own) == 32 and own != identity, (own, identity)
	assert ssh("hostname", "-I", port=2223).split() != [], "no address"
	vnodectl("boot", "deb")
	wait_until_up(m)
	assert ssh("cat", "/etc/machine-id") == identity and ssh("hostname") == "deb"
	row = next(row for row in c.call("image.list")["images"] if row["name"] == "captured")
	vnodectl("delete", "copy")
	vnodectl("image", "rm", "captured")
	return json.dumps({key: value for key, value in row.items() if "bytes" in key})


def case_nothing_is_left_of_it(m):
	vnodectl("delete", "debian")
	vnodectl("image", "rm", "debian")
	failed = {line.split()[0] for line in run("systemctl", "--failed", "--plain", "--no-legend").splitlines()}
	# On a fresh disk the image of the ring is not there yet, and bootvnodes said so at power-on.
	assert failed <= {"bootvnodes.service"}, failed
	assert show("vnoded.service", "ActiveState") == "active"

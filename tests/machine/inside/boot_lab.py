"""Cases of the whole-lab suite where they meet a full kernel and cgroup v2: a second vnoded beside the machine's.

What surprises: its state lies on the disk, seen at the suite's own place by a bind mount: Linux 6.1 has no
id-mapped layers on tmpfs.
"""
import os
import shutil

from lab import case_guests, case_hostile, case_lab, case_machine, case_shape, case_tunnel, world
from lab.world import Build, run

FOLDER = "/var/lib/world"
# Nothing that the machine's own has.
APART = {"fabric": "vnoded-lab", "nft_table": "vnoded-lab", "control_network": "10.250.0.0/16"}


class Installed(Build):
	"""What `meson install` has put in place."""

	def __init__(self):
		self.folder = "/opt/machine/build"
		self.vnoded, self.vnodectl = shutil.which("vnoded"), shutil.which("vnodectl")
		self.libexec = os.path.join(os.path.dirname(os.path.dirname(self.vnoded)), "libexec/vnoded")
		self.image = "/opt/machine/busybox.tar.gz"
		with open("/opt/machine/busybox.sha256") as file:
			self.sha256 = file.read().split()[0]


def build():
	if not os.path.ismount(world.BASE):
		os.makedirs(world.BASE)
		os.makedirs(FOLDER)
		run("mount", "--bind", FOLDER, world.BASE)
		world.DEFAULTS.update(APART)
	return Installed()


def here(case):
	"""A case of the suite as one of this boot."""
	def run_it(m):
		case(build())

	run_it.__name__, run_it.__module__ = case.__name__, __name__
	return run_it


for _case in (case_hostile.case_hostile_guest, case_hostile.case_privileged_guest, case_guests.case_causes,
	      case_lab.case_forwards, case_machine.case_two_instances, case_shape.case_shapes_sit_where_they_belong,
	      case_shape.case_every_protocol_is_shaped, case_shape.case_a_guest_cannot_undo_its_shape,
	      case_shape.case_live_changes_rebuild_nothing, case_tunnel.case_a_lan_on_two_hosts,
	      case_tunnel.case_tunnels_change_live, case_tunnel.case_a_link_over_plain_gre,
	      case_tunnel.case_ports_are_lent):
	globals()[_case.__name__] = here(_case)


def case_the_second_is_gone(m):
	run("umount", world.BASE)
	shutil.rmtree(FOLDER)

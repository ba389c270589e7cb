"""The power goes while nothing is being changed: all that was answered is there after it."""


def end(m):
	m.notes["moment"] = m.moment
	m.notes.save()
	m.cut_power()

#pragma once
/*
 * Schedules of LANs: lists of changes, each made once when its time has come. Thread: loop.
 *
 * Times are those of the wall clock, fixed when the schedule comes into force, so that they outlive the
 * daemon and the machine's boot. What came due while no daemon ran is made up for at once, all of it, in
 * order. An entry's end and that of the job which carried it out are one commit.
 */

#include "daemon/model.h"

enum entry_state { ENTRY_PENDING, ENTRY_DONE, ENTRY_MISSED, ENTRY_FAILED };
extern const char *const entry_state_words[];	/* pending done missed failed */

struct schedule_entry {
	size_t index;			/* in the list as it was given */
	json_t *given;
	int64_t at_us;			/* when it is due */
	enum entry_state state;
	int64_t job;			/* that is carrying it out; 0: none */
	int64_t fired_us, late_ns;	/* fired_us 0: has not */
	char *error;			/* why it failed; NULL */
};

struct schedule {			/* of a LAN; none: NULL */
	struct lan *lan;
	struct schedule_entry *entries;	/* in the order in which they are due */
	size_t count;
	struct watch *alarm;		/* for the next entry; NULL: none, or it waits for the LAN's lock */
	bool waits;
};

extern const struct verb verb_lan_schedule;

int schedules_load(struct daemon *daemon, struct vn_error *err);
/* From now on entries are carried out: recovery has ended. */
void schedules_start(struct daemon *daemon);
/* Forgets it without touching rows; NULL is fine. */
void schedule_free(struct schedule *schedule);
void schedule_remove_rows(struct lan *lan);

/*
 * The checks that need the host. shaping: as shaping_export has it, of the LAN as it is to be. Errors:
 * VN_E_INVALID, VN_E_UNSUPPORTED, VN_E_NOT_FOUND, with the path below the list.
 */
int schedule_check(struct daemon *daemon, const struct lan *lan, const char *name, json_t *shaping,
		   json_t *list, struct vn_error *err);
/*
 * Puts `list` in force, counting from now; an empty one, or NULL, ends what is pending. Entries with a date
 * that have had their turn, and are in the list as before, have had it.
 */
void schedule_replace(struct lan *lan, json_t *list);
/* The list as it was given; NULL: none. A new reference. */
json_t *schedule_export(const struct lan *lan);
/* With the state of each entry; a new reference. */
json_t *schedule_object(const struct lan *lan);

/* What the files of schedules share. */
void schedule_record(const struct lan *lan, const struct schedule_entry *entry);
/* Carries out what is due and arms the alarm for what is not. */
void schedule_run(struct lan *lan);
/* At the end of any job on a LAN: settles the entry that it carried out, if one. */
void schedule_job_ended(struct lan *lan, const struct job *job);

/* event.list, event.subscribe, event.unsubscribe. */
#include "daemon/event_inner.h"

#include <inttypes.h>

#include "daemon/log.h"

#define LIST_LIMIT 1000			/* events listed unless the call says how many */

static void
on_listed_event(void *arg, int64_t seq, const char *object)
{
	json_error_t where;
	json_t *event = json_loads(object, 0, &where);

	if (event)
		json_array_append_new(arg, event);
	else
		vn_log_error("event", "event %" PRId64 " is damaged in the database: %s", seq,
			     where.text);
}

int
handle_event_list(struct call *call, const void *params, struct vn_error *err)
{
	const struct event_list_params *p = params;
	struct event_log *log = call_daemon(call)->events;
	struct event_filter filter;
	json_t *events = json_array();
	int result;

	event_filter_init(&filter, &p->types, p->topology);
	result = event_log_read(log, p->since, &filter, p->limit ? p->limit : LIST_LIMIT,
				on_listed_event, events, err);
	event_filter_fini(&filter);
	if (result < 0) {
		json_decref(events);
		return -1;
	}
	call_reply(call, json_pack("{so}", "events", events));
	return 0;
}

int
handle_event_subscribe(struct call *call, const void *params, struct vn_error *err)
{
	return subscription_begin(call, params, err);
}

int
handle_event_unsubscribe(struct call *call, const void *params, struct vn_error *err)
{
	const struct event_unsubscribe_params *p = params;

	if (subscription_end(call_daemon(call)->events, call_session(call), p->subscription,
			     err) < 0)
		return -1;
	call_reply(call, json_object());
	return 0;
}

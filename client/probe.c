/* verify --probe: a row for each quantity of each direction. */
#include "client/probe.h"

#include <stdio.h>
#include <string.h>

#include "client/change.h"
#include "client/options.h"
#include "client/output.h"

static double
number(json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static char *
print_ns(double ns)
{
	return vn_format("%.3f ms", ns / 1e6);
}

static char *
print_bps(double bps)
{
	return bps < 1e6 ? vn_format("%.2f kbit/s", bps / 1e3)
	       : bps < 1e9 ? vn_format("%.3f Mbit/s", bps / 1e6) : vn_format("%.3f Gbit/s", bps / 1e9);
}

static char *
print_share(double share)
{
	return vn_format("%.3f %%", share * 100);
}

/* How large the sample was, and what was found beside it. */
static char *
sample_of(json_t *quantity, const char *field)
{
	vn_autofree char *bare = NULL, *p99 = NULL, *offered = NULL;

	if (strcmp(field, "loss") == 0)
		return vn_format("%.0f frames", number(quantity, "sent"));
	if (strcmp(field, "rate") == 0) {
		offered = print_bps(number(quantity, "offered"));
		return vn_format("%.0f frames, offered %s", number(quantity, "frames"), offered);
	}
	bare = print_ns(number(quantity, "bare_median"));
	p99 = print_ns(number(quantity, "bare_p99"));
	return vn_format("%.0f probes, bare %s, its 99 %% %s", number(quantity, "samples"), bare, p99);
}

static const struct {
	const char *field, *key;
	char *(*print)(double value);
} quantities[] = {
	{ "delay", "delay_ns", print_ns },
	{ "rate",  "rate_bps", print_bps },
	{ "loss",  "loss",     print_share },
};

static json_t *
row_of(json_t *direction, size_t i)
{
	json_t *quantity = json_object_get(direction, quantities[i].key);
	json_t *most = json_object_get(quantity, "high");
	vn_autofree char *wanted = json_is_null(json_object_get(quantity, "wanted")) ? vn_strdup("unlimited")
				   : quantities[i].print(number(quantity, "wanted"));
	vn_autofree char *measured = quantities[i].print(number(quantity, "measured"));
	vn_autofree char *low = quantities[i].print(number(quantity, "low"));
	vn_autofree char *high = json_is_null(most) ? vn_strdup("?")
						    : quantities[i].print(json_number_value(most));
	vn_autofree char *sample = sample_of(quantity, quantities[i].field);

	return json_pack("{so ss ss ss so ss ss}", "direction", json_sprintf("%s -> %s",
		output_text(direction, "from"), output_text(direction, "to")),
		"field", quantities[i].field, "wanted", wanted, "measured", measured,
		"interval", json_sprintf("%s .. %s", low, high),
		"verdict", output_text(quantity, "verdict"), "sample", sample);
}

static void
print_result(json_t *result)
{
	static const struct column columns[] = {
		{ "DIRECTION", "direction", 0 }, { "FIELD", "field", 0 }, { "WANTED", "wanted", 0 },
		{ "MEASURED", "measured", 0 }, { "99 % INTERVAL", "interval", 0 },
		{ "VERDICT", "verdict", 0 }, { "SAMPLE", "sample", 0 },
		{ 0 },
	};
	json_t *rows = json_array(), *direction;
	size_t i;

	json_array_foreach(json_object_get(result, "directions"), i, direction)
		for (size_t k = 0; k < VN_COUNT(quantities); k++)
			json_array_append_new(rows, row_of(direction, k));
	output_table(columns, rows, "directions");
	json_decref(rows);
}

/* "a,b" as the two members; NULL where it is not that. */
static json_t *
split_members(const char *between)
{
	const char *comma = strchr(between, ',');

	if (!comma || comma == between || !comma[1] || strchr(comma + 1, ','))
		return NULL;
	return json_pack("[s# s]", between, (int)(comma - between), comma + 1);
}

int
probe_lan(struct client *client, const struct arguments *args)
{
	struct change *change;
	json_t *params = json_pack("{s:s}", "lan", args->probe), *members, *result;
	int status;

	if (args->between) {
		members = split_members(args->between);
		json_object_set_new(params, "members", members);
		if (!members) {
			json_decref(params);
			return client_usage(client, "--between takes two members: VNODE,VNODE");
		}
	}
	if (args->seconds > 0)
		json_object_set_new(params, "seconds", json_integer(args->seconds));
	change = vn_alloc(sizeof(*change));
	change->subject = args->probe;
	change->method = "lan.probe";
	change->params = params;
	status = change_all(client, args, change, 1);
	result = json_object_get(change->ended, "result");
	if (status == STATUS_DONE && json_is_object(result)) {
		if (!client->json)
			print_result(result);
		if (strcmp(output_text(result, "verdict"), "differs") == 0)
			status = STATUS_FAILED;
	}
	changes_free(change, 1);
	return status;
}

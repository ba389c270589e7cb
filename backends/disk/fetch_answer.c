/*
 * Only what is understood without doubt counts: a validator or a range with anything odd about it is
 * none, and the download begins anew.
 */
#include "backends/disk/fetch_answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "proto/base/mem.h"

#define CERTAIN_S 60			/* between Last-Modified and Date */

/* Copies printable ASCII; anything else, or too much, is no value. */
static void
copy_value(char *to, size_t size, const char *value)
{
	size_t length = strlen(value);

	to[0] = '\0';
	for (size_t i = 0; i < length; i++)
		if (value[i] < ' ' || value[i] > '~')
			return;
	if (length < size)
		strcpy(to, value);
}

/* "W/…" is a weak one: equal bytes are not promised. */
static void
take_etag(struct fetch_answer *answer, const char *value)
{
	size_t length = strlen(value);

	answer->origin.etag[0] = '\0';
	if (length > 2 && value[0] == '"' && value[length - 1] == '"')
		copy_value(answer->origin.etag, sizeof(answer->origin.etag), value);
}

static void
take_modified(struct fetch_answer *answer, const char *value)
{
	copy_value(answer->origin.modified, sizeof(answer->origin.modified), value);
}

static void
take_date(struct fetch_answer *answer, const char *value)
{
	copy_value(answer->date, sizeof(answer->date), value);
}

/* A number without sign or blanks; moves *at behind it. */
static bool
read_number(const char **at, uint64_t *ret)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*ret = strtoull(*at, &end, 10);
	*at = end;
	return errno == 0 && *ret <= INT64_MAX;
}

/* "bytes FIRST-LAST/TOTAL", TOTAL being "*" where the server does not know it. */
static void
take_range(struct fetch_answer *answer, const char *value)
{
	const char *at = value + 6;
	uint64_t first, last, total = 0;

	answer->has_range = false;
	if (strncasecmp(value, "bytes ", 6) != 0 || !read_number(&at, &first) || *at++ != '-'
	    || !read_number(&at, &last) || *at++ != '/'
	    || (strcmp(at, "*") != 0 && (!read_number(&at, &total) || *at)))
		return;
	if (last < first || (total && last >= total))
		return;
	answer->has_range = true;
	answer->first = first;
	answer->last = last;
	answer->origin.total = total;
}

static const struct {
	const char *name;
	void (*take)(struct fetch_answer *answer, const char *value);
} fields[] = {
	{ "etag", take_etag },
	{ "last-modified", take_modified },
	{ "date", take_date },
	{ "content-range", take_range },
};

void
fetch_answer_line(struct fetch_answer *answer, const char *line, size_t size)
{
	char text[512];
	char *value;

	if (size >= 5 && !strncmp(line, "HTTP/", 5)) {
		*answer = (struct fetch_answer){ 0 };
		return;
	}
	while (size > 0 && strchr("\r\n \t", line[size - 1]))
		size--;
	if (size >= sizeof(text) || memchr(line, '\0', size) || !memchr(line, ':', size))
		return;
	memcpy(text, line, size);
	text[size] = '\0';
	value = strchr(text, ':');
	*value++ = '\0';
	value += strspn(value, " \t");
	for (size_t i = 0; i < VN_COUNT(fields); i++)
		if (!strcasecmp(fields[i].name, text))
			fields[i].take(answer, value);
}

/* Seconds since 1970 of "Sun, 06 Nov 1994 08:49:37 GMT"; -1: no such date. */
static time_t
read_date(const char *text)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = { 0 };
	char month[4] = "";
	const char *found;

	if (sscanf(text, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &tm.tm_mday, month, &tm.tm_year,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return -1;
	found = strlen(month) == 3 ? strstr(months, month) : NULL;
	if (!found)
		return -1;
	tm.tm_mon = (int)(found - months) / 3;
	tm.tm_year -= 1900;
	return timegm(&tm);
}

void
fetch_answer_end(struct fetch_answer *answer)
{
	time_t modified = read_date(answer->origin.modified), date = read_date(answer->date);

	if (modified < 0 || date < 0 || date - modified < CERTAIN_S)
		answer->origin.modified[0] = '\0';
}

#pragma once
/* What can be said of a quantity from a sample of it. Pure functions; thread: any. */

#include <stddef.h>
#include <stdint.h>

#define STATISTICS_Z 2.5758293035489	/* of the two-sided 99 % interval */

struct interval {
	double low, high;
};

/* Sorts in place. */
void statistics_sort(uint64_t *values, size_t count);
/* The value at `share` (0…1) of sorted ones; count at least 1. */
uint64_t statistics_quantile(const uint64_t *sorted, size_t count, double share);
/*
 * Between which of the sorted values the median of what they were drawn from lies, by order statistics: free
 * of any assumption about the distribution. Few values give the whole range.
 */
struct interval statistics_median(const uint64_t *sorted, size_t count);
/*
 * Of a share, from `hits` of `count` trials: Wilson's score interval, which holds near 0 and 1 too.
 * correlation: of one trial's outcome with that of the trial before; it makes trials worth less.
 */
struct interval statistics_share(double hits, double count, double correlation);
/* Of a mean, from a few values that are about normal: Student's t. count at least 2. */
struct interval statistics_mean(const double *values, size_t count);

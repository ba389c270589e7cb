/* 99 % confidence intervals and order statistics, for measurements. */
#include "backends/statistics.h"

#include <math.h>
#include <stdlib.h>

static int
compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

void
statistics_sort(uint64_t *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
}

uint64_t
statistics_quantile(const uint64_t *sorted, size_t count, double share)
{
	size_t at = (size_t)(share * (double)count);

	return sorted[at < count ? at : count - 1];
}

/* The number of values below the median is binomial with p = ½. */
struct interval
statistics_median(const uint64_t *sorted, size_t count)
{
	double reach = STATISTICS_Z * sqrt((double)count) / 2;
	double low = floor((double)count / 2 - reach), high = ceil((double)count / 2 + reach);

	return (struct interval){
		(double)sorted[low < 0 ? 0 : (size_t)low],
		(double)sorted[high >= (double)count ? count - 1 : (size_t)high],
	};
}

/* In a chain where each outcome has correlation c with the last, n trials tell as much as n(1 − c)/(1 + c). */
struct interval
statistics_share(double hits, double count, double correlation)
{
	double n = count * (1 - correlation) / (1 + correlation), share = count > 0 ? hits / count : 0;
	double z2 = STATISTICS_Z * STATISTICS_Z, middle, reach;

	if (n < 1)
		return (struct interval){ 0, 1 };
	middle = (share + z2 / (2 * n)) / (1 + z2 / n);
	reach = STATISTICS_Z * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n);
	return (struct interval){ fmax(0, middle - reach), fmin(1, middle + reach) };
}

/*
 * The quantile at 99.5 % of Student's distribution: a table where it is far from the normal one, and from
 * there the first two terms of its expansion around that.
 */
static double
student(size_t freedom)
{
	static const double table[] = { 63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250,
					3.169, 3.106, 3.055, 3.012, 2.977, 2.947, 2.921 };
	double z = STATISTICS_Z, n = (double)freedom;

	if (freedom <= sizeof(table) / sizeof(*table))
		return table[freedom - 1];
	return z + (z * z * z + z) / (4 * n) +
	       (5 * pow(z, 5) + 16 * z * z * z + 3 * z) / (96 * n * n);
}

struct interval
statistics_mean(const double *values, size_t count)
{
	double mean = 0, square = 0, reach;

	for (size_t i = 0; i < count; i++)
		mean += values[i] / (double)count;
	for (size_t i = 0; i < count; i++)
		square += (values[i] - mean) * (values[i] - mean);
	reach = student(count - 1) * sqrt(square / (double)(count - 1) / (double)count);
	return (struct interval){ mean - reach, mean + reach };
}

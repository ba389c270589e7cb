/*
 * Runs a fuzz target over a folder of inputs without libFuzzer: each input as it is, cut short at
 * every length, and with each byte changed in turn. Deterministic, so it is an ordinary test.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/mem.h"
#include "tests/fuzz/target.h"

static const unsigned char changes[] = { 0x01, 0x20, 0x80, 0xff };

/* An exact copy on the heap, so that a sanitizer sees a read past its end. */
static void
run(const unsigned char *data, size_t size)
{
	vn_autofree unsigned char *copy = vn_alloc(size);

	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
}

static unsigned
run_all(unsigned char *data, size_t size)
{
	unsigned count = 0;

	for (size_t cut = 0; cut <= size; cut++, count++)
		run(data, cut);
	for (size_t at = 0; at < size; at++)
		for (size_t i = 0; i < VN_COUNT(changes); i++, count++) {
			data[at] ^= changes[i];
			run(data, size);
			data[at] ^= changes[i];
		}
	return count;
}

/* Returns how many inputs were tried, 0 when the file cannot be read. */
static unsigned
run_file(const char *folder, const char *name)
{
	vn_autofree char *path = vn_format("%s/%s", folder, name);
	vn_autofree unsigned char *data = NULL;
	struct stat status;
	FILE *file = fopen(path, "r");
	unsigned count = 0;

	if (!file)
		return 0;
	if (fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode)) {
		data = vn_alloc((size_t)status.st_size);
		if (fread(data, 1, (size_t)status.st_size, file) == (size_t)status.st_size)
			count = run_all(data, (size_t)status.st_size);
	}
	fclose(file);
	return count;
}

int
main(int argc, char **argv)
{
	unsigned passed = 0, failed = 0, inputs = 0;
	DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;

	if (!folder) {
		fprintf(stderr, "usage: replay FOLDER\n");
		return 2;
	}
	for (const struct dirent *entry; (entry = readdir(folder));) {
		unsigned count;

		if (entry->d_name[0] == '.')
			continue;
		count = run_file(argv[1], entry->d_name);
		inputs += count;
		passed += count > 0;
		failed += count == 0;
	}
	closedir(folder);
	printf("%u inputs made from %u files\n%u passed, %u failed\n", inputs, passed + failed,
	       passed, failed);
	return passed > 0 && failed == 0 ? 0 : 1;
}

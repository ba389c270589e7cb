/* A guest's init that takes memory until the kernel ends it. */
#include <stdlib.h>
#include <string.h>

int
main(void)
{
	for (;;) {
		volatile char *block = malloc(1 << 20);

		if (!block)
			return 1;
		memset((char *)(unsigned long)block, 1, 1 << 20);
	}
}

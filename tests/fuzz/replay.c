/* Runs a fuzz target over every file of its kept corpus; fails on an empty one. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(const char *dir, const char *name)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "rb");
	if (!f)
		return 0;
	fseek(f, 0, SEEK_END);
	size_t size = (size_t)ftell(f);
	rewind(f);
	uint8_t *data = malloc(size ? size : 1); /* exact size, so that overreads are seen */
	int read = data && fread(data, 1, size, f) == size;
	if (read)
		LLVMFuzzerTestOneInput(data, size);
	free(data);
	fclose(f);
	return read;
}

int main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	int fed = 0;
	for (struct dirent *d; dir && (d = readdir(dir));)
		if (d->d_type == DT_REG)
			fed += feed(argv[1], d->d_name);
	if (dir)
		closedir(dir);
	printf("%d inputs replayed\n", fed);
	return fed ? 0 : 1;
}

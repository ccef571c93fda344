/* ringfence: the command-line tool. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
	struct cli c;
	cli_init(&c);
	return cli_main(&c, argc, argv);
}

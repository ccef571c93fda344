/* A command line, its words a line each, and the texts that its words can be. Beliefs: every word belongs to an option or argument
 * of the command or is refused with a reason. */
#include <stdlib.h>
#include "cli/cli.h"
#include "cli/explain.h"
#include "cli/list.h"
#include "cli/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { WORDS = 100 };

static void texts(char *const *words, int n)
{
	static const char *const kinds[] = { "ip", "hostname", "asn", "string", "redirect" };
	struct rf_err e;
	int64_t at;
	for (int i = 1; i < n; i++) {
		json_t *request = json_object(), *item = cli_item_make(kinds[i % 5], words[i]);
		(void)cli_request_parse(words[i], request, &e);
		(void)cli_since(words[i], 1790000000, &at);
		RF_BUF_AUTO text = { 0 };
		if (item)
			cli_item_text(&text, item);
		json_decref(item);
		json_decref(request);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *words[WORDS + 2] = { "ringfence" }, *text = malloc(n + 1), *rest = text;
	int count = 1;
	const char *noun = NULL;
	struct cli c = { .out = NULL };
	if (!text)
		return 0;
	memcpy(text, p, n);
	text[n] = '\0';
	for (char *word; count <= WORDS && (word = strsep(&rest, "\n"));)
		words[count++] = word;
	if (cli_args(&c, count, words, &noun) == RF_OK) {
		for (size_t i = 0; i < c.value_count; i++)
			if (!c.values[i].option)
				abort();
	} else if (!c.e.text[0]) {
		abort();
	}
	texts(words, count);
	free(text);
	return 0;
}

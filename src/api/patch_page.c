/* api/patch_page: the exposure report as one HTML page without scripts, images or links elsewhere, that prints on paper.
 *
 * Everything that comes from the state is escaped. Not here: what is counted (ctl/patch_exposure).
 */
#include "api/patches.h"

static const char head[] =
	"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Exposure of the fleet</title><style>"
	"body{font:14px/1.4 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#111;background:#fff}"
	"table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}th,td{border-bottom:1px solid #bbb;padding:.3rem .5rem;"
	"text-align:left;vertical-align:top}td.n,th.n{text-align:right}h2{font-size:1.1rem;margin:1.5rem 0 .2rem}"
	"p{margin:.2rem 0}.open{font-weight:bold}"
	"@media print{body{margin:0;max-width:none;font-size:10pt}section,tr{break-inside:avoid}thead{display:table-header-group}"
	"@page{margin:15mm}}</style></head><body>";

static void esc(struct rf_buf *b, const char *z)
{
	for (; *z; z++)
		switch (*z) {
		case '&': rf_buf_add(b, RF_STR("&amp;")); break;
		case '<': rf_buf_add(b, RF_STR("&lt;")); break;
		case '>': rf_buf_add(b, RF_STR("&gt;")); break;
		case '"': rf_buf_add(b, RF_STR("&quot;")); break;
		default: rf_buf_addc(b, *z);
		}
}

static void cell(struct rf_buf *b, const char *z)
{
	rf_buf_add(b, RF_STR("<td>"));
	esc(b, z);
	rf_buf_add(b, RF_STR("</td>"));
}

static const char *const counts[] = { "exposed", "protected", "fixed", "unknown_firmware" };

static void row(struct rf_buf *b, const json_t *one)
{
	rf_buf_add(b, RF_STR("<tr>"));
	cell(b, rf_json_text(one, "cve"));
	cell(b, rf_json_text(one, "severity"));
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		long long n = json_integer_value(json_object_get(one, counts[i]));
		rf_buf_printf(b, "<td class=\"n%s\">%lld</td>", i == 0 && n ? " open" : "", n);
	}
	cell(b, rf_json_text(one, "exposed_since"));
	cell(b, rf_json_text(one, "protected_since"));
	rf_buf_add(b, RF_STR("</tr>"));
}

static void devices(struct rf_buf *b, const json_t *one)
{
	size_t i;
	json_t *d;
	const json_t *all = json_object_get(one, "devices");
	rf_buf_add(b, RF_STR("<section><h2>"));
	esc(b, rf_json_text(one, "cve"));
	rf_buf_add(b, RF_STR("</h2><p>"));
	esc(b, rf_json_text(one, "title"));
	rf_buf_add(b, RF_STR("</p><table><thead><tr><th>Device</th><th>Class</th><th>Firmware</th><th>Now</th><th>Since</th></tr>"
			     "</thead><tbody>"));
	json_array_foreach(all, i, d) {
		rf_buf_add(b, RF_STR("<tr>"));
		for (const char *const *m = (const char *const[]){ "name", "class", "firmware", "status", "since", NULL }; *m; m++)
			cell(b, rf_json_text(d, *m));
		rf_buf_add(b, RF_STR("</tr>"));
	}
	rf_buf_add(b, RF_STR("</tbody></table>"));
	if (json_is_true(json_object_get(one, "truncated")))
		rf_buf_add(b, RF_STR("<p>There are more; the table above counts all of them.</p>"));
	rf_buf_add(b, RF_STR("</section>"));
}

void rf_patch_page(const json_t *exposure, const char *when, struct rf_buf *to)
{
	size_t i;
	json_t *one;
	rf_buf_printf(to, "%s<h1>Exposure of the fleet</h1><p>%s</p><table><thead><tr><th>CVE</th><th>Severity</th><th class=\"n\">"
		      "Exposed</th><th class=\"n\">Protected</th><th class=\"n\">Fixed</th><th class=\"n\">Unknown firmware</th>"
		      "<th>Exposed since</th><th>Protected since</th></tr></thead><tbody>", head, when);
	json_array_foreach(exposure, i, one)
		row(to, one);
	rf_buf_add(to, RF_STR("</tbody></table>"));
	json_array_foreach(exposure, i, one)
		if (json_array_size(json_object_get(one, "devices")))
			devices(to, one);
	rf_buf_add(to, RF_STR("</body></html>\n"));
}

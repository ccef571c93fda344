/* records/metrics: see metrics.h. Rows of one name follow each other in their tables, so one pass writes the help
 * once. Not here: who may read them (api).
 */
#include "records/metrics.h"
#include "records/counters.h"
#include <inttypes.h>

static const struct {
	const char *name, *labels, *help;
} histograms[RF_H_COUNT] = {
#define RF_HISTOGRAM(id, name, labels, help) { name, labels, help },
#include "tbl/counters.def"
#undef RF_HISTOGRAM
};

static void head(struct rf_buf *out, const char *last, const char *name, const char *type, const char *help)
{
	if (!last || strcmp(last, name) != 0)
		rf_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void series(struct rf_buf *out, const char *name, const char *labels)
{
	rf_buf_printf(out, "%s%s%s%s ", name, *labels ? "{" : "", labels, *labels ? "}" : "");
}

static void counters(struct rf_buf *out)
{
	for (unsigned c = 0; c < RF_C_COUNT; c++) {
		const char *name = rf_counter_name(c);
		head(out, c ? rf_counter_name(c - 1) : NULL, name, "counter", rf_counter_help(c));
		series(out, name, rf_counter_labels(c));
		rf_buf_printf(out, "%" PRIu64 "\n", rf_counter_sum(c));
	}
}

static void histogram(struct rf_buf *out, unsigned h)
{
	uint64_t bucket[RF_BUCKETS], count, sum_ns, upto = 0;
	const char *name = histograms[h].name, *labels = histograms[h].labels, *comma = *labels ? "," : "";
	rf_histogram_sum(h, bucket, &count, &sum_ns);
	for (size_t i = 0; i < RF_BUCKETS; i++) {
		upto += bucket[i];
		rf_buf_printf(out, "%s_bucket{%s%sle=\"", name, labels, comma);
		if (i < RF_BUCKETS - 1)
			rf_buf_printf(out, "%g", (double)rf_bucket_bounds_ns[i] / 1e9);
		rf_buf_printf(out, "%s\"} %" PRIu64 "\n", i < RF_BUCKETS - 1 ? "" : "+Inf", upto);
	}
	rf_buf_printf(out, "%s_sum%s%s%s %.9g\n", name, *labels ? "{" : "", labels, *labels ? "}" : "", (double)sum_ns / 1e9);
	rf_buf_printf(out, "%s_count%s%s%s %" PRIu64 "\n", name, *labels ? "{" : "", labels, *labels ? "}" : "", count);
}

void rf_metrics_write(struct rf_buf *out)
{
	head(out, NULL, "ringfence_build_info", "gauge", "Version of the program");
	rf_buf_printf(out, "ringfence_build_info{version=\"%s\"} 1\n", RF_VERSION);
	counters(out);
	for (unsigned h = 0; h < RF_H_COUNT; h++) {
		head(out, h ? histograms[h - 1].name : NULL, histograms[h].name, "histogram", histograms[h].help);
		histogram(out, h);
	}
}

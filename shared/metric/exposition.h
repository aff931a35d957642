// The Prometheus text format 0.0.4 (and OpenMetrics 1.0) of everything in the segment. Series of
// the same name and labels of several processes are one series: counters and histograms are summed,
// those of dead processes too, so that no counter goes back when one dies; gauges come from live
// processes only and are summed, or of METRIC_GAUGE_MAX the largest shown. Each name is one group
// with one HELP and TYPE; what does not fit the group of its name (another kind, other histogram
// bounds, as an older binary may have left) is left out, the present processes' kind wins. The last
// line ends in LF. Cost: linear in the series. Thread: any.
#ifndef VALVECHAIN_METRIC_EXPOSITION_H
#define VALVECHAIN_METRIC_EXPOSITION_H

#include "base/strbuf.h"
#include "metric/metric.h"

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define EXPOSITION_OPENMETRICS_CONTENT_TYPE                                                        \
    "application/openmetrics-text; version=1.0.0; charset=utf-8"

// A series that no process publishes: whoever shows the metrics computes it. It takes the place of
// what the slots hold under its name (an older binary's).
#define EXPOSITION_LABELS_MAX 128
struct exposition_series {
    const struct metric_def *def; // a counter or gauge; those of one definition stand together
    uint64_t value;
    char labels[EXPOSITION_LABELS_MAX]; // rendered
};

// Appends to `out` what the slots hold and `n_more` series more. 0, or -ENOMEM (then `out` holds a
// part).
int exposition_write(const struct segment *segment, const struct exposition_series *more,
                     size_t n_more, struct strbuf *out);
// The same as OpenMetrics 1.0: the counter's family without _total, UNIT lines, `# EOF`.
int exposition_write_openmetrics(const struct segment *segment,
                                 const struct exposition_series *more, size_t n_more,
                                 struct strbuf *out);

// The shortest decimal text that reads back as `value`, as both formats want it (+Inf, NaN).
#define EXPOSITION_NUMBER_MAX 32
size_t exposition_format_number(double value, char text[EXPOSITION_NUMBER_MAX]);

#endif

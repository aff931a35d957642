// The Prometheus text format 0.0.4 and OpenMetrics 1.0 of everything in the segment. Series of
// the same name and labels of several processes are one series: counters and histograms are summed,
// those of dead processes too, so that no counter goes back when one dies; gauges come from live
// processes only and are summed, or of METRIC_GAUGE_MAX the largest shown. Each name is one group
// with one HELP and TYPE; what does not fit the group of its name (another kind, other histogram
// bounds, as an older binary may have left) is left out, the present processes' kind wins. The last
// line ends in LF. Cost: linear in the series. Thread: any.
//
// OpenMetrics has more: UNIT lines, exemplars, and _created, the time since which a series is
// counted. It is the first registration in the slot that has counted for longest, and does not
// change when a process restarts (its counts go on). When a slot is taken away from a process long
// dead (shm/slot.h), the sum falls and _created stays: a reader sees the fall, as of every reset.
#ifndef VALVECHAIN_METRIC_EXPOSITION_H
#define VALVECHAIN_METRIC_EXPOSITION_H

#include "base/strbuf.h"
#include "metric/metric.h"

enum exposition_form { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS };
const char *exposition_content_type(enum exposition_form form);
// What an Accept header asks for (RFC 9110, 12.5.1): the form with the higher quality of the most
// precise range that names it; of equals OpenMetrics if it is named, else text. Text, too, for
// none,
// "" and what asks for neither: every reader of metrics understands it.
enum exposition_form exposition_form_of_accept(const char *accept);

// A series that no process publishes: whoever shows the metrics computes it. It takes the place of
// what the slots hold under its name (an older binary's).
#define EXPOSITION_LABELS_MAX 128
struct exposition_series {
    const struct metric_def *def; // a counter or gauge; those of one definition stand together
    uint64_t value;
    uint64_t created_wall_ns;           // of a counter; 0: not known
    char labels[EXPOSITION_LABELS_MAX]; // rendered
};

// Appends to `out` what the slots hold and `n_more` series more. 0, or -ENOMEM (then `out` holds a
// part).
int exposition_write(const struct segment *segment, enum exposition_form form,
                     const struct exposition_series *more, size_t n_more, struct strbuf *out);

// The shortest decimal text that reads back as `value`, as both formats want it (+Inf, NaN).
#define EXPOSITION_NUMBER_MAX 32
size_t exposition_format_number(double value, char text[EXPOSITION_NUMBER_MAX]);

#endif

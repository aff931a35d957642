// The Prometheus text format 0.0.4 of everything in the segment, series of the same name and labels
// of several processes of one kind added up (counters, histograms) or taken from live ones
// (gauges). Rules: prometheus/docs exposition formats; each name grouped, one HELP and TYPE, last
// line ends in LF.
#ifndef VALVECHAIN_METRIC_EXPOSITION_H
#define VALVECHAIN_METRIC_EXPOSITION_H

#include "base/strbuf.h"
#include "metric/metric.h"

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

int exposition_write(const struct segment *segment, struct strbuf *out);

#endif

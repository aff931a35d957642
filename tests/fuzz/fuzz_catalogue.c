// Arbitrary bytes as a slot's metrics catalogue: readers and exposition stay within it, and the
// next holder of the slot adopts it or begins anew, after which it is sound.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "metric/exposition.h"
#include "metric/metric.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const double bounds[] = {0.5, 1};
static const struct metric_def defs[] = {
    {.kind = METRIC_COUNTER,
     .name = "valvechain_requests_total",
     .unit = "",
     .labels = "code",
     .help = "Requests"},
    {.kind = METRIC_HISTOGRAM,
     .name = "valvechain_latency_seconds",
     .unit = "seconds",
     .labels = "code",
     .help = "Latency",
     .bounds = bounds,
     .n_bounds = 2,
     .scale = 1e-9},
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static struct segment *make_segment(void)
{
    char reason[SEGMENT_REASON_MAX];
    const struct segment_section_spec specs[] = {slot_section_spec(), slot_values_section_spec()};
    const struct segment_options options = {.dir = "/nonexistent",
                                            .name = "vc",
                                            .sections = specs,
                                            .n_sections = 2,
                                            .allow_private = true};
    struct segment *segment = NULL;
    require(segment_open(&options, reason, &segment) == 0);
    return segment;
}

static void touch(void *arg, const struct slot_info *slot, const struct metric_series *series)
{
    size_t *total = arg;
    (void)slot;
    uint32_t n_words = series->kind == METRIC_HISTOGRAM ? series->n_bounds + 2 : 1;
    for (uint32_t i = 0; i < n_words; i++)
        *total += atomic_load(&series->words[i]);
    for (uint32_t i = 0; i < series->n_bounds; i++)
        *total += series->bounds[i] > 0;
    *total +=
        strlen(series->name) + strlen(series->unit) + strlen(series->help) + strlen(series->labels);
}

static void read_all(const struct segment *segment)
{
    struct strbuf out = STRBUF_INIT;
    require(exposition_write(segment, EXPOSITION_TEXT, NULL, 0, &out) == 0);
    require(out.len == 0 || out.text[out.len - 1] == '\n');
    require(strlen(strbuf_text(&out)) == out.len);
    strbuf_clear(&out);
    require(exposition_write(segment, EXPOSITION_OPENMETRICS, NULL, 0, &out) == 0);
    strbuf_fini(&out);
}

static void adopt(const struct segment *segment, struct slot *slot)
{
    static const char *const code[] = {"200"};
    struct metric_set *set = NULL;
    size_t total = 0;
    require(metric_set_open(slot, &set) == 0);
    for (size_t i = 0; i < 2; i++) {
        metric_id id = metric_register(set, &defs[i], code);
        if (defs[i].kind == METRIC_HISTOGRAM)
            metric_observe(set, id, 700000000);
        else
            metric_add(set, id, 1);
    }
    require(metric_walk(segment, touch, &total) == 0);
    metric_set_close(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct segment *segment;
    static struct slot *slot;
    if (!segment) {
        segment = make_segment();
        require(slot_acquire(segment, "fuzzed", "", &slot) == 0);
    }
    if (len > SLOT_CATALOGUE_BYTES)
        return 0;
    char *catalogue = slot_catalogue(slot);
    memset(catalogue, 0, SLOT_CATALOGUE_BYTES);
    memcpy(catalogue, data, len);
    size_t total = 0;
    int r = metric_walk(segment, touch, &total);
    require(r == 0 || r == -EPROTO);
    read_all(segment);
    adopt(segment, slot);
    read_all(segment);
    return 0;
}

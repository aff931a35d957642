#include "trace.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const trace_column_names[TRACE_COLUMNS] = {
    "time_s",          "rps",      "cpu_load", "in_flight", "latency_ms", "quota_refusals_per_s",
    "dependency_open", "replacing"};

#define FILE_BYTES_MAX (256 << 20)
#define CELL_MAX       64

struct reader {
    const char *name, *at, *end;
    size_t line;
    enum trace_column columns[TRACE_COLUMNS];
    size_t n_columns;
    char *reason;
};

static int complain(const struct reader *reader, const char *what, const char *cell, size_t len)
{
    snprintf(reader->reason, TRACE_REASON_MAX, "%.80s:%zu: \"%.*s\" %s", reader->name, reader->line,
             (int)(len < 40 ? len : 40), cell, what);
    return -EINVAL;
}

// The next line without its end; false at the end of the text.
static bool next_line(struct reader *reader, const char **ret_line, size_t *ret_len)
{
    if (reader->at >= reader->end)
        return false;
    const char *newline = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
    const char *stop = newline != NULL ? newline : reader->end;
    *ret_line = reader->at;
    *ret_len = (size_t)(stop - reader->at);
    if (*ret_len > 0 && stop[-1] == '\r')
        --*ret_len;
    reader->at = stop + 1;
    reader->line++;
    return true;
}

// The next cell of a line: cursor NULL after the last one.
static bool next_cell(const char **cursor, const char *end, const char **ret_cell, size_t *ret_len)
{
    if (*cursor == NULL)
        return false;
    const char *comma = memchr(*cursor, ',', (size_t)(end - *cursor));
    *ret_cell = *cursor;
    *ret_len = (size_t)((comma != NULL ? comma : end) - *cursor);
    *cursor = comma != NULL ? comma + 1 : NULL;
    return true;
}

static bool find_column(const char *cell, size_t len, enum trace_column *ret_column)
{
    for (int i = 0; i < TRACE_COLUMNS; i++) {
        if (strlen(trace_column_names[i]) == len && memcmp(trace_column_names[i], cell, len) == 0) {
            *ret_column = (enum trace_column)i;
            return true;
        }
    }
    return false;
}

static int read_columns(struct reader *reader, const char *line, size_t len)
{
    const char *cursor = line, *cell;
    size_t cell_len;
    while (next_cell(&cursor, line + len, &cell, &cell_len)) {
        enum trace_column column;
        bool known = find_column(cell, cell_len, &column);
        for (size_t i = 0; known && i < reader->n_columns; i++)
            known = reader->columns[i] != column;
        if (!known)
            return complain(reader,
                            "is no column, or one twice; allowed: time_s, rps, cpu_load, "
                            "in_flight, latency_ms, quota_refusals_per_s, dependency_open, "
                            "replacing",
                            cell, cell_len);
        reader->columns[reader->n_columns++] = column;
    }
    return reader->columns[0] == TRACE_TIME
               ? 0
               : complain(reader, "must begin with the column time_s", line, len);
}

static bool read_number(const char *cell, size_t len, double *ret_number)
{
    char text[CELL_MAX], *end;
    if (len == 0 || len >= sizeof(text) || strspn(cell, "0123456789.eE+-") < len)
        return false;
    memcpy(text, cell, len);
    text[len] = '\0';
    *ret_number = strtod(text, &end);
    return *end == '\0' && isfinite(*ret_number) && *ret_number >= 0;
}

static int read_sample(struct reader *reader, const char *line, size_t len,
                       struct trace_sample *ret_sample)
{
    const char *cursor = line, *cell;
    size_t cell_len, n = 0;
    struct trace_sample sample = trace_sample_unknown(NAN);
    while (next_cell(&cursor, line + len, &cell, &cell_len)) {
        if (n == reader->n_columns)
            return complain(reader, "is one cell too many", cell, cell_len);
        double *value = &sample.values[reader->columns[n++]];
        if (cell_len > 0 && !read_number(cell, cell_len, value))
            return complain(reader, "is no number of 0 or more, or empty where not measured", cell,
                            cell_len);
    }
    if (n < reader->n_columns)
        return complain(reader, "has too few cells", line, len);
    if (isnan(sample.values[TRACE_TIME]))
        return complain(reader, "has no time_s", line, len);
    *ret_sample = sample;
    return 0;
}

static int add_sample(struct reader *reader, struct trace *trace, const struct trace_sample *sample)
{
    if (trace->n > 0 &&
        sample->values[TRACE_TIME] <= trace->samples[trace->n - 1].values[TRACE_TIME])
        return complain(reader, "is not later than the sample before", "time_s", 6);
    if (trace->n == TRACE_SAMPLES_MAX)
        return complain(reader, "is beyond the 1000000th sample", "time_s", 6);
    if (trace->n == trace->cap) {
        size_t cap = trace->cap != 0 ? trace->cap * 2 : 1024;
        struct trace_sample *more = reallocarray(trace->samples, cap, sizeof(*more));
        if (more == NULL)
            return complain(reader, "there is no memory for", "the samples", 11);
        trace->samples = more;
        trace->cap = cap;
    }
    trace->samples[trace->n++] = *sample;
    return 0;
}

static int compare(const void *a, const void *b)
{
    const double *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

static double median_step(const struct trace *trace)
{
    double *steps = calloc(trace->n, sizeof(*steps)), median = 1;
    if (steps == NULL || trace->n < 2) {
        free(steps);
        return median;
    }
    for (size_t i = 1; i < trace->n; i++)
        steps[i - 1] =
            trace->samples[i].values[TRACE_TIME] - trace->samples[i - 1].values[TRACE_TIME];
    qsort(steps, trace->n - 1, sizeof(*steps), compare);
    median = steps[(trace->n - 1) / 2];
    free(steps);
    return median;
}

static int read_lines(struct reader *reader, struct trace *trace)
{
    const char *line = "";
    size_t len = 0;
    if (!next_line(reader, &line, &len) || len != strlen(TRACE_FIRST_LINE) ||
        memcmp(line, TRACE_FIRST_LINE, len) != 0)
        return complain(reader, "is no trace: its first line must be '" TRACE_FIRST_LINE "'", line,
                        len);
    while (next_line(reader, &line, &len)) {
        struct trace_sample sample;
        int error = 0;
        if (len == 0 || *line == '#')
            continue;
        if (reader->n_columns == 0)
            error = read_columns(reader, line, len);
        else if ((error = read_sample(reader, line, len, &sample)) == 0)
            error = add_sample(reader, trace, &sample);
        if (error < 0)
            return error;
    }
    return trace->n >= 2 ? 0 : complain(reader, "has fewer than two samples", "the trace", 9);
}

int trace_parse(const char *name, const char *text, size_t len, struct trace *ret_trace,
                char reason[TRACE_REASON_MAX])
{
    struct reader reader = {.name = name, .at = text, .end = text + len, .reason = reason};
    struct trace trace = {0};
    int error = read_lines(&reader, &trace);
    if (error < 0) {
        trace_fini(&trace);
        return error;
    }
    trace.step_s = median_step(&trace);
    *ret_trace = trace;
    return 0;
}

static int read_all(FILE *file, char **ret_text, size_t *ret_len)
{
    size_t len = 0, cap = 1 << 16;
    char *text = malloc(cap);
    while (text != NULL) {
        len += fread(text + len, 1, cap - len, file);
        if (len < cap)
            break;
        char *more = cap < FILE_BYTES_MAX ? realloc(text, cap * 2) : NULL;
        if (more == NULL) {
            free(text);
            return cap < FILE_BYTES_MAX ? -ENOMEM : -EFBIG;
        }
        text = more;
        cap *= 2;
    }
    if (text == NULL || ferror(file)) {
        int error = text == NULL ? -ENOMEM : -EIO;
        free(text);
        return error;
    }
    *ret_text = text;
    *ret_len = len;
    return 0;
}

int trace_read(const char *path, struct trace *ret_trace, char reason[TRACE_REASON_MAX])
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t len = 0;
    int error = file != NULL ? read_all(file, &text, &len) : -errno;
    if (file != NULL)
        fclose(file);
    if (error < 0) {
        snprintf(reason, TRACE_REASON_MAX, "%.160s: %s", path, strerror(-error));
        return error;
    }
    error = trace_parse(path, text, len, ret_trace, reason);
    free(text);
    return error;
}

void trace_fini(struct trace *trace)
{
    free(trace->samples);
    *trace = (struct trace){0};
}

struct trace_sample trace_sample_unknown(double time_s)
{
    struct trace_sample sample;
    for (int i = 0; i < TRACE_COLUMNS; i++)
        sample.values[i] = NAN;
    sample.values[TRACE_TIME] = time_s;
    return sample;
}

void trace_write_head(FILE *out)
{
    fputs(TRACE_FIRST_LINE "\n", out);
    for (int i = 0; i < TRACE_COLUMNS; i++)
        fprintf(out, "%s%s", i > 0 ? "," : "", trace_column_names[i]);
    fputs("\n", out);
}

void trace_write_sample(FILE *out, const struct trace_sample *sample)
{
    for (int i = 0; i < TRACE_COLUMNS; i++) {
        fputs(i > 0 ? "," : "", out);
        if (!isnan(sample->values[i]))
            fprintf(out, i == TRACE_TIME ? "%.12g" : "%.6g", sample->values[i]);
    }
    fputs("\n", out);
}

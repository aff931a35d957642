#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/strbuf.h"
#include "net/curl_upstream.h"
#include "record.h"
#include "trace.h"

#define HISTORY_PATH "/api/metrics/history"
#define HOUR_MS      3600000
#define ANSWER_MAX   (64 << 20)
#define CHUNK_STEPS  5000 // of one question: the agent bounds the values of an answer
#define TIMEOUT_MS   20000

// What the history calls it; NULL: not kept.
static const char *const series_names[] = {"requests",     "cpu",      "instances",    "in_flight",
                                           "latency_mean", "refusals", "breakers_open"};
enum series { REQUESTS, CPU, INSTANCES, IN_FLIGHT, LATENCY, REFUSALS, BREAKERS_OPEN, N_SERIES };

static const json_t *find_series(const json_t *answer, const char *name)
{
    const json_t *list = json_object_get(answer, "series");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *series = json_array_get(list, i);
        const char *its = json_string_value(json_object_get(series, "name"));
        if (its != NULL && strcmp(its, name) == 0)
            return json_object_get(series, "values");
    }
    return NULL;
}

static double value_at(const json_t *values, size_t i)
{
    const json_t *value = json_array_get(values, i);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

// False: nothing is known of that time.
static bool fill(const json_t *const series[N_SERIES], size_t i, double time_s,
                 struct trace_sample *ret_sample)
{
    struct trace_sample sample = trace_sample_unknown(time_s);
    double open = value_at(series[BREAKERS_OPEN], i);
    sample.values[TRACE_RPS] = value_at(series[REQUESTS], i);
    sample.values[TRACE_CPU] = value_at(series[CPU], i) * value_at(series[INSTANCES], i);
    sample.values[TRACE_IN_FLIGHT] = value_at(series[IN_FLIGHT], i);
    sample.values[TRACE_LATENCY] = value_at(series[LATENCY], i);
    sample.values[TRACE_QUOTA] = value_at(series[REFUSALS], i);
    sample.values[TRACE_DEPENDENCY] = isnan(open) ? NAN : open > 0;
    *ret_sample = sample;
    return !isnan(sample.values[TRACE_RPS]) || !isnan(sample.values[TRACE_CPU]);
}

int record_answer(const char *text, size_t len, FILE *out, double *last_s, size_t *ret_n,
                  char reason[RECORD_REASON_MAX])
{
    json_t *answer = json_loadb(text, len, 0, NULL);
    const json_t *series[N_SERIES];
    json_int_t from = json_integer_value(json_object_get(answer, "from"));
    json_int_t step = json_integer_value(json_object_get(answer, "step"));
    for (int i = 0; i < N_SERIES; i++)
        series[i] = find_series(answer, series_names[i]);
    if (step < 1 || series[REQUESTS] == NULL || series[CPU] == NULL || series[INSTANCES] == NULL) {
        json_decref(answer);
        snprintf(reason, RECORD_REASON_MAX, "the answer is no history: %.120s", text);
        return -EPROTO;
    }
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(series[REQUESTS]); i++) {
        struct trace_sample sample;
        double time_s = (double)(from + step * (json_int_t)i);
        if (time_s <= *last_s || !fill(series, i, time_s, &sample))
            continue;
        *last_s = time_s;
        trace_write_sample(out, &sample);
        n++;
    }
    json_decref(answer);
    *ret_n = n;
    return 0;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct strbuf *body = arg;
    if (body->len + size * n > ANSWER_MAX)
        return 0;
    strbuf_append(body, bytes, size * n);
    return strbuf_ok(body) ? size * n : 0;
}

static int get(const char *url, struct strbuf *body, char reason[RECORD_REASON_MAX])
{
    char error[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURL *easy = curl_easy_init();
    if (easy == NULL)
        return -ENOMEM;
    curl_upstream_set_url(easy, url, NULL);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    if (code == CURLE_OK && status == 200)
        return 0;
    if (code == CURLE_OK)
        snprintf(reason, RECORD_REASON_MAX, "%.100s answered %ld: %.100s", url, status,
                 strbuf_text(body));
    else
        snprintf(reason, RECORD_REASON_MAX, "%.100s: %.100s", url,
                 error[0] != '\0' ? error : curl_easy_strerror(code));
    return -EIO;
}

int record_history(const char *url, uint64_t for_ms, FILE *out, size_t *ret_n,
                   char reason[RECORD_REASON_MAX])
{
    const uint64_t step_s = for_ms <= HOUR_MS ? 1 : 60;
    const int len = (int)(strlen(url) - (url[0] != '\0' && url[strlen(url) - 1] == '/'));
    uint64_t left_s = for_ms / 1000, now_s = (uint64_t)time(NULL);
    double last_s = -1;
    *ret_n = 0;
    while (left_s > 0) {
        struct strbuf body = STRBUF_INIT;
        uint64_t chunk_s = left_s < CHUNK_STEPS * step_s ? left_s : CHUNK_STEPS * step_s;
        char question[1024];
        size_t n = 0;
        snprintf(question, sizeof(question),
                 "%.*s" HISTORY_PATH "?name=requests,cpu,instances,in_flight,latency_mean,refusals,"
                 "breakers_open&from=%lu&to=%lu&step=%lu",
                 len < 600 ? len : 600, url, (unsigned long)(now_s - left_s),
                 (unsigned long)(now_s - left_s + chunk_s), (unsigned long)step_s);
        int error = get(question, &body, reason);
        if (error == 0)
            error = record_answer(strbuf_text(&body), body.len, out, &last_s, &n, reason);
        strbuf_fini(&body);
        if (error < 0)
            return error;
        *ret_n += n;
        left_s -= chunk_s;
    }
    return 0;
}

// GET /api/metrics/history?name=&from=&to=&step= as one function from the texts of the query to the
// JSON of the answer, for every process that serves it (docs/dashboard.md describes both).
// Thread: any.
#ifndef VALVECHAIN_HISTORY_HISTORY_QUERY_H
#define VALVECHAIN_HISTORY_HISTORY_QUERY_H

#include "base/strbuf.h"
#include "history/history.h"

#define HISTORY_PROBLEM_MAX 240
// Values in one answer, all series together: a few milliseconds of the process that answers.
#define HISTORY_VALUES_MAX 40000

// Texts as they stand in the query; NULL: not given.
struct history_query {
    const char *name; // series, comma-separated; one that ends with * names all that begin so;
                      // NULL or "": the answer lists the series
    const char *from; // Unix seconds, or so many before now with a minus; default: an hour ago
    const char *to;   // the same; default and latest: now
    const char
        *step; // seconds; default: the least of 1, 2, 5, 10 ... that gives 720 steps or fewer
};

// Reads `text`, a query without its '?', in place: names and values are decoded and ended there,
// and live as long as it. -EINVAL: another parameter than these four, or an escape that is none.
int history_query_read(char *text, struct history_query *ret_query,
                       char ret_problem[HISTORY_PROBLEM_MAX]);

// Appends the answer to `out`. -EINVAL: `ret_problem` names what is wrong and what is allowed.
// `history` NULL, a segment without one: every series is a gap. -ENOMEM: `out` failed.
int history_answer(const struct history *history, const struct history_query *query, uint64_t now_s,
                   struct strbuf *out, char ret_problem[HISTORY_PROBLEM_MAX]);

#endif

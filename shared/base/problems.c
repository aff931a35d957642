#include "base/problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

// Memory failure must show as a problem without needing memory: `items` always has one free slot
// behind the last item for this text, and a list that could not even begin uses the array below.
static char out_of_memory[] = "out of memory while collecting problems";
static char *out_of_memory_items[] = {out_of_memory};

static void mark_failed(struct problems *problems)
{
    if (problems->items)
        problems->items[problems->n] = out_of_memory;
    else
        problems->items = out_of_memory_items;
    problems->n++;
}

void problems_add(struct problems *problems, const char *format, ...)
{
    if (problems->n > 0 && problems->items[problems->n - 1] == out_of_memory)
        return;
    char *text;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0) {
        mark_failed(problems);
        return;
    }
    char **items = realloc(problems->items, (problems->n + 2) * sizeof(*items));
    if (!items) {
        free(text);
        mark_failed(problems);
        return;
    }
    problems->items = items;
    items[problems->n++] = text;
}

void problems_fini(struct problems *problems)
{
    for (size_t i = 0; i < problems->n; i++)
        if (problems->items[i] != out_of_memory)
            free(problems->items[i]);
    if (problems->items != out_of_memory_items)
        free(problems->items);
    *problems = PROBLEMS_INIT;
}

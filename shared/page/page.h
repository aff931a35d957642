// The page that people look at (docs/dashboard.md): its files, which lie in the program, and the
// state that it shows, read from the segment by whoever is asked. No clock but the one of the
// segment's times is read; nothing is asked of another process. Thread: any.
#ifndef VALVECHAIN_PAGE_PAGE_H
#define VALVECHAIN_PAGE_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "breaker/breaker.h"
#include "shm/segment.h"

struct page_file {
    const char *name; // below the page's path; "" is index.html
    const char *content_type;
    const unsigned char *bytes;
    size_t len;
    const char *etag; // strong, with its quotes
};
// NULL: there is none of that name.
const struct page_file *page_file(const char *name);

// Fields of every answer with a file, for the browser to be strict: nothing but our own files, no
// inline script or style, no frame around it.
struct page_header {
    const char *name, *value;
};
#define PAGE_HEADERS 5
extern const struct page_header page_headers[PAGE_HEADERS];

// Does an If-None-Match field of `len` bytes name this file as it is?
bool page_is_known(const struct page_file *file, const char *if_none_match, size_t len);

// Appends what the page shows as JSON. -ENOMEM.
int page_state(const struct segment *segment, struct breaker_view *breakers, const char *suite,
               uint64_t now_ns, uint64_t now_wall_ns, struct strbuf *out);

#endif

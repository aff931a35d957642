#include "page/page.h"

#include <string.h>

static const struct page_file files[] = {
#include "page_files.inc"
};

const struct page_header page_headers[PAGE_HEADERS] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    // The browser keeps it and asks each time whether it is still that: an upgrade is seen at once.
    {"Cache-Control", "no-cache"},
};

const struct page_file *page_file(const char *name)
{
    const char *wanted = name[0] != '\0' ? name : "index.html";
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (strcmp(files[i].name, wanted) == 0)
            return &files[i];
    return NULL;
}

bool page_is_known(const struct page_file *file, const char *if_none_match, size_t len)
{
    return memmem(if_none_match, len, file->etag, strlen(file->etag)) != NULL;
}

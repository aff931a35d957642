#include "client_memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page_bytes(void)
{
    static size_t bytes;
    if (bytes == 0) {
        bytes = (size_t)sysconf(_SC_PAGESIZE);
    }
    return bytes;
}

void *client_memory_of(const char *method)
{
    uintptr_t at = (uintptr_t)method;
    return at % page_bytes() == 0 ? (void *)at : NULL;
}

// Bytes that equal their successors and begin with a zero are zeros.
static bool is_zero(const char *bytes, size_t n)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0;
}

void client_memory_release(void *memory, size_t bytes)
{
    size_t page = page_bytes();
    for (size_t at = 0; memory != NULL && at + page <= bytes;) {
        char *from = (char *)memory + at;
        size_t n = 0;
        while (at + n + page <= bytes && is_zero(from + n, page)) {
            n += page;
        }
        if (n > 0) {
            (void)madvise(from, n, MADV_DONTNEED); // refused: the pages stay, that is all
        }
        at += n + page; // the page that ended the run is in use
    }
}

// Lines to a descriptor that others may hold too (standard output), without ever waiting: what it
// does not take at once is the caller's to keep or to lose.
// A pipe or a terminal is opened anew, so that non-blocking is ours alone and not of everybody who
// holds it; a socket is asked not to wait with each piece; a descriptor that cannot be opened anew
// is asked first whether it would take a piece of PIPE_BUF. Regular files take everything.
// Thread: one at a time.
#ifndef VALVECHAIN_BASE_OUTPUT_H
#define VALVECHAIN_BASE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"

struct output {
    int fd;
    bool own_fd;        // opened anew: non-blocking, closed by output_fini()
    bool is_socket;     // written by send()
    bool newline_due;   // a line was torn and its rest could not be kept
    struct strbuf rest; // of a line that was taken in part; goes before all else
};

// Writes to `fd` as it is, asking before each piece; good before output_init().
#define OUTPUT_OF(number) ((struct output){.fd = (number)})

// `output` has been set by OUTPUT_OF or an earlier output_init(). Keeps the rest of a line.
void output_init(struct output *output, int fd);
void output_fini(struct output *output);
// Writes whole lines (`len` bytes, the last one a newline) and returns how many bytes were taken;
// that is always a whole number of lines: the rest of a line that was written in part is kept here.
size_t output_write(struct output *output, const char *lines, size_t len);

#endif

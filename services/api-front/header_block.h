// Is the header that libmicrohttpd shows the whole of what came? It parses in place: names, values
// and line ends stay where the client's bytes lay, with NUL over colons, CR and LF. What it hides
// is visible only there:
//
//   "X-A: a\0b"        shown as "a"
//   ":" or ": x"       an empty name ends the header for it; what follows becomes body or request
//   "Lengt: 5\r\n h"   a folded line is appended to the *name*: "Length" with the value 5
//   bare LF            taken for a line end
//
// Each could make two recipients read two different requests, so only the plain form passes: CRLF
// after each line, every name and value in its place (RFC 9112 2.2 and 5.2 allow to refuse bare LF
// and folding). Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_HEADER_BLOCK_H
#define VALVECHAIN_API_FRONT_HEADER_BLOCK_H

#include <stdbool.h>

#include "http_syntax.h"

// `start`: behind the request line's version; `end`: behind the empty line. The headers in order of
// arrival, pointing into the block.
bool header_block_is_plain(const char *start, const char *end, const struct http_header *headers,
                           size_t n_headers);

#endif

// The memory of a client that has nothing to ask. libmicrohttpd 0.9.75 keeps CLIENT_MEMORY_BYTES
// for a connection, a mapping of its own (it is more than 32 KiB), and writes zeros over all of it
// after each request: ten resident pages for every idle client. A private page of zeros and one
// that was given back to the kernel read the same, so those pages are given back and come anew with
// the next request. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_CLIENT_MEMORY_H
#define VALVECHAIN_API_FRONT_CLIENT_MEMORY_H

#include <stddef.h>

// Where the connection's memory begins: at its request's method, if that is the beginning of a
// page; anything else is not the layout known to us. NULL then.
void *client_memory_of(const char *method);
// Gives the pages among these bytes that hold zeros only back to the kernel. `memory` NULL:
// nothing.
void client_memory_release(void *memory, size_t bytes);

#endif

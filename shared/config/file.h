// Whole small files. Thread: any.
#ifndef VALVECHAIN_CONFIG_FILE_H
#define VALVECHAIN_CONFIG_FILE_H

#include "base/strbuf.h"

// Appends the file's bytes. -errno of the system, -EFBIG beyond `max_bytes`, -ENOMEM; what was
// appended until then stays.
int file_read(const char *path, size_t max_bytes, struct strbuf *content);

#endif

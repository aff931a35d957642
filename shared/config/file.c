#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int read_open_file(int fd, size_t max_bytes, struct strbuf *content)
{
    char block[16384];
    for (;;) {
        ssize_t n = read(fd, block, sizeof(block));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return strbuf_ok(content) ? 0 : -ENOMEM;
        if ((size_t)n > max_bytes - content->len)
            return -EFBIG;
        strbuf_append(content, block, (size_t)n);
        if (!strbuf_ok(content))
            return -ENOMEM;
    }
}

int file_read(const char *path, size_t max_bytes, struct strbuf *content)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int r = read_open_file(fd, max_bytes, content);
    close(fd);
    return r;
}

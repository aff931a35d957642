#include "base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_own(struct output *output)
{
    if (output->own_fd) {
        close(output->fd);
        output->own_fd = false;
    }
}

void output_init(struct output *output, int fd)
{
    struct stat st;
    close_own(output);
    output->fd = fd;
    output->is_socket = false;
    if (fstat(fd, &st) < 0) {
        return;
    }
    output->is_socket = S_ISSOCK(st.st_mode);
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
        // The same flags: a packet pipe, which cannot be opened anew, stays one.
        char path[32];
        int flags = fcntl(fd, F_GETFL);
        flags = flags < 0 ? 0 : flags & (O_APPEND | O_DIRECT);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags);
        output->own_fd = own >= 0;
        output->fd = own >= 0 ? own : fd;
    }
}

void output_fini(struct output *output)
{
    close_own(output);
    strbuf_fini(&output->rest);
    *output = OUTPUT_OF(-1);
}

// A pipe that is ready takes at least PIPE_BUF, and that in one piece.
static bool would_take(const struct output *output)
{
    struct pollfd poll_fd = {.fd = output->fd, .events = POLLOUT};
    return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & POLLOUT) != 0;
}

// At most PIPE_BUF bytes. 0: not now, or never.
static size_t write_piece(struct output *output, const char *bytes, size_t len)
{
    ssize_t n;
    if (!output->own_fd && !output->is_socket && !would_take(output)) {
        return 0;
    }
    do {
        n = output->is_socket ? send(output->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT)
                              : write(output->fd, bytes, len);
    } while (n < 0 && errno == EINTR);
    return n > 0 ? (size_t)n : 0;
}

// Whole lines up to what a pipe takes in one piece (PIPE_BUF), so that no other process's line can
// fall into one of ours.
static size_t next_piece(const char *bytes, size_t len)
{
    if (len <= PIPE_BUF) {
        return len;
    }
    const char *end = memrchr(bytes, '\n', PIPE_BUF);
    return end != NULL ? (size_t)(end - bytes) + 1 : PIPE_BUF;
}

static bool finish_line(struct output *output)
{
    struct strbuf *rest = &output->rest;
    size_t written = 0;
    while (written < rest->len) {
        size_t left = rest->len - written;
        size_t n = write_piece(output, rest->text + written, left < PIPE_BUF ? left : PIPE_BUF);
        if (n == 0) {
            memmove(rest->text, rest->text + written, left);
            rest->len = left;
            return false;
        }
        written += n;
    }
    strbuf_clear(rest);
    if (output->newline_due && write_piece(output, "\n", 1) == 0) {
        return false;
    }
    output->newline_due = false;
    return true;
}

size_t output_write(struct output *output, const char *lines, size_t len)
{
    size_t taken = 0;
    while (taken < len && finish_line(output)) {
        size_t n = write_piece(output, lines + taken, next_piece(lines + taken, len - taken));
        if (n == 0) {
            break;
        }
        taken += n;
        if (lines[taken - 1] == '\n') {
            continue;
        }
        const char *end = memchr(lines + taken, '\n', len - taken);
        size_t left = end != NULL ? (size_t)(end - (lines + taken)) + 1 : len - taken;
        strbuf_append(&output->rest, lines + taken, left);
        if (!strbuf_ok(&output->rest)) {
            strbuf_clear(&output->rest);
            output->newline_due = true;
        }
        taken += left;
    }
    (void)finish_line(output);
    return taken;
}

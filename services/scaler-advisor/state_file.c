#include "state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/file.h"

int state_file_path(const struct service *service, const char *given, char ret_path[STATE_PATH_MAX])
{
    char dir[STATE_PATH_MAX];
    int len;

    if (given[0] != '\0') {
        len = snprintf(ret_path, STATE_PATH_MAX, "%s", given);
    } else {
        int error = service_socket_dir(service->suite, dir, sizeof(dir));

        if (error < 0)
            return error;
        len = snprintf(ret_path, STATE_PATH_MAX, "%s/advice.state", dir);
    }
    // Room for the names beside it.
    return len < 0 || len >= STATE_PATH_MAX - 16 ? -ENAMETOOLONG : 0;
}

static void set_aside(const char *path, const char *why)
{
    char aside[STATE_PATH_MAX];

    (void)snprintf(aside, sizeof(aside), "%s.aside", path);
    if (rename(path, aside) < 0)
        aside[0] = '\0';
    log_warn("advice.state_unusable",
             "the advisor begins without memory: its state file was set aside", LSTR("path", path),
             LSTR("why", why), LSTR("aside", aside));
}

bool state_file_load(const char *path, struct advice_state *ret_state)
{
    struct strbuf bytes = STRBUF_INIT;
    const char *why;
    int error = file_read(path, ADVICE_STATE_BYTES + 1, &bytes);
    bool loaded = false;

    if (error == 0 || error == -EFBIG) {
        loaded = advice_state_decode(strbuf_text(&bytes), bytes.len, clock_mono_ns(),
                                     clock_wall_ns(), ret_state, &why) == 0;
        if (!loaded)
            set_aside(path, why);
    } else if (error != -ENOENT) {
        log_warn("advice.state_unreadable", "the advisor begins without memory", LSTR("path", path),
                 LSTR("error", strerror(-error)));
    }
    strbuf_fini(&bytes);
    return loaded;
}

static int write_whole(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

int state_file_save(const char *path, const struct advice_state *state)
{
    char fresh[STATE_PATH_MAX];
    char *bytes = malloc(ADVICE_STATE_BYTES);

    if (!bytes)
        return -ENOMEM;
    advice_state_encode(state, clock_mono_ns(), clock_wall_ns(), bytes);
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int error = fd < 0 ? -errno : write_whole(fd, bytes, ADVICE_STATE_BYTES);

    if (fd >= 0 && close(fd) < 0 && error == 0)
        error = -errno;
    if (error == 0 && rename(fresh, path) < 0)
        error = -errno;
    if (error < 0 && fd >= 0)
        (void)unlink(fresh);
    free(bytes);
    return error;
}

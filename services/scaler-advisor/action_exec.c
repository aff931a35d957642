#include "action_exec.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENVIRONMENT_MAX 8

struct action_exec {
    uv_process_t process;
    uv_timer_t limit;
    unsigned open_handles;
    bool timed_out;
    uint64_t limit_ms;
    action_end_fn *on_end; // NULL: cancelled
    void *arg;
};

static void on_closed(uv_handle_t *handle)
{
    struct action_exec *exec = handle->data;
    if (--exec->open_handles == 0)
        free(exec);
}

static void close_handles(struct action_exec *exec)
{
    if (exec->open_handles == 2)
        uv_close((uv_handle_t *)&exec->process, on_closed);
    uv_close((uv_handle_t *)&exec->limit, on_closed);
}

// Only while the program has not been waited for: until then its number is nobody else's.
static void kill_group(const struct action_exec *exec)
{
    kill(-exec->process.pid, SIGKILL);
}

static void on_exited(uv_process_t *process, int64_t status, int signal_number)
{
    struct action_exec *exec = process->data;
    struct action_result result = {.outcome = ACTION_REFUSED};
    if (exec->timed_out) {
        result.outcome = ACTION_TIMEOUT;
        snprintf(result.text, sizeof(result.text), "it still ran after %lu ms and was killed",
                 (unsigned long)exec->limit_ms);
    } else if (signal_number != 0) {
        snprintf(result.text, sizeof(result.text), "ended by signal %d (%s)", signal_number,
                 strsignal(signal_number));
    } else {
        result.outcome = status == 0 ? ACTION_OK : ACTION_REFUSED;
        snprintf(result.text, sizeof(result.text), "exit code %d", (int)status);
    }
    if (exec->on_end != NULL)
        exec->on_end(exec->arg, &result);
    close_handles(exec);
}

static void on_limit(uv_timer_t *timer)
{
    struct action_exec *exec = timer->data;
    exec->timed_out = true;
    kill_group(exec); // on_exited() tells
}

// A file in memory rather than a pipe: a program need not read it, and nobody waits for one.
static int open_input(const struct action_program *program, int *ret_fd)
{
    int fd = memfd_create("advice", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, program->body, program->body_bytes);
    int error = n < 0 ? -errno : (size_t)n < program->body_bytes ? -ENOSPC : 0;
    if (error == 0 && lseek(fd, 0, SEEK_SET) < 0)
        error = -errno;
    if (error < 0) {
        close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

static bool add_variable(char *environment[ENVIRONMENT_MAX], const char *name, const char *value)
{
    size_t n = 0;
    while (environment[n] != NULL)
        n++;
    return value == NULL || asprintf(&environment[n], "%s=%s", name, value) > 0;
}

static bool fill_environment(const struct action_program *program,
                             char *environment[ENVIRONMENT_MAX])
{
    static const char *const kept[] = {"HOME", "LANG", "TZ"};
    char desired[16];
    const char *path = getenv("PATH");
    bool ok = add_variable(environment, "PATH", path != NULL ? path : "/usr/bin:/bin");
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        ok = ok && add_variable(environment, kept[i], getenv(kept[i]));
    snprintf(desired, sizeof(desired), "%u", (unsigned)program->desired);
    return ok && add_variable(environment, "VALVECHAIN_NAME", program->suite) &&
           add_variable(environment, "VALVECHAIN_DESIRED", desired);
}

static int spawn(struct action_exec *exec, const struct action_program *program, int input)
{
    char *environment[ENVIRONMENT_MAX] = {NULL};
    char *path = (char *)(uintptr_t)program->path; // uv_spawn only reads it
    char *args[] = {path, NULL};
    uv_stdio_container_t stdio[] = {
        {.flags = UV_INHERIT_FD, .data.fd = input},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
    };
    const uv_process_options_t options = {
        .exit_cb = on_exited,
        .file = path,
        .args = args,
        .env = environment,
        .cwd = "/",
        .flags = UV_PROCESS_DETACHED, // setsid(): a group of its own
        .stdio_count = 3,
        .stdio = stdio,
    };
    int error = -ENOMEM;
    if (fill_environment(program, environment)) {
        // libzmq's sockets are not closed on exec by themselves.
        close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
        exec->open_handles++; // libuv initializes the handle, whatever fails then
        error = uv_spawn(exec->limit.loop, &exec->process, &options);
    }
    for (size_t i = 0; i < ENVIRONMENT_MAX; i++)
        free(environment[i]);
    return error;
}

int action_exec_start(uv_loop_t *loop, const struct action_program *program, action_end_fn *on_end,
                      void *arg, struct action_exec **ret_exec)
{
    int input = -1;
    int error = open_input(program, &input);
    if (error < 0)
        return error;
    struct action_exec *exec = calloc(1, sizeof(*exec));
    if (exec == NULL) {
        close(input);
        return -ENOMEM;
    }
    exec->limit_ms = program->limit_ms;
    exec->arg = arg;
    exec->process.data = exec->limit.data = exec;
    exec->open_handles = 1;
    uv_timer_init(loop, &exec->limit);
    error = spawn(exec, program, input);
    close(input);
    if (error < 0) {
        close_handles(exec);
        return error;
    }
    exec->on_end = on_end;
    uv_timer_start(&exec->limit, on_limit, program->limit_ms, 0);
    *ret_exec = exec;
    return 0;
}

void action_exec_cancel(struct action_exec **exec_p)
{
    struct action_exec *exec = *exec_p;
    *exec_p = NULL;
    if (exec == NULL)
        return;
    exec->on_end = NULL;
    kill_group(exec);
    close_handles(exec);
}

#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"

#define FILE_TEXT_MAX 16384

static int read_file(const char *folder, const char *name, char text[FILE_TEXT_MAX])
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t len = 0;
    int error = 0;
    while (len < FILE_TEXT_MAX - 1) {
        ssize_t n = read(fd, text + len, FILE_TEXT_MAX - 1 - len);
        if (n < 0)
            error = -errno;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    close(fd);
    return error;
}

// The number behind "name" at the start of a line, as /proc and cgroup files write them.
static int field_u64(const char *text, const char *name, uint64_t *ret_value)
{
    size_t name_len = strlen(name);
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, name_len) != 0)
            continue;
        const char *digits = line + name_len;
        digits += strspn(digits, " \t");
        return parse_u64_n(digits, strspn(digits, "0123456789"), 0, UINT64_MAX, ret_value) < 0
                   ? -EPROTO
                   : 0;
    }
    return -EPROTO;
}

int host_parse_proc_stat(const char *text, long ticks_per_s, uint64_t *ret_busy_us,
                         uint32_t *ret_cpus)
{
    unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
    if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
               &iowait, &irq, &softirq, &steal) != 8 ||
        ticks_per_s <= 0)
        return -EPROTO;
    uint32_t cpus = 0;
    for (const char *line = strstr(text, "\ncpu"); line; line = strstr(line + 1, "\ncpu"))
        cpus++;
    if (cpus == 0)
        return -EPROTO;
    // Steal is time somebody else had: a host whose neighbour is busy is not busy itself.
    uint64_t ticks = user + nice + system + irq + softirq;
    *ret_busy_us = ticks * 1000000ULL / (uint64_t)ticks_per_s;
    *ret_cpus = cpus;
    return 0;
}

int host_parse_meminfo(const char *text, struct host_memory *ret_memory)
{
    uint64_t total_kib, available_kib;
    if (field_u64(text, "MemTotal:", &total_kib) < 0 ||
        field_u64(text, "MemAvailable:", &available_kib) < 0 || available_kib > total_kib)
        return -EPROTO;
    ret_memory->used_bytes = (total_kib - available_kib) * 1024;
    ret_memory->limit_bytes = total_kib * 1024;
    return 0;
}

int host_parse_cpu_stat(const char *text, uint64_t *ret_usage_us)
{
    return field_u64(text, "usage_usec ", ret_usage_us);
}

int host_parse_cpu_max(const char *text, uint32_t cpus, double *ret_cores)
{
    if (strncmp(text, "max ", 4) == 0) {
        *ret_cores = (double)cpus;
        return 0;
    }
    unsigned long long quota, period;
    if (sscanf(text, "%llu %llu", &quota, &period) != 2 || quota == 0 || period == 0)
        return -EPROTO;
    *ret_cores = (double)quota / (double)period;
    return 0;
}

int host_scope_resolve(const struct host_paths *paths, enum host_scope wanted,
                       enum host_scope *ret_scope)
{
    char text[FILE_TEXT_MAX];
    if (wanted == HOST_SCOPE_HOST) {
        *ret_scope = HOST_SCOPE_HOST;
        return 0;
    }
    // cpu.max exists only below the root of the hierarchy: at the top of our view it means that a
    // container's cgroup namespace begins here.
    bool contained = read_file(paths->proc, "self/cgroup", text) == 0 &&
                     strstr(text, "0::/\n") != NULL &&
                     read_file(paths->cgroup, "cpu.max", text) == 0;
    if (wanted == HOST_SCOPE_CGROUP) {
        int error = read_file(paths->cgroup, "cpu.stat", text);
        if (error < 0)
            return -ENOENT;
        contained = true;
    }
    *ret_scope = contained ? HOST_SCOPE_CGROUP : HOST_SCOPE_HOST;
    return 0;
}

int host_cpu_read(const struct host_paths *paths, enum host_scope scope, uint64_t now_us,
                  struct host_cpu *ret_cpu)
{
    char text[FILE_TEXT_MAX];
    struct host_cpu cpu = {.time_us = now_us};
    uint32_t cpus;
    int error = read_file(paths->proc, "stat", text);
    if (error == 0)
        error = host_parse_proc_stat(text, sysconf(_SC_CLK_TCK), &cpu.busy_us, &cpus);
    if (error < 0)
        return error;
    cpu.capacity_cores = (double)cpus;
    if (scope == HOST_SCOPE_CGROUP) {
        error = read_file(paths->cgroup, "cpu.stat", text);
        if (error == 0)
            error = host_parse_cpu_stat(text, &cpu.busy_us);
        if (error < 0)
            return error;
        if (read_file(paths->cgroup, "cpu.max", text) == 0)
            error = host_parse_cpu_max(text, cpus, &cpu.capacity_cores);
        if (error < 0)
            return error;
    }
    *ret_cpu = cpu;
    return 0;
}

int host_memory_read(const struct host_paths *paths, enum host_scope scope,
                     struct host_memory *ret_memory)
{
    char text[FILE_TEXT_MAX];
    struct host_memory memory;
    int error = read_file(paths->proc, "meminfo", text);
    if (error == 0)
        error = host_parse_meminfo(text, &memory);
    if (error < 0)
        return error;
    if (scope == HOST_SCOPE_CGROUP) {
        error = read_file(paths->cgroup, "memory.current", text);
        if (error == 0)
            error = field_u64(text, "", &memory.used_bytes);
        if (error < 0)
            return error;
        // "max" leaves the host's memory as the limit.
        uint64_t limit;
        if (read_file(paths->cgroup, "memory.max", text) == 0 && field_u64(text, "", &limit) == 0 &&
            limit < memory.limit_bytes)
            memory.limit_bytes = limit;
    }
    *ret_memory = memory;
    return 0;
}

bool host_cpu_percent(const struct host_cpu *before, const struct host_cpu *after,
                      double *ret_percent)
{
    if (after->time_us <= before->time_us || after->busy_us < before->busy_us ||
        after->capacity_cores <= 0)
        return false;
    double used = (double)(after->busy_us - before->busy_us);
    double could = (double)(after->time_us - before->time_us) * after->capacity_cores;
    double percent = 100.0 * used / could;
    *ret_percent = percent > 100.0 ? 100.0 : percent;
    return true;
}

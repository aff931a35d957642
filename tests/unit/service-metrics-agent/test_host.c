#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"

Test(host, proc_stat_counts_busy_time_without_steal_and_iowait)
{
    uint64_t busy_us;
    uint32_t cpus;
    cr_assert_eq(host_parse_proc_stat("cpu  100 20 30 1000 500 4 6 900 0 0\n"
                                      "cpu0 50 10 15 500 250 2 3 450 0 0\n"
                                      "cpu1 50 10 15 500 250 2 3 450 0 0\nintr 1\n",
                                      100, &busy_us, &cpus),
                 0);
    cr_assert_eq(busy_us, 1600000);
    cr_assert_eq(cpus, 2);
}

Test(host, texts_that_are_not_of_the_form_are_refused)
{
    uint64_t number;
    uint32_t cpus;
    double cores;
    struct host_memory memory;
    cr_assert_eq(host_parse_proc_stat("", 100, &number, &cpus), -EPROTO);
    cr_assert_eq(host_parse_proc_stat("cpu 1 2 3\n", 100, &number, &cpus), -EPROTO);
    cr_assert_eq(host_parse_meminfo("MemTotal: 5 kB\n", &memory), -EPROTO);
    cr_assert_eq(host_parse_meminfo("MemTotal: 5 kB\nMemAvailable: 6 kB\n", &memory), -EPROTO);
    cr_assert_eq(host_parse_cpu_stat("user_usec 5\n", &number), -EPROTO);
    cr_assert_eq(host_parse_cpu_max("0 100000\n", 4, &cores), -EPROTO);
    cr_assert_eq(host_parse_cpu_max("some", 4, &cores), -EPROTO);
}

Test(host, cpu_max_gives_cores)
{
    double cores;
    cr_assert_eq(host_parse_cpu_max("max 100000\n", 4, &cores), 0);
    cr_assert_float_eq(cores, 4.0, 1e-9);
    cr_assert_eq(host_parse_cpu_max("150000 100000\n", 4, &cores), 0);
    cr_assert_float_eq(cores, 1.5, 1e-9);
}

Test(host, percent_of_capacity)
{
    struct host_cpu before = {.busy_us = 1000000, .time_us = 0, .capacity_cores = 2};
    struct host_cpu after = {.busy_us = 2000000, .time_us = 1000000, .capacity_cores = 2};
    double percent = -1;
    cr_assert(host_cpu_percent(&before, &after, &percent));
    cr_assert_float_eq(percent, 50.0, 1e-9);
    cr_assert_not(host_cpu_percent(&after, &after, &percent));
    cr_assert_not(host_cpu_percent(&after, &before, &percent));
}

static void put(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    cr_assert(file);
    fputs(text, file);
    fclose(file);
}

static void folder_of_a_container(char folder[32])
{
    snprintf(folder, 32, "/tmp/host-test-XXXXXX");
    cr_assert(mkdtemp(folder));
    char self[64];
    snprintf(self, sizeof(self), "%s/self", folder);
    cr_assert_eq(mkdir(self, 0700), 0);
    put(folder, "self/cgroup", "0::/\n");
    put(folder, "stat", "cpu  100 0 0 0 0 0 0 0 0 0\ncpu0 1 1\ncpu1 1 1\n");
    put(folder, "meminfo", "MemTotal: 4096 kB\nMemAvailable: 1024 kB\n");
    put(folder, "cpu.stat", "usage_usec 700\nuser_usec 1\n");
    put(folder, "cpu.max", "50000 100000\n");
    put(folder, "memory.current", "1048576\n");
    put(folder, "memory.max", "2097152\n");
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {"self/cgroup", "stat",           "meminfo",    "cpu.stat",
                                        "cpu.max",     "memory.current", "memory.max", "self"};
    char path[256];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        remove(path);
    }
    rmdir(folder);
}

Test(host, a_container_is_measured_by_its_cgroup_and_a_vm_by_the_host)
{
    char folder[32];
    folder_of_a_container(folder);
    struct host_paths paths = {folder, folder};
    enum host_scope scope;
    struct host_cpu cpu;
    struct host_memory memory;
    cr_assert_eq(host_scope_resolve(&paths, HOST_SCOPE_AUTO, &scope), 0);
    cr_assert_eq(scope, HOST_SCOPE_CGROUP);
    cr_assert_eq(host_cpu_read(&paths, scope, 5, &cpu), 0);
    cr_assert_eq(cpu.busy_us, 700);
    cr_assert_float_eq(cpu.capacity_cores, 0.5, 1e-9);
    cr_assert_eq(host_memory_read(&paths, scope, &memory), 0);
    cr_assert_eq(memory.used_bytes, 1048576);
    cr_assert_eq(memory.limit_bytes, 2097152);

    put(folder, "self/cgroup", "0::/system.slice/valvechain-metrics-agent.service\n");
    cr_assert_eq(host_scope_resolve(&paths, HOST_SCOPE_AUTO, &scope), 0);
    cr_assert_eq(scope, HOST_SCOPE_HOST);
    cr_assert_eq(host_cpu_read(&paths, scope, 5, &cpu), 0);
    cr_assert_eq(cpu.busy_us, 1000000);
    cr_assert_eq(host_memory_read(&paths, scope, &memory), 0);
    cr_assert_eq(memory.used_bytes, 3072 * 1024);
    remove_folder(folder);
}

#include "base/recent_clock.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CLOCKSOURCE    "/sys/devices/system/clocksource/clocksource0/current_clocksource"
#define POWER_LEAF     0x80000007U
#define INVARIANT_RATE (1U << 8)

static bool is_kernels_clock(void)
{
    static const char *const by_counter[] = {"tsc\n", "kvm-clock\n",
                                             "hyperv_clocksource_tsc_page\n"};
    char name[64] = "";
    int fd = open(CLOCKSOURCE, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t len = read(fd, name, sizeof(name) - 1);
    close(fd);
    for (size_t i = 0; len > 0 && i < sizeof(by_counter) / sizeof(by_counter[0]); i++) {
        if (strcmp(name, by_counter[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool recent_clock_is_sound(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(POWER_LEAF, &eax, &ebx, &ecx, &edx) && (edx & INVARIANT_RATE) &&
           is_kernels_clock();
}
#else
bool recent_clock_is_sound(void)
{
    return false;
}
#endif

#include "breaker_service.h"
#include "probe_threads.h"

int main(int argc, char **argv)
{
    if (probe_threads_reserve() < 0)
        return 1;
    return service_run(&breaker_service_descriptor, argc, argv);
}

#include "breaker_service.h"

int main(int argc, char **argv)
{
    return service_run(&breaker_service_descriptor, argc, argv);
}

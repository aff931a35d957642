#include "limiter.h"

int main(int argc, char **argv)
{
    return service_run(&limiter_descriptor, argc, argv);
}

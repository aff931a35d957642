#include "metrics_agent.h"

int main(int argc, char **argv)
{
    return service_run(&metrics_agent_descriptor, argc, argv);
}

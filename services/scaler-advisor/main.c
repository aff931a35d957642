#include "scaler_advisor.h"

int main(int argc, char **argv)
{
    return service_run(&scaler_advisor_descriptor, argc, argv);
}

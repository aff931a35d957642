#include "valvectl.h"

int main(int argc, char **argv)
{
    return valvectl_run(argc, argv);
}

#include <criterion/criterion.h>
#include <signal.h>

#include "base/assert.h"

Test(assert, a_true_one_is_silent)
{
    ASSERT(1 + 1 == 2);
}

Test(assert, a_false_one_aborts, .signal = SIGABRT)
{
    ASSERT(1 + 1 == 3);
}

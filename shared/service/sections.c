#include "base/assert.h"
#include "breaker/probed.h"
#include "history/history.h"
#include "limit/lease.h"
#include "limit/operator.h"
#include "limit/top.h"
#include "service/finding.h"
#include "service/lanes.h"
#include "service/service.h"

size_t service_segment_sections(const struct suite_params *suite,
                                struct segment_section_spec *ret_specs, size_t cap)
{
    const struct segment_section_spec specs[] = {
        slot_section_spec(),
        slot_values_section_spec(),
        limit_policy_section_spec(),
        limit_table_section_spec(suite->limit_table_cells),
        lease_section_spec(suite->lease_cells),
        operator_section_spec(),
        top_section_spec(),
        breaker_state_section_spec(),
        breaker_window_section_spec(),
        probed_section_spec(),
        advice_section_spec(),
        finding_section_spec(),
        lanes_section_spec(),
        history_section_spec(),
    };
    size_t n = sizeof(specs) / sizeof(specs[0]);

    ASSERT(n <= cap && n <= SEGMENT_MAX_SECTIONS);
    for (size_t i = 0; i < n; i++)
        ret_specs[i] = specs[i];
    return n;
}

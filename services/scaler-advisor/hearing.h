// What the advisor hears of all hosts: agents.h brings the snapshots, hosts.h makes one of them.
// Errors: -errno. Thread: the loop's.
#ifndef VALVECHAIN_SCALER_ADVISOR_HEARING_H
#define VALVECHAIN_SCALER_ADVISOR_HEARING_H

#include "advisor_params.h"
#include "hosts.h"
#include "service/service.h"

struct hearing;
// `params` is used inside the calls only.
int hearing_open(struct service *service, const struct advisor_params *params,
                 struct hearing **ret_hearing);
void hearing_take_params(struct hearing *hearing, const struct advisor_params *params);
// About once a second: all hosts as of now; also asks names again and shows the gauges.
void hearing_read(struct hearing *hearing, uint64_t now_ns, struct hosts_sum *ret_sum);
void hearing_close(struct hearing **hearing); // before the bus; the loop must turn once more

#endif

// What the four roles answer, and the control role that turns their knobs.
#ifndef DEMO_BACKEND_ANSWERS_H
#define DEMO_BACKEND_ANSWERS_H

#include "role.h"

enum role_index { ROLE_APP, ROLE_DATABASE, ROLE_BLOCKCHAIN, ROLE_EMAIL, ROLE_CONTROL, ROLES };

extern struct role roles[ROLES];

enum MHD_Result answer_app(struct role *role, const struct call *call);
enum MHD_Result answer_database(struct role *role, const struct call *call);
enum MHD_Result answer_blockchain(struct role *role, const struct call *call);
enum MHD_Result answer_email(struct role *role, const struct call *call);
// GET /knobs shows all; POST /knobs/NAME?mode=ok|slow|fail|gone&delay_ms=N sets one.
enum MHD_Result answer_control(struct role *role, const struct call *call);

#endif

// The advisor's memory as a file: written anew beside it (0600) and renamed, so that a death at any
// moment leaves the old one or the new one. Thread: one.
#ifndef VALVECHAIN_SCALER_ADVISOR_STATE_FILE_H
#define VALVECHAIN_SCALER_ADVISOR_STATE_FILE_H

#include "advice/history.h"
#include "service/service.h"

#define STATE_PATH_MAX 320

// `given` or, when it is empty, advice.state in SOCKET_DIR. -errno.
int state_file_path(const struct service *service, const char *given,
                    char ret_path[STATE_PATH_MAX]);
// True: *ret_state is what was saved. A file that is damaged, of another version or cannot be read
// is logged; the former two are set aside (PATH.aside), so that the next save does not lose them.
bool state_file_load(const char *path, struct advice_state *ret_state);
int state_file_save(const char *path, const struct advice_state *state); // -errno

#endif

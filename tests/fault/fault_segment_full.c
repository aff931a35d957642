// A full file system: refused at creation with the numbers, nothing left behind, private memory
// when allowed, and shared again once there is room. Needs to mount a small tmpfs; skipped else.
#include <sched.h>
#include <sys/mount.h>

#include "fault_check.h"
#include "shm/segment.h"
#include "shm/slot.h"

static int open_segment(bool allow_private, char reason[SEGMENT_REASON_MAX],
                        struct segment **ret_segment)
{
    const struct segment_section_spec specs[] = {slot_section_spec(), slot_values_section_spec()};
    const struct segment_options options = {.dir = fault_dir,
                                            .name = "vc",
                                            .sections = specs,
                                            .n_sections = 2,
                                            .allow_private = allow_private};
    return segment_open(&options, reason, ret_segment);
}

static void check_names(const char *but)
{
    DIR *dir = opendir(fault_dir);
    CHECK(dir, "%s", strerror(errno));
    for (struct dirent *file; (file = readdir(dir));)
        CHECK(file->d_name[0] == '.' || strcmp(file->d_name, but) == 0, "%s is left behind",
              file->d_name);
    closedir(dir);
}

int main(void)
{
    char reason[SEGMENT_REASON_MAX];
    struct segment *segment = NULL;
    fault_begin();
    // A mount namespace of our own: nothing to clean up, whatever happens.
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", fault_dir, "tmpfs", 0, "size=1m,mode=0700") < 0) {
        printf("skipped: a tmpfs cannot be mounted here: %s\n", strerror(errno));
        fault_clear_dir();
        return FAULT_SKIPPED;
    }
    int r = open_segment(false, reason, &segment);
    CHECK(r == -ENOSPC && strstr(reason, "no space for") && strstr(reason, "free in SHM_DIR"),
          "%d: %s", r, reason);
    printf("%s\n", reason);
    check_names("vc.1.lock");

    r = open_segment(true, reason, &segment);
    CHECK(r == 0 && segment_is_private(segment) && strstr(reason, "no space for"), "%d: %s", r,
          reason);
    memset(segment_section(segment, SLOT_VALUES_SECTION, NULL), 1, 4096);
    segment_close(&segment);

    CHECK(mount("tmpfs", fault_dir, "tmpfs", MS_REMOUNT, "size=16m") == 0, "%s", strerror(errno));
    r = open_segment(true, reason, &segment);
    CHECK(r == 0 && !segment_is_private(segment), "%d: %s", r, reason);
    // Every page is there already: filling the rest of the file system takes none of them away.
    char path[128];
    snprintf(path, sizeof(path), "%s/ballast", fault_dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char block[65536] = {1};
    while (write(fd, block, sizeof(block)) > 0)
        ;
    CHECK(errno == ENOSPC, "%s", strerror(errno));
    uint64_t bytes;
    char *words = segment_section(segment, SLOT_VALUES_SECTION, &bytes);
    memset(words, 1, bytes); // a SIGBUS would end us here
    segment_close(&segment);
    close(fd);
    (void)umount2(fault_dir, MNT_DETACH);
    fault_clear_dir();
    return 0;
}

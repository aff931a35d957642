#include "libvalvechain/attachments.h"

#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct attachment *attachments;
static bool watches_forks;

static void before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

// Only what is allowed between fork and exec in a program with threads, but for one free().
static void after_fork_in_child(void)
{
    for (struct attachment *a = attachments; a != NULL; a = a->next) {
        segment_forget(&a->segment);
        a->is_parents = true;
    }
    pthread_mutex_unlock(&mutex);
}

int attachment_add(struct attachment *attachment)
{
    int r = 0;
    pthread_mutex_lock(&mutex);
    if (!watches_forks)
        r = -pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    if (r == 0) {
        watches_forks = true;
        attachment->next = attachments;
        attachments = attachment;
    }
    pthread_mutex_unlock(&mutex);
    return r;
}

void attachment_remove(struct attachment *attachment)
{
    pthread_mutex_lock(&mutex);
    for (struct attachment **link = &attachments; *link != NULL; link = &(*link)->next) {
        if (*link == attachment) {
            *link = attachment->next;
            break;
        }
    }
    pthread_mutex_unlock(&mutex);
}

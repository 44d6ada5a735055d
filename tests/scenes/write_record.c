/* What processes do to the files of a SQLite store, written down in one file that they share: to be preloaded.

   WRITES_RECORD names the record. The store is a file `store.db`, wherever it lies; there is one. A write stands there once it was done. A sync stands
   there once it was done as well, with how long the record was when it began: what stood there by then for the same
   file is on the disk; of all else a power cut leaves what it likes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 65536
#define RECORD_AT 900 /* out of the way of descriptors that somebody counts on */
#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

struct head { char kind, file, unused[6]; int64_t place, length; };

static const char *NAMES[] = {"store.db", "store.db-wal", "store.db-journal"};
static signed char known[DESCRIPTORS]; /* 0: not looked at, -1: none of ours, n + 1: the n'th file */
static int record = -1;

__attribute__((constructor)) static void begin(void) {
    const char *writes = getenv("WRITES_RECORD");
    if (!writes) return;
    int fd = open(writes, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return;
    record = fcntl(fd, F_DUPFD_CLOEXEC, RECORD_AT);
    close(fd);
}

static int named(const char *path) {
    const char *slash = strrchr(path, '/');
    for (int n = 0; record >= 0 && n < 3; n++)
        if (!strcmp(slash ? slash + 1 : path, NAMES[n])) return n;
    return -1;
}

static int ours(int fd) {
    if (record < 0 || fd < 0 || fd >= DESCRIPTORS) return -1;
    if (!known[fd]) {
        char link[64], path[PATH_MAX];
        int before = errno;
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        errno = before;
        if (length < 0) return -1;
        path[length] = 0;
        int file = named(path);
        known[fd] = file < 0 ? -1 : file + 1;
    }
    return known[fd] < 0 ? -1 : known[fd] - 1;
}

static void note(char kind, int file, int64_t place, const void *content, int64_t length) {
    struct head head = {.kind = kind, .file = (char)file, .place = place, .length = length};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)content, (size_t)length}};
    int before = errno;
    if (writev(record, parts, 2) != (ssize_t)sizeof head + length) abort();
    errno = before;
}

static int64_t so_far(void) { return lseek(record, 0, SEEK_END); }

int close(int fd) {
    REAL(close);
    if (fd >= 0 && fd < DESCRIPTORS) known[fd] = 0;
    return real(fd);
}

ssize_t pwrite64(int fd, const void *content, size_t length, off64_t place) {
    REAL(pwrite64);
    int file = ours(fd);
    ssize_t done = real(fd, content, length, place);
    if (file >= 0 && done > 0) note('W', file, place, content, done);
    return done;
}

ssize_t pwrite(int fd, const void *content, size_t length, off_t place) { return pwrite64(fd, content, length, place); }

ssize_t write(int fd, const void *content, size_t length) {
    REAL(write);
    int file = ours(fd);
    off_t place = file >= 0 ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t done = real(fd, content, length);
    if (file >= 0 && done > 0) note('W', file, place, content, done);
    return done;
}

int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    int file = ours(fd), done = real(fd, length);
    if (file >= 0 && !done) note('T', file, length, "", 0);
    return done;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int fsync(int fd) {
    REAL(fsync);
    int file = ours(fd);
    int64_t before = file >= 0 ? so_far() : 0;
    int done = real(fd);
    if (file >= 0 && !done) note('S', file, before, "", 0);
    return done;
}

int fdatasync(int fd) {
    REAL(fdatasync);
    int file = ours(fd);
    int64_t before = file >= 0 ? so_far() : 0;
    int done = real(fd);
    if (file >= 0 && !done) note('S', file, before, "", 0);
    return done;
}

int unlink(const char *path) {
    REAL(unlink);
    int done = real(path), file = named(path);
    if (file >= 0 && !done) note('U', file, 0, "", 0);
    return done;
}

/*
 * Records what a process asks of the disk below one folder, and makes it fail where that is wanted. For LD_PRELOAD.
 *
 *   POWER_DIR        the folder, absolute and without symbolic links
 *   POWER_LOG        the record is appended to this file; without it nothing is recorded
 *   POWER_FAIL       rules `CALL:PIECE:COUNT:ERROR`, separated by `;`
 *   POWER_FAIL_GATE  the rules hold, and count, only while this file is there
 *   POWER_SWALLOW    `CALL:PIECE`: such calls report success and do nothing (to show that this is found out)
 *
 * CALL is the name of the function (pwrite, write, open, ftruncate, fsync, fdatasync, rename, unlink, mkdir), or `sync`
 * for fsync and fdatasync, or `anywrite` for pwrite and write. PIECE is a part of the path; one that ends in `$` is its
 * end. COUNT is the number of the call that fails, from 1; `20+` is the 20th and all that follow. ERROR is EIO, ENOSPC
 * or SHORT: half of the bytes are written, as on a disk that is about to be full; or HANG, of a sync: it never returns.
 *
 * One mutex is held from a change to its record, so that the record has the order of the changes; it is not held while
 * a sync lasts, which has a record at its begin and one at its end. What is sent on a socket is recorded before it is
 * sent: what was promised then must be on the disk already. A record is written by one writev; a process that is killed
 * may have changed a file just before it recorded that, or left a piece of a record: the reader looks at the files then.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FD 65536
#define MAX_RULES 16
#define MAX_ACK 4096

/* The head of a record, in the byte order of the machine; `length` bytes follow. `run` has the same layout. */
struct record {
    char kind; /* P start, O open, W write, T truncate, S sync begins, s sync ends, R rename, U unlink, M mkdir,
                  D rmdir, A acknowledgement, F injected failure */
    char flags; /* of O: 1 made, 2 cut to nothing, 4 a folder */
    int16_t error;
    uint32_t handle;
    int64_t offset; /* of W; the length of T; the number of the sync of S and s */
    uint64_t time;
    uint32_t length;
    uint32_t zero;
};

struct file {
    uint32_t handle;
    char path[]; /* below POWER_DIR */
};

struct rule {
    char call[16], piece[128];
    unsigned count, seen;
    int goes_on, error;
};

enum { SHORT = -1, HANG = -2 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct file *files[MAX_FD];
static struct rule rules[MAX_RULES];
static int rule_count, log_fd = -1, is_on;
static uint32_t last_handle;
static int64_t last_sync;
static const char *folder, *gate;
static size_t folder_length;
static struct rule swallow;

#define REAL(name) ((__typeof__(&name))real(#name, &real_##name))
static void *real(const char *name, void **slot) {
    if (!*slot) *slot = dlsym(RTLD_NEXT, name);
    return *slot;
}
#define SLOT(name) static void *real_##name
SLOT(open); SLOT(openat); SLOT(close); SLOT(pwrite); SLOT(pwrite64); SLOT(write); SLOT(writev); SLOT(pwritev); SLOT(pwritev64); SLOT(ftruncate64);
SLOT(fsync); SLOT(fdatasync); SLOT(rename); SLOT(unlink); SLOT(unlinkat); SLOT(mkdir); SLOT(rmdir);
SLOT(send); SLOT(sendto); SLOT(sendmsg);

static void parse_rules(const char *text) {
    char copy[2048], *save = NULL;
    strncpy(copy, text, sizeof copy - 1);
    copy[sizeof copy - 1] = 0;
    for (char *one = strtok_r(copy, ";", &save); one && rule_count < MAX_RULES; one = strtok_r(NULL, ";", &save)) {
        char *inner = NULL;
        char *call = strtok_r(one, ":", &inner), *piece = strtok_r(NULL, ":", &inner);
        char *count = strtok_r(NULL, ":", &inner), *error = strtok_r(NULL, ":", &inner);
        if (!error) abort();
        struct rule *rule = &rules[rule_count++];
        strncpy(rule->call, call, sizeof rule->call - 1);
        strncpy(rule->piece, piece, sizeof rule->piece - 1);
        rule->count = (unsigned)atoi(count);
        rule->goes_on = strchr(count, '+') != NULL;
        if (!strcmp(error, "EIO")) rule->error = EIO;
        else if (!strcmp(error, "ENOSPC")) rule->error = ENOSPC;
        else if (!strcmp(error, "SHORT")) rule->error = SHORT;
        else if (!strcmp(error, "HANG")) rule->error = HANG;
        else abort();
    }
}

__attribute__((constructor)) static void start(void) {
    folder = getenv("POWER_DIR");
    if (!folder || !*folder) return;
    folder_length = strlen(folder);
    gate = getenv("POWER_FAIL_GATE");
    if (getenv("POWER_FAIL")) parse_rules(getenv("POWER_FAIL"));
    if (getenv("POWER_SWALLOW")) {
        const char *text = getenv("POWER_SWALLOW"), *colon = strchr(text, ':');
        if (!colon) abort();
        memcpy(swallow.call, text, (size_t)(colon - text));
        strncpy(swallow.piece, colon + 1, sizeof swallow.piece - 1);
    }
    const char *log = getenv("POWER_LOG");
    if (log && *log) {
        int fd = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        /* Out of the way of those that look at low numbers. */
        log_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 900);
        if (log_fd < 0) abort();
        REAL(close)(fd);
    }
    is_on = 1;
}

static void note(char kind, char flags, int error, uint32_t handle, int64_t offset, const struct iovec *data, int parts) {
    if (log_fd < 0) return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct record head = {.kind = kind, .flags = flags, .error = (int16_t)error, .handle = handle, .offset = offset};
    head.time = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    struct iovec all[17] = {{&head, sizeof head}};
    for (int part = 0; part < parts && part < 16; part++) {
        all[part + 1] = data[part];
        head.length += (uint32_t)data[part].iov_len;
    }
    size_t total = sizeof head + head.length;
    int saved = errno;
    ssize_t written = REAL(writev)(log_fd, all, parts + 1);
    if (written != (ssize_t)total) abort();
    errno = saved;
}

static void note_text(char kind, char flags, uint32_t handle, const char *text) {
    struct iovec data = {(void *)text, strlen(text)};
    note(kind, flags, 0, handle, 0, &data, 1);
}

static int matches(const struct rule *rule, const char *call, const char *path) {
    int is_call = !strcmp(rule->call, call) || (!strcmp(rule->call, "sync") && strstr(call, "sync"))
        || (!strcmp(rule->call, "anywrite") && strstr(call, "write"));
    if (!is_call) return 0;
    size_t piece = strlen(rule->piece), length = strlen(path);
    if (piece && rule->piece[piece - 1] == '$')
        return piece - 1 <= length && !strncmp(path + length - (piece - 1), rule->piece, piece - 1);
    return strstr(path, rule->piece) != NULL;
}

/* The error that a call is to have; 0 for none. With the mutex held. */
static int injected(const char *call, const char *path) {
    if (!rule_count || (gate && access(gate, F_OK) != 0)) return 0;
    int error = 0;
    for (int i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (!matches(rule, call, path)) continue;
        rule->seen++;
        if (rule->seen == rule->count || (rule->goes_on && rule->count < rule->seen)) error = error ? error : rule->error;
    }
    if (error) note_text('F', 0, 0, path);
    return error;
}

static int is_swallowed(const char *call, const char *path) {
    return swallow.piece[0] && matches(&swallow, call, path);
}

/* The part of a path below the folder, "" for the folder itself; NULL for others, and for the reserve, which only takes
 * room. */
static const char *below(const char *path) {
    if (!is_on || strncmp(path, folder, folder_length)) return NULL;
    const char *rest = path + folder_length;
    if (*rest && *rest != '/') return NULL;
    while (*rest == '/') rest++;
    static const char reserve[] = "-reserve";
    size_t length = strlen(rest), ending = sizeof reserve - 1;
    if (ending < length && !strcmp(rest + length - ending, reserve)) return NULL;
    return rest;
}

static struct file *file_of(int fd) {
    return is_on && 0 <= fd && fd < MAX_FD ? files[fd] : NULL;
}

static int open_as(int at, const char *path, int flags, mode_t mode) {
    const char *inside = at == AT_FDCWD || *path == '/' ? below(path) : NULL;
    if (!inside) return REAL(openat)(at, path, flags, mode);
    pthread_mutex_lock(&mutex);
    int existed = access(path, F_OK) == 0;
    int error = (flags & O_CREAT) && !existed ? injected("open", inside) : 0;
    int fd = -1;
    if (error) errno = error;
    else fd = REAL(openat)(at, path, flags, mode);
    if (0 <= fd && fd < MAX_FD) {
        struct stat status;
        int is_folder = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
        struct file *file = malloc(sizeof *file + strlen(inside) + 1);
        file->handle = ++last_handle;
        strcpy(file->path, inside);
        files[fd] = file;
        note_text('O', (char)((existed ? 0 : 1) | (flags & O_TRUNC ? 2 : 0) | (is_folder ? 4 : 0)), file->handle, inside);
    }
    int saved = errno;
    pthread_mutex_unlock(&mutex);
    errno = saved;
    return fd;
}

static mode_t mode_of(int flags, va_list list) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, mode_t) : 0;
}
#define OPEN_MODE() va_list list; va_start(list, flags); mode_t mode = mode_of(flags, list); va_end(list)

int open(const char *path, int flags, ...) { OPEN_MODE(); return open_as(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { OPEN_MODE(); return open_as(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { OPEN_MODE(); return open_as(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { OPEN_MODE(); return open_as(at, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_as(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return open_as(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int __open_2(const char *path, int flags) { return open_as(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_as(AT_FDCWD, path, flags, 0); }

int close(int fd) {
    if (file_of(fd)) {
        pthread_mutex_lock(&mutex);
        free(files[fd]);
        files[fd] = NULL;
        pthread_mutex_unlock(&mutex);
    }
    return REAL(close)(fd);
}

/* Writes at a place, or where the file stands if that is negative. */
static ssize_t write_as(const char *call, int fd, const struct iovec *data, int parts, off_t start) {
    pthread_mutex_lock(&mutex);
    struct file *file = file_of(fd);
    ssize_t written = -1;
    struct iovec half = {data[0].iov_base, (data[0].iov_len + 1) / 2};
    int error = injected(call, file->path);
    if (error > 0) {
        errno = error;
    } else {
        if (error == SHORT) data = &half, parts = 1;
        if (start < 0) {
            struct stat status;
            int is_append = fcntl(fd, F_GETFL) & O_APPEND;
            start = is_append && fstat(fd, &status) == 0 ? status.st_size : lseek(fd, 0, SEEK_CUR);
            written = REAL(writev)(fd, data, parts);
        } else {
            written = REAL(pwritev)(fd, data, parts, start);
        }
    }
    if (0 < written) {
        struct iovec done[16];
        int count = 0;
        for (size_t rest = (size_t)written; rest && count < 16 && count < parts; count++) {
            done[count] = data[count];
            if (rest < done[count].iov_len) done[count].iov_len = rest;
            rest -= done[count].iov_len;
        }
        note('W', 0, 0, file->handle, start, done, count);
    }
    int saved = errno;
    pthread_mutex_unlock(&mutex);
    errno = saved;
    return written;
}

/* What a socket sends may be an acknowledgement. */
static void note_if_acknowledged(int fd, const struct iovec *data, int parts) {
    if (log_fd < 0) return;
    char text[MAX_ACK];
    size_t length = 0;
    for (int part = 0; part < parts; part++) {
        size_t more = data[part].iov_len;
        if (sizeof text - length < more) return;
        if (more) memcpy(text + length, data[part].iov_base, more);
        length += more;
    }
    if (!memmem(text, length, "queued as ", 10) && !memmem(text, length, " OK ", 4)) return;
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode)) return;
    struct iovec all = {text, length};
    pthread_mutex_lock(&mutex);
    note('A', 0, 0, (uint32_t)fd, 0, &all, 1);
    pthread_mutex_unlock(&mutex);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t start) {
    struct iovec data = {(void *)bytes, length};
    return file_of(fd) ? write_as("pwrite", fd, &data, 1, start) : REAL(pwrite)(fd, bytes, length, start);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t start) {
    struct iovec data = {(void *)bytes, length};
    return file_of(fd) ? write_as("pwrite", fd, &data, 1, start) : REAL(pwrite64)(fd, bytes, length, start);
}
ssize_t pwritev(int fd, const struct iovec *data, int parts, off_t start) {
    return file_of(fd) ? write_as("pwrite", fd, data, parts, start) : REAL(pwritev)(fd, data, parts, start);
}
ssize_t pwritev64(int fd, const struct iovec *data, int parts, off64_t start) {
    return file_of(fd) ? write_as("pwrite", fd, data, parts, start) : REAL(pwritev64)(fd, data, parts, start);
}
ssize_t write(int fd, const void *bytes, size_t length) {
    struct iovec data = {(void *)bytes, length};
    if (file_of(fd)) return write_as("write", fd, &data, 1, -1);
    if (is_on) note_if_acknowledged(fd, &data, 1);
    return REAL(write)(fd, bytes, length);
}
ssize_t writev(int fd, const struct iovec *data, int parts) {
    if (file_of(fd)) return write_as("write", fd, data, parts, -1);
    if (is_on) note_if_acknowledged(fd, data, parts);
    return REAL(writev)(fd, data, parts);
}
ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    struct iovec data = {(void *)bytes, length};
    if (is_on) note_if_acknowledged(fd, &data, 1);
    return REAL(send)(fd, bytes, length, flags);
}
ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t size) {
    struct iovec data = {(void *)bytes, length};
    if (is_on) note_if_acknowledged(fd, &data, 1);
    return REAL(sendto)(fd, bytes, length, flags, to, size);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (is_on) note_if_acknowledged(fd, message->msg_iov, (int)message->msg_iovlen);
    return REAL(sendmsg)(fd, message, flags);
}

int ftruncate64(int fd, off64_t length) {
    if (!file_of(fd)) return REAL(ftruncate64)(fd, length);
    pthread_mutex_lock(&mutex);
    int error = injected("ftruncate", files[fd]->path), result = -1;
    if (error > 0) errno = error;
    else if ((result = REAL(ftruncate64)(fd, length)) == 0) note('T', 0, 0, files[fd]->handle, length, NULL, 0);
    int saved = errno;
    pthread_mutex_unlock(&mutex);
    errno = saved;
    return result;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int sync_as(const char *call, int fd, int (*sync)(int)) {
    pthread_mutex_lock(&mutex);
    struct file *file = file_of(fd);
    if (!file) {
        pthread_mutex_unlock(&mutex);
        return sync(fd);
    }
    if (is_swallowed(call, file->path)) {
        pthread_mutex_unlock(&mutex);
        return 0;
    }
    uint32_t handle = file->handle;
    int64_t number = ++last_sync;
    note('S', 0, 0, handle, number, NULL, 0);
    int error = injected(call, file->path);
    pthread_mutex_unlock(&mutex);
    while (error == HANG) pause();
    int result = error > 0 ? -1 : sync(fd);
    if (result != 0 && error <= 0) error = errno;
    pthread_mutex_lock(&mutex);
    note('s', 0, result == 0 ? 0 : error, handle, number, NULL, 0);
    pthread_mutex_unlock(&mutex);
    if (result != 0) errno = error;
    return result;
}
int fsync(int fd) { return sync_as("fsync", fd, REAL(fsync)); }
int fdatasync(int fd) { return sync_as("fdatasync", fd, REAL(fdatasync)); }

/* A change of one name. */
#define CHANGE(call, kind, path, run) do { \
    const char *inside = below(path); \
    if (!inside) return run; \
    pthread_mutex_lock(&mutex); \
    int error = injected(call, inside), result = -1; \
    if (error > 0) errno = error; \
    else if ((result = run) == 0) note_text(kind, 0, 0, inside); \
    int saved = errno; \
    pthread_mutex_unlock(&mutex); \
    errno = saved; \
    return result; \
} while (0)

int unlink(const char *path) { CHANGE("unlink", 'U', path, REAL(unlink)(path)); }
int mkdir(const char *path, mode_t mode) { CHANGE("mkdir", 'M', path, REAL(mkdir)(path, mode)); }
int rmdir(const char *path) { CHANGE("rmdir", 'D', path, REAL(rmdir)(path)); }
int unlinkat(int at, const char *path, int flags) {
    if (at != AT_FDCWD && *path != '/') return REAL(unlinkat)(at, path, flags);
    if (flags & AT_REMOVEDIR) CHANGE("rmdir", 'D', path, REAL(unlinkat)(at, path, flags));
    CHANGE("unlink", 'U', path, REAL(unlinkat)(at, path, flags));
}
int rename(const char *from, const char *to) {
    const char *inside = below(from), *target = below(to);
    if (!inside || !target) return REAL(rename)(from, to);
    pthread_mutex_lock(&mutex);
    int error = injected("rename", target), result = -1;
    if (error > 0) errno = error;
    else if ((result = REAL(rename)(from, to)) == 0) {
        struct iovec data[2] = {{(void *)inside, strlen(inside) + 1}, {(void *)target, strlen(target)}};
        note('R', 0, 0, 0, 0, data, 2);
    }
    int saved = errno;
    pthread_mutex_unlock(&mutex);
    errno = saved;
    return result;
}

/* A layer between the program and the system, for the fault campaign only: LD_PRELOADed into the program as it is
 * released, so that nothing of it is compiled in there.
 *
 * It counts and records every change of a file below one directory, kills the process at a chosen one, fails them (no
 * space, a broken disk), and moves the clock. The harness tells it what to do, and reads what it counted, through one
 * small mapped file (`struct control`, mirrored by `shim.rs`).
 *
 * Environment: FAULTS_CONTROL  the control file; FAULTS_DIR  the directory that counts, as readlink shows it;
 * FAULTS_TRACE  where the changes are recorded (optional); FAULTS_KILLABLE  obey kill_at, count and record.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* All of 8 bytes, in this order in shim.rs. */
struct control {
    int64_t real0;   /* ns: at this moment of the real clock... */
    int64_t start;   /* ns: the world's clock stood here */
    int64_t speed;   /* and goes so many times faster */
    int64_t skew;    /* ns: the program's wall clock is wrong by this */
    int64_t kill_at; /* kill at the n-th change from 1; 0: never */
    int64_t kill_how;/* 0 before it, 1 after it, 2 with half of its data */
    int64_t changes; /* counted so far */
    int64_t full;    /* 1: no space is left; 2: syncing fails as on a broken disk */
    int64_t refused; /* changes refused so far */
    int64_t killed_op;
    char killed_path[168];
};

static struct control *ctl;
static int64_t mono0; /* the monotonic clock runs faster from here on, within one process */
static char prefix[PATH_MAX];
static size_t prefix_len;
static int trace_fd = -1;
static int active; /* counts, kills, records */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

enum op { OP_CREATE = 1, OP_TRUNC, OP_WRITE, OP_FSYNC, OP_FDATASYNC, OP_RANGE, OP_RENAME, OP_UNLINK, OP_MKDIR, OP_RMDIR, OP_MARK };

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) {
    void *f = dlsym(RTLD_NEXT, name);
    if (!f) { dprintf(2, "faults shim: no %s\n", name); abort(); }
    return f;
}

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_epoll_wait)(int, struct epoll_event *, int, int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite64)(int, const void *, size_t, off64_t);

__attribute__((constructor)) static void begin(void) {
    real_clock_gettime = REAL(clock_gettime);
    real_epoll_wait = REAL(epoll_wait);
    real_write = REAL(write);
    real_pwrite64 = REAL(pwrite64);
    const char *dir = getenv("FAULTS_DIR"), *control = getenv("FAULTS_CONTROL"), *trace = getenv("FAULTS_TRACE");
    if (!dir || !control) return;
    snprintf(prefix, sizeof prefix, "%s", dir);
    prefix_len = strlen(prefix);
    int fd = open(control, O_RDWR | O_CLOEXEC);
    if (fd < 0) { dprintf(2, "faults shim: no control file\n"); abort(); }
    void *mapped = mmap(NULL, sizeof *ctl, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) abort();
    struct timespec ts;
    real_clock_gettime(CLOCK_MONOTONIC, &ts);
    mono0 = ts.tv_sec * 1000000000LL + ts.tv_nsec;
    ctl = mapped;
    active = getenv("FAULTS_KILLABLE") != NULL;
    if (trace && active) {
        trace_fd = open(trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (trace_fd < 0) abort();
    }
}

/* ---- time ---- */

int clock_gettime(clockid_t id, struct timespec *ts) {
    if (!real_clock_gettime) real_clock_gettime = REAL(clock_gettime);
    int result = real_clock_gettime(id, ts);
    if (result != 0 || !ctl) return result;
    int64_t now = ts->tv_sec * 1000000000LL + ts->tv_nsec;
    switch (id) {
    case CLOCK_REALTIME:
        now = ctl->start + (now - ctl->real0) * ctl->speed + ctl->skew;
        break;
    case CLOCK_MONOTONIC: case CLOCK_BOOTTIME:
        now = mono0 + (now - mono0) * ctl->speed;
        break;
    default:
        return result;
    }
    ts->tv_sec = now / 1000000000LL;
    ts->tv_nsec = now % 1000000000LL;
    return result;
}

int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout) {
    if (ctl && timeout > 0 && ctl->speed > 1) timeout = (int)((timeout + ctl->speed - 1) / ctl->speed);
    return real_epoll_wait(epfd, events, max, timeout);
}

/* ---- files ---- */

static int below(const char *path) {
    return prefix_len && strncmp(path, prefix, prefix_len) == 0 && (path[prefix_len] == '/' || path[prefix_len] == 0);
}

/* The path of an open file, if it is below the directory. The lock and the socket are not the store's content. */
static int watched_fd(int fd, char *path) {
    if (!active) return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return below(path);
}

static int watched_path(const char *path) { return active && path && path[0] == '/' && below(path); }

static void put(const void *data, size_t n) {
    const char *p = data;
    while (n) {
        ssize_t w = real_write(trace_fd, p, n);
        if (w <= 0) abort();
        p += w;
        n -= (size_t)w;
    }
}

/* One record: op, lengths, offset, then path, second path or data. In one write, so that a kill leaves none in half
 * unless the system tears it; the reader stops at half a record. */
static void record(int32_t op, const char *path, const void *data, int64_t n, int64_t off) {
    if (trace_fd < 0) return;
    int32_t len = (int32_t)strlen(path);
    size_t total = 24 + (size_t)len + (size_t)n;
    char *buf = malloc(total);
    if (!buf) abort();
    memcpy(buf, &op, 4);
    memcpy(buf + 4, &len, 4);
    memcpy(buf + 8, &n, 8);
    memcpy(buf + 16, &off, 8);
    memcpy(buf + 24, path, (size_t)len);
    if (n) memcpy(buf + 24 + len, data, (size_t)n);
    put(buf, total);
    free(buf);
}

static void die(int op, const char *path) {
    ctl->killed_op = op;
    const char *name = path + prefix_len;
    snprintf(ctl->killed_path, sizeof ctl->killed_path, "%s", name);
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts a change. 1: it is the one at which to die with half of the data. */
static int change(int op, const char *path) {
    int64_t n = ++ctl->changes;
    if (ctl->kill_at && n == ctl->kill_at) {
        if (ctl->kill_how == 0) die(op, path);
        if (ctl->kill_how == 2) return 1;
    }
    return 0;
}

static void changed(int op, const char *path) {
    if (ctl->kill_at && ctl->changes == ctl->kill_at) die(op, path);
}

static int refuse(int op) {
    int is_sync = op == OP_FSYNC || op == OP_FDATASYNC || op == OP_RANGE;
    if (ctl->full == 1 && (op == OP_WRITE || op == OP_CREATE || op == OP_MKDIR)) { ctl->refused++; return ENOSPC; }
    if (ctl->full == 2 && is_sync) { ctl->refused++; return EIO; }
    return 0;
}

/* A change of the names or of a file's length: `call` does it and gives 0 or -1 with errno, or a descriptor. */
#define CHANGE(op, path, data, n, off, call)                      \
    pthread_mutex_lock(&lock);                                    \
    change(op, path);                                             \
    int why_ = refuse(op);                                        \
    long result_ = -1;                                            \
    if (why_) errno = why_;                                       \
    else result_ = (call);                                        \
    int saved_ = errno;                                           \
    if (result_ >= 0) record(op, path, data, n, off);             \
    changed(op, path);                                            \
    pthread_mutex_unlock(&lock);                                  \
    errno = saved_;

static int opened(const char *path, int flags, mode_t mode, const char *name, int dirfd) {
    if (dirfd != AT_FDCWD && path[0] != '/') { /* only std's remove_dir_all does, for reading */
        int (*openat_)(int, const char *, int, ...) = (void *)real("openat64");
        return openat_(dirfd, path, flags, mode);
    }
    int (*open_)(const char *, int, ...) = (void *)real(name);
    if (!watched_path(path) || !(flags & (O_CREAT | O_TRUNC))) return open_(path, flags, mode);
    struct stat st;
    int exists = stat(path, &st) == 0;
    if (exists && (!(flags & O_TRUNC) || st.st_size == 0)) return open_(path, flags, mode);
    CHANGE(exists ? OP_TRUNC : OP_CREATE, path, NULL, 0, 0, open_(path, flags, mode));
    return (int)result_;
}

#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); }
int open(const char *path, int flags, ...) { MODE(flags) return opened(path, flags, mode, "open", AT_FDCWD); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(path, flags, mode, "open64", AT_FDCWD); }
int openat64(int dirfd, const char *path, int flags, ...) { MODE(flags) return opened(path, flags, mode, "open64", dirfd); }

/* Half of what is to be written, to the sector: what a kill, a full disk or a power loss in the middle leaves. */
static size_t half(size_t n) { return n > 1024 ? n / 2 / 512 * 512 : n / 2; }

static ssize_t written(const char *path, int fd, const void *data, size_t n, off64_t off, int at_offset) {
    pthread_mutex_lock(&lock);
    int torn = change(OP_WRITE, path);
    int why = refuse(OP_WRITE);
    if (why) { pthread_mutex_unlock(&lock); errno = why; return -1; }
    if (torn) n = half(n);
    ssize_t w = at_offset ? real_pwrite64(fd, data, n, off) : real_write(fd, data, n);
    int saved = errno;
    if (!at_offset && w > 0) off = lseek64(fd, 0, SEEK_CUR) - w;
    if (w > 0) record(OP_WRITE, path, data, w, off);
    if (torn) die(OP_WRITE, path);
    changed(OP_WRITE, path);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return w;
}

ssize_t write(int fd, const void *data, size_t n) {
    if (!real_write) real_write = REAL(write);
    char path[PATH_MAX];
    return watched_fd(fd, path) ? written(path, fd, data, n, 0, 0) : real_write(fd, data, n);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t off) {
    char path[PATH_MAX];
    return watched_fd(fd, path) ? written(path, fd, data, n, off, 1) : real_pwrite64(fd, data, n, off);
}

ssize_t writev(int fd, const struct iovec *iov, int count) {
    char path[PATH_MAX];
    if (!watched_fd(fd, path)) return REAL(writev)(fd, iov, count);
    /* A short write is allowed, and the caller goes on with the rest. */
    for (int i = 0; i < count; i++)
        if (iov[i].iov_len) return written(path, fd, iov[i].iov_base, iov[i].iov_len, 0, 0);
    return 0;
}

int ftruncate64(int fd, off64_t len) {
    char path[PATH_MAX];
    if (!watched_fd(fd, path)) return REAL(ftruncate64)(fd, len);
    int (*f)(int, off64_t) = (void *)real("ftruncate64");
    CHANGE(OP_TRUNC, path, NULL, 0, len, f(fd, len));
    return (int)result_;
}

int fsync(int fd) {
    char path[PATH_MAX];
    int (*f)(int) = (void *)real("fsync");
    if (!watched_fd(fd, path)) return f(fd);
    CHANGE(OP_FSYNC, path, NULL, 0, 0, f(fd));
    return (int)result_;
}

int fdatasync(int fd) {
    char path[PATH_MAX];
    int (*f)(int) = (void *)real("fdatasync");
    if (!watched_fd(fd, path)) return f(fd);
    CHANGE(OP_FDATASYNC, path, NULL, 0, 0, f(fd));
    return (int)result_;
}

int sync_file_range(int fd, off64_t off, off64_t n, unsigned flags) {
    char path[PATH_MAX];
    int (*f)(int, off64_t, off64_t, unsigned) = (void *)real("sync_file_range");
    if (!watched_fd(fd, path)) return f(fd, off, n, flags);
    CHANGE(OP_RANGE, path, NULL, 0, off, f(fd, off, n, flags));
    return (int)result_;
}

int rename(const char *from, const char *to) {
    int (*f)(const char *, const char *) = (void *)real("rename");
    if (!watched_path(from)) return f(from, to);
    CHANGE(OP_RENAME, from, to, (int64_t)strlen(to), 0, f(from, to));
    return (int)result_;
}

int unlink(const char *path) {
    int (*f)(const char *) = (void *)real("unlink");
    if (!watched_path(path)) return f(path);
    CHANGE(OP_UNLINK, path, NULL, 0, 0, f(path));
    return (int)result_;
}

int unlinkat(int dirfd, const char *name, int flags) {
    int (*f)(int, const char *, int) = (void *)real("unlinkat");
    char path[2 * PATH_MAX];
    if (dirfd == AT_FDCWD || !watched_fd(dirfd, path)) return f(dirfd, name, flags);
    size_t n = strlen(path);
    snprintf(path + n, sizeof path - n, "/%s", name);
    CHANGE(flags & AT_REMOVEDIR ? OP_RMDIR : OP_UNLINK, path, NULL, 0, 0, f(dirfd, name, flags));
    return (int)result_;
}

int mkdir(const char *path, mode_t mode) {
    int (*f)(const char *, mode_t) = (void *)real("mkdir");
    if (!watched_path(path)) return f(path, mode);
    CHANGE(OP_MKDIR, path, NULL, 0, 0, f(path, mode));
    return (int)result_;
}

int rmdir(const char *path) {
    int (*f)(const char *) = (void *)real("rmdir");
    if (!watched_path(path)) return f(path);
    CHANGE(OP_RMDIR, path, NULL, 0, 0, f(path));
    return (int)result_;
}

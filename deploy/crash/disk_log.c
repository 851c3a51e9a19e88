/* Every write, truncation, name and flush below one folder, in the order in which they happened, with their bytes.
 *
 * Preloaded before the C library; silent until disk_log_begin(folder, log). What goes past it (a shared writable
 * mapping, another system call) is found by who reads the log: all of it applied must give the files as they are.
 * A record: operation, file (inode), offset, length of name, length of bytes, name, bytes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, RENAME, UNLINK, FOLDER_BEGIN, FOLDER_END };
#define FDS 4096
#define REAL(name) ((__typeof__(&name))real(#name))

static int log_fd = -1;
static char folder[PATH_MAX];
static uint64_t watched[FDS]; /* the inode, 0: not ours */
static char is_folder[FDS];
static char sub[FDS][256]; /* of a folder: its name, "" for the watched one */
static pthread_mutex_t order = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static void put(const void *bytes, size_t size) {
  const char *at = bytes;
  while (size > 0) {
    ssize_t done = REAL(write)(log_fd, at, size);
    if (done <= 0) abort(); /* a log with a hole would prove nothing */
    at += done, size -= (size_t)done;
  }
}

static void tell(uint32_t what, uint64_t file, int64_t offset, const char *name, const void *bytes, uint32_t size) {
  struct { uint32_t what, name, size, zero; uint64_t file; int64_t offset; } head =
      {what, (uint32_t)strlen(name), size, 0, file, offset};
  put(&head, sizeof head);
  put(name, head.name);
  put(bytes, size);
}

static const char *below(const char *path) { /* the name below the folder; NULL: not ours */
  size_t length = strlen(folder);
  if (log_fd < 0 || strncmp(path, folder, length) != 0 || path[length] != '/') return NULL;
  return path + length + 1;
}

static int mine(int fd) { return log_fd >= 0 && fd >= 0 && fd < FDS && watched[fd] != 0; }

int disk_log_begin(const char *path, const char *log) {
  if (strlen(path) >= sizeof folder) return -1;
  int fd = REAL(open)(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  strcpy(folder, path);
  log_fd = fd;
  return 0;
}

static int opened(int (*open_it)(const char *, int, ...), const char *path, int flags, mode_t mode) {
  const char *name = below(path);
  int whole = log_fd >= 0 && strcmp(path, folder) == 0;
  if (name == NULL && !whole) return open_it(path, flags, mode);
  pthread_mutex_lock(&order);
  int there = access(path, F_OK) == 0;
  int fd = open_it(path, flags, mode);
  struct stat found;
  if (fd >= 0 && fd < FDS && fstat(fd, &found) == 0) {
    watched[fd] = found.st_ino;
    is_folder[fd] = S_ISDIR(found.st_mode);
    snprintf(sub[fd], sizeof sub[fd], "%s", whole ? "" : name);
    if (!there && !is_folder[fd]) tell(CREATE, found.st_ino, 0, name, "", 0);
    else if ((flags & O_TRUNC) && !is_folder[fd]) tell(TRUNCATE, found.st_ino, 0, "", "", 0);
  }
  pthread_mutex_unlock(&order);
  return fd;
}

static mode_t mode_of(int flags, va_list rest) { return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(rest, int) : 0; }

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return opened(REAL(open), path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return opened(REAL(open64), path, flags, mode);
}

int close(int fd) {
  if (fd >= 0 && fd < FDS) watched[fd] = 0;
  return REAL(close)(fd);
}

static ssize_t wrote(int fd, const void *bytes, off_t offset, ssize_t done) {
  if (done > 0) tell(WRITE, watched[fd], offset, "", bytes, (uint32_t)done);
  return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
  if (!mine(fd)) return REAL(pwrite)(fd, bytes, size, offset);
  pthread_mutex_lock(&order);
  ssize_t done = wrote(fd, bytes, offset, REAL(pwrite)(fd, bytes, size, offset));
  pthread_mutex_unlock(&order);
  return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) {
  if (!mine(fd)) return REAL(pwrite64)(fd, bytes, size, offset);
  pthread_mutex_lock(&order);
  ssize_t done = wrote(fd, bytes, offset, REAL(pwrite64)(fd, bytes, size, offset));
  pthread_mutex_unlock(&order);
  return done;
}

ssize_t write(int fd, const void *bytes, size_t size) {
  if (!mine(fd)) return REAL(write)(fd, bytes, size);
  pthread_mutex_lock(&order);
  ssize_t done = REAL(write)(fd, bytes, size);
  off_t after = lseek(fd, 0, SEEK_CUR); /* after: an appending write moves to the end first */
  wrote(fd, bytes, after - done, done);
  pthread_mutex_unlock(&order);
  return done;
}

#define TRUNCATING(name, type)                                   \
  int name(int fd, type size) {                                  \
    if (!mine(fd)) return REAL(name)(fd, size);                  \
    pthread_mutex_lock(&order);                                  \
    int done = REAL(name)(fd, size);                             \
    if (done == 0) tell(TRUNCATE, watched[fd], size, "", "", 0); \
    pthread_mutex_unlock(&order);                                \
    return done;                                                 \
  }
TRUNCATING(ftruncate, off_t)
TRUNCATING(ftruncate64, off64_t)

#define ALLOCATING(name, type)                                                       \
  int name(int fd, type offset, type size) {                                         \
    if (!mine(fd)) return REAL(name)(fd, offset, size);                              \
    pthread_mutex_lock(&order);                                                      \
    int done = REAL(name)(fd, offset, size);                                         \
    struct stat found;                                                               \
    if (done == 0 && fstat(fd, &found) == 0) tell(TRUNCATE, watched[fd], found.st_size, "", "", 0); \
    pthread_mutex_unlock(&order);                                                    \
    return done;                                                                     \
  }
ALLOCATING(posix_fallocate, off_t)
ALLOCATING(posix_fallocate64, off64_t)

static int failing; /* how many flushes from now on report an error, as a dying disk does */

void disk_log_fail(int count) { failing = count; }

static int synced(int (*sync_it)(int), int fd) {
  if (!mine(fd)) return sync_it(fd);
  if (failing > 0) {
    failing--;
    errno = EIO;
    return -1;
  }
  char whole = is_folder[fd];
  pthread_mutex_lock(&order);
  const char *name = whole ? sub[fd] : "";
  tell(whole ? FOLDER_BEGIN : SYNC_BEGIN, watched[fd], 0, name, "", 0);
  int done = sync_it(fd);
  if (done == 0) tell(whole ? FOLDER_END : SYNC_END, watched[fd], 0, name, "", 0);
  pthread_mutex_unlock(&order);
  return done;
}

int fsync(int fd) { return synced(REAL(fsync), fd); }
int fdatasync(int fd) { return synced(REAL(fdatasync), fd); }

int rename(const char *from, const char *to) {
  const char *old = below(from), *name = below(to);
  if (old == NULL || name == NULL) return REAL(rename)(from, to);
  pthread_mutex_lock(&order);
  int done = REAL(rename)(from, to);
  if (done == 0) tell(RENAME, 0, 0, old, name, (uint32_t)strlen(name));
  pthread_mutex_unlock(&order);
  return done;
}

int unlink(const char *path) {
  const char *name = below(path);
  if (name == NULL) return REAL(unlink)(path);
  pthread_mutex_lock(&order);
  int done = REAL(unlink)(path);
  if (done == 0) tell(UNLINK, 0, 0, name, "", 0);
  pthread_mutex_unlock(&order);
  return done;
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * First process of the emulated KVM host (see tools/kvm-host).
 *
 * Loads the modules named in /etc/modules, keeps a VM, says READY, waits for GO, unpacks the run's
 * files (a newc cpio archive on /dev/vda), runs the command and carries its streams over one
 * virtio-serial port as frames. It may have been saved and restored between READY and GO, so
 * nothing about the run (time, files, random seed) is looked at before GO.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/random.h>
#include <net/if.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Frame: type, 0, stream (le16), length (le32), payload. The numbers are shared with
 * tools/kvm-host. */
enum {
    F_READY = 1,
    F_STARTED,
    F_DATA,
    F_EOF,
    F_CREDIT,
    F_EXIT,
    F_FAIL,
    F_GO,
    F_OPEN,
    F_SIGNAL,
    F_WINSIZE
};
enum { S_STDIN, S_STDOUT, S_STDERR, S_FORWARD };
enum { MAX_STREAMS = 64, WINDOW = 256 * 1024, CHUNK = 32 * 1024 - 8, FRAME_MAX = 4 * 1024 * 1024 };

typedef struct {
    uint8_t type, zero;
    uint16_t stream;
    uint32_t len;
} Header;

typedef struct {
    bool used, eof_pending;
    uint16_t id;
    int rfd, wfd; /* read from the inside, write to the inside; -1 when closed */
    uint8_t *buf; /* WINDOW bytes waiting for wfd */
    size_t head, len;
} Stream;

static int mux = -1;
static Stream streams[MAX_STREAMS];
static pid_t command;
static int exit_status = -1;
static int pty_master = -1;

static void write_all(int fd, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return;
        } else if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

static void send_frame(uint8_t type, uint16_t stream, const void *data, size_t len)
{
    static uint8_t frame[sizeof(Header) + CHUNK];
    Header h = {.type = type, .stream = stream, .len = (uint32_t)len};

    memcpy(frame, &h, sizeof h);
    if (len > 0)
        memcpy(frame + sizeof h, data, len);
    write_all(mux, frame, sizeof h + len);
}

__attribute__((noreturn)) static void stop_here(void)
{
    for (;;)
        pause(); /* the outer side ends the machine */
}

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dprintf(2, "kvm-host-init: %s\n", text);
    if (mux >= 0)
        send_frame(F_FAIL, 0, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
    stop_here();
}

/* ---- start: file systems, modules, the port ---- */

static void mount_at(const char *what, const char *where, const char *type, const char *options)
{
    mkdir(where, 0755);
    if (mount(what, where, type, 0, options) < 0 && errno != EBUSY)
        dprintf(2, "kvm-host-init: mount %s: %s\n", where, strerror(errno));
}

static void load_modules(void)
{
    char line[512];
    FILE *f = fopen("/etc/modules", "re");

    if (!f)
        fail("/etc/modules is missing");
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *options = strchr(line, ' ');
        if (options)
            *options++ = 0;
        int fd = open(line, O_RDONLY | O_CLOEXEC);
        if (fd < 0 ||
            (syscall(SYS_finit_module, fd, options ? options : "", 0) < 0 && errno != EEXIST))
            dprintf(2, "kvm-host-init: module %s: %s\n", line, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    fclose(f);
}

/*
 * Makes a VM that never runs and keeps it. KVM patches the scheduler's code when the first VM comes
 * and when the last one goes, and its own when the last local APIC that is off is switched on, all
 * while other CPUs run that code. QEMU before 8.1 sometimes keeps a translation of the breakpoint
 * that is there meanwhile: the CPU takes it for ever, and soon the whole machine waits for that
 * CPU. With this VM, and its vCPU whose APIC stays off, nothing is patched while a command runs.
 */
static void keep_vm(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);

    if (vm < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0 || ioctl(vm, KVM_CREATE_VCPU, 0) < 0)
        dprintf(2, "kvm-host-init: /dev/kvm: %s\n", strerror(errno));
    if (kvm >= 0)
        close(kvm);
}

static void open_port(void)
{
    for (int i = 0; i < 1000 && mux < 0; i++) {
        mux = open("/dev/vport0p1", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        for (int d = 1; d < 8 && mux < 0; d++) {
            char path[32];
            snprintf(path, sizeof path, "/dev/vport%dp1", d);
            mux = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        }
        if (mux < 0)
            usleep(2000);
    }
    if (mux < 0)
        fail("no virtio-serial port");
}

static void set_up_machine(void)
{
    umask(022);
    mount_at("proc", "/proc", "proc", NULL);
    mount_at("sysfs", "/sys", "sysfs", NULL);
    mount_at("devtmpfs", "/dev", "devtmpfs", NULL);
    mount_at("devpts", "/dev/pts", "devpts", "mode=0620,ptmxmode=0666");
    mount_at("tmpfs", "/dev/shm", "tmpfs", "mode=1777");
    mount_at("tmpfs", "/tmp", "tmpfs", "mode=1777");
    mount_at("tmpfs", "/run", "tmpfs", "mode=0755");
    mount_at("debugfs", "/sys/kernel/debug", "debugfs", NULL);
    if (symlink("/proc/self/fd", "/dev/fd") < 0 || symlink("/proc/self/fd/0", "/dev/stdin") < 0 ||
        symlink("/proc/self/fd/1", "/dev/stdout") < 0 ||
        symlink("/proc/self/fd/2", "/dev/stderr") < 0)
        dprintf(2, "kvm-host-init: /dev links: %s\n", strerror(errno));
    sethostname("kvm-host", 8);

    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    if (s >= 0) {
        ioctl(s, SIOCSIFFLAGS, &lo);
        close(s);
    }
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){65536, 65536});
    setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    load_modules();
    keep_vm();
}

/* ---- the run's files: newc cpio on a disk ---- */

typedef struct {
    int fd;
    size_t pos, len;
    uint64_t total; /* bytes consumed, for alignment */
    uint8_t *buf;
} Disk;

enum { DISK_BUF = 1024 * 1024 };

/* Hands out at most want bytes of what is buffered, reading more when there is nothing. */
static size_t disk_next(Disk *d, const uint8_t **ret_data, uint64_t want)
{
    if (d->pos == d->len) {
        ssize_t n = read(d->fd, d->buf, DISK_BUF);
        if (n <= 0)
            fail("reading the run's files: %s", n < 0 ? strerror(errno) : "end of disk");
        d->pos = 0;
        d->len = (size_t)n;
    }
    size_t n = d->len - d->pos < want ? d->len - d->pos : (size_t)want;
    *ret_data = d->buf + d->pos;
    d->pos += n;
    d->total += n;
    return n;
}

static void disk_read(Disk *d, void *dst, size_t len)
{
    uint8_t *out = dst;
    const uint8_t *data;

    while (len > 0) {
        size_t n = disk_next(d, &data, len);
        if (out) {
            memcpy(out, data, n);
            out += n;
        }
        len -= n;
    }
}

static void disk_align(Disk *d)
{
    disk_read(d, NULL, (size_t)(-d->total & 3));
}

static void disk_copy(Disk *d, int fd, uint64_t len, const char *name)
{
    const uint8_t *data;

    while (len > 0) {
        size_t n = disk_next(d, &data, len);
        len -= n;
        while (n > 0) {
            ssize_t w = write(fd, data, n);
            if (w < 0)
                fail("%s: %s", name, strerror(errno));
            data += w;
            n -= (size_t)w;
        }
    }
}

static void make_parents(char *path)
{
    for (char *p = path + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(path, 0755);
        *p = '/';
    }
}

static uint32_t hex8(const char *p)
{
    char s[9] = {0};
    memcpy(s, p, 8);
    return (uint32_t)strtoul(s, NULL, 16);
}

static bool unpack_one(Disk *d)
{
    char h[110], path[4097] = "/", target[4097];

    disk_read(d, h, sizeof h);
    if (memcmp(h, "070701", 6))
        fail("the run's files: bad archive");
    uint32_t mode = hex8(h + 14), size = hex8(h + 54), namesize = hex8(h + 94);
    if (namesize < 2 || namesize > 4095)
        fail("the run's files: bad name");
    disk_read(d, path + 1, namesize);
    disk_align(d);
    if (!strcmp(path + 1, "TRAILER!!!"))
        return false;
    make_parents(path);
    if (S_ISDIR(mode)) {
        mkdir(path, mode & 07777);
    } else if (S_ISLNK(mode)) {
        if (size > 4096)
            fail("%s: link too long", path);
        disk_read(d, target, size);
        target[size] = 0;
        unlink(path);
        if (symlink(target, path) < 0)
            fail("%s: %s", path, strerror(errno));
    } else {
        unlink(path);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode & 07777);
        if (fd < 0)
            fail("%s: %s", path, strerror(errno));
        disk_copy(d, fd, size, path);
        close(fd);
    }
    disk_align(d);
    return true;
}

static void unpack_files(void)
{
    Disk d = {.fd = open("/dev/vda", O_RDONLY | O_CLOEXEC)};

    if (d.fd < 0 || posix_memalign((void **)&d.buf, 4096, DISK_BUF))
        fail("/dev/vda: %s", strerror(errno));
    ioctl(d.fd, BLKFLSBUF, 0); /* blocks cached before the state was saved are not this run's */
    posix_fadvise(d.fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    while (unpack_one(&d)) {
    }
    ioctl(d.fd, BLKFLSBUF, 0);
    close(d.fd);
    free(d.buf);
}

/* The second disk, if there is one, has an empty file system (--scratch). */
static void mount_scratch(void)
{
    if (!access("/dev/vdb", F_OK))
        mount_at("/dev/vdb", "/scratch", "ext4", NULL);
}

/* ---- streams ---- */

static Stream *stream_find(uint16_t id)
{
    for (int i = 0; i < MAX_STREAMS; i++)
        if (streams[i].used && streams[i].id == id)
            return &streams[i];
    return NULL;
}

static Stream *stream_new(uint16_t id, int rfd, int wfd)
{
    for (int i = 0; i < MAX_STREAMS; i++) {
        Stream *s = &streams[i];
        if (s->used)
            continue;
        uint8_t *buf = s->buf ? s->buf : malloc(WINDOW);
        *s = (Stream){.used = true, .id = id, .rfd = rfd, .wfd = wfd, .buf = buf};
        if (rfd >= 0)
            fcntl(rfd, F_SETFL, fcntl(rfd, F_GETFL) | O_NONBLOCK);
        if (wfd >= 0)
            fcntl(wfd, F_SETFL, fcntl(wfd, F_GETFL) | O_NONBLOCK);
        return s;
    }
    return NULL;
}

static void stream_close_write(Stream *s)
{
    if (s->wfd < 0)
        return;
    if (s->id >= S_FORWARD)
        shutdown(s->wfd, SHUT_WR);
    else if (s->wfd != pty_master)
        close(s->wfd);
    s->wfd = -1;
    s->len = 0;
}

static void stream_close_read(Stream *s)
{
    send_frame(F_EOF, s->id, NULL, 0);
    if (s->id >= S_FORWARD) { /* one descriptor for both directions: the far side is gone */
        close(s->rfd);
        s->used = false;
    } else if (s->rfd != pty_master) {
        close(s->rfd);
    }
    s->rfd = -1;
}

/* Returns false when nothing more can be read now. */
static bool stream_read(Stream *s)
{
    uint8_t data[CHUNK];
    ssize_t n = read(s->rfd, data, sizeof data);

    if (n > 0) {
        send_frame(F_DATA, s->id, data, (size_t)n);
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    stream_close_read(s);
    return false;
}

static void stream_flush(Stream *s)
{
    uint32_t done = 0;

    while (s->len > 0 && s->wfd >= 0) {
        ssize_t n = write(s->wfd, s->buf + s->head, s->len);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            stream_close_write(s);
            break;
        }
        s->head += (size_t)n;
        s->len -= (size_t)n;
        done += (uint32_t)n;
    }
    if (s->len == 0) {
        s->head = 0;
        if (s->eof_pending) {
            if (s->wfd == pty_master && pty_master >= 0)
                write_all(pty_master, "\4", 1);
            stream_close_write(s);
        }
    }
    if (done)
        send_frame(F_CREDIT, s->id, &done, sizeof done);
}

static void stream_data(uint16_t id, const uint8_t *data, uint32_t len)
{
    Stream *s = stream_find(id);

    if (!s || s->wfd < 0) { /* nobody reads: swallow, so that the sender does not wait */
        send_frame(F_CREDIT, id, &len, sizeof len);
        return;
    }
    if (s->len + len > WINDOW)
        fail("stream %u overran its window", id);
    if (s->head + s->len + len > WINDOW) {
        memmove(s->buf, s->buf + s->head, s->len);
        s->head = 0;
    }
    memcpy(s->buf + s->head + s->len, data, len);
    s->len += len;
    stream_flush(s);
}

static void forward_open(uint16_t id, const uint8_t *path, uint32_t len)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && len < sizeof sa.sun_path) {
        memcpy(sa.sun_path, path, len);
        if (!connect(fd, (struct sockaddr *)&sa, sizeof sa) && stream_new(id, fd, fd))
            return;
    }
    if (fd >= 0)
        close(fd);
    send_frame(F_EOF, id, NULL, 0);
}

/* ---- the command ---- */

typedef struct {
    bool tty;
    uint16_t rows, cols;
    char *cwd, *program;
    char **argv, **envp;
} Run;

static char *next_string(char **p, char *end)
{
    char *s = *p;
    char *nul = s < end ? memchr(s, 0, (size_t)(end - s)) : NULL;

    if (!nul)
        fail("bad GO frame");
    *p = nul + 1;
    return s;
}

static char **next_list(char **p, char *end)
{
    long n = atol(next_string(p, end));
    char **list = calloc((size_t)n + 1, sizeof *list);

    for (long i = 0; i < n; i++)
        list[i] = next_string(p, end);
    return list;
}

static void add_entropy(const char *seed)
{
    union {
        struct rand_pool_info info;
        char room[sizeof(struct rand_pool_info) + 64];
    } pool = {.info = {.entropy_count = 256, .buf_size = 64}};
    int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return;
    memcpy(pool.room + sizeof pool.info, seed, strnlen(seed, 64));
    ioctl(fd, RNDADDENTROPY, &pool);
    ioctl(fd, RNDRESEEDCRNG, 0);
    close(fd);
}

/* GO: seconds, random seed, tty rows cols, cwd, program, argv, environment; all as NUL-ended
 * strings. */
static void parse_go(Run *r, char *p, uint32_t len)
{
    char *end = p + len;
    struct timespec now = {.tv_sec = atol(next_string(&p, end))};
    char *seed = next_string(&p, end);

    clock_settime(CLOCK_REALTIME, &now);
    add_entropy(seed);
    r->tty = atoi(next_string(&p, end)) != 0;
    r->rows = (uint16_t)atoi(next_string(&p, end));
    r->cols = (uint16_t)atoi(next_string(&p, end));
    r->cwd = next_string(&p, end);
    r->program = next_string(&p, end);
    r->argv = next_list(&p, end);
    r->envp = next_list(&p, end);
}

__attribute__((noreturn)) static void exec_command(const Run *r)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    environ = r->envp;
    execvpe(r->program, r->argv, r->envp);
    int e = errno;
    dprintf(2, "kvm-host: %s: %s\n", r->program, strerror(e));
    _exit(e == ENOENT ? 127 : 126);
}

static void start_with_tty(const Run *r)
{
    struct winsize ws = {.ws_row = r->rows, .ws_col = r->cols};

    command = forkpty(&pty_master, NULL, NULL, &ws);
    if (command < 0)
        fail("forkpty: %s", strerror(errno));
    if (command == 0)
        exec_command(r);
    fcntl(pty_master, F_SETFD, FD_CLOEXEC);
    stream_new(S_STDIN, -1, pty_master);
    stream_new(S_STDOUT, pty_master, -1);
}

static void start_with_pipes(const Run *r)
{
    int in[2], out[2], err[2];

    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        fail("pipe: %s", strerror(errno));
    command = fork();
    if (command < 0)
        fail("fork: %s", strerror(errno));
    if (command == 0) {
        setsid();
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        exec_command(r);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    stream_new(S_STDIN, -1, in[1]);
    stream_new(S_STDOUT, out[0], -1);
    stream_new(S_STDERR, err[0], -1);
}

static void start_command(char *go, uint32_t len)
{
    Run r = {0};

    parse_go(&r, go, len);
    unpack_files();
    mount_scratch();
    make_parents(r.cwd);
    mkdir(r.cwd, 0755);
    if (chdir(r.cwd) < 0)
        fail("%s: %s", r.cwd, strerror(errno));
    if (r.tty)
        start_with_tty(&r);
    else
        start_with_pipes(&r);
    send_frame(F_STARTED, 0, NULL, 0);
}

/* ---- frames from outside ---- */

static void handle_frame(const Header *h, uint8_t *data)
{
    Stream *s = stream_find(h->stream);
    int sig;

    switch (h->type) {
    case F_GO:
        if (!command)
            start_command((char *)data, h->len);
        break;
    case F_DATA:
        stream_data(h->stream, data, h->len);
        break;
    case F_EOF:
        if (s) {
            s->eof_pending = true;
            stream_flush(s);
        }
        break;
    case F_OPEN:
        forward_open(h->stream, data, h->len);
        break;
    case F_SIGNAL:
        if (command > 0 && h->len == sizeof sig) {
            memcpy(&sig, data, sizeof sig);
            kill(-command, sig);
        }
        break;
    case F_WINSIZE:
        if (pty_master >= 0 && h->len == sizeof(struct winsize))
            ioctl(pty_master, TIOCSWINSZ, data);
        break;
    default:
        fail("unknown frame type %u", h->type);
    }
}

static void read_frames(void)
{
    static uint8_t *buf;
    static size_t len;

    if (!buf && !(buf = malloc(FRAME_MAX)))
        fail("out of memory");
    ssize_t n = read(mux, buf + len, FRAME_MAX - len);
    if (n <= 0)
        return;
    len += (size_t)n;

    size_t pos = 0;
    Header h;
    while (len - pos >= sizeof h) {
        memcpy(&h, buf + pos, sizeof h);
        if (h.len > FRAME_MAX - sizeof h)
            fail("oversized frame");
        if (len - pos < sizeof h + h.len)
            break;
        handle_frame(&h, buf + pos + sizeof h);
        pos += sizeof h + h.len;
    }
    memmove(buf, buf + pos, len - pos);
    len -= pos;
}

static void reap(int sigfd)
{
    struct signalfd_siginfo si;
    int status;
    pid_t pid;

    while (read(sigfd, &si, sizeof si) > 0) {
    }
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == command)
            exit_status = status;
}

static void finish(void)
{
    for (int i = 0; i < MAX_STREAMS; i++) {
        Stream *s = &streams[i];
        while (s->used && s->rfd >= 0 && stream_read(s)) {
        }
    }
    send_frame(F_EXIT, 0, &exit_status, sizeof exit_status);
    stop_here();
}

static void serve(int sigfd)
{
    struct pollfd fds[2 + 2 * MAX_STREAMS];
    Stream *owner[2 + 2 * MAX_STREAMS];

    while (exit_status < 0) {
        nfds_t n = 2;
        fds[0] = (struct pollfd){.fd = mux, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = sigfd, .events = POLLIN};
        for (int i = 0; i < MAX_STREAMS; i++) {
            Stream *s = &streams[i];
            if (s->used && s->rfd >= 0) {
                owner[n] = s;
                fds[n++] = (struct pollfd){.fd = s->rfd, .events = POLLIN};
            }
            if (s->used && s->wfd >= 0 && s->len > 0) {
                owner[n] = s;
                fds[n++] = (struct pollfd){.fd = s->wfd, .events = POLLOUT};
            }
        }
        if (poll(fds, n, -1) < 0)
            continue;
        for (nfds_t i = 2; i < n; i++) {
            Stream *s = owner[i];
            if (fds[i].revents == 0 || !s->used)
                continue;
            if (fds[i].events == POLLIN && s->rfd == fds[i].fd)
                stream_read(s);
            else if (fds[i].events == POLLOUT && s->wfd == fds[i].fd)
                stream_flush(s);
        }
        if (fds[0].revents & POLLIN)
            read_frames();
        if (fds[1].revents)
            reap(sigfd);
    }
}

int main(void)
{
    sigset_t chld;

    set_up_machine();
    open_port();
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, NULL);
    int sigfd = signalfd(-1, &chld, SFD_NONBLOCK | SFD_CLOEXEC);
    send_frame(F_READY, 0, NULL, 0);
    serve(sigfd);
    finish();
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * First process of the guests that the boot script, the tests and the benchmarks start.
 *
 * Says AEROSTAT-INIT at once (the boot benchmark's marker), loads the modules named in
 * /etc/modules, then does what aerostat.mode= on the kernel command line asks for: bench (power off
 * at once), shell (a shell on the console) or agent (the default: answers commands on the console,
 * a line each; see commands[] below). The power button ends the guest in the last two.
 *
 * With root=DEVICE on the command line the initramfs only mounts that (rootfstype=, ext4 where it
 * is not given; rootflags=; ro) and gives way to the disk's own first process (init=, /sbin/init),
 * which in the images of scripts/root-image.sh is this program again: AEROSTAT-ROOT. Where that
 * fails, it says why and goes on in the initramfs.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BUTTONS = 8 };

static double uptime(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- start and end ---- */

static bool in_initramfs(void)
{
    struct statfs s;

    return statfs("/", &s) == 0 && (s.f_type == RAMFS_MAGIC || s.f_type == TMPFS_MAGIC);
}

/* A disk that is the root is left clean: nobody writes to it any more, then it is read-only. */
static void leave_root(void)
{
    if (in_initramfs())
        return;
    kill(-1, SIGKILL); /* not ourselves */
    sync();
    for (int i = 0; i < 50 && mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0; i++)
        usleep(20000);
}

__attribute__((noreturn)) static void end_machine(int how)
{
    tcdrain(1);
    sync();
    leave_root();
    reboot(how);
    for (;;)
        pause();
}

/* What poweroff, halt and reboot of busybox send to the first process. */
static void on_signal(int sig)
{
    end_machine(sig == SIGTERM ? RB_AUTOBOOT : sig == SIGUSR1 ? RB_HALT_SYSTEM : RB_POWER_OFF);
}

/* By us in the initramfs, when it is the disk's turn. */
static bool is_mounted(const char *where)
{
    char up[64];
    struct stat here, above;

    snprintf(up, sizeof up, "%s/..", where);
    return stat(where, &here) == 0 && stat(up, &above) == 0 && here.st_dev != above.st_dev;
}

static void mount_all(void)
{
    static const struct {
        const char *what, *where, *type;
    } table[] = {
        {"proc", "/proc", "proc"},        {"sysfs", "/sys", "sysfs"},
        {"devtmpfs", "/dev", "devtmpfs"}, {"devpts", "/dev/pts", "devpts"},
        {"tmpfs", "/tmp", "tmpfs"},       {"debugfs", "/sys/kernel/debug", "debugfs"},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        mkdir(table[i].where, 0755);
        if (!is_mounted(table[i].where) &&
            mount(table[i].what, table[i].where, table[i].type, 0, NULL) < 0)
            printf("init: mount %s: %s\n", table[i].where, strerror(errno));
    }
}

static void load_modules(void)
{
    char path[256];
    FILE *list = fopen("/etc/modules", "re");

    while (list && fgets(path, sizeof path, list)) {
        path[strcspn(path, "\n")] = 0;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 ||
            (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST && errno != ENODEV))
            printf("init: module %s: %s\n", path, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    if (list)
        fclose(list);
}

/* The value of KEY=value on the kernel command line; the last one counts. Without room for a value:
 * whether KEY is there as a word of its own. */
static bool boot_word(const char *key, char *value, size_t size)
{
    char line[4096] = "";
    bool found = false;
    FILE *f = fopen("/proc/cmdline", "re");

    if (f && !fgets(line, sizeof line, f))
        line[0] = 0;
    if (f)
        fclose(f);
    for (char *save, *w = strtok_r(line, " \n", &save); w; w = strtok_r(NULL, " \n", &save)) {
        size_t n = strlen(key);
        if (strncmp(w, key, n) != 0 || w[n] != (value ? '=' : 0))
            continue;
        if (value)
            snprintf(value, size, "%s", w + n + 1);
        found = true;
    }
    return found;
}

/* ---- the root on a disk ---- */

enum { ROOT_WAIT_MS = 10000 };

/* Disks may come a little later than their driver. */
static bool mount_root(const char *device, const char *where)
{
    char type[32] = "ext4", flags[256] = "";
    int waited = 0;

    boot_word("rootfstype", type, sizeof type);
    boot_word("rootflags", flags, sizeof flags);
    while (access(device, F_OK) < 0 && waited < ROOT_WAIT_MS) {
        usleep(10000);
        waited += 10;
    }
    if (mount(device, where, type, boot_word("ro", NULL, 0) ? MS_RDONLY : 0, flags) == 0)
        return true;
    printf("init: root=%s: cannot mount as %s: %s\n", device, type,
           errno == ENODEV ? "the kernel does not know it" : strerror(errno));
    return false;
}

/* Gives way to the first process on the disk; returns where there is none. */
static void switch_root(const char *device)
{
    static const char *const moved[] = {"/dev", "/proc", "/sys"};
    char init[256] = "/sbin/init", inside[300], to[64];
    struct stat st;

    boot_word("init", init, sizeof init);
    mkdir("/root", 0755);
    if (!mount_root(device, "/root"))
        return;
    snprintf(inside, sizeof inside, "/root%s", init);
    if (lstat(inside, &st) < 0) { /* a link leads elsewhere from there */
        printf("init: root=%s: no %s there: %s\n", device, init, strerror(errno));
        umount("/root");
        return;
    }
    for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
        snprintf(to, sizeof to, "/root%s", moved[i]);
        mkdir(to, 0755);
        if (mount(moved[i], to, NULL, MS_MOVE, NULL) < 0)
            printf("init: root=%s: cannot move %s: %s\n", device, moved[i], strerror(errno));
    }
    if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        printf("init: root=%s: cannot make it the root: %s\n", device, strerror(errno));
    fflush(stdout);
    execl(init, init, (char *)NULL);
    printf("init: root=%s: cannot start %s: %s\n", device, init, strerror(errno));
}

static int run_shell(const char *line)
{
    int status = 0;

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(1, 2);
        int null = open("/dev/null", O_RDONLY);
        dup2(null, 0);
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    if (pid < 0)
        return 126;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- the agent's commands ---- */

static int print_file(const char *path)
{
    char data[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0) {
        printf("%s: %s\n", path, strerror(errno));
        return 1;
    }
    while ((n = read(fd, data, sizeof data)) > 0)
        fwrite(data, 1, (size_t)n, stdout);
    close(fd);
    return n < 0;
}

static int cmd_ping(const char *arg)
{
    printf("pong %s\n", arg);
    return 0;
}

/* All of it, or the lines that begin with a word: the console is slow. */
static int cmd_meminfo(const char *arg)
{
    char line[256];
    FILE *f = fopen("/proc/meminfo", "re");

    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, arg, strlen(arg)))
            fputs(line, stdout);
    if (f)
        fclose(f);
    return !f;
}

static int cmd_cat(const char *arg)
{
    return print_file(arg);
}

static void read_word(const char *dir, const char *name, const char *file, char *out, size_t size)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s/%s", dir, name, file);
    snprintf(out, size, "-");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, out, size - 1);
    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\n")] = 0;
    close(fd);
}

static void driver_of(const char *dir, const char *name, char *out, size_t size)
{
    char path[512], target[512];

    snprintf(path, sizeof path, "%s/%s/driver", dir, name);
    ssize_t n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = 0;
    const char *slash = strrchr(target, '/');
    snprintf(out, size, "%s", slash ? slash + 1 : "-");
}

static int not_hidden(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static int for_each_device(const char *dir, void (*show)(const char *dir, const char *name))
{
    struct dirent **list;
    int n = scandir(dir, &list, not_hidden, alphasort);

    for (int i = 0; i < n; i++) {
        show(dir, list[i]->d_name);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    return n < 0;
}

static void show_virtio(const char *dir, const char *name)
{
    char id[32], status[32], features[80], driver[64];
    unsigned long long bits = 0;

    read_word(dir, name, "device", id, sizeof id);
    read_word(dir, name, "status", status, sizeof status);
    read_word(dir, name, "features", features,
              sizeof features); /* a string of 0 and 1, bit 0 first */
    for (int i = 0; features[i] && i < 64; i++)
        bits |= (unsigned long long)(features[i] == '1') << i;
    driver_of(dir, name, driver, sizeof driver);
    printf("%s device=%s driver=%s status=%s features=0x%llx\n", name, id, driver, status, bits);
}

static int cmd_balloon(const char *arg)
{
    (void)arg;
    return for_each_device("/sys/bus/virtio/devices", show_virtio);
}

static void show_pci(const char *dir, const char *name)
{
    char vendor[32], device[32], class[32], driver[64];

    read_word(dir, name, "vendor", vendor, sizeof vendor);
    read_word(dir, name, "device", device, sizeof device);
    read_word(dir, name, "class", class, sizeof class);
    driver_of(dir, name, driver, sizeof driver);
    printf("%s vendor=%s device=%s class=%s driver=%s\n", name, vendor, device, class, driver);
}

static int cmd_pci(const char *arg)
{
    (void)arg;
    return for_each_device("/sys/bus/pci/devices", show_pci);
}

/* Takes memory in a child and touches it: 0 when it got all, 137 when the guest's OOM killer ended
 * it. */
static int cmd_oom(const char *arg)
{
    size_t mb = strtoul(arg, NULL, 10);
    int status = 0;

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && write(fd, "1000", 4) == 4)
            close(fd);
        for (size_t i = 0; i < mb; i++) {
            char *p =
                mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (p == MAP_FAILED)
                _exit(12);
            for (size_t o = 0; o < 1 << 20; o += 4096)
                p[o] = (char)(i + o);
        }
        printf("allocated %zu MB\n", mb);
        fflush(stdout);
        _exit(0);
    }
    if (pid < 0)
        return 126;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static char *held;
static size_t held_bytes;

/* Holds that much touched memory until the next hold; 0 gives it back. */
static int cmd_hold(const char *arg)
{
    size_t bytes = strtoul(arg, NULL, 10) << 20;

    if (held)
        munmap(held, held_bytes);
    held = NULL;
    if (bytes == 0)
        return 0;
    held = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (held == MAP_FAILED) {
        held = NULL;
        return 12;
    }
    held_bytes = bytes;
    for (size_t o = 0; o < bytes; o += 4096)
        held[o] = (char)(o >> 12 | 1);
    return 0;
}

/* Reads so many bytes of the hardware's randomness: how many came, how many different ones, the
 * first eight of them. */
static int cmd_random(const char *arg)
{
    static unsigned char data[65536];
    size_t size = strtoul(arg, NULL, 10), have = 0;
    int fd = open("/dev/hwrng", O_RDONLY | O_CLOEXEC);
    bool seen[256] = {false};
    unsigned different = 0;
    ssize_t n;

    if (size > sizeof data)
        size = sizeof data;
    while (fd >= 0 && have < size && (n = read(fd, data + have, size - have)) > 0)
        have += (size_t)n;
    if (fd >= 0)
        close(fd);
    for (size_t i = 0; i < have; i++) {
        different += !seen[data[i]];
        seen[data[i]] = true;
    }
    printf("%zu bytes, %u different:", have, different);
    for (size_t i = 0; i < have && i < 8; i++)
        printf(" %02x", data[i]);
    printf("\n");
    return have < size;
}

/* ---- streams of bytes that both ends can make, xorshift64 of a seed ---- */

enum { CHUNK = 1 << 18 };

static void next_words(uint64_t *words, size_t n, uint64_t *x)
{
    for (size_t i = 0; i < n; i++) {
        *x ^= *x << 13;
        *x ^= *x >> 7;
        *x ^= *x << 17;
        words[i] = *x;
    }
}

static int connect_to(const char *ip, unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (inet_pton(AF_INET, ip, &to.sin_addr) == 1 &&
        connect(s, (struct sockaddr *)&to, sizeof to) == 0)
        return s;
    dprintf(1, "%s port %u: %s\n", ip, port, strerror(errno)); /* _exit follows */
    close(s);
    return -1;
}

static bool write_all(int s, const void *data, size_t len)
{
    for (ssize_t n; len > 0; len -= (size_t)n, data = (const char *)data + n)
        if ((n = write(s, data, len)) <= 0)
            return false;
    return true;
}

/* The other end says by one byte that it has got all. */
static bool send_stream(int s, size_t mb, uint64_t seed)
{
    static uint64_t chunk[CHUNK / 8];
    char end;

    for (size_t left = mb << 20; left > 0; left -= CHUNK) {
        next_words(chunk, CHUNK / 8, &seed);
        if (!write_all(s, chunk, CHUNK))
            return false;
    }
    return read(s, &end, 1) == 1;
}

static bool check_stream(int s, size_t mb, uint64_t seed)
{
    static uint64_t chunk[CHUNK / 8], want[CHUNK / 8];

    for (size_t left = mb << 20; left > 0; left -= CHUNK) {
        next_words(want, CHUNK / 8, &seed);
        if (recv(s, chunk, CHUNK, MSG_WAITALL) != CHUNK || memcmp(chunk, want, CHUNK) != 0)
            return false;
    }
    return write(s, "", 1) == 1;
}

/* From or to one processor; the first eight bytes of a connection are its seed. */
static bool one_stream(bool up, const char *ip, unsigned port, size_t mb, unsigned cpu)
{
    uint64_t seed = cpu + 1;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
    int s = connect_to(ip, port);
    return s >= 0 && write_all(s, &seed, sizeof seed) &&
           (up ? send_stream(s, mb, seed) : check_stream(s, mb, seed));
}

/* "up" or "down", IP PORT MB: a stream for each processor, from here or checked here. */
static int cmd_streams(const char *arg)
{
    enum { MOST = 16 };
    unsigned port, mb, n = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    pid_t pids[MOST];
    char way[8], ip[32];
    int status = 0, one;

    if (sscanf(arg, "%7s %31s %u %u", way, ip, &port, &mb) != 4 || n > MOST)
        return 2;
    fflush(stdout);
    for (unsigned i = 0; i < n; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(!one_stream(strcmp(way, "up") == 0, ip, port, mb, i));
    }
    for (unsigned i = 0; i < n; i++)
        status |= waitpid(pids[i], &one, 0) != pids[i] || one != 0;
    return status;
}

static int cmd_poweroff(const char *arg)
{
    (void)arg;
    printf("AEROSTAT-DONE 0\n");
    fflush(stdout);
    end_machine(RB_POWER_OFF);
}

static int cmd_reboot(const char *arg)
{
    (void)arg;
    printf("AEROSTAT-DONE 0\n");
    fflush(stdout);
    end_machine(RB_AUTOBOOT);
}

static int cmd_uptime(const char *arg)
{
    (void)arg;
    printf("uptime=%.3f\n", uptime());
    return 0;
}

static const struct {
    const char *name;
    int (*run)(const char *arg);
} commands[] = {
    {"ping", cmd_ping},       /* pong WORDS */
    {"uptime", cmd_uptime},   /* uptime=SECONDS */
    {"meminfo", cmd_meminfo}, /* /proc/meminfo, or its lines that begin with WORD */
    {"cat", cmd_cat},         /* a file */
    {"balloon", cmd_balloon}, /* virtio devices: name, id, driver, status, features */
    {"virtio", cmd_balloon},    {"pci", cmd_pci}, /* PCI functions: address, ids, class, driver */
    {"run", run_shell},                           /* a shell command, its output and its status */
    {"random", cmd_random},                       /* read bytes from /dev/hwrng */
    {"oom", cmd_oom},                             /* take MB in a child */
    {"hold", cmd_hold},                           /* keep MB */
    {"streams", cmd_streams}, /* up or down, IP PORT MB: bytes to or from there, checked */
    {"poweroff", cmd_poweroff}, {"reboot", cmd_reboot},
};

/* ---- what the guest is doing ---- */

/* The agent's command, empty between two: shared with the process that watches the button. */
static char *under_way;

/* A few words of a file of /proc, on one line. */
static void print_words(const char *pid, const char *file, const char *head, int most)
{
    char path[300], text[2048];

    snprintf(path, sizeof path, "/proc/%s/%s", pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    for (ssize_t i = 0; i < n; i++)
        if (!text[i])
            text[i] = ' '; /* between the words of a command line */
    text[n > 0 ? n : 0] = 0;
    for (char *save, *l = strtok_r(text, "\n", &save); l && most-- > 0;
         l = strtok_r(NULL, "\n", &save))
        printf(" %.60s", strncmp(l, head, strlen(head)) ? l : l + strlen(head));
}

/* What has a command line, and kernel threads that wait for a disk or run. */
static void print_task(const char *dir, const char *pid)
{
    char stat[512], cmdline[8];

    if (pid[0] < '0' || pid[0] > '9')
        return;
    read_word(dir, pid, "stat", stat, sizeof stat);
    read_word(dir, pid, "cmdline", cmdline, sizeof cmdline);
    const char *end = strrchr(stat, ')');
    if (!end || (!cmdline[0] && end[2] != 'D' && end[2] != 'R'))
        return;
    printf("%.*s %c:", (int)(end + 1 - stat), stat, end[2]);
    print_words(pid, "cmdline", "", 1);
    printf(" in");
    print_words(pid, "stack", "[<0>] ", 6);
    printf("\n");
}

/* Twice, so that what stands still can be told from what is slow. */
static void print_state(void)
{
    static const char numbers[] =
        "read up rest </proc/uptime; echo uptime $up; for d in /sys/block/*; do "
        "read f <$d/inflight; read s <$d/stat; echo ${d##*/}: in flight $f, stat $s; done; "
        "for q in /sys/kernel/debug/block/vd*/hctx*/busy; do "
        "while read l; do echo $q: $l; done <$q; done 2>/dev/null; cat /proc/interrupts";

    printf("AEROSTAT-STATE during: %.60s\n", under_way);
    run_shell(numbers);
    for_each_device("/proc", print_task);
    sleep(1);
    run_shell(numbers);
    printf("AEROSTAT-STATE end\n");
    fflush(stdout);
}

/* ---- the power button ---- */

static int open_buttons(int fds[MAX_BUTTONS])
{
    int n = 0;

    for (int i = 0; i < 16 && n < MAX_BUTTONS; i++) {
        char path[32];
        unsigned long keys[KEY_CNT / (8 * sizeof(long)) + 1] = {0};
        const size_t bits = 8 * sizeof(long);

        snprintf(path, sizeof path, "/dev/input/event%d", i);
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (ioctl(fd, EVIOCGBIT(EV_KEY, sizeof keys), keys) >= 0 &&
            keys[KEY_POWER / bits] >> (KEY_POWER % bits) & 1)
            fds[n++] = fd;
        else
            close(fd);
    }
    return n;
}

/* A process of its own waits for the button, so that it works whatever the console is doing. */
static void watch_power_button(void)
{
    int fds[MAX_BUTTONS];
    struct pollfd p[MAX_BUTTONS];
    struct input_event e;
    int n = open_buttons(fds);

    under_way = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (n == 0 || fork() != 0)
        return;
    for (int i = 0; i < n; i++)
        p[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    for (;;) {
        poll(p, (nfds_t)n, -1);
        for (int i = 0; i < n; i++) {
            while (read(fds[i], &e, sizeof e) == sizeof e) {
                if (e.type == EV_KEY && e.code == KEY_POWER && e.value == 1) {
                    printf("AEROSTAT-POWERBUTTON\n");
                    fflush(stdout);
                    if (*under_way)
                        print_state();
                    end_machine(RB_POWER_OFF);
                }
            }
        }
    }
}

/* ---- the agent ---- */

static int act_on(char *line)
{
    size_t n = strcspn(line, " ");
    const char *arg = line[n] ? line + n + 1 : line + n;

    line[n] = 0;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(line, commands[i].name))
            return commands[i].run(arg);
    printf("unknown command %s\n", line);
    return 127;
}

__attribute__((noreturn)) static void agent(void)
{
    char line[4096];
    struct termios t;

    if (!tcgetattr(0, &t)) { /* lines as they are: no echo, no carriage returns */
        t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ISIG);
        t.c_oflag &= ~(tcflag_t)OPOST;
        tcsetattr(0, TCSANOW, &t);
    }
    klogctl(8, NULL, 3); /* kernel messages below "critical" would cut replies in two */
    printf("AEROSTAT-READY uptime=%.3f\n", uptime());
    fflush(stdout);
    for (;;) {
        if (!fgets(line, sizeof line,
                   stdin)) { /* nobody there (yet): the power button still works */
            clearerr(stdin);
            sleep(1);
            continue;
        }
        line[strcspn(line, "\r\n")] = 0;
        if (!line[0])
            continue;
        strcpy(under_way, line);
        int status = act_on(line);
        *under_way = 0;
        while (waitpid(-1, NULL, WNOHANG) > 0) { /* orphans of what was run */
        }
        printf("AEROSTAT-DONE %d\n", status);
        fflush(stdout);
    }
}

/* ---- the shell ---- */

/* The active console's device: /dev/console itself can be no controlling terminal, so no job
 * control. */
static void console_device(char *path, size_t size)
{
    char name[64];

    read_word("/sys/class/tty", "console", "active", name, sizeof name);
    const char *last = strrchr(name, ' ');
    snprintf(path, size, "/dev/%s", last ? last + 1 : name);
}

__attribute__((noreturn)) static void shell(void)
{
    char path[80];

    console_device(path, sizeof path);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        int fd = open(path, O_RDWR);
        if (fd >= 0) {
            ioctl(fd, TIOCSCTTY, 1);
            dup2(fd, 0);
            dup2(fd, 1);
            dup2(fd, 2);
        }
        setenv("HOME", "/root", 1);
        setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin", 1);
        setenv("PS1", "guest:\\w# ", 1);
        if (!getenv("TERM"))
            setenv("TERM", "linux", 1);
        chdir("/root");
        execl("/bin/sh", "-sh", (char *)NULL);
        _exit(127);
    }
    for (pid_t done = 0; done != pid && !(done < 0 && errno == ECHILD);)
        done = wait(NULL);
    end_machine(RB_POWER_OFF);
}

int main(void)
{
    char mode[32] = "agent", root[128];
    bool first = in_initramfs();

    printf("AEROSTAT-%s uptime=%.3f\n", first ? "INIT" : "ROOT", uptime());
    fflush(stdout);
    mount_all();
    boot_word("aerostat.mode", mode, sizeof mode);
    if (!strcmp(mode, "bench"))
        end_machine(RB_POWER_OFF);
    load_modules();
    if (first && boot_word("root", root, sizeof root))
        switch_root(root);
    setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin", 1);
    watch_power_button();
    signal(SIGTERM, on_signal);
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, on_signal);
    if (!strcmp(mode, "shell"))
        shell();
    agent();
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening of taps: /dev/net/tun, descriptors of others, helpers and scripts.
 */
#include "backends/net-tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- an interface by name --- */

static bool explain(int errnum, const char *ifname, GError **err)
{
    switch (errnum) {
    case EPERM:
        return error_set(err,
                         "not permitted to use the tap '%s': it takes CAP_NET_ADMIN or a tap of "
                         "this user ('ip tuntap add %s mode tap user NAME'); helper=, 'bridge' and "
                         "'user' do without",
                         ifname, ifname);
    case EBUSY:
        return error_set(err, "the tap '%s' is in use by another process", ifname);
    case EINVAL:
        return error_set(err, "'%s' is not a tap, or has another number of queues", ifname);
    default:
        return error_set_errno(err, errnum, "cannot use the tap '%s'", ifname);
    }
}

int tap_open(char ifname[IFNAMSIZ], bool multiqueue, GError **err)
{
    struct ifreq ifr = {
        .ifr_flags =
            (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (multiqueue ? IFF_MULTI_QUEUE : 0)),
    };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        error_set_errno(err, errno, "cannot open /dev/net/tun");
        return -1;
    }
    g_strlcpy(ifr.ifr_name, *ifname ? ifname : "tap%d", IFNAMSIZ);
    if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
        explain(errno, ifr.ifr_name, err);
        close(fd);
        return -1;
    }
    g_strlcpy(ifname, ifr.ifr_name, IFNAMSIZ);
    return fd;
}

bool tap_adopt(int fd, char ret_ifname[IFNAMSIZ], bool *ret_vnet, bool *ret_multiqueue,
               GError **err)
{
    struct ifreq ifr = {0};

    if (ioctl(fd, TUNGETIFF, &ifr) < 0 || !(ifr.ifr_flags & IFF_TAP)) {
        return error_set(err, "file descriptor %d is not a tap", fd);
    }
    if (!(ifr.ifr_flags & IFF_NO_PI)) {
        return error_set(err, "the tap '%s' was opened without IFF_NO_PI", ifr.ifr_name);
    }
    net_own_fd(fd);
    g_strlcpy(ret_ifname, ifr.ifr_name, IFNAMSIZ);
    *ret_vnet = ifr.ifr_flags & IFF_VNET_HDR;
    *ret_multiqueue = ifr.ifr_flags & IFF_MULTI_QUEUE;
    return true;
}

/* --- its settings --- */

bool tap_set_header(int fd, size_t len, GError **err)
{
    int size = (int)len;

    return ioctl(fd, TUNSETVNETHDRSZ, &size) == 0 ||
           error_set_errno(err, errno, "cannot set the tap's header");
}

bool tap_prepare(int fd, bool vnet, uint64_t sndbuf, GError **err)
{
    int limit = sndbuf && sndbuf < INT_MAX ? (int)sndbuf : INT_MAX;

    if (vnet && !tap_set_header(fd, sizeof(struct virtio_net_hdr), err)) {
        return false;
    }
    return ioctl(fd, TUNSETSNDBUF, &limit) == 0 || !sndbuf ||
           error_set_errno(err, errno, "sndbuf=%" G_GUINT64_FORMAT, sndbuf);
}

static const struct {
    unsigned offload, flag;
} flags[] = {
    {NET_OFFLOAD_CSUM, TUN_F_CSUM}, {NET_OFFLOAD_TSO4, TUN_F_TSO4},
    {NET_OFFLOAD_TSO6, TUN_F_TSO6}, {NET_OFFLOAD_ECN, TUN_F_TSO_ECN},
    {NET_OFFLOAD_UFO, TUN_F_UFO},   {NET_OFFLOAD_USO4, TAP_F_USO4},
    {NET_OFFLOAD_USO6, TAP_F_USO6},
};

bool tap_set_offloads(int fd, unsigned offloads)
{
    unsigned long arg = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        arg |= offloads & flags[i].offload ? flags[i].flag : 0;
    }
    return ioctl(fd, TUNSETOFFLOAD, arg) == 0;
}

unsigned tap_probe_offloads(int fd)
{
    unsigned all = 0;

    if (!tap_set_offloads(fd, NET_OFFLOAD_CSUM)) {
        return 0;
    }
    all = NET_OFFLOAD_CSUM;
    for (unsigned i = 1; i < G_N_ELEMENTS(flags); i++) {
        unsigned with = flags[i].offload == NET_OFFLOAD_ECN ? NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6
                        : flags[i].offload & (NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6)
                            ? NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6 /* both or none */
                            : 0;

        if (tap_set_offloads(fd, NET_OFFLOAD_CSUM | with | flags[i].offload)) {
            all |= flags[i].offload;
        }
    }
    tap_set_offloads(fd, 0);
    return all;
}

bool tap_set_queue(int fd, bool on)
{
    struct ifreq ifr = {.ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};

    return ioctl(fd, TUNSETQUEUE, &ifr) == 0;
}

/* --- other programs --- */

/* Between fork and exec. */
static void reset_signals(gpointer unused)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

bool tap_run_script(const char *what, const char *script, const char *ifname, GError **err)
{
    const char *argv[] = {script, ifname, NULL};
    g_autoptr(GError) why = NULL;
    int status = 0;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_CHILD_INHERITS_STDIN, reset_signals, NULL,
                      NULL, NULL, &status, &why)) {
        return error_set(err, "%s=%s: cannot run it: %s", what, script, why->message);
    }
    return status == 0 || error_set(err, "%s=%s: it failed with status %d", what, script,
                                    WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* The descriptor that a helper sends; -1: none. */
static int receive_fd(int sock)
{
    char byte, control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    struct cmsghdr *c;
    ssize_t n;
    int fd = -1;

    do {
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    }
    return fd;
}

/* As QEMU: a plain path is a program, anything with blanks a command line. */
static GPtrArray *helper_argv(const char *helper, const char *br, const char *fd_arg)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    bool line = strpbrk(helper, " \t");

    if (line) {
        g_ptr_array_add(argv, g_strdup("/bin/sh"));
        g_ptr_array_add(argv, g_strdup("-c"));
        g_ptr_array_add(argv,
                        strstr(helper, "--br=")
                            ? g_strdup_printf("%s --use-vnet %s", helper, fd_arg)
                            : g_strdup_printf("%s --use-vnet %s --br=%s", helper, fd_arg, br));
    } else {
        g_ptr_array_add(argv, g_strdup(helper));
        g_ptr_array_add(argv, g_strdup("--use-vnet"));
        g_ptr_array_add(argv, g_strdup(fd_arg));
        g_ptr_array_add(argv, g_strdup_printf("--br=%s", br));
    }
    g_ptr_array_add(argv, NULL);
    return argv;
}

int tap_run_helper(const char *helper, const char *br, GError **err)
{
    g_autoptr(GPtrArray) argv = NULL;
    g_autofree char *fd_arg = NULL;
    int pair[2], fd, status = 0;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        error_set_errno(err, errno, "socketpair");
        return -1;
    }
    fd_arg = g_strdup_printf("--fd=%d", pair[1]);
    argv = helper_argv(helper, br, fd_arg);
    pid = fork();
    if (pid == 0) {
        reset_signals(NULL);
        fcntl(pair[1], F_SETFD, 0);
        execv(argv->pdata[0], (char **)argv->pdata);
        _exit(127);
    }
    close(pair[1]);
    fd = pid > 0 ? receive_fd(pair[0]) : -1;
    close(pair[0]);
    if (pid > 0) {
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    }
    if (fd < 0) {
        error_set(err, "helper=%s: it gave no tap for bridge '%s' (status %d)", helper, br,
                  WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    }
    return fd;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unix sockets in the file system, see unix-socket.h.
 */
#include "backends/unix-socket.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool unix_socket_address(const char *path, struct sockaddr_un *ret_addr, GError **err)
{
    if (!path[0]) {
        return error_set(err, "the path is missing: unix:PATH");
    }
    if (strlen(path) >= sizeof ret_addr->sun_path) {
        return error_set(err, "the path is longer than %zu bytes", sizeof ret_addr->sun_path - 1);
    }
    *ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    g_strlcpy(ret_addr->sun_path, path, sizeof ret_addr->sun_path);
    return true;
}

bool unix_socket_remove_stale(const char *path, int type, GError **err)
{
    struct sockaddr_un addr;
    struct stat st;
    int fd, rc, errnum;

    if (!unix_socket_address(path, &addr, err)) {
        return false;
    }
    if (lstat(path, &st) < 0) {
        return true; /* bind tells what is wrong with the directory */
    }
    if (!S_ISSOCK(st.st_mode)) {
        return error_set(err, "exists and is not a socket: choose another path or remove it");
    }
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    rc = connect(fd, (const struct sockaddr *)&addr, sizeof addr);
    errnum = errno;
    close(fd);
    if (rc == 0 || errnum != ECONNREFUSED) {
        return error_set(err, "address in use: another process listens there");
    }
    if (unlink(path) < 0) {
        return error_set_errno(err, errno, "cannot remove the stale socket");
    }
    return true;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NBD servers for tests, see the header.
 */
#include "nbd-fixture.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t nbd_server;

static bool installed(const char *program)
{
    g_autofree char *path = g_find_program_in_path(program);

    return path != NULL;
}

bool nbd_servers_installed(void)
{
    return installed("nbdkit") && installed("qemu-nbd");
}

/* The socket's file comes before the server listens, and some servers take one connection only: the
 * kernel's list tells without one. */
static bool listens(const char *sock)
{
    g_autofree char *list = NULL, *end = g_strdup_printf(" %s", sock);
    g_auto(GStrv) lines = NULL;

    ck_assert(g_file_get_contents("/proc/net/unix", &list, NULL, NULL));
    lines = g_strsplit(list, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (g_str_has_suffix(*line, end) && strstr(*line, " 00010000 ")) { /* __SO_ACCEPTCON */
            return true;
        }
    }
    return false;
}

static void spawn(const char *sock, unsigned ms, const char *fmt, va_list ap)
{
    g_autofree char *command = g_strdup_vprintf(fmt, ap);
    g_auto(GStrv) words = g_strsplit(command, " ", 0);

    unlink(sock);
    nbd_server = fork();
    if (nbd_server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        g_usleep(ms * 1000ul);
        execvp(words[0], words);
        _exit(127);
    }
}

void nbd_serve_later(const char *sock, unsigned ms, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    spawn(sock, ms, fmt, ap);
    va_end(ap);
}

void nbd_serve(const char *sock, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    spawn(sock, 0, fmt, ap);
    va_end(ap);
    for (unsigned i = 0; !listens(sock) && i < 5000; i++) {
        g_usleep(2000);
    }
    ck_assert(listens(sock));
}

void nbd_server_kill(void)
{
    if (nbd_server > 0) {
        kill(nbd_server, SIGKILL);
        waitpid(nbd_server, NULL, 0);
    }
    nbd_server = 0;
}

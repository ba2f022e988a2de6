/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outb PORT VALUE: writes a byte to a port of the guest. Linked statically, handed to a guest by
 * the guest tests.
 */
#include <stdlib.h>
#include <sys/io.h>

int main(int argc, char **argv)
{
    unsigned short port;

    if (argc != 3) {
        return 2;
    }
    port = (unsigned short)strtoul(argv[1], NULL, 0);
    if (ioperm(port, 4, 1) < 0) {
        return 1;
    }
    outb((unsigned char)strtoul(argv[2], NULL, 0), port);
    return 0;
}

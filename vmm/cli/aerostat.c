/* SPDX-License-Identifier: BSD-2-Clause */
/* The executable; all it does is in main.c. */
#include "vmm/cli/main.h"

int main(int argc, char **argv)
{
    return aerostat_main(argc, argv, NULL);
}

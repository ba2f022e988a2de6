/* SPDX-License-Identifier: BSD-2-Clause */
/* The cases of test-pci that live in test-pci-bars.c. */
#ifndef AEROSTAT_TESTS_TEST_PCI_H
#define AEROSTAT_TESTS_TEST_PCI_H

#include <check.h>

TCase *test_pci_bars_case(void);
TCase *test_pci_random_case(void);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's binary statistics (Linux: Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD): a file that describes itself.
 */
#ifndef AEROSTAT_VMM_ACCEL_KVM_STATS_H
#define AEROSTAT_VMM_ACCEL_KVM_STATS_H

#include <stdbool.h>
#include <glib.h>
#include <jansson.h>

/*
 * What the file says, as query-stats has it: an array of {"name", "value"}; with schemas as query-stats-schemas has it:
 * of {"name", "type", "unit", "base", "exponent", "bucket-size"}. What is of a kind that is not known is left out. New
 * reference; NULL with err: it cannot be read, or makes no sense.
 */
json_t *kvm_stats_read(int fd, bool schemas, GError **err);

#endif

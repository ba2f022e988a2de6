/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one GError domain of Aerostat. The code tells a QMP client which class of error it was; the message
 * is one line: what is wrong, where, and what would be right. Lives in qom/, below everything else.
 */
#ifndef AEROSTAT_QOM_ERROR_H
#define AEROSTAT_QOM_ERROR_H

#include <stdbool.h>
#include <glib.h>

typedef enum {
    AEROSTAT_ERROR_GENERIC,           /* QMP class GenericError */
    AEROSTAT_ERROR_NOT_FOUND,         /* a device, object or path that is not there: DeviceNotFound */
    AEROSTAT_ERROR_NOT_ACTIVE,        /* a device that is there, but not in use: DeviceNotActive */
    AEROSTAT_ERROR_COMMAND_NOT_FOUND, /* QMP class CommandNotFound */
    AEROSTAT_ERROR_KVM_MISSING_CAP,   /* QMP class KVMMissingCap */
} AerostatError;

#define AEROSTAT_ERROR (aerostat_error_quark())

GQuark aerostat_error_quark(void);

/* Sets *err (when err is not NULL) to AEROSTAT_ERROR_GENERIC with the formatted line; always returns false. */
void error_set_line(GError **err, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
#define error_set(...)                                                                             \
    ({                                                                                             \
        error_set_line(__VA_ARGS__);                                                               \
        false; /* here, so that the compiler knows it and follows the failure path */              \
    })

/* The same, followed by ": " and the text of errnum. */
void error_set_errno_line(GError **err, int errnum, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
#define error_set_errno(...)                                                                       \
    ({                                                                                             \
        error_set_errno_line(__VA_ARGS__);                                                         \
        false;                                                                                     \
    })

/*
 * The candidate nearest to word (edit distance, case ignored) when it is near enough to be a typing slip,
 * else NULL. candidates is NULL-terminated; the result is one of its entries.
 */
const char *error_near_miss(const char *word, const char *const *candidates);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small AML builder (ACPI 6.5 §20.2): bytes are appended to a GByteArray in the order in which they appear. What
 * has a package length is opened by an aml_*_begin() and closed by aml_end(), which puts the length in. Also
 * resource descriptors (§6.4), collected in an array of their own and wrapped by aml_name_resources().
 *
 * Names are ASL paths ("\\_SB.PCI0", "_HID"); segments are padded with '_'. Wrong names are our own faults: asserted.
 */
#ifndef AEROSTAT_VMM_ACPI_AML_H
#define AEROSTAT_VMM_ACPI_AML_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

typedef struct {
    guint at; /* where the package length goes */
} AmlMark;

/* --- data --- */
void aml_int(GByteArray *out, uint64_t value); /* the shortest encoding */
void aml_string(GByteArray *out, const char *text);
void aml_eisa_id(GByteArray *out, const char *id); /* "PNP0A08" as an integer */
void aml_path(GByteArray *out, const char *path);

/* The encoded package length of `length` bytes (or bits of a field) that follow it; include_self counts its own
 * bytes too. Returns the number of bytes put into enc. */
unsigned aml_pkg_length(uint8_t enc[4], uint32_t length, bool include_self);

/* --- named objects --- */
void aml_name(GByteArray *out, const char *path); /* its value follows */
void aml_name_int(GByteArray *out, const char *path, uint64_t value);
void aml_name_string(GByteArray *out, const char *path, const char *text);
void aml_name_eisa_id(GByteArray *out, const char *path, const char *id);
void aml_name_resources(GByteArray *out, const char *path, GByteArray *resources); /* adds the end tag; keeps it */

/* ACPI 6.5 §19.6.141: the sixteen bytes of "33DB4D5B-1FF7-401C-9657-7441C03DD766" as a buffer. */
void aml_uuid(GByteArray *out, const char *uuid);

/* --- things with a length --- */
AmlMark aml_scope_begin(GByteArray *out, const char *path);
AmlMark aml_device_begin(GByteArray *out, const char *path);
AmlMark aml_method_begin(GByteArray *out, const char *path, unsigned args, bool serialized);
AmlMark aml_package_begin(GByteArray *out, unsigned elements);
AmlMark aml_if_begin(GByteArray *out); /* the predicate follows, then the body */
AmlMark aml_else_begin(GByteArray *out); /* right after an If's end */
void aml_end(GByteArray *out, AmlMark mark);

/* OperationRegion(region, SystemMemory, base, size) and a Field of one register of that size at its beginning. */
void aml_mmio_register(GByteArray *out, const char *region, const char *field, uint64_t base, unsigned size);

/* The same in port I/O space. */
void aml_io_register(GByteArray *out, const char *region, const char *field, uint16_t port, unsigned size);

/* --- statements and expressions --- */
typedef enum { AML_LOCAL0 = 0x60, AML_LOCAL1 = 0x61 } AmlLocal;

typedef enum { AML_ARG0 = 0x68, AML_ARG1, AML_ARG2, AML_ARG3 } AmlArg;

void aml_local(GByteArray *out, AmlLocal local);
void aml_arg(GByteArray *out, AmlArg arg);
void aml_not(GByteArray *out);    /* LNot; its operand follows */
void aml_equal(GByteArray *out);  /* LEqual; its operands follow */
void aml_return(GByteArray *out); /* the value follows */
void aml_dword_field(GByteArray *out, AmlArg buffer, unsigned off, const char *field); /* CreateDWordField */
void aml_and_to(GByteArray *out, AmlLocal local, uint64_t mask, const char *name);     /* name = local & mask */
void aml_or_to(GByteArray *out, AmlArg a, AmlArg b, const char *name);                 /* name = a | b */
void aml_or_in(GByteArray *out, const char *name, uint64_t bits);                      /* name |= bits */

void aml_load(GByteArray *out, const char *name, AmlLocal local);             /* Store(name, local) */
void aml_store_int(GByteArray *out, uint64_t value, const char *name);        /* Store(value, name) */
void aml_call(GByteArray *out, const char *path);                             /* a method; its arguments follow */
void aml_and(GByteArray *out, AmlLocal local, uint64_t mask);                 /* And(local, mask), result unstored */
void aml_notify(GByteArray *out, const char *path, uint64_t value);

/* --- resource descriptors --- */
typedef enum { AML_EDGE_HIGH = 0x03, AML_LEVEL_HIGH = 0x01 } AmlIrqMode; /* consumer, exclusive */

void aml_res_io(GByteArray *res, uint16_t base, uint8_t len);
void aml_res_irq(GByteArray *res, uint32_t gsi, AmlIrqMode mode);
void aml_res_memory(GByteArray *res, uint64_t base, uint64_t size);        /* fixed, consumed; 32 or 64 bits */
void aml_res_bus_window(GByteArray *res, uint8_t first, unsigned count);   /* what a bridge passes on ... */
void aml_res_io_window(GByteArray *res, uint32_t base, uint32_t size);
void aml_res_memory_window(GByteArray *res, uint64_t base, uint64_t size); /* 32 or 64 bits as needed */

#endif

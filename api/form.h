/* api/form.h - application/x-www-form-urlencoded (WHATWG URL 5.1), strictly and
 * without I/O: what a browser sends for a form, in a query or as a body. */
#ifndef API_FORM_H
#define API_FORM_H

#include <stddef.h>

#define FORM_ABSENT (-1)
#define FORM_BAD (-2)

/* Decodes the value of a field of the whole form to out, with a NUL.  Returns its
 * length; FORM_ABSENT; FORM_BAD if anything in the form is no field with well-formed
 * escapes, if this field is there twice, does not fit, or is not UTF-8 without
 * control characters.  out is "" unless it returns a length. */
int form_get(
    const char *text, size_t len, const char *key, char *out, size_t size);

#endif

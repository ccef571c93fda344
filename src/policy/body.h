/* policy/body: fields that rules read out of a request's body: forms and the type of content. */
#pragma once
#include "base/arena.h"
#include "policy/field.h"

/* The value of http.request.body.form*, .multipart* or .mime for a body of this Content-Type. The body may be cut off: what is
 * there counts. False where the field is absent (a form of another type) or memory is exhausted, which the arena tells. */
bool rf_body_fact(struct rf_arena *a, enum rf_field f, struct rf_str body, struct rf_str content_type, struct rf_val *ret);

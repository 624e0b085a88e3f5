/* push/provisional.h - other names of push/origins.c, to be removed. */
#ifndef PUSH_PROVISIONAL_H
#define PUSH_PROVISIONAL_H

#include "push/int.h"

#define prov_gate push_gate
#define prov_target push_target
#define prov_lane push_origin_lane

#endif

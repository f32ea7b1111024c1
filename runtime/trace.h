// A profile's spans as a file that Perfetto (ui.perfetto.dev) and chrome://tracing open:
// JSON in the trace event format, a track for each worker and one for what is done
// outside of them.
#ifndef DDG_TRACE_H
#define DDG_TRACE_H

#include "runtime/profile.h"

struct trace;

// A new file; what was in it is gone. Time 0 is `origin`, on clock_seconds. NULL: said in
// d.
struct trace *trace_open(struct arena *arena, const char *path, const char *process,
                         double origin, struct diags *d);
// The spans that the profile holds; again after the next run, with the same profile.
void trace_add(struct trace *t, struct profile *p);
// False: it could not be written, said in d.
bool trace_close(struct trace *t, struct diags *d);

#endif

// Running the acts of a program that trains (cli/acts.h).
#ifndef DDG_ACT_RUN_H
#define DDG_ACT_RUN_H

#include "cli/base/session.h"
#include "cli/driver.h"

// Trains all that the program trains, each act a run of the session; `all` gets what they
// did, in the driver's arena. False: said in v->d, or all->stopped.
bool session_acts(struct session *s, struct driver *v, struct run_report *all);

#endif

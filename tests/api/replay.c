// replay PLAN TO: runs what distil wrote into TO, without the compiler.
#include "check.h"

int main(int argc, char **argv) {
    EXPECT(argc == 3);
    ddg_error *e = NULL;
    ddg_context *c = ddg_open(NULL, &e);
    ddg_pipeline *p = ddg_load(c, argv[1], &e);
    expect_no_error(e);
    ddg_set(p, "to", argv[2], &e);
    expect_no_error(e);
    ddg_result *r = ddg_run(p, NULL, &e);
    expect_no_error(e);
    ddg_array labels = array_of(r, 0, DDG_LABELS);
    expect_labels(&labels, argv[2]);
    ddg_result_free(r);
    ddg_pipeline_free(p);
    ddg_close(c);
    return 0;
}

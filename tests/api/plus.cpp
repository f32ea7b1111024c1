// The header in C++.
#include <ddg.h>

#include <cstring>

int main() {
    ddg_error *e = nullptr;
    ddg_context *c = ddg_open(nullptr, &e);
    ddg_pipeline *p = ddg_load(c, "/nowhere", &e);
    enum ddg_error_kind kind = ddg_error_kind(e);
    bool right = c && !p && kind == DDG_ERROR_PROGRAM &&
                 std::strstr(ddg_error_text(e), "/nowhere") != nullptr;
    ddg_error_free(e);
    ddg_close(c);
    return right ? 0 : 1;
}

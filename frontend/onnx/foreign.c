// Files that are given for a network and are something else people have beside it: known
// by how they begin. None of these beginnings is one of an ONNX file, as protobuf writes
// it.
#include "frontend/onnx/onnx.h"

#define EXPORT                                                                           \
    "export the network with torch.onnx.export(model.eval(), images, \"teacher.onnx\", " \
    "...): docs/teachers.md shows how"

static const struct {
    size_t at;
    const char *bytes;
    size_t n;
    const char *what, *help;
} KINDS[] = {
    {0, "PK\3\4", 4,
     "looks like a PyTorch checkpoint (a zip archive, as torch.save and torch.jit.save "
     "write)",
     EXPORT},
    {0, "\x80\2", 2, "looks like a PyTorch checkpoint (a pickle, as torch.save wrote)",
     EXPORT},
    {4, "\0\0\0\0{\"", 6, "looks like weights alone (safetensors)", EXPORT},
    {0, "\x89HDF", 4, "looks like weights of Keras (HDF5)",
     "convert the network with tf2onnx"},
    {3, "\0TFL3", 5, "looks like a TensorFlow Lite model",
     "convert the network with tf2onnx"},
    {3, "\0ORTM", 5, "looks like what onnxruntime keeps for itself (ORT format)",
     "take the .onnx file that it was made from"},
    {0, "version https://git-lfs", 23, "is a pointer that git-lfs left in its place",
     "`git lfs pull` fetches the file itself"},
    {0, "<", 1, "looks like a page of the web, downloaded in place of the file", NULL},
    {0, "\x1f\x8b", 2, "is compressed", "unpack it with gunzip"},
};

#define HEAD 32

bool onnx_foreign(const struct onnx_disk *disk, const struct onnx_log *log) {
    char head[HEAD] = {0};
    size_t n = size_min(sizeof head, (size_t)disk->model.st.st_size);
    if (!onnx_disk_read(disk, &disk->model, 0, head, n)) return true;
    for (size_t i = 0; i < COUNT(KINDS); i++) {
        if (memcmp(head + KINDS[i].at, KINDS[i].bytes, KINDS[i].n) != 0) continue;
        onnx_fail(log, "is not an ONNX file: it %s", KINDS[i].what);
        if (KINDS[i].help) diag_help(log->d, "%s", KINDS[i].help);
        return true;
    }
    return false;
}

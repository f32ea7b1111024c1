// Inside the result writer: the overview it draws, and how a finished folder takes the
// place of an older one.
#ifndef DDG_RESULT_IMPL_H
#define DDG_RESULT_IMPL_H

#include "runtime/outfile.h"
#include "runtime/result.h"

#define RESULT_FORMAT   "ddg-result-1"
#define RESULT_MANIFEST "manifest.json"
#define RESULT_PART     "manifest.part" // the manifest while rows still arrive
#define RESULT_LABELS   "labels.npy"
#define RESULT_OVERVIEW "overview.png"

#define RESULT_NAME_MAX 64 // "4294967295/class4294967295_id4294967295.png" and more
void result_class_folder(char out[RESULT_NAME_MAX], size_t cls);
void result_image_name(char out[RESULT_NAME_MAX], size_t cls, size_t id);

// ---- result_overview.c --------------------------------------------------------------
struct overview;
struct overview *overview_new(const struct result_info *info);
void overview_free(struct overview *o);
// What there is no room for is passed over. False: out of memory.
bool overview_add(struct overview *o, uint32_t cls, const uint8_t *pixels);
bool overview_wants_source(const struct overview *o, uint32_t cls);
bool overview_add_source(struct overview *o, const struct result_source *s);
// The picture as PNG bytes, for mem_free; NULL when out of memory.
uint8_t *overview_png(const struct overview *o, size_t *n);

// ---- result_place.c -----------------------------------------------------------------
// Whether a result may be put at p: nothing there, an empty folder, or a result of ours.
bool result_place_free(const struct out_place *p, struct diags *d);
// Makes the temporary folder, opened and locked until it is closed; -1: said in d.
int result_temp_make(const struct out_place *p, struct diags *d);
// Removes an unfinished folder.
void result_temp_remove(const struct out_place *p);
// Clears away what runs that were killed left beside p; folders in use are let alone.
void result_sweep(const struct out_place *p, struct diags *d);
// Moves the finished folder into place; files of the older result that are not ours
// follow.
bool result_place(const struct out_place *p, struct diags *d);

#endif

// Whether a model is what a program takes it for, judged by what it says of some images.
//
// A trial counts how many images the model puts into their class, as the program gives
// them to it and in other ways: normalised otherwise, red and blue swapped. From that,
// and from what it says of each class, follows what is wrong: nothing; another way in
// which the same images are known significantly better; classes in another order than the
// folders' names; or a model that only guesses. What is said must be right: a model that
// is merely weak is not suspected, nor one of which there are too few images to tell.
//
// This file and trial.c hold the decisions, trial_order.c those about the order of
// classes, trial_say.c the words, trial_run.c the run.
#ifndef DDG_TRIAL_H
#define DDG_TRIAL_H

#include "runtime/plan.h"

// ---- ways to give an image to a model ------------------------------------------------
#define TRIAL_CHANNELS 3
#define TRIAL_NORMS    6
#define TRIAL_VARIANTS (1 + 2 * TRIAL_NORMS)

struct trial_norm {
    const char *name; // "ImageNet's normalisation"
    double mean[TRIAL_CHANNELS], std[TRIAL_CHANNELS];
};

struct trial_way {
    bool reversed;                 // channels B G R
    const struct trial_norm *norm; // NULL: as the program has it
};
// i < TRIAL_VARIANTS. As the program has it is not among them.
struct trial_way trial_way(size_t i);
// "with ImageNet's `mean` and `std`, and red and blue swapped"
const char *trial_way_words(struct arena *a, size_t i);

// ---- what a model said ---------------------------------------------------------------
struct trial {
    size_t classes; // outputs of the model
    size_t nnames;  // classes of the images, and what they are called
    const char *const *names;
    size_t n;            // images
    const uint32_t *cls; // their classes
    const int32_t *said; // and what the model says
    size_t ntried;       // of them: those that were given to it in other ways, too
    const uint32_t *tried;
    const int32_t *otherwise; // [ntried][TRIAL_VARIANTS]: what it said then
};

// A first look is at few images. Where that leaves something to be suspected, a second
// one is at more.
enum trial_look { FIRST_LOOK, SECOND_LOOK, TRIAL_LOOKS };

// How many images of each class to look at; wanted 0: what is enough to tell.
size_t trial_per_class(enum trial_look look, size_t wanted, size_t classes);
// How many of n images to try in other ways.
size_t trial_choices(enum trial_look look, size_t n);
// Which of them, in out (room for n); returns how many. Those that it gets wrong come
// first: *wrong of them.
size_t trial_choose(enum trial_look look, const struct trial *t, uint32_t *out,
                    size_t *wrong);
// Whether another way could come out better, from what is known: how many of the chosen
// images are wrong and, when these have been tried, how many of them each way gets right.
// If not, the others need not be tried.
bool trial_could_help(const struct trial *t, size_t chosen, size_t wrong);
// Whether another way looks better than it can be said to be.
bool trial_suspects(const struct trial *t);

// ---- what follows --------------------------------------------------------------------
enum trial_order {  // which folder an output of the model stands for
    ORDER_NAMES,    // the one at its place in byte order of names, as everywhere in ddg
    ORDER_NUMBERS,  // ... with numbers in names compared as numbers
    ORDER_CASELESS, // ... with capitals and small letters compared as one
    ORDER_OTHER,    // the one whose images it mostly says it of
};

struct trial_counts { // of some images
    size_t right, n;
};

#define TRIAL_NO_OUTPUT UINT32_MAX

struct trial_verdict {
    struct trial_counts given; // all images, as the program gives them
    bool guessing;             // no better than guessing
    bool unsure;               // too few images to tell that from guessing
    // What would be better; way < 0 and ORDER_NAMES: nothing that was found.
    int way;
    bool alike[TRIAL_VARIANTS]; // ways that do about as well
    enum trial_order order;
    struct trial_counts before, after; // of the images that it was found on
    const uint32_t *output; // by folder; TRIAL_NO_OUTPUT: not known. ORDER_NAMES: NULL
    struct trial_counts ways[TRIAL_VARIANTS]; // n 0: not tried on all that were chosen
};

void trial_judge(struct arena *a, const struct trial *t, struct trial_verdict *out);

// ---- words ---------------------------------------------------------------------------
// "`teacher` gets 86 of 100 images of `train` right (86%)"
const char *trial_line(struct arena *a, const struct plan_trial *p,
                       const struct trial_verdict *v);
// Warns of what there is to warn of.
void trial_say(const struct plan_trial *p, const struct trial *t,
               const struct trial_verdict *v, struct diags *d);
// False: said in d, the accuracy is below at_least.
bool trial_enough(const struct plan_trial *p, const struct trial_verdict *v,
                  struct diags *d);

#endif

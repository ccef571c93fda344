/* api/state: see state.h. Thin: ctl/control has the same functions with its own type. */
#include "api/state.h"
#include "ctl/control.h"

static int begin(void *ctx, const char *actor, struct rf_err *e) { return rf_ctl_begin(ctx, actor, e); }
static int touch(void *ctx, enum rf_kind k, const char *id, struct rf_err *e) { return rf_ctl_touch(ctx, k, id, e); }
static int commit(void *ctx, bool dry_run, struct rf_err *e) { return rf_ctl_commit(ctx, dry_run, e); }
static void undo(void *ctx) { rf_ctl_abort(ctx); }
static int reload(void *ctx, struct rf_buf *later, struct rf_err *e) { return rf_ctl_reload(ctx, later, e); }
static void catch_up(void *ctx) { rf_ctl_catch_up(ctx); }

struct rf_api_state rf_api_state_of(struct rf_ctl *c)
{
	return (struct rf_api_state){ begin, touch, commit, undo, reload, c, catch_up };
}

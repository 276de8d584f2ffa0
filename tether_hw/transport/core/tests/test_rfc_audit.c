/* SPDX-License-Identifier: Apache-2.0 */
/* Every frame of a soak, judged by the rules of RFC 0001 for who sends it (audit.h). One soak serves all tests here. */
#include "audit.h"
#include "soak.h"

static struct audit audit;

static void begun(void)
{
    audit_begin(&audit, &pair);
}

static void watch(void)
{
    /* in 28, 90 and 287 data waits for a DEFINE that waits for credit of Flow 0 */
    static const uint64_t seeds[] = {101, 102, 103, 104, 105, 106, 28, 90, 287};
    static int done;
    if (done)
        return;
    done = 1;
    soak_begun = begun;
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        soak(seeds[i]);
        audit_close(&audit);
    }
}

/* The rule was looked at, and never broken. */
static void kept(enum audit_rule rule)
{
    watch();
    CHECK(audit.looked[rule] > 100);
    CHECK_EQ(audit.broken[rule], 0);
}

static void frames(void)
{
    PROVES("T-FRM-1", "T-FRM-3", "T-FRM-6");
    kept(AUDIT_FRAME);
}

static void sequences(void)
{
    PROVES("T-HDR-6", "T-HDR-7");
    kept(AUDIT_SEQUENCE);
}

static void stamps(void)
{
    PROVES("T-HDR-12");
    kept(AUDIT_STAMP);
    CHECK(audit.end[0].offset != audit.end[1].offset);
}

static void echoes(void)
{
    PROVES("T-HDR-10", "T-HDR-11");
    kept(AUDIT_ECHO);
}

static void flags(void)
{
    PROVES("T-HDR-13", "T-RCT-2");
    kept(AUDIT_FLAGS);
}

static void wants(void)
{
    PROVES("T-HDR-1", "T-HDR-8");
    kept(AUDIT_WANT);
}

static void slots(void)
{
    PROVES("T-SLT-1", "T-SLT-5", "T-SLT-6");
    kept(AUDIT_SLOTS);
}

static void limits(void)
{
    PROVES("T-GRT-2", "T-STA-2");
    kept(AUDIT_LIMIT);
}

static void embers(void)
{
    PROVES("T-STA-3");
    kept(AUDIT_EMBER);
}

static void grants_rise(void)
{
    PROVES("T-GRT-1", "T-GRT-10");
    kept(AUDIT_GRANT_RISES);
    kept(AUDIT_PIECE);
}

static void grants_answer_demand(void)
{
    PROVES("T-GRT-3", "T-GRT-4");
    kept(AUDIT_DEMAND);
}

static void pool_of_flow_0(void)
{
    PROVES("T-STA-1");
    kept(AUDIT_POOL);
}

static void repairs(void)
{
    PROVES("T-REP-1", "T-REP-2", "T-REP-4");
    kept(AUDIT_NACKED);
    kept(AUDIT_SAME);
}

static void receipts(void)
{
    PROVES("T-RCT-1", "T-RCT-2");
    kept(AUDIT_RECEIPT);
}

static void nacks(void)
{
    PROVES("T-NCK-1", "T-NCK-7", "T-NCK-10");
    kept(AUDIT_MISSING);
    kept(AUDIT_WHOLE);
}

static void nacks_in_turn(void)
{
    PROVES("T-NCK-2", "T-NCK-3");
    kept(AUDIT_EIGHTH);
    kept(AUDIT_TURN);
}

static void messages(void)
{
    PROVES("T-MSG-6", "T-FLW-1", "T-FLW-2");
    kept(AUDIT_CUT);
}

static void declared(void)
{
    PROVES("T-MSG-1");
    kept(AUDIT_DECLARED);
}

static void flow_ids(void)
{
    PROVES("T-DEF-1");
    kept(AUDIT_PARITY);
}

static void defined_first(void)
{
    PROVES("T-DEF-5");
    kept(AUDIT_DEFINED);
}

static void skips(void)
{
    PROVES("T-SKP-1", "T-RET-1");
    kept(AUDIT_SKIP);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(frames);
    RUN(sequences);
    RUN(stamps);
    RUN(echoes);
    RUN(flags);
    RUN(wants);
    RUN(slots);
    RUN(limits);
    RUN(embers);
    RUN(grants_rise);
    RUN(grants_answer_demand);
    RUN(pool_of_flow_0);
    RUN(repairs);
    RUN(receipts);
    RUN(nacks);
    RUN(nacks_in_turn);
    RUN(messages);
    RUN(declared);
    RUN(flow_ids);
    RUN(defined_first);
    RUN(skips);
    return run_result();
}

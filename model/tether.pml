/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tether.pml: one direction of one flow of RFC 0001, from the Lamp to the last receipt, for the model checker SPIN.
 *
 * What is in it: the Lamp (Hail and reply), grants against demand and for held cells only, the ember, receipts,
 * NACK and repair, cancel by SKIP on Flow 0, both lost-frame clocks, the purse, an application that writes when it
 * likes and one that reads when it likes. One slot = one frame = one cell (floor 1).
 *
 * What is abstracted: time (a silence is a moment in which nothing is under way and nobody has anything to send; a
 * number of clocks may go off early), the replay window (a frame that comes twice is accepted twice: more than any
 * implementation does), keys (a reply to an older Hail does not verify), the back-off (waits only get longer).
 *
 * Sizes and switches (spin -D): N slots, CELLS of the receiver, DEPTH of the channel, how often it LOSES, DUPLICATES
 * and REORDERS, how many clocks go off EARLY; FREE: it loses without bound (safety only); CANCEL: the writer may
 * cancel; LAMP: begin with a Hail; PURSE: other channels may empty the purse at any time;
 * KNOWN: all demand is granted at the start; NO_SENDER_CLOCK, NO_RECEIVER_CLOCK; BREAK_I1 to BREAK_I8: one broken rule.
 */
#ifndef N
#define N 3
#endif
#ifndef CELLS
#define CELLS 2
#endif
#ifndef DEPTH
#define DEPTH 3
#endif
#ifndef LOSES
#define LOSES 2
#endif
#ifndef DUPLICATES
#define DUPLICATES 1
#endif
#ifndef REORDERS
#define REORDERS 1
#endif
#ifndef EARLY
#define EARLY 1
#endif
#define RECEIPTS 2 /* that may be kept */
/* Where it begins: without a word and without a channel, on a channel that is up, or with all demand told. */
#ifdef KNOWN
#define AT_ONCE N
#if CELLS < N
#define GIVEN CELLS
#else
#define GIVEN N
#endif
#else
#define AT_ONCE 0
#define GIVEN 0
#endif
#ifdef LAMP
#define CONNECTED 0
#else
#define CONNECTED 1
#endif

#define BIT(slot) (1 << (slot))
#define BELOW(end) (BIT(end) - 1)
#define RANGE(first, end) (BELOW(end) & ~BELOW(first))

mtype = {HAIL, REPLY, DATA, BLOCKED, HEADER};

/* Towards the receiver: flow, slot (header only: the high water), want, counter of a Hail. */
chan forth = [DEPTH] of {mtype, byte, byte, byte, byte};
/* Back: flow, GrantAmount, NackSlot, NackCount, slots under way when it was written (what its echo says), counter. */
chan back = [DEPTH] of {mtype, byte, byte, byte, byte, byte, byte};

/* --- The sender --- */
byte s_queued = AT_ONCE, s_told = AT_ONCE; /* written by the application; demand that a frame has told */
byte s_next, s_limit = GIVEN;            /* the ledger */
byte s_acked, s_repair;                  /* everything below has arrived; slots that a NACK asked for */
bit s_ember;                             /* the channel's ember is out */
byte s_ember_end;
byte s_hail;                             /* counter of the newest Hail */
bit s_up = CONNECTED, s_written;         /* the channel is up; the application writes no more */
mtype = {NONE, QUEUED, SENT, ARRIVED};
mtype s_skip = NONE;                     /* the SKIP on Flow 0 */
bit s_skip_repair;
byte skip_first, skip_end;

/* --- The receiver --- */
byte r_hail;                             /* newest counter */
bit r_reply, r_up = CONNECTED;           /* a reply is due; a frame under the keys has verified */
byte r_got, r_skipped, r_asked;          /* sets of slots: arrived or skipped; skipped; named by a NACK already */
byte r_high, r_read, r_demand = AT_ONCE, r_granted = GIVEN;
byte r_held, r_reserved = GIVEN;         /* cells */
bit r_ember;                             /* the ember's cell is filled and not replaced */
byte r_receipts;
bit r_tell, r_answer;                    /* a grant or an arrival to tell; BLOCKED asks */
bit r_control, r_control_tell;           /* the SKIP has arrived; Flow 0 has something to tell */

/* --- The channel and time --- */
byte losses, duplicates, reorders, early;
bit poor;                                /* the purse is empty: other channels took it */
bit turn;                                /* which clock went off last */

/* --- Only looked at by the properties --- */
byte named;                              /* slots that some NACK has named */
byte told_grant = GIVEN;                 /* largest GrantAmount that has left */
byte funded;                             /* replies that Hails have paid for */
byte under[N];                           /* copies of each slot under way */

hidden byte i, j, k, a, b, c, d, e;
hidden byte f;
hidden mtype m;

inline least(to, x, y) { if :: x < y -> to = x :: else -> to = y fi }
inline raise(to, x) { if :: x > to -> to = x :: else fi }

/* The first slot that has not arrived, into `to`. */
inline first_missing(to) { to = 0; do :: to < N && (r_got & BIT(to)) -> to++ :: else -> break od }

/* Set of slots of which a copy is under way. */
inline under_way(to) { to = 0; for (i : 0 .. N - 1) { if :: under[i] > 0 -> to = to | BIT(i) :: else fi } }

#define CAN_NEW (s_next < s_queued && s_skip == NONE && (s_next < s_limit || (s_next == s_limit && !s_ember)))
#ifdef BREAK_I1
#undef CAN_NEW
#define CAN_NEW (s_next < s_queued && s_skip == NONE)
#endif
/* Demand that no frame has told, no credit, no ember: one header-only frame at once (T-GRT-6). */
#define CAN_TELL (s_skip == NONE && s_told < s_queued && s_next == s_limit && s_ember && s_limit >= s_told)
#define CAN_SEND (s_up && (s_repair || CAN_NEW || CAN_TELL || s_skip == QUEUED || s_skip_repair))

/* A receipt may go: with unmet demand the last one is kept for a grant or an answer (T-RCT-4). */
#define UNTOLD (r_granted > told_grant)
#define CAN_SPEND (r_up && r_receipts > 0 && (UNTOLD || r_answer || r_control_tell || \
                   (r_tell && (r_receipts > 1 || r_demand <= r_granted))))
#define QUIET (len(forth) == 0 && len(back) == 0 && !CAN_SEND && !CAN_SPEND && !r_reply)

/* --- What the receiver does whenever demand or cells have changed --- */
inline grant_round()
{
    /* The ember is covered only when a cell for the next one is held (T-STA-5). */
    if
    :: r_ember && r_held + r_reserved < CELLS + 1 -> r_ember = 0; r_granted++
    :: else
    fi;
    do
#ifdef BREAK_I4
    :: !r_ember && r_granted < r_demand ->
#else
    :: !r_ember && r_granted < r_demand && r_held + r_reserved < CELLS ->
#endif
        if :: !(r_got & BIT(r_granted)) -> r_reserved++ :: else fi;
        r_granted++
    :: else -> break
    od
}

/* I4: a cell is held for every slot that is granted and has not arrived, and one for the channel's next ember. */
inline check_cells()
{
    a = 0;
    for (i : 0 .. N - 1) { if :: i < r_granted && !(r_got & BIT(i)) -> a++ :: else fi }
    assert(a <= r_reserved && r_held + r_reserved + (1 - r_ember) <= CELLS + 1); /* I4 */
}

/* Header-only frame of the receiver. `forced`: a clock or an answer, which names a gap again (T-NCK-8, T-CLK-1). */
inline speak(flow, forced, upto)
{
    first_missing(a);
    if
    :: flow -> b = r_control; c = 1 - r_control /* Flow 0 carries one frame here: it has arrived, or it is named */
    :: else ->
        b = a; c = 0; e = r_high;
        raise(e, upto);
        do /* first missing slot below what is known to exist */
        :: b < e && ((r_got & BIT(b)) || (!(forced) && (r_asked & BIT(b)))) -> b++
        :: else -> break
        od;
        do :: b + c < e && !(r_got & BIT(b + c)) && ((forced) || !(r_asked & BIT(b + c))) -> c++ :: else -> break od;
        if :: c == 0 -> b = a :: else -> r_asked = r_asked | RANGE(b, b + c); named = named | RANGE(b, b + c) fi
    fi;
    under_way(d);
#ifdef BREAK_I3
    e = a + CELLS - r_held; /* what there is room for now, not what was granted so far */
    least(e, e, r_demand);
#else
    e = r_granted;
#endif
    assert(e >= told_grant); /* I3 */
    raise(told_grant, e);
    assert(r_up); /* nothing but its reply goes to a peer that has not verified (I5) */
    back!HEADER(flow, e, b, c, d, 0)
}

inline receive_data(slot, want)
{
    if
    :: (r_got & BIT(slot)) -> skip
    :: else ->
        /* I1: what comes was granted, or is the one ember */
        assert(slot < r_granted || (slot == r_granted && !r_ember)); /* I1 */
        r_got = r_got | BIT(slot);
        r_held++;
        if :: slot < r_granted -> r_reserved-- :: else -> r_ember = 1 fi
    fi;
    raise(r_high, slot + 1);
    raise(r_demand, slot + 1 + want);
    if :: r_receipts < RECEIPTS -> r_receipts++ :: else fi;
    r_tell = 1;
    grant_round();
    check_cells()
}

/* SKIP [skip_first, skip_end): granted, arrived, and their cells free (T-RET-2). */
inline receive_skip()
{
    if
    :: r_control -> r_control_tell = 1; if :: r_receipts < RECEIPTS -> r_receipts++ :: else fi
    :: !r_control && skip_first > r_granted && r_held + r_reserved >= CELLS + 1 - (1 - r_ember) ->
        skip /* behind an ember, and no cell for the next one: refused (T-STA-8) */
    :: else ->
        r_control = 1;
        r_control_tell = 1;
        if :: r_receipts < RECEIPTS -> r_receipts++ :: else fi;
        if
        :: skip_first > r_granted && r_ember -> r_ember = 0           /* the ember before it is covered */
        :: skip_first > r_granted && !r_ember -> r_reserved++         /* it must still be repaired */
        :: else
        fi;
        for (i : 0 .. N - 1) {
            if :: i >= skip_first && i < skip_end && i < r_granted -> r_reserved-- :: else fi
        }
        raise(r_granted, skip_end);
        r_got = r_got | RANGE(skip_first, skip_end);
        r_skipped = r_skipped | RANGE(skip_first, skip_end);
        raise(r_high, skip_end);
        raise(r_demand, skip_end);
        r_tell = 1;
        grant_round();
        check_cells()
    fi
}

active proctype Receiver()
{
end:
    do
    :: d_step { forth?HAIL(f, a, b, c) ->
            if
            :: c > r_hail && !r_up ->
                r_hail = c; r_reply = 1; funded++
            :: else /* stale, or replayed */
            fi; a = 0; b = 0; c = 0; f = 0 }
    :: d_step { forth?DATA(f, a, b, c) ->
            r_up = 1;
            if
            :: f -> receive_skip()
            :: else -> j = a; k = b; under[j]--; receive_data(j, k)
            fi; }
    :: d_step { forth?BLOCKED(f, a, b, c) ->
            r_up = 1;
            if :: r_receipts < RECEIPTS -> r_receipts++ :: else fi;
            if
            :: f -> r_control_tell = 1
            :: else ->
                r_answer = 1;
                raise(r_demand, a + b);
                least(a, a, r_granted); /* a high water beyond the grant is read as the grant (T-NCK-9) */
                raise(r_high, a);
                grant_round();
                check_cells()
            fi }
    :: d_step { r_reply && nfull(back) ->
            assert(funded > 0); /* I5: a Hail has paid for it */
            funded--;
#ifndef BREAK_I5
            r_reply = 0;
#endif
            back!REPLY(0, 0, 0, 0, 0, r_hail) }
    :: d_step { CAN_SPEND && nfull(back) ->
            r_receipts--;
            if
            :: r_control_tell -> r_control_tell = 0; speak(1, 0, 0)
            :: else -> f = r_answer; r_answer = 0; r_tell = 0; speak(0, f, 0)
            fi; f = 0 }
    od
}

active proctype Sender()
{
end:
    do
    :: d_step { back?REPLY(f, a, b, c, d, e) ->
            /* the reply to an older Hail is sealed for keys that are gone */
            if :: e == s_hail -> s_up = 1 :: else fi }
    :: d_step { back?HEADER(f, a, b, c, d, e) ->
            if
            :: f && c == 0 && b == 1 -> s_skip = ARRIVED; s_skip_repair = 0
            :: f && c > 0 && s_skip == SENT -> s_skip_repair = 1
            :: !f ->
                assert(a <= r_granted);
                raise(s_limit, a);
                /* the ember is free again when the peer's own word covers it (T-STA-3) */
                if :: s_ember && a >= s_ember_end -> s_ember = 0 :: else fi;
                if
                :: c == 0 -> raise(s_acked, b); s_repair = s_repair & ~BELOW(s_acked)
                :: else ->
                    for (i : 0 .. N - 1) {
                        if /* what it names, was sent, is no skipped slot, and was not under way (T-REP-4) */
                        :: i >= b && i < b + c && i < s_next && i >= s_acked && !(d & BIT(i)) &&
                           !(s_skip != NONE && i >= skip_first) -> s_repair = s_repair | BIT(i)
                        :: else
                        fi
                    }
                fi
            :: else
            fi }
    :: d_step { s_up && s_repair && nfull(forth) ->
            j = 0;
            do :: !(s_repair & BIT(j)) -> j++ :: else -> break od;
            assert(named & BIT(j)); /* I2: some NACK has named it */
            s_repair = s_repair & ~BIT(j);
            under[j]++;
            forth!DATA(0, j, s_queued - j - 1, 0);
            raise(s_told, s_queued) }
    :: d_step { s_up && CAN_NEW && nfull(forth) ->
            j = s_next;
            if :: s_next >= s_limit -> s_ember = 1; s_ember_end = s_next + 1 :: else fi;
            s_next++;
            assert(s_next <= r_granted + s_ember); /* I1 */
            under[j]++;
            forth!DATA(0, j, s_queued - s_next, 0);
            raise(s_told, s_queued) }
    :: d_step { s_up && CAN_TELL && !CAN_NEW && nfull(forth) ->
            forth!BLOCKED(0, s_next, s_queued - s_next, 0);
            s_told = s_queued }
    :: d_step { s_up && (s_skip == QUEUED || s_skip_repair) && nfull(forth) ->
            s_skip = SENT; s_skip_repair = 0;
            forth!DATA(1, 0, 0, 0) }
    od
}

/* The sending application: one frame after the other, at any time; perhaps it changes its mind. */
active proctype Writer()
{
    do
    :: atomic { s_queued < N && s_skip == NONE -> s_queued++ }
#ifdef CANCEL
    :: d_step { s_next < s_queued ->
#ifdef BREAK_I8
            s_queued = s_next /* what was granted for the rest stays granted */
#else
            skip_first = s_next;
            skip_end = s_limit;
            raise(skip_end, s_told);
            if
            :: skip_end > s_next ->
                s_skip = QUEUED; s_limit = skip_end; s_next = skip_end; s_queued = skip_end; s_told = skip_end
            :: else -> s_queued = s_next /* neither granted nor declared: nothing to give back */
            fi
#endif
        } -> break
#endif
    :: s_queued == N -> break
    od;
    s_written = 1
}

/* The receiving application: reads in order, when it likes. */
active proctype Reader()
{
end:
    do
    :: d_step { r_read < N && (r_got & BIT(r_read)) ->
            if :: !(r_skipped & BIT(r_read)) -> r_held-- :: else fi;
            r_read++;
            grant_round();
            check_cells() }
    od
}

#ifdef PURSE
#define AFFORDABLE (!poor || entitled) /* one timer frame per channel and back-off cap always is (T-PRS-4) */
#ifdef BREAK_PURSE
#define entitled 0
#else
#define entitled 1
#endif
active proctype OtherChannels()
{
end:
    do
    :: s_up && !poor -> poor = 1
    :: poor -> poor = 0
    od
}
#else
#define AFFORDABLE 1
#endif

#ifdef NO_SENDER_CLOCK
#define SENDER_WAITS 0
#elif defined(BREAK_I7)
#define SENDER_WAITS (s_up && s_next < s_queued && s_next >= s_limit) /* data without credit only */
#else
#define SENDER_WAITS (s_up && (s_acked < s_next || s_next < s_queued || s_skip == SENT))
#endif
#ifdef NO_RECEIVER_CLOCK
#define RECEIVER_MISSES 0
#else
#define RECEIVER_MISSES (r_up && ((BELOW(r_granted) & BELOW(r_demand) & ~r_got) || (BELOW(r_high) & ~r_got)))
#endif
#define NOW (QUIET || early < EARLY)
inline early_or_not() { if :: !QUIET && early < EARLY -> early++ :: else fi }

/* Both lost-frame clocks, in turn when both wait; and the Hail that nobody answered. */
active proctype Clocks()
{
end:
    do
    :: d_step { !s_up && s_hail < EARLY + LOSES + REORDERS + 2 && NOW && nfull(forth) ->
            early_or_not();
            s_hail++;
            forth!HAIL(0, 0, 0, s_hail) }
    :: d_step { SENDER_WAITS && NOW && AFFORDABLE && (turn || !RECEIVER_MISSES) && len(forth) <= DEPTH - 2 ->
            early_or_not();
            turn = 0;
#ifdef BREAK_I2
            if
            :: s_acked < s_next && s_skip == NONE -> /* sent again on suspicion */
                assert(named & BIT(s_acked)); /* I2 */
                under[s_acked]++;
                forth!DATA(0, s_acked, s_queued - s_acked - 1, 0)
            :: else
            fi;
#else
            if
            :: s_acked < s_next || s_next < s_queued ->
                forth!BLOCKED(0, s_next, s_queued - s_next, 0);
                raise(s_told, s_queued)
            :: else
            fi;
#endif
            if :: s_skip == SENT -> forth!BLOCKED(1, 1, 0, 0) :: else fi }
    :: d_step { RECEIVER_MISSES && NOW && AFFORDABLE && (!turn || !SENDER_WAITS) && nfull(back) ->
            early_or_not();
            turn = 1;
#ifdef BREAK_I7
            speak(0, 0, 0) /* the grant again, and no NACK of what nobody has shown */
#else
            least(j, r_granted, r_demand);
            speak(0, 1, j)
#endif
        }
    od
}

#ifdef FREE
#define MAY_LOSE 1
#define LOST
#else
#define MAY_LOSE (losses < LOSES)
#define LOST ; losses++
#endif

/* The link: loses, brings twice, brings out of order. */
active proctype Link()
{
end:
    do
    :: d_step { MAY_LOSE && nempty(forth) ->
            forth?m, f, a, b, c LOST;
            if :: m == DATA && !f -> under[a]-- :: else fi }
    :: d_step { MAY_LOSE && nempty(back) -> back?m, f, a, b, c, d, e LOST }
    :: d_step { duplicates < DUPLICATES && nempty(forth) && nfull(forth) ->
            forth?<m, f, a, b, c>; forth!m, f, a, b, c; duplicates++;
            if :: m == DATA && !f -> under[a]++ :: else fi }
    :: d_step { duplicates < DUPLICATES && nempty(back) && nfull(back) ->
            back?<m, f, a, b, c, d, e>; back!m, f, a, b, c, d, e; duplicates++ }
    :: d_step { reorders < REORDERS && len(forth) > 1 ->
            forth?m, f, a, b, c; forth!m, f, a, b, c; reorders++ }
    :: d_step { reorders < REORDERS && len(back) > 1 ->
            back?m, f, a, b, c, d, e; back!m, f, a, b, c, d, e; reorders++ }
    od
}

/* Everything is over: written or cancelled, delivered, receipted (its clock, where there is none, brings no receipt). */
#ifdef NO_SENDER_CLOCK
#define DONE (s_written && r_read == s_queued)
#else
#define DONE (s_written && s_next == s_queued && s_acked == s_next && r_read == s_next && \
              (s_skip == NONE || s_skip == ARRIVED))
#endif
/* No demand is left, and nothing is granted that has not arrived: the standing amounts only. */
#define STANDING (r_demand <= r_granted && (BELOW(r_granted) & ~r_got) == 0 && r_reserved == 0)

ltl i7 { <> DONE }
ltl i8 { <> [] STANDING }

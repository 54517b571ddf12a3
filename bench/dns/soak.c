/* Asks mixed queries while the zone changes, and judges each answer by the versions of its name that were valid then.
 *
 *     soak port=N result=FILE [seconds=30] [rate=0] [window=100] [sockets=4] [changes=20] [probes=0]
 *
 * It decides the changes itself: "change NUMBER ADDRESS ADDRESS" on standard output gives name a<NUMBER> these two
 * addresses, "change NUMBER" takes its addresses away; who publishes answers "BEGIN END" on standard input, nanoseconds
 * of CLOCK_MONOTONIC around the publication. From the order on the new version may be seen, from 100 ms after END on
 * the old one must not. `rate` bounds the queries a second, 0 leaves them as fast as they are answered. With `probes`
 * so many more sockets ask for the name that changes until each has seen the new version: their ports spread over the
 * server's workers, so the last one tells when all workers have it.
 */
#include "client.h"
#include <fcntl.h>
#include <unistd.h>

enum { CHANGING = 100, STEP = 50, VERSIONS = 8, SEEN = 20000, UNDER_WAY = 8, PROBES = 64 };
static const uint64_t GRACE = 100000000; /* ns that an old version may still be seen after a change */

/* One version of a name: two addresses, or none; the moments from and to which it may be answered. */
struct version {
  uint32_t addresses[2];
  int count;
  uint64_t from, to;
};

/* The changing names are a7, a57, a107 ...: those that have no AAAA record beside. */
static struct version versions[CHANGING][VERSIONS];
static unsigned newest[CHANGING];
static struct cookie cookies[CLIENTS];
static uint32_t names, counter;

/* Changes that were ordered and not yet answered, oldest first; then the one that the probes look for. */
static int ordered[UNDER_WAY], waiting;
static int probed = -1;
static unsigned probed_version;
static uint64_t probed_begin, seen_all[SEEN];
static int seen_count;

static int changing(uint32_t number) { return number != NOBODY && number % STEP == 7 ? (int)(number / STEP) : -1; }

static void compose(struct query *q) {
  uint32_t what = below(10);
  if (what < 2) ask_nobody(q);
  else if (what < 6) ask_number(q, below(CHANGING) * STEP + 7);
  else ask_number(q, below(names));
  if (what == 9) put16(q->wire + q->question_end - 4, TYPE_AAAA);
  if (below(2)) {
    mix_case(q);
    add_edns(q, &cookies[below(CLIENTS)]);
  }
}

static void compose_probe(struct query *q) { ask_number(q, (uint32_t)probed * STEP + 7); }

/* Whether an answer is this version, in whatever order. */
static bool shows(const struct answer *a, const struct version *v) {
  if (a->count != v->count || a->rcode != (v->count ? NOERROR : NXDOMAIN)) return false;
  for (int i = 0; i < v->count; i++)
    if (a->addresses[0] != v->addresses[i] && a->addresses[v->count - 1] != v->addresses[i]) return false;
  return true;
}

static const char *judge_version(int name, const struct answer *a, uint64_t sent, uint64_t now) {
  const char *why = "address never published";
  for (unsigned i = newest[name] + 1 < VERSIONS ? 0 : newest[name] + 1 - VERSIONS; i <= newest[name]; i++) {
    const struct version *v = &versions[name][i % VERSIONS];
    if (!shows(a, v)) continue;
    if (v->from <= now && sent <= v->to) return NULL;
    why = "old version over 100 ms after the change";
  }
  return why;
}

static const char *judge(const struct query *q, const uint8_t *m, int length, uint64_t now) {
  struct answer a = read_answer(q, m, length);
  int name = changing(q->number);
  if (a.wrong) return a.wrong;
  if (get16(q->wire + q->question_end - 4) == TYPE_AAAA) {
    if (name >= 0) return a.rcode == NOERROR || a.rcode == NXDOMAIN ? NULL : "rcode";
    return a.rcode == NOERROR && get16(m + 6) == (q->number % STEP == 0) && !a.count ? NULL : "AAAA";
  }
  if (name >= 0) return judge_version(name, &a, q->sent, now);
  if (a.rcode != q->rcode) return "rcode";
  if (q->rcode == NOERROR && (a.count != 1 || a.addresses[0] != address_of(q->number))) return "address";
  return NULL;
}

static bool found[PROBES];
static int asking;

static const char *judge_probe(const struct query *q, const uint8_t *m, int length, uint64_t now) {
  const char *wrong = judge(q, m, length, now);
  struct answer a = read_answer(q, m, length);
  if (probed >= 0 && changing(q->number) == probed && shows(&a, &versions[probed][probed_version % VERSIONS]))
    found[asking] = true;
  return wrong;
}

static struct manner crowd = {.ask = compose, .judge = judge}, probes = {.ask = compose_probe, .judge = judge_probe};

/* Order the next version of a name: mostly two new addresses, sometimes none. */
static bool order_change(uint64_t now) {
  int name = (int)below(CHANGING);
  const struct version *old = &versions[name][newest[name] % VERSIONS];
  struct version *next = &versions[name][(newest[name] + 1) % VERSIONS];
  for (int i = 0; i < waiting; i++)
    if (ordered[i] == name) return false;
  *next = (struct version){.from = now, .to = UINT64_MAX};
  if (old->count == 0 || below(4)) {
    next->count = 2;
    for (int i = 0; i < 2; i++) next->addresses[i] = 0x0a000000u + counter++;
    printf("change %d %u %u\n", name * STEP + 7, next->addresses[0], next->addresses[1]);
  } else printf("change %d\n", name * STEP + 7);
  fflush(stdout);
  newest[name]++;
  ordered[waiting++] = name;
  probed = name, probed_version = newest[name], probed_begin = 0;
  memset(found, 0, sizeof found);
  return true;
}

/* Read what the publisher answered. The oldest change is published then, and its predecessor's time runs out. */
static void hear(void) {
  static char line[256];
  static size_t length;
  ssize_t more = read(STDIN_FILENO, line + length, sizeof line - 1 - length);
  if (more == 0) errno = EPIPE, fail("the publisher is gone");
  if (more < 0) return;
  length += (size_t)more, line[length] = 0;
  for (char *end; (end = strchr(line, '\n')); length = strlen(line)) {
    unsigned long begin = 0, done = 0;
    if (sscanf(line, "%lu %lu", &begin, &done) != 2 || !waiting) errno = EPROTO, fail("the publisher");
    int name = ordered[0];
    memmove(ordered, ordered + 1, sizeof ordered - sizeof *ordered), waiting--;
    versions[name][(newest[name] - 1) % VERSIONS].to = done + GRACE;
    if (name == probed) probed_begin = begin;
    memmove(line, end + 1, strlen(end + 1) + 1);
  }
}

static void probe(struct client **sockets, int count, struct batch *b) {
  bool all = probed >= 0 && probed_begin;
  for (asking = 0; asking < count; asking++) {
    take_some(sockets[asking], b);
    if (probed >= 0 && !found[asking]) send_some(sockets[asking], b, 1);
    all = all && found[asking];
  }
  if (!all) return;
  if (seen_count < SEEN) seen_all[seen_count++] = now_ns() - probed_begin;
  probed = -1;
}

static int by_size(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static double seen_ms(double share) {
  return seen_count ? (double)seen_all[(int)(share * (seen_count - 1) + 0.5)] / 1e6 : 0;
}

int main(int count, char **given) {
  arguments = given;
  int port = (int)number("port", "0"), sockets = (int)number("sockets", "4"), probing = (int)number("probes", "0");
  int window = (int)number("window", "100") / sockets;
  if (count < 3 || !port || window < 1 || window > PLACES || probing > PROBES || sockets > 64)
    return fputs("usage: soak port=N result=FILE ...\n", stderr), 2;
  double rate = number("rate", "0"), changes = number("changes", "20");
  names = (uint32_t)number("names", "5000");
  bake_cookies(cookies, CLIENTS);
  for (int i = 0; i < CHANGING; i++)
    versions[i][0] = (struct version){.addresses = {address_of((uint32_t)i * STEP + 7)}, .count = 1, .to = UINT64_MAX};
  fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  struct client *clients[64], *probers[PROBES];
  for (int i = 0; i < sockets; i++) clients[i] = new_client(port, window, &crowd);
  for (int i = 0; i < probing; i++) probers[i] = new_client(port, 1, &probes);

  static struct batch batch;
  uint64_t start = now_ns(), end = start + (uint64_t)(number("seconds", "30") * 1e9), sweep = start, sent = 0, now;
  uint64_t due = start, done = 0;
  while ((now = now_ns()) < end) {
    bool idle = true;
    for (int i = 0; i < sockets; i++) {
      if (take_some(clients[i], &batch)) idle = false;
      double allowed = rate > 0 ? rate * (double)(now - start) / 1e9 - (double)sent : BATCH;
      if (clients[i]->free > window / 4 && allowed >= 1)
        sent += (uint64_t)send_some(clients[i], &batch, allowed < BATCH ? (int)allowed : BATCH), idle = false;
    }
    if (probing) probe(probers, probing, &batch);
    hear();
    if (now >= due && waiting < UNDER_WAY && !(probing && probed >= 0)) {
      done += order_change(now);
      due += (uint64_t)(1e9 / changes);
    }
    if (idle && rate > 0) nanosleep(&(struct timespec){0, 50000}, NULL);
    if (now - sweep < 10000000) continue;
    sweep = now;
    for (int i = 0; i < sockets; i++) give_up(clients[i], now);
    for (int i = 0; i < probing; i++) give_up(probers[i], now);
  }
  qsort(seen_all, (size_t)seen_count, sizeof *seen_all, by_size);
  FILE *result = fopen(option("result", "/dev/stderr"), "w");
  if (!result) fail("result");
  fprintf(result, "{");
  tell(result, "crowd", &crowd.tally);
  tell(result, "probes", &probes.tally);
  fprintf(result, "\"seconds\": %.4f, \"changes\": %lu, \"first wrong\": \"%s\", ",
          (double)(now_ns() - start) / 1e9, done, first_wrong);
  fprintf(result, "\"seen\": {\"changes\": %d, \"p50 ms\": %.3f, \"p99 ms\": %.3f, \"max ms\": %.3f}}\n",
          seen_count, seen_ms(0.5), seen_ms(0.99), seen_ms(1));
  return 0;
}
